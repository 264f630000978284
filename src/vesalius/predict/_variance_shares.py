"""Variance shares: how much of the difference between cases goes with batch, how much not."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.errors import IntensityError
from vesalius.predict._coding import Terms
from vesalius.predict._confounding import span
from vesalius.predict._table import Floats

SHARED = "shared"
RESIDUAL = "residual"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The main directions in which cases differ.

    Attributes:
        scores: (cases, components), largest variance first; each with its largest weight positive.
        explained: (components,) share of the variance of the standardised features.
        features: How many features differ between cases, and so entered.
    """

    scores: Floats = field(repr=False)
    explained: Floats = field(repr=False)
    features: int


@final
@dataclass(frozen=True, slots=True, eq=False)
class VarianceShares:
    """Shares of the variance of the main components.

    Attributes:
        names: Batch, each covariate, ``shared`` (what goes with two of them and can be given to
            neither), ``residual``.
        shares: One for each name; they sum to 1.
        components: How many were taken.
        explained: Share of the whole variance that they hold.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    components: int
    explained: float

    def share(self, name: str) -> float:
        """Give the share of a name; 0 where it is absent."""
        return dict(zip(self.names, self.shares, strict=True)).get(name, 0.0)


def components_of(values: Floats, least: float = 0.6) -> Components:
    """Find the components that hold a share of the variance of standardised features.

    Args:
        values: (cases, features); a gap counts as the median of the feature.
        least: Share to be held; two components are given at least, where there are two.

    Returns:
        The components.

    Raises:
        IntensityError: No feature differs between cases.
    """
    known = values[:, ~np.isnan(values).all(axis=0)]
    filled = np.where(np.isnan(known), np.nanmedian(known, axis=0) if known.size else 0.0, known)
    centred = filled - filled.mean(axis=0)
    spread = centred.std(axis=0)
    # a spread of the size of rounding is none
    differs = spread > 1e-12 * np.abs(filled).max(axis=0, initial=0.0)
    if not differs.any():
        raise IntensityError(
            f"features must differ between cases, none of {values.shape[1]} does: check the table"
        )
    scaled = centred[:, differs] / spread[differs]
    scores, power = _principal(scaled)
    explained = power / power.sum()
    upto = int(np.searchsorted(np.cumsum(explained), least - 1e-12)) + 1
    upto = min(max(upto, 2), len(explained))
    return Components(scores[:, :upto], explained[:upto], int(differs.sum()))


def variance_shares(components: Components, batch: Terms, covariates: Terms) -> VarianceShares:
    """Share the variance of the components out between batch, covariates and neither.

    For each component a linear model of batch and covariates is fitted by least squares. The share
    of a column is what it explains beyond all others (type II), less what as many columns of
    chance would explain, ``(SS - df MS_residual) / SS_total``, not below 0; the residual's is
    ``MS_residual (n - 1) / SS_total``; what then lacks to 1 is ``shared``. Components count by the
    variance that they hold.

    Args:
        components: Of the features.
        batch: Terms of the batch.
        covariates: Terms of the covariates.

    Returns:
        The shares.

    References:
        After principal variance component analysis, Li, Bushel, Chu, Wolfinger (2009),
        doi:10.1002/9780470685983.ch12. Differs from it in: fixed effects and unbiased sums of
        squares instead of random effects by restricted likelihood; no interactions; a part that is
        shared is named, and not given to one of them.
        Olejnik, Algina (2003), doi:10.1037/1082-989X.8.4.434 (omega squared).
    """
    values = np.concatenate((batch.values, covariates.values), axis=1)
    origins = (*batch.columns, *covariates.columns)
    columns = tuple(dict.fromkeys(origins))
    scores = components.scores
    n = len(scores)
    centred = values - values.mean(axis=0)
    whole = span(centred)
    total = (scores**2).sum(axis=0)
    left = np.maximum(total - _explained(scores, whole), 0.0)
    free = n - 1 - whole.shape[1]
    mean_square = left / free if free > 0 else np.zeros_like(left)
    shares = []
    for column in columns:
        others = span(centred[:, [one != column for one in origins]])
        own = _explained(scores, whole) - _explained(scores, others)
        degrees = whole.shape[1] - others.shape[1]
        shares.append(np.maximum((own - degrees * mean_square) / total, 0.0))
    residual = np.minimum(mean_square * (n - 1) / total, 1.0)
    weight = components.explained / components.explained.sum()
    return _summed(columns, shares, residual, weight, components)


def _summed(
    columns: Sequence[str],
    shares: list[Floats],
    residual: Floats,
    weight: Floats,
    components: Components,
) -> VarianceShares:
    parts = np.array([*shares, residual]).reshape(len(columns) + 1, -1)
    parts = parts / np.maximum(parts.sum(axis=0), 1.0)
    shared = np.maximum(1 - parts.sum(axis=0), 0.0)
    ordered = np.concatenate((parts[:-1], shared[None], parts[-1:])) @ weight
    return VarianceShares(
        (*columns, SHARED, RESIDUAL),
        tuple(float(share) for share in ordered),
        len(weight),
        float(components.explained.sum()),
    )


def _explained(scores: Floats, basis: Floats) -> Floats:
    return np.asarray(((basis.T @ scores) ** 2).sum(axis=0))


def _principal(scaled: Floats) -> tuple[Floats, Floats]:
    """Give scores and variances, by the smaller of the two cross products."""
    n, p = scaled.shape
    product = scaled @ scaled.T if n <= p else scaled.T @ scaled
    power, vectors = np.linalg.eigh(product)
    order = np.argsort(power)[::-1][: min(n - 1, p)]
    power, vectors = np.maximum(power[order], 0.0), vectors[:, order]
    kept = power > 1e-10 * power[0]
    power, vectors = power[kept], vectors[:, kept]
    weights = scaled.T @ (vectors / np.sqrt(power)) if n <= p else vectors
    largest = np.abs(weights).argmax(axis=0)
    sign = np.sign(weights[largest, np.arange(len(largest))])
    return scaled @ (weights * sign), power
