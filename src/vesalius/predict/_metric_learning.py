"""Metric learning: a linear map after which cases of one class lie nearer than others."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._checks import check_word
from vesalius.predict._gaps import check_full
from vesalius.predict._learned import Step, learned
from vesalius.predict._soft_neighbours import (
    Ints,
    Watch,
    hold_out,
    learning_points,
    soft_loss,
    squared,
)
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

_Loss = Callable[[Floats], tuple[float, Floats]]


@final
@dataclass(slots=True, eq=False)
class Mahalanobis(Step):
    """Replace features by a linear map of them whose distance tells classes, ``metric1``, ...

    The map starts as the projection on principal components, where it gives their Euclidean
    distance, and is drawn back towards it. A quarter of the training cases says after how many
    steps the map tells cases best that it has not seen; where none is better than the start, the
    start is kept. Then all training cases learn for as many steps. Put ``Scale`` before it. Above
    1000 cases an even part of them teaches.

    Attributes:
        method: ``lmnn`` pulls the nearest of a class together and pushes others beyond them by a
            margin; ``nca`` raises the chance that a case finds its own class by soft neighbours.
        components: Most dimensions.
        neighbours: Of the own class that are pulled (``lmnn``).
        weight: How strongly the map is held to its start.
        steps: Most steps.
        seed: Of the part that says when to stop.
        features_: Seen in training.
        mean_: (features,) taken away.
        map_: (dimensions, features).
        steps_: After which learning was stopped; 0 where nothing could be learned.

    References:
        Weinberger & Saul (2009), doi:10.5555/1577069.1577078, whose hinge is squared here so that
        the slope is continuous, whose target neighbours are those of the start, and who solve for
        the matrix and not for the map; Goldberger et al. (2004), Neighbourhood components analysis,
        NIPS 17, whose logarithm is taken. The pull to the start, the components and the stop are
        ours.
    """

    method: Literal["lmnn", "nca"] = "lmnn"
    components: int = 20
    neighbours: int = 3
    weight: float = 0.1
    steps: int = 100
    seed: int = 0
    features_: tuple[str, ...] = learned()
    mean_: Floats = learned()
    map_: Floats = learned()
    steps_: int = learned()

    word: ClassVar[str] = "metric"
    needs_target: ClassVar[bool] = True

    def fit(self, table: Table, target: Target | None = None) -> "Mahalanobis":
        """Learn the map.

        Args:
            table: The training cases, without gaps.
            target: Classes; of a number its thirds, for survival whether the event was seen.

        Returns:
            Itself.

        Raises:
            ConfigError: No outcome is given, or a setting is out of range.
            IntensityError: A value is missing.
            RegionError: There is one class only, or a class has fewer than four cases.
        """
        check_word("method", self.method, ("lmnn", "nca"))
        if self.weight < 0 or self.steps < 0:
            raise ConfigError(
                "Mahalanobis must have a weight and steps of at least 0, got "
                f"weight={self.weight} and steps={self.steps}"
            )
        points = learning_points(
            table,
            target,
            "Mahalanobis",
            components=self.components,
            neighbours=self.neighbours,
        )
        self.steps_ = self._enough(points.values, points.classes)
        learned_map = self._learn(points.values, points.classes, self.steps_)
        self.features_, self.mean_ = table.features, points.mean
        self.map_ = learned_map @ points.axes
        return self

    def _enough(self, values: Floats, classes: Ints) -> int:
        teach, judge = hold_out(classes, seed=self.seed)

        def loss(one: Floats) -> float:
            known, asked = values[teach] @ one.T, values[judge] @ one.T
            return soft_loss(known, classes[teach], asked, classes[judge], 10)

        watch = Watch(loss(np.eye(values.shape[1])))

        def after(one: Floats) -> None:
            if watch.worse(loss(one)):
                raise StopIteration

        self._learn(values[teach], classes[teach], self.steps, after)
        return watch.steps

    def _learn(
        self,
        values: Floats,
        classes: Ints,
        steps: int,
        after: Callable[[Floats], None] = lambda one: None,
    ) -> Floats:
        from scipy.optimize import minimize

        size = values.shape[1]
        start = np.eye(size)
        if not steps or not size:
            return start
        loss = self._loss(values, classes)

        def objective(flat: Floats) -> tuple[float, Floats]:
            value, slope = loss(flat.reshape(size, size))
            off = flat.reshape(size, size) - start
            value += self.weight * float(np.square(off).sum()) / size
            return value, (slope + 2 * self.weight * off / size).ravel()

        found = minimize(
            objective,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=lambda flat: after(flat.reshape(size, size)),
            options={"maxiter": steps},
        )
        return np.asarray(found.x, dtype=np.float64).reshape(size, size)

    def _loss(self, values: Floats, classes: Ints) -> _Loss:
        if self.method == "nca":
            return lambda one: components_loss(one, values, classes)
        close = _own_neighbours(values, classes, self.neighbours)
        return lambda one: margin_loss(one, values, classes, close)

    def transform(self, table: Table) -> Table:
        """Map cases.

        Args:
            table: Any cases with the features of the training, without gaps.

        Returns:
            With the dimensions of the map as features.
        """
        self.state()
        table = table.select(self.features_)
        check_full(table, "Mahalanobis")
        names = tuple(f"metric{k + 1}" for k in range(len(self.map_)))
        values = (table.values - self.mean_) @ self.map_.T
        return replace(table, features=names, values=values, reasons={}, units={})


def components_loss(one: Floats, values: Floats, classes: Ints) -> tuple[float, Floats]:
    """Give the negative logarithm of the chance that soft neighbours are of the own class.

    Args:
        one: (dimensions, dimensions) the map.
        values: (cases, dimensions).
        classes: (cases,); each has two cases or more.

    Returns:
        The mean over cases, and its derivative by the map.
    """
    mapped = values @ one.T
    apart = squared(mapped, mapped)
    np.fill_diagonal(apart, np.inf)
    apart -= apart.min(axis=1, keepdims=True)
    chance = np.exp(-apart)
    chance /= chance.sum(axis=1, keepdims=True)
    own = chance * (classes[:, None] == classes)
    right = np.maximum(own.sum(axis=1, keepdims=True), 1e-300)
    pull = (own / right - chance) / len(values)
    return float(-np.log(right).mean()), _slope(one, values, pull)


def margin_loss(one: Floats, values: Floats, classes: Ints, close: Ints) -> tuple[float, Floats]:
    """Give the distance to neighbours of the own class and the squared margin that others break.

    Args:
        one: (dimensions, dimensions) the map.
        values: (cases, dimensions).
        classes: (cases,).
        close: (cases, neighbours) rows of the own class that should be near.

    Returns:
        The mean over cases and neighbours, and its derivative by the map.
    """
    cases, many = close.shape
    mapped = values @ one.T
    apart = squared(mapped, mapped)
    rows = np.arange(cases)
    other = classes[:, None] != classes
    share = 0.5 / (cases * many)
    value = 0.0
    pull = np.zeros((cases, cases))
    for k in range(many):
        near = apart[rows, close[:, k]]
        broken = np.where(other, np.maximum(1 + near[:, None] - apart, 0.0), 0.0)
        value += share * float(near.sum() + np.square(broken).sum())
        pull[rows, close[:, k]] += share * (1 + 2 * broken.sum(axis=1))
        pull -= 2 * share * broken
    return value, _slope(one, values, pull)


def _slope(one: Floats, values: Floats, pull: Floats) -> Floats:
    """Differentiate sum of pull * squared distance by the map."""
    both = pull + pull.T
    inner = values.T @ (both.sum(axis=1)[:, None] * values - both @ values)
    return np.asarray(2 * one @ inner)


def _own_neighbours(values: Floats, classes: Ints, many: int) -> Ints:
    apart = squared(values, values)
    np.fill_diagonal(apart, np.inf)
    apart[classes[:, None] != classes] = np.inf
    _, counts = np.unique(classes, return_counts=True)
    kept = min(many, int(counts.min()) - 1)
    return np.argsort(apart, axis=1, kind="stable")[:, :kept].astype(np.int64)
