"""Path: linear models of a number, an event or classes, with lasso and ridge at many weights."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final, no_type_check

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import ConvergenceError, IntensityError
from vesalius.ops._jit import kernel
from vesalius.predict._table import Floats

Loss = Literal["square", "logistic", "softmax"]
LARGEST = 1e100
FLAT = 1e-10
"""Least curvature of a case: one that is certain still holds its ground a little."""
SAME = 1e-12
"""Share of its spread that a feature must have of its own to be solved for beside others."""
STEADY = 3
"""Sweeps without a change of sign, after which the weights in use are solved for exactly."""


@final
@dataclass(frozen=True, slots=True)
class PathRule:
    """What is minimised, and when it is enough.

    Attributes:
        loss: Half the square, the cross-entropy of an event, or that of classes.
        steps: Newton steps at most for each model.
        tol: Largest break of the optimality conditions, in units of the largest slope of the
            model without features.
    """

    loss: Loss
    steps: int = 200
    tol: float = 1e-6


@final
@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Linear models along a path of weights.

    Attributes:
        weights: (models, outputs, features).
        intercepts: (models, outputs).
    """

    weights: Floats
    intercepts: Floats

    def scores(self, values: Floats) -> Floats:
        """Give (models, cases, outputs): values times weights plus intercepts."""
        models, outputs, features = self.weights.shape
        found = values @ self.weights.reshape(models * outputs, features).T
        shaped = found.reshape(len(values), models, outputs).transpose(1, 0, 2)
        return np.asarray(shaped + self.intercepts[:, None, :])


def penalised_path(
    values: Floats,
    truth: Floats,
    case_weight: Floats,
    *,
    penalties: Floats,
    rule: PathRule,
) -> Path:
    """Minimise mean loss + l1 |b|_1 + l2/2 |b|^2 for each pair of penalties in turn.

    Each solution starts at the one before, so that a path from strong to weak costs little more
    than its last model. Each step takes the features that are used or break the optimality
    conditions, and solves the weighted quadratic problem on them by coordinate descent, joined
    with exact solutions for the features in use; the step is halved until the objective falls.
    The intercept is free. What stops it is the optimality condition of the problem itself.

    Args:
        values: (cases, features), of comparable spread.
        truth: (outputs, cases): the number, the event (0 or 1), or a row of 0 and 1 a class.
        case_weight: (cases,), adds up to 1.
        penalties: (models, 2): l1 and l2.
        rule: The loss, and when to stop.

    Returns:
        The models.

    Raises:
        ConvergenceError: A model needs more steps.
        IntensityError: A feature is so large that its square is not a number any more.

    References:
        Friedman, Hastie & Tibshirani (2010), doi:10.18637/jss.v033.i01, eq. (10), (14), (21).
        Differs from it in: the working set (broken conditions in place of cycles over all), exact
        solves on the support, step halving, and the rule to stop.
    """
    middle = case_weight @ values
    columns = np.ascontiguousarray((values - middle).T)
    if not np.abs(columns).max(initial=0.0) < LARGEST:
        raise IntensityError(
            f"features of a linear model must be below {LARGEST:g}, got "
            f"{np.abs(columns).max():.3g}: put Scale before it"
        )
    problem = _Problem(columns, truth, case_weight, rule.loss)
    b, score = problem.start()
    slope = problem.slopes(score)[0]
    # the intercept is never better than rounding, however small the slopes of the features are
    rounding = 1e-14 * float(np.abs(slope).sum())
    enough = max(rule.tol * float(np.abs(columns @ slope.T).max(initial=0.0)), rounding)
    weights = np.zeros((len(penalties), *b[:, :-1].shape))
    intercepts = np.zeros((len(penalties), len(b)))
    for k, (l1, l2) in enumerate(penalties):
        bounds = np.zeros((b.shape[1], 2))
        bounds[:-1] = l1, l2
        for _ in range(rule.steps):
            if problem.step(b, score, bounds, enough):
                break
        else:
            raise ConvergenceError(
                f"a linear model must reach its optimum within {rule.steps} steps, one with "
                f"penalties [{l1:.3g}, {l2:.3g}] did not: scale the features, use a larger weight, "
                "or allow more steps"
            )
        weights[k], intercepts[k] = b[:, :-1], b[:, -1]
    return Path(weights, intercepts - weights @ middle)


def spanned_path(
    values: Floats,
    truth: Floats,
    case_weight: Floats,
    *,
    penalties: Floats,
    rule: PathRule,
) -> Path:
    """Do the same in the span of the cases; for penalties that no rotation of features changes.

    Args:
        values: (cases, features).
        truth: As for ``penalised_path``.
        case_weight: As for ``penalised_path``.
        penalties: (models, 2): 0 and l2.
        rule: The loss, and when to stop.

    Returns:
        The models; where features outnumber cases and l2 is 0, those with the shortest weights.

    Raises:
        ConvergenceError: A model needs more steps.
    """
    middle = case_weight @ values
    left, spread, right = np.linalg.svd(values - middle, full_matrices=False)
    rank = max(1, int((spread > 1e-12 * max(spread[0], 1e-300)).sum()))
    inner = left[:, :rank] * spread[:rank]
    found = penalised_path(inner, truth, case_weight, penalties=penalties, rule=rule)
    weights = found.weights @ right[:rank]
    return Path(weights, found.intercepts - weights @ middle)


