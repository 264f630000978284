"""Spaces: features of cases as points whose Euclidean distance is the one that is asked for."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np

from vesalius.errors import IntensityError, RegionError
from vesalius.predict._gaps import check_cases
from vesalius.predict._impute import Impute
from vesalius.predict._metric_learning import Mahalanobis
from vesalius.predict._projection import ledoit_wolf
from vesalius.predict._scale import Scale
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

Metric = Literal["standardised", "mahalanobis", "cosine", "learned"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Cases and one more as points.

    Attributes:
        features: Those that differ between cases.
        scaled: (cases, features) in standard deviations from the mean, gaps filled.
        query: (features,) the one more, likewise.
        points: (cases, dimensions) whose distance is asked for.
        point: (dimensions,) of the one more.
    """

    features: tuple[str, ...]
    scaled: Floats = field(repr=False)
    query: Floats = field(repr=False)
    points: Floats = field(repr=False)
    point: Floats = field(repr=False)


def make_space(table: Table, query: Table, metric: Metric) -> Space:
    """Scale cases and map them so that Euclidean distance is the one asked for.

    Args:
        table: The cases that scale and covariance are learned from; gaps get the median.
        query: One case with the same features.
        metric: ``standardised`` compares standard deviations; ``mahalanobis`` also takes the
            covariance out, drawn towards a sphere after Ledoit and Wolf; ``cosine`` compares
            directions from the mean. ``learned`` is done by :func:`learned_space`.

    Returns:
        The points.

    Raises:
        RegionError: Fewer than two cases, or no feature differs between them.
        IntensityError: The query has no direction: it lies in the mean.
    """
    features, scaled, one = _scaled(table, query)
    if metric == "mahalanobis":
        both = _whitened(scaled, one)
    elif metric == "cosine":
        both = _unit(scaled), _unit(one[None])[0]
        if not both[1].any():
            raise IntensityError(
                f"the direction of {query.cases[0]!r} must be known for a cosine, it lies in the "
                "mean of all features: choose another metric"
            )
    else:
        both = scaled, one
    return Space(features, scaled, one, *both)


def learned_space(table: Table, query: Table, target: Target, *, seed: int) -> Space:
    """Map cases by a distance that was learned from the outcome of the cases.

    Args:
        table: The cases that it is learned from.
        query: One case with the same features, whose outcome nobody looks at.
        target: The outcome of the cases.
        seed: Of the learning.

    Returns:
        The points.
    """
    features, scaled, one = _scaled(table, query)
    ready = Table(table.cases, features, scaled, table.columns)
    other = Table(query.cases, features, one[None], query.columns)
    step = Mahalanobis(seed=seed).fit(ready, target)
    points, point = step.transform(ready).values, step.transform(other).values[0]
    return Space(features, scaled, one, points, point)


def _scaled(table: Table, query: Table) -> tuple[tuple[str, ...], Floats, Floats]:
    check_cases(table, "a search for similar cases")
    full, one = table, query.select(table.features)
    if np.isnan(full.values).any() or np.isnan(one.values).any():
        fill = Impute().fit(table)
        full, one = fill.transform(full), fill.transform(one)
    scale = Scale().fit(full)
    kept = np.flatnonzero(np.isfinite(scale.spread_))
    if not kept.size:
        raise RegionError(
            f"at least one feature must differ between the cases, none of {len(table.features)} "
            "does: nothing tells who is alike"
        )
    features = tuple(full.features[j] for j in kept)
    if kept.size < len(full.features):
        full, one = full.select(features), one.select(features)
        scale = Scale().fit(full)
    return features, scale.transform(full).values, scale.transform(one).values[0]


def _whitened(scaled: Floats, one: Floats) -> tuple[Floats, Floats]:
    """Multiply by the inverse root of the covariance, through as few dimensions as there are."""
    cases, features = scaled.shape
    share = ledoit_wolf(scaled)
    level = float(np.square(scaled).sum()) / cases / features
    sphere = max(share * level, 1e-9 * level)
    if cases < features:
        _, length, axes = np.linalg.svd(scaled, full_matrices=False)
        power = np.square(length) / cases
    else:
        power, columns = np.linalg.eigh(scaled.T @ scaled / cases)
        axes = columns.T
    # 1 / root of the sphere in every direction, another factor along the axes of the cases
    outside = 1 / np.sqrt(sphere)
    factor = 1 / np.sqrt((1 - share) * np.maximum(power, 0.0) + sphere) - outside

    def whiten(values: Floats) -> Floats:
        return np.asarray(values * outside + ((values @ axes.T) * factor) @ axes)

    return whiten(scaled), whiten(one)


def _unit(values: Floats) -> Floats:
    length = np.sqrt(np.square(values).sum(axis=1, keepdims=True))
    return values / np.where(length > 1e-12, length, np.inf)
