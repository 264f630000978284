"""Cox path: proportional hazards with lasso and ridge at many weights, ties by Efron or Breslow."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConvergenceError, IntensityError
from vesalius.predict._logistic_path import LARGEST, _solve
from vesalius.predict._table import Floats
from vesalius.predict._target import Bools

Ties = Literal["efron", "breslow"]
Ints = NDArray[np.int64]
TOLD = 1e-3
"""Mean loss below which an unpenalised model tells every event: its weights have no end."""

FLAT = 1e-4
"""Share of its curvature at 0 that an unpenalised loss keeps along weights that have an end."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class AtRisk:
    """Who is at risk when; cases are put in order of falling times.

    Attributes:
        order: (cases,) the order.
        last: (events,) place, in the order, of the last case at risk at each event.
        first: (events,) place of the first case with the time of each event.
        share: (events,) share of the events of the same time that count as gone (Efron); else 0.
        events: (cases,) in the order: whether the event was seen.
    """

    order: Ints
    last: Ints
    first: Ints
    share: Floats
    events: Bools

    def sums(self, each: Floats) -> Floats:
        """Sum over those at risk at each event, and over the part of tied events that counts.

        Args:
            each: (cases, ...) in the order.

        Returns:
            (events, ...).
        """
        total = np.cumsum(each, axis=0)[self.last]
        if not self.share.any():
            return total
        shape = (-1, *(1,) * (each.ndim - 1))
        gone = np.cumsum(np.where(self.events.reshape(shape), each, 0.0), axis=0)
        tied = gone[self.last] - gone[self.first] + self._own(each, self.first)
        return np.asarray(total - self.share.reshape(shape) * tied)

    def _own(self, each: Floats, at: Ints) -> Floats:
        shape = (-1, *(1,) * (each.ndim - 1))
        return np.where(self.events[at].reshape(shape), each[at], 0.0)

    def spread(self, terms: Floats) -> Floats:
        """Give each case the sum of the terms of the events at which it is at risk.

        Args:
            terms: (events,).

        Returns:
            (cases,) in the order; of its own time an event takes part as far as it is not gone.
        """
        size = len(self.order)
        ends = np.bincount(self.last, weights=terms, minlength=size)
        found = np.cumsum(ends[::-1])[::-1]
        if self.share.any():
            lost = np.zeros(size + 1)
            lost += np.bincount(self.first, weights=terms * self.share, minlength=size + 1)
            lost -= np.bincount(self.last + 1, weights=terms * self.share, minlength=size + 1)
            found = found - np.where(self.events, np.cumsum(lost)[:-1], 0.0)
        return np.asarray(found)


def at_risk(times: Floats, events: Bools, ties: Ties) -> AtRisk:
    """Put cases in order of falling times and say who is at risk at each event.

    Args:
        times: (cases,).
        events: (cases,) whether the event was seen, at least one.
        ties: Events of one time leave together (Breslow), or one after another on average (Efron).

    Returns:
        The order.

    References:
        Efron (1977), doi:10.1080/01621459.1977.10480613, eq. (6.7); Breslow (1974),
        doi:10.2307/2529620, eq. (2).
    """
    order = np.lexsort((events, -times))
    t, seen = times[order], events[order]
    place = np.flatnonzero(seen)
    first = np.searchsorted(-t, -t[place], side="left")
    last = np.searchsorted(-t, -t[place], side="right") - 1
    share = np.zeros(len(place))
    if ties == "efron":
        _, start, count = np.unique(-t[place], return_index=True, return_counts=True)
        sizes = np.repeat(count, count)
        share = (np.arange(len(place)) - np.repeat(start, count)) / sizes
    return AtRisk(order, last, first, share, seen)


def cox_path(
    values: Floats,
    risk: AtRisk,
    *,
    penalties: Floats,
    steps: int,
    tol: float,
) -> Floats:
    """Minimise -log(partial likelihood)/cases + l1 |b|_1 + l2/2 |b|^2 for each pair of penalties.

    As ``penalised_path``: each solution starts at the one before; each Newton step takes the
    features in use and those that break the optimality conditions, and solves the quadratic with
    the full curvature of the partial likelihood on them; the step is halved until the objective
    falls.

    Args:
        values: (cases, features), of comparable spread.
        risk: Who is at risk when.
        penalties: (models, 2): l1 and l2, from strong to weak.
        steps: Newton steps at most for each model.
        tol: Largest break of the optimality conditions, in units of the largest slope at 0.

    Returns:
        (models, features).

    Raises:
        ConvergenceError: A model needs more steps, or has no optimum.
        IntensityError: A feature is so large that its square is not a number any more.

    References:
        Simon, Friedman, Hastie & Tibshirani (2011), doi:10.18637/jss.v039.i05, eq. (3), (4).
        Differs from it in: the full curvature in place of its diagonal, ties by Efron, the loss is
        divided by the cases and not by half of them.
    """
    columns = np.ascontiguousarray((values - values.mean(axis=0))[risk.order].T)
    if not np.abs(columns).max(initial=0.0) < LARGEST:
        raise IntensityError(
            f"features of a linear model must be below {LARGEST:g}, got "
            f"{np.abs(columns).max():.3g}: put Scale before it"
        )
    problem = _Problem(columns, risk)
    b, score = np.zeros(len(columns)), np.zeros(columns.shape[1])
    enough = tol * max(np.abs(columns @ problem.slope(score)).max(initial=0.0), 1e-12)
    found = np.zeros((len(penalties), len(columns)))
    for k, (l1, l2) in enumerate(penalties):
        for _ in range(steps):
            if problem.step(b, score, (float(l1), float(l2)), enough):
                break
        else:
            raise ConvergenceError(
                f"a Cox model must reach its optimum within {steps} steps, one with penalties "
                f"[{l1:.3g}, {l2:.3g}] did not: scale the features, use a larger weight, or allow "
                "more steps"
            )
        if l1 == l2 == 0 and problem.loss(score) < TOLD:
            raise ConvergenceError(
                f"a Cox model without a penalty must not tell the order of all events, "
                f"{len(columns)} features do: use a weight above 0, or fewer features"
            )
        if l1 == l2 == 0 and problem.flattened(score) < FLAT:
            raise ConvergenceError(
                "a Cox model without a penalty must have an optimum, its weights grow without end: "
                "the risk of a feature, or of a mixture of some, is 0 on one side; use a weight "
                "above 0, or leave the feature out"
            )
        found[k] = b
    return found