def largest_weight(values: Floats, truth: Floats, case_weight: Floats) -> float:
    """Give the smallest lasso weight that leaves no feature in a linear model.

    Args:
        values: (cases, features).
        truth: (outputs, cases), as for ``penalised_path``.
        case_weight: (cases,), adds up to 1.

    Returns:
        The largest slope of the loss at the model of the intercept alone; the same for all losses.
    """
    centred = truth - (truth @ case_weight)[:, None]
    return float(np.abs((centred * case_weight) @ values).max(initial=0.0))


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """What is fitted; the last weight of each output is its intercept.

    Attributes:
        columns: (features, cases), without their means.
        truth: (outputs, cases).
        case_weight: (cases,).
        loss: Which.
    """

    columns: Floats
    truth: Floats
    case_weight: Floats
    loss: Loss

    def start(self) -> tuple[Floats, Floats]:
        """Give weights (outputs, features + 1) and scores (outputs, cases) of the intercept."""
        mean = self.truth @ self.case_weight
        b = np.zeros((len(mean), len(self.columns) + 1))
        if self.loss == "square":
            b[:, -1] = mean
        else:
            b[:, -1] = np.log(mean / (1 - mean) if self.loss == "logistic" else mean)
        return b, np.repeat(b[:, -1:], len(self.case_weight), axis=1)

    def slopes(self, score: Floats) -> tuple[Floats, Floats]:
        """Give (outputs, cases) falling slope and (outputs, outputs, cases) curvature of the loss.

        They are those by the scores of each case, times its weight.
        """
        if self.loss == "square":
            curve = np.ones((1, 1, score.shape[1]))
            return (self.truth - score) * self.case_weight, curve * self.case_weight
        p = self.expected(score)
        if self.loss == "logistic":
            curve = np.maximum(p * (1 - p), FLAT)[None]
        else:
            curve = -p[:, None] * p[None]
            curve[np.diag_indices(len(p))] += p + FLAT
        return (self.truth - p) * self.case_weight, curve * self.case_weight

    def expected(self, score: Floats) -> Floats:
        """Give the probabilities that scores stand for."""
        if self.loss == "logistic":
            half = np.exp(-np.abs(score))
            return np.asarray(np.where(score > 0, 1.0, half) / (1 + half))
        grown = np.exp(score - score.max(axis=0))
        return np.asarray(grown / grown.sum(axis=0))

    def objective(self, score: Floats) -> float:
        """Give the mean loss."""
        if self.loss == "square":
            each = (self.truth[0] - score[0]) ** 2 / 2
        elif self.loss == "logistic":
            each = np.logaddexp(0, score[0]) - self.truth[0] * score[0]
        else:
            top = score.max(axis=0)
            each = top + np.log(np.exp(score - top).sum(axis=0)) - (self.truth * score).sum(axis=0)
        return float(self.case_weight @ each)

    def step(self, b: Floats, score: Floats, bounds: Floats, enough: float) -> bool:
        """Make one Newton step in place; says whether it was optimal before the step."""
        slope, curve = self.slopes(score)
        falling = np.concatenate([slope @ self.columns.T, slope.sum(axis=1)[:, None]], axis=1)
        lean = falling - bounds[:, 1] * b - bounds[:, 0] * np.sign(b)
        broken = np.where(b != 0, np.abs(lean), np.maximum(np.abs(lean) - bounds[:, 0], 0))
        if broken.max() <= enough:
            return True
        wanted = (b != 0) | (broken > 0.1 * enough)
        wanted[:, -1] = True
        output, place = np.nonzero(wanted)
        used = np.ones((len(place), len(self.case_weight)))
        used[place < len(self.columns)] = self.columns[place[place < len(self.columns)]]
        first = np.searchsorted(output, np.arange(len(b) + 1))
        own = bounds[place]
        old = b[wanted]
        new = old.copy()
        _solve(_gram(used, curve, first), falling[wanted], new, own, 0.01 * enough)
        change = new - old
        parts = [slice(*first[c : c + 2]) for c in range(len(b))]
        move = np.stack([change[part] @ used[part] for part in parts])
        share = self._share(score, move, (old, change, own))
        b[wanted] = new if share == 1.0 else old + share * change
        score += share * move
        return False

    def _share(self, score: Floats, move: Floats, weights: tuple[Floats, Floats, Floats]) -> float:
        """Halve the step until the objective does not rise."""
        old, change, bounds = weights
        before = self.objective(score) + _penalty(old, bounds)
        share = 1.0
        for _ in range(40):
            after = self.objective(score + share * move) + _penalty(old + share * change, bounds)
            if after <= before + 1e-14 * abs(before):
                break
            share *= 0.5
        return share


