"""Path: linear models of a number, an event or classes, with lasso and ridge at many weights."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final, no_type_check

import numpy as np

from vesalius.errors import ConvergenceError, IntensityError
from vesalius.ops._jit import kernel
from vesalius.predict._table import Floats

Loss = Literal["square", "logistic", "softmax"]
_LOSSES = ("square", "logistic", "softmax")
LARGEST = 1e100
FLAT = 1e-5
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
    models, outputs = len(penalties), len(truth)
    weights = np.zeros((models, outputs, len(columns)))
    intercepts = np.zeros((models, outputs))
    failed = _path(
        columns,
        (np.ascontiguousarray(truth), np.ascontiguousarray(case_weight)),
        np.ascontiguousarray(penalties, dtype=np.float64),
        (weights, intercepts),
        (_LOSSES.index(rule.loss), rule.steps, rule.tol),
    )
    if failed >= 0:
        raise ConvergenceError(
            f"a linear model must reach its optimum within {rule.steps} steps, one with penalties "
            f"{penalties[failed].tolist()} did not: scale the features, use a larger weight, or "
            "allow more steps"
        )
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


@kernel
@no_type_check
def _path(columns, known, penalties, found, rule):
    """Fill ``found`` for each penalty; returns the first that failed, or -1."""
    truth, case_weight = known
    loss, steps, tol = rule
    outputs, n = truth.shape
    # the last weight of each output is its intercept
    b = np.zeros((outputs, len(columns) + 1))
    score = np.zeros((outputs, n))
    scale = 1e-12 * max(1.0, np.abs(truth).max())
    for c in range(outputs):
        mean = (truth[c] * case_weight).sum()
        b[c, -1] = mean if loss == 0 else math.log(mean / (1 - mean) if loss == 1 else mean)
        score[c] = b[c, -1]
        scale = max(scale, np.abs(np.dot(columns, (truth[c] - mean) * case_weight)).max())
    for k in range(len(penalties)):
        at = (loss, penalties[k, 0], penalties[k, 1], tol * scale)
        done = False
        for _ in range(steps):
            if _newton(columns, known, (b, score), at):
                done = True
                break
        if not done:
            return k
        for c in range(outputs):
            found[0][k, c] = b[c, :-1]
            found[1][k, c] = b[c, -1]
    return -1


@kernel
@no_type_check
def _newton(columns, known, model, at):
    """Make one step of all outputs; says whether it was optimal before the step."""
    truth, case_weight = known
    b, score = model
    loss, l1, l2, enough = at
    outputs, n = truth.shape
    features = len(columns)
    slope, curve = _slopes(truth, case_weight, score, loss)
    first = np.zeros(outputs + 1, dtype=np.int64)
    chosen = np.empty(outputs * (features + 1), dtype=np.int64)
    left = np.empty(outputs * (features + 1))
    worst, size = 0.0, 0
    for c in range(outputs):
        gradient = np.dot(columns, slope[c])
        for j in range(features + 1):
            falling = slope[c].sum() if j == features else gradient[j]
            free = j == features
            broken = _broken(falling, b[c, j], 0.0 if free else l1, 0.0 if free else l2)
            worst = max(worst, broken)
            if free or b[c, j] != 0 or broken > 0.1 * enough:
                chosen[size], left[size] = j, falling
                size += 1
        first[c + 1] = size
    if worst <= enough:
        return True
    chosen = chosen[:size]
    used = np.ones((size, n))
    old = np.empty(size)
    bounds = np.empty((size, 2))
    for c in range(outputs):
        for i in range(first[c], first[c + 1]):
            j = chosen[i]
            old[i] = b[c, j]
            bounds[i] = 0.0 if j == features else l1, 0.0 if j == features else l2
            if j < features:
                used[i] = columns[j]
    new = old.copy()
    _solve(_gram(used, curve, first), left[:size].copy(), new, bounds, 0.01 * enough)
    move = np.empty((outputs, n))
    for c in range(outputs):
        own = slice(first[c], first[c + 1])
        move[c] = np.dot(new[own] - old[own], used[own])
    share = _share(known, score, loss, move, (old, new - old, bounds))
    for c in range(outputs):
        for i in range(first[c], first[c + 1]):
            b[c, chosen[i]] = new[i] if share == 1.0 else old[i] + share * (new[i] - old[i])
        score[c] += share * move[c]
    return False


@kernel
@no_type_check
def _gram(used, curve, first):
    """Give the curvature of the loss by the weights in use."""
    size = len(used)
    gram = np.empty((size, size))
    outputs = len(first) - 1
    for c in range(outputs):
        own = slice(first[c], first[c + 1])
        for d in range(outputs):
            other = slice(first[d], first[d + 1])
            gram[own, other] = np.dot(used[own] * curve[c, d], used[other].T)
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
def _slopes(truth, case_weight, score, loss):
    """Give falling slope and curvature of the loss by the scores of each case."""
    outputs, n = truth.shape
    slope = np.empty((outputs, n))
    curve = np.empty((outputs, outputs, n))
    p = np.empty(outputs)
    for i in range(n):
        _expected(score[:, i], loss, p)
        for c in range(outputs):
            slope[c, i] = case_weight[i] * (truth[c, i] - p[c])
            for d in range(outputs):
                value = 1.0
                if loss == 1:
                    value = max(p[c] * (1 - p[c]), FLAT)
                elif loss == 2:
                    value = p[c] * (1 - p[c]) + FLAT if c == d else -p[c] * p[d]
                curve[c, d, i] = case_weight[i] * value
    return slope, curve


@kernel
@no_type_check
def _expected(score, loss, p):
    """Write what the scores of a case say of it."""
    if loss == 0:
        p[0] = score[0]
    elif loss == 1:
        p[0] = 1 / (1 + math.exp(-score[0])) if score[0] > -700 else 0.0
    else:
        p[:] = np.exp(score - score.max())
        p /= p.sum()


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
def _share(known, score, loss, move, weights):
    """Halve the step until the objective does not rise."""
    old, change, bounds = weights
    before = _objective(known, score, loss) + _penalty(old, bounds)
    share = 1.0
    for _ in range(40):
        after = _objective(known, score + share * move, loss)
        after += _penalty(old + share * change, bounds)
        if after <= before + 1e-14 * abs(before):
            return share
        share *= 0.5
    return share


@kernel
@no_type_check
def _penalty(b, bounds):
    return (bounds[:, 0] * np.abs(b)).sum() + (bounds[:, 1] * b * b).sum() / 2


@kernel
@no_type_check
def _objective(known, score, loss):
    """Give the mean loss."""
    truth, case_weight = known
    total = 0.0
    for i in range(len(case_weight)):
        if loss == 0:
            value = (truth[0, i] - score[0, i]) ** 2 / 2
        elif loss == 1:
            s = score[0, i]
            value = max(s, 0.0) + math.log1p(math.exp(-abs(s))) - truth[0, i] * s
        else:
            top = score[:, i].max()
            value = top + math.log(np.exp(score[:, i] - top).sum())
            value -= (truth[:, i] * score[:, i]).sum()
        total += case_weight[i] * value
    return total
