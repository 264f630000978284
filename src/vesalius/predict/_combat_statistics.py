"""Combat's statistics: moments of each batch, which are all that ComBat needs to know of its cases.

A hospital can give its moments away instead of its cases: moments of several are joined, and what
is estimated from them is what the cases together would have given, to rounding.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.predict._batches import check_reference
from vesalius.predict._combat_shrink import Shrinkage, naive, shrunk
from vesalius.predict._table import Floats

_SINGULAR = 1e-10
"""A direction of the scaled covariates with a smaller share of their spread is none."""
_FLAT = 1e-11
"""A spread below this share of the largest magnitude is rounding, not spread."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What ComBat knows of the cases of one batch.

    Attributes:
        cases: How many.
        covariate_means: (terms,) of the covariates.
        means: (features,).
        scatter: (terms, terms) sums of products of the covariates about their means.
        crossed: (terms, features) sums of products of covariates and features about their means.
        squares: (features,) sums of squares of the features about their means.
        largest: (features,) greatest magnitude.
    """

    cases: int
    covariate_means: Floats = field(repr=False)
    means: Floats = field(repr=False)
    scatter: Floats = field(repr=False)
    crossed: Floats = field(repr=False)
    squares: Floats = field(repr=False)
    largest: Floats = field(repr=False)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """The part of ComBat that all batches share.

    Attributes:
        mean: (features,) the grand mean, or the mean of the reference batch, at covariates of 0.
        weights: (terms, features) of the covariates.
        deviation: (features,) pooled standard deviation within batches; 0 for a constant feature.
        typical: (terms,) mean of the covariates over all cases.
    """

    mean: Floats = field(repr=False)
    weights: Floats = field(repr=False)
    deviation: Floats = field(repr=False)
    typical: Floats = field(repr=False)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """What one batch does to the standardised features.

    Attributes:
        location: (features,) taken away.
        scale: (features,) variance, whose root is divided by.
    """

    location: Floats = field(repr=False)
    scale: Floats = field(repr=False)


def moments_of(values: Floats, covariates: Floats) -> Moments:
    """Take the moments of the cases of one batch.

    Args:
        values: (cases, features), finite.
        covariates: (cases, terms), finite; no terms for no covariates.

    Returns:
        Moments; about the means, so that a large offset of a feature costs no digits.

    Raises:
        ShapeError: The two have different cases, or there is none.
        IntensityError: A value is missing or infinite.
    """
    if len(values) != len(covariates) or not len(values):
        raise ShapeError(
            f"values and covariates must have the same cases, at least one, got {len(values)} and "
            f"{len(covariates)}: take both from the same table"
        )
    with np.errstate(invalid="ignore"):
        means, covariate_means = values.mean(axis=0), covariates.mean(axis=0)
    if not (np.isfinite(means).all() and np.isfinite(covariate_means).all()):
        raise IntensityError(
            "values and covariates of ComBat must be finite, got a missing or infinite one: "
            "impute first"
        )
    about, around = values - means, covariates - covariate_means
    squares = np.einsum("ij,ij->j", about, about)
    largest = np.maximum(values.max(axis=0), -values.min(axis=0))
    return Moments(
        len(values), covariate_means, means, around.T @ around, around.T @ about, squares, largest
    )


def joined(first: Moments, second: Moments) -> Moments:
    """Join the moments of two parts of one batch.

    Args:
        first: Of one part.
        second: Of the other, with the same terms and features.

    Returns:
        Those of all cases.

    Raises:
        ShapeError: Terms or features differ in number.

    References:
        Chan, Golub & LeVeque (1979), STAN-CS-79-773, eq. 2.1.
    """
    if first.crossed.shape != second.crossed.shape:
        raise ShapeError(
            "parts of a batch must have the same terms and features, got "
            f"{first.crossed.shape} and {second.crossed.shape}: use one configuration for both"
        )
    cases = first.cases + second.cases
    share = second.cases / cases
    weight = first.cases * share
    step = second.means - first.means
    stride = second.covariate_means - first.covariate_means
    return Moments(
        cases,
        first.covariate_means + share * stride,
        first.means + share * step,
        first.scatter + second.scatter + weight * np.outer(stride, stride),
        first.crossed + second.crossed + weight * np.outer(stride, step),
        first.squares + second.squares + weight * step**2,
        np.maximum(first.largest, second.largest),
    )


def model_of(batches: Mapping[str, Moments], terms: Sequence[str], reference: str = "") -> Model:
    """Estimate what all batches share: grand mean, covariate weights and pooled spread.

    Least squares of a mean for each batch and one weight for each covariate. Without a reference
    the grand mean is the mean of the batch means, weighted by cases, and the pooled variance is
    the mean squared residual of all cases (divided by their number); with one, both are those of
    the reference.

    Args:
        batches: Moments by name of the batch.
        terms: Names of the covariates, for messages.
        reference: Name of the batch that the others are brought to; empty for none.

    Returns:
        What is shared.

    Raises:
        ConfigError: The reference is no batch; or covariates cannot be told from batches or from
            each other.
        RegionError: Fewer than two batches, or too few cases.

    References:
        Johnson, Li & Rabinovic (2007), doi:10.1093/biostatistics/kxj037, section 3.1, step 1.
    """
    _check_batches(batches, terms, reference)
    each = list(batches.values())
    weights = within_weights(each, terms)
    counts = np.array([one.cases for one in each], dtype=np.float64)
    centred = np.stack([one.means - one.covariate_means @ weights for one in each])
    typical = counts @ np.stack([one.covariate_means for one in each]) / counts.sum()
    used = [batches[reference]] if reference else each
    mean = centred[list(batches).index(reference)] if reference else counts @ centred / counts.sum()
    cases = sum(one.cases for one in used)
    variance = sum((residual_squares(one, weights) for one in used), np.zeros_like(mean)) / cases
    largest = np.max([one.largest for one in used], axis=0, initial=0.0)
    return Model(mean, weights, np.where(_flat(variance, largest), 0.0, np.sqrt(variance)), typical)


def residual_squares(batch: Moments, weights: Floats) -> Floats:
    """Give the sums of squares of a batch about its mean that covariates leave.

    Args:
        batch: Its moments.
        weights: (terms, features) of the covariates.

    Returns:
        (features,).
    """
    explained = 2.0 * batch.crossed - batch.scatter @ weights
    return np.asarray(np.maximum(batch.squares - np.sum(weights * explained, axis=0), 0.0))


def effect_of(batch: Moments, model: Model, options: Shrinkage) -> Effect:
    """Estimate what a batch does, given what all share; a batch needs to know of no other.

    A batch that the model has not seen is treated in just this way.

    Args:
        batch: Its moments.
        model: What is shared.
        options: How estimates are shrunk.

    Returns:
        Location and scale.

    Raises:
        RegionError: One case, whose spread cannot be known, unless ``mean_only``; or one feature,
            from which no prior can be learned.
    """
    if batch.cases < 2 and not options.mean_only:
        raise RegionError(
            "a batch must have at least 2 cases, since its spread is estimated, got 1: join it "
            "with another batch, leave the case out, or set mean_only"
        )
    residuals = (batch.means - model.mean - batch.covariate_means @ model.weights) / model.deviation
    squares = residual_squares(batch, model.weights) / model.deviation**2
    hat = naive(batch.cases, residuals, squares, mean_only=options.mean_only)
    location, scale = shrunk(hat, options) if options.empirical_bayes else (hat.location, hat.scale)
    return Effect(location, scale)


def _flat(variance: Floats, largest: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.sqrt(variance) <= _FLAT * largest)


def within_weights(batches: Sequence[Moments], terms: Sequence[str]) -> Floats:
    """Solve for the weights of covariates within batches, in scaled covariates.

    Args:
        batches: Of which scatter, crossed, covariate means and cases are looked at.
        terms: Names of the covariates, for messages.

    Returns:
        (terms, features).

    Raises:
        ConfigError: Covariates cannot be told from batches or from each other.
    """
    scatter = np.sum([one.scatter for one in batches], axis=0)
    crossed = np.sum([one.crossed for one in batches], axis=0)
    if not len(scatter):
        return np.asarray(crossed)
    size = np.sqrt(np.maximum(np.diag(scatter), 0.0))
    _check_told_apart(batches, terms, size)
    scaled = scatter / np.outer(size, size)
    roots, directions = np.linalg.eigh(scaled)
    if roots[0] <= _SINGULAR:
        loads = np.abs(directions[:, 0]) > 1e-4
        raise ConfigError(
            "covariates to be kept must differ from each other within batches, got "
            f"{_some(terms, loads)}, one of which the others and the batch determine: leave one out"
        )
    return np.asarray(np.linalg.solve(scaled, crossed / size[:, None]) / size[:, None])


def _check_told_apart(batches: Sequence[Moments], terms: Sequence[str], size: Floats) -> None:
    far = np.max([np.abs(one.covariate_means) for one in batches], axis=0)
    cases = sum(one.cases for one in batches)
    same = size <= _FLAT * far * np.sqrt(cases)
    if same.any():
        raise ConfigError(
            "a covariate to be kept must differ within a batch, got "
            f"{_some(terms, same)}, the same for all cases of each batch: its effect cannot be "
            "told from that of the batch; leave it out, or measure cases of both kinds in one batch"
        )


def _some(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    found = [repr(name) for name, one in zip(names, chosen, strict=True) if one]
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _check_batches(batches: Mapping[str, Moments], terms: Sequence[str], reference: str) -> None:
    check_reference(reference, tuple(batches))
    if len(batches) < 2:
        raise RegionError(
            f"ComBat must have at least 2 batches, got {', '.join(map(repr, batches)) or 'none'}: "
            "leave it out where all cases come from one"
        )
    cases = sum(one.cases for one in batches.values())
    if cases <= len(batches) + len(terms):
        raise RegionError(
            f"ComBat must have more cases than batches and covariates, got {cases} cases, "
            f"{len(batches)} batches and {len(terms)} terms: keep fewer covariates, or join batches"
        )


def check_spread(model: Model, features: Sequence[str], reference: str = "") -> None:
    """Refuse features that have no spread to be harmonised.

    Args:
        model: What was estimated.
        features: Their names.
        reference: The reference batch, for the message.

    Raises:
        IntensityError: A feature is constant within each batch, or within the reference.
    """
    flat = model.deviation == 0
    if flat.any():
        where = f"the reference {reference!r}" if reference else "every batch"
        raise IntensityError(
            f"a feature must vary within batches, got {_some(features, flat)} constant within "
            f"{where}: leave it out, or put a Variance step before"
        )
