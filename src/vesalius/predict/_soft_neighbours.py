"""Soft neighbours: what the learning of distances shares: points to learn on, and when to stop."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._gaps import check_cases, check_full
from vesalius.predict._projection import Pca
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._trees import in_order
from vesalius.predict._univariate import need_target

Ints = NDArray[np.int64]

MOST = 1000
"""Cases that a distance is learned from; more cost time with their square and add little."""
_HELD = 0.25
"""Share of the training cases that say when to stop."""
_PATIENCE = 15
"""Steps without gain on these after which learning ends."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Training cases in a few dimensions, in an order that their values alone decide.

    Attributes:
        mean: (features,) taken away first.
        axes: (dimensions, features) onto which the rest is projected; scaled so that a typical
            neighbour is at distance 1.
        values: (cases, dimensions).
        classes: (cases,) what should lie together.
    """

    mean: Floats = field(repr=False)
    axes: Floats = field(repr=False)
    values: Floats = field(repr=False)
    classes: Ints = field(repr=False)


def learning_points(
    table: Table, target: Target | None, who: str, *, components: int, neighbours: int
) -> Points:
    """Project training cases on their principal components.

    Args:
        table: The training cases, without gaps, on comparable scales.
        target: Classes; of a number its thirds, for survival whether the event was seen.
        who: Who learns, for messages.
        components: Most dimensions.
        neighbours: Of which the farthest is the typical one.

    Returns:
        The points; at most 1000 of them, evenly chosen in the order of their values.

    Raises:
        ConfigError: No outcome is given, or a number is below 1.
        IntensityError: A value is missing.
        RegionError: A class has fewer than four cases, or there is one class only.
    """
    target = need_target(target, who)
    if components < 1 or neighbours < 1:
        raise ConfigError(
            f"{who} must have at least one component and one neighbour, got "
            f"components={components} and neighbours={neighbours}"
        )
    check_full(table, who)
    check_cases(table, who, 8)
    values, target = in_order(table.values, target)
    _, counts = np.unique(target.strata, return_counts=True)
    if len(counts) < 2 or counts.min() < 4:
        raise RegionError(
            f"{who} must learn from at least two classes of four cases each, got classes of "
            f"{', '.join(str(n) for n in counts)}: give more cases, or use a plain distance"
        )
    pca = Pca(components).fit(Table(table.cases, table.features, values, table.columns))
    points = (values - pca.mean_) @ pca.axes_.T
    classes = target.strata
    if len(points) > MOST:
        kept = np.linspace(0, len(points) - 1, MOST).astype(np.int64)
        points, classes = points[kept], classes[kept]
    apart = np.sort(squared(points, points), axis=1)[:, min(neighbours, len(points) - 1)]
    typical = np.sqrt(float(np.mean(apart))) or 1.0
    return Points(pca.mean_, pca.axes_ / typical, points / typical, classes)


def hold_out(classes: Ints, *, seed: int) -> tuple[Ints, Ints]:
    """Part cases into those that teach and those that say when to stop.

    Args:
        classes: (cases,); each keeps its share on both sides.
        seed: Of the draw.

    Returns:
        Rows that teach and rows that judge.
    """
    generator = np.random.default_rng(seed)
    held = []
    for one in np.unique(classes):
        rows = generator.permutation(np.flatnonzero(classes == one))
        held.append(rows[: max(1, round(_HELD * len(rows)))])
    judge = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(classes)), judge), judge


def soft_loss(points: Floats, classes: Ints, judged: Floats, truth: Ints, k: int) -> float:
    """Say how badly neighbours tell the class, whatever the scale of the distance.

    Every point speaks for its class with a weight that falls with the squared distance, in units
    of that to the k-th; classes count the same, however many cases they have.

    Args:
        points: (cases, dimensions) whose class is known.
        classes: Of these.
        judged: (others, dimensions).
        truth: Of these.
        k: Neighbours that are looked at, roughly.

    Returns:
        Mean negative logarithm of the weight of the true class.
    """
    apart = squared(judged, points)
    width = np.partition(apart, min(k, apart.shape[1]) - 1, axis=1)[:, min(k, apart.shape[1]) - 1]
    weight = np.exp(-apart / np.maximum(width, 1e-300)[:, None])
    names, place = np.unique(classes, return_inverse=True)
    counts = np.bincount(place)
    said = weight @ (np.eye(len(names))[place] / counts)
    said = (said + 1e-6) / (said + 1e-6).sum(axis=1, keepdims=True)
    own = said[np.arange(len(truth)), np.searchsorted(names, truth)]
    return float(-np.log(own).mean())


@final
class Watch:
    """Remember after how many steps held-out cases were told best, and say when to give up."""

    def __init__(self, first: float) -> None:
        self.best = first
        self.steps = 0
        self.seen = 0

    def worse(self, loss: float) -> bool:
        """Take the loss after one more step; say whether nothing was gained for long."""
        self.seen += 1
        if loss < self.best - 1e-6:
            self.best, self.steps = loss, self.seen
        return self.seen - self.steps >= _PATIENCE


def squared(a: Floats, b: Floats) -> Floats:
    """Give (rows of a, rows of b) squared distances."""
    apart = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.maximum(apart, 0.0))