def _gram(used: Floats, curve: Floats, first: NDArray[np.intp]) -> Floats:
    """Give the curvature of the loss by the weights in use."""
    gram = np.empty((len(used), len(used)))
    outputs = range(len(first) - 1)
    for c in outputs:
        own = slice(first[c], first[c + 1])
        for d in outputs:
            other = slice(first[d], first[d + 1])
            gram[own, other] = (used[own] * curve[c, d]) @ used[other].T
    return gram


@kernel
@no_type_check
def _broken(slope, b, l1, l2):
    """Say how far a weight breaks its optimality condition."""
    if b > 0:
        return abs(slope - l1 - l2 * b)
    if b < 0:
        return abs(slope + l1 - l2 * b)
    return max(0.0, abs(slope) - l1)


@kernel
@no_type_check
def _solve(gram, left, b, bounds, enough):
    """Minimise the quadratic with penalties; ``left`` is the falling slope at ``b``."""
    size = len(b)
    # without a lasso there is no sign to be found first
    steady = STEADY if bounds[:, 0].max() == 0 else 0
    for sweep in range(1000):
        worst = 0.0
        for j in range(size):
            worst = max(worst, _broken(left[j], b[j], bounds[j, 0], bounds[j, 1]))
        if worst <= enough:
            return
        if steady >= STEADY or sweep % 64 == 63:
            for _ in range(size):
                if _solve_in_use(gram, left, b, bounds):
                    break
            steady = 0
        steady += 1
        for j in range(size):
            if gram[j, j] + bounds[j, 1] <= 0:
                continue
            at = left[j] + gram[j, j] * b[j]
            new = math.copysign(max(abs(at) - bounds[j, 0], 0.0), at) / (gram[j, j] + bounds[j, 1])
            if new != b[j]:
                change = new - b[j]
                if new * b[j] <= 0 and bounds[j, 0] > 0:
                    steady = 0
                b[j] = new
                for i in range(size):
                    left[i] -= gram[j, i] * change


@kernel
@no_type_check
def _solve_in_use(gram, left, b, bounds):
    """Go to the optimum for the signs in use; weights that would change theirs stop at 0.

    Says whether all signs held, so that there is nothing more to gain.
    """
    used = np.nonzero((b != 0) | (bounds[:, 0] == 0))[0]
    held, own = b[used], bounds[used]
    parts = gram[used][:, used]
    falling = left[used]
    aim = falling - own[:, 1] * held
    for i in range(len(used)):
        aim[i] -= math.copysign(own[i, 0], held[i])
    change = _toward(parts, own[:, 1], aim)
    first = 1.0
    for i in range(len(used)):
        if own[i, 0] > 0 and held[i] * (held[i] + first * change[i]) < 0:
            first = -held[i] / change[i]
    best, gain = change * 0.0, 0.0
    for trial in range(5):
        share = first if trial == 4 else 0.5**trial
        move = share * change
        for i in range(len(used)):
            to = held[i] + move[i]
            if own[i, 0] > 0 and (to * held[i] <= 0 or abs(to) < 1e-14 * abs(held[i])):
                move[i] = -held[i]
        after = _penalty(held + move, own) - _penalty(held, own)
        after += np.dot(move, np.dot(parts, move)) / 2 - np.dot(falling, move)
        if after < gain:
            best, gain = move, after
        if first == 1.0:
            break
    for i in range(len(used)):
        b[used[i]] = held[i] + best[i]
        for j in range(len(b)):
            left[j] -= gram[used[i], j] * best[i]
    return first == 1.0 or gain == 0.0


@kernel
@no_type_check
def _toward(parts, ridge, aim):
    """Solve (parts + ridge) x = aim by Cholesky; copies of columns before them get 0."""
    size = len(aim)
    root = np.zeros((size, size))
    x = aim.copy()
    for i in range(size):
        for j in range(i):
            root[i, j] = (parts[i, j] - np.dot(root[i, :j], root[j, :j])) / root[j, j]
        own = parts[i, i] + ridge[i]
        value = own - np.dot(root[i, :i], root[i, :i])
        if value > SAME * own:
            root[i, i] = math.sqrt(value)
        else:
            root[i, :i] = 0.0
            root[i, i] = np.inf
        x[i] = (x[i] - np.dot(root[i, :i], x[:i])) / root[i, i]
    for i in range(size - 1, -1, -1):
        x[i] /= root[i, i]
        for j in range(i):
            x[j] -= root[i, j] * x[i]
    return x


@kernel
@no_type_check
def _penalty(b, bounds):
    return (bounds[:, 0] * np.abs(b)).sum() + (bounds[:, 1] * b * b).sum() / 2