def spanned_cox_path(
    values: Floats, risk: AtRisk, *, penalties: Floats, steps: int, tol: float
) -> Floats:
    """Do the same in the span of the cases; for penalties that no rotation of features changes.

    Args:
        values: (cases, features).
        risk: Who is at risk when.
        penalties: (models, 2): 0 and l2.
        steps: As for ``cox_path``.
        tol: As for ``cox_path``.

    Returns:
        (models, features); where l2 is 0 and several are best, the shortest.
    """
    left, spread, right = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    rank = max(1, int((spread > 1e-12 * max(spread[0], 1e-300)).sum()))
    inner = left[:, :rank] * spread[:rank]
    found = cox_path(inner, risk, penalties=penalties, steps=steps, tol=tol)
    return np.asarray(found @ right[:rank])


def largest_cox_weight(values: Floats, risk: AtRisk) -> float:
    """Give the smallest lasso weight that leaves no feature in a Cox model.

    Args:
        values: (cases, features).
        risk: Who is at risk when.

    Returns:
        The largest slope of the loss where all weights are 0.
    """
    problem = _Problem((values - values.mean(axis=0))[risk.order].T, risk)
    return float(np.abs(problem.columns @ problem.slope(np.zeros(len(values)))).max(initial=0.0))


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """What is fitted.

    Attributes:
        columns: (features, cases), without their means, cases in order of falling times.
        risk: Who is at risk when.
    """

    columns: Floats
    risk: AtRisk

    def loss(self, score: Floats) -> float:
        top = score.max()
        logs = np.log(self.risk.sums(np.exp(score - top))) + top
        return float(logs.sum() - score[self.risk.events].sum()) / len(score)

    def slope(self, score: Floats) -> Floats:
        """Give (cases,) the falling slope of the loss by each score."""
        weight = np.exp(score - score.max())
        expected = weight * self.risk.spread(1 / self.risk.sums(weight))
        return np.asarray((self.risk.events - expected) / len(score))

    def curvature(self, score: Floats, used: Floats) -> Floats:
        """Give the curvature of the loss by the weights of the columns in use."""
        weight = np.exp(score - score.max())
        below = self.risk.sums(weight)
        middle = self.risk.sums((used * weight).T) / below[:, None]
        own = weight * self.risk.spread(1 / below)
        return np.asarray(((used * own) @ used.T - middle.T @ middle) / len(score))

    def flattened(self, score: Floats) -> float:
        """Give the least share of its curvature at 0 that the loss keeps along any weights."""
        power, axes = np.linalg.eigh(self.curvature(np.zeros_like(score), self.columns))
        known = power > 1e-10 * power.max(initial=0.0)
        if not known.any():
            return 1.0
        turn = axes[:, known] / np.sqrt(power[known])
        kept = turn.T @ self.curvature(score, self.columns) @ turn
        return float(np.linalg.eigvalsh(kept)[0])

    def step(self, b: Floats, score: Floats, penalty: tuple[float, float], enough: float) -> bool:
        """Make one Newton step in place; says whether it was optimal before the step."""
        l1, l2 = penalty
        falling = self.columns @ self.slope(score)
        lean = falling - l2 * b - l1 * np.sign(b)
        broken = np.where(b != 0, np.abs(lean), np.maximum(np.abs(lean) - l1, 0))
        if broken.max(initial=0.0) <= enough:
            return True
        wanted = np.flatnonzero((b != 0) | (broken > 0.1 * enough))
        used = self.columns[wanted]
        bounds = np.tile(np.array([l1, l2]), (len(wanted), 1))
        old = b[wanted]
        new = old.copy()
        gram = np.ascontiguousarray(self.curvature(score, used))
        _solve(gram, falling[wanted], new, bounds, 0.01 * enough)
        change = new - old
        move = change @ used
        share = self._share(score, move, (old, change), penalty)
        b[wanted] = new if share == 1.0 else old + share * change
        score += share * move
        return False

    def _share(
        self,
        score: Floats,
        move: Floats,
        weights: tuple[Floats, Floats],
        penalty: tuple[float, float],
    ) -> float:
        """Halve the step until the objective does not rise."""
        old, change = weights
        before = self.loss(score) + _cost(old, penalty)
        share = 1.0
        for _ in range(40):
            after = self.loss(score + share * move) + _cost(old + share * change, penalty)
            if after <= before + 1e-14 * abs(before):
                break
            share *= 0.5
        return share


def _cost(b: Floats, penalty: tuple[float, float]) -> float:
    return float(penalty[0] * np.abs(b).sum() + penalty[1] * (b @ b) / 2)
