"""Path: linear models of a number, an event or classes, with lasso and ridge at many weights."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final, no_type_check

import numpy as np

from vesalius.errors import ConvergenceError
from vesalius.ops._jit import kernel
from vesalius.predict._table import Floats

Loss = Literal["square", "logistic", "softmax"]
_LOSSES = ("square", "logistic", "softmax")
FLAT = 1e-5
"""Least curvature of a case: one that is certain still holds its ground a little."""
SAME = 1e-12
"""Share of its spread that a feature must have of its own to be solved for beside others."""
STEADY = 3
"""Sweeps without a change of sign, after which the weights in use are solved for exactly."""


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
    loss: Loss,
    penalties: Floats,
    steps: int,
    tol: float,
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
        loss: Half the square, the cross-entropy of an event, or that of classes.
        penalties: (models, 2): l1 and l2.
        steps: Newton steps at most for each model (and class).
        tol: Largest break of the optimality conditions, in units of the largest slope of the
            model without features.

    Returns:
        The models.

    Raises:
        ConvergenceError: A model needs more steps.

    References:
        Friedman, Hastie & Tibshirani (2010), doi:10.18637/jss.v033.i01, eq. (10), (14), (21).
        Differs from it in: the working set (broken conditions in place of cycles over all), exact
        solves on the support, step halving, and the rule to stop.
    """
    columns = np.ascontiguousarray(values.T)
    models, outputs = len(penalties), len(truth)
    weights = np.zeros((models, outputs, len(columns)))
    intercepts = np.zeros((models, outputs))
    failed = _path(
        columns,
        (np.ascontiguousarray(truth), np.ascontiguousarray(case_weight)),
        np.ascontiguousarray(penalties, dtype=np.float64),
        (weights, intercepts),
        (_LOSSES.index(loss), steps, tol),
    )
    if failed >= 0:
        raise ConvergenceError(
            f"a linear model must reach its optimum within {steps} steps, one with penalties "
            f"{penalties[failed].tolist()} did not: scale the features, use a larger weight, or "
            "allow more steps"
        )
    return Path(weights, intercepts)


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
    weights, intercepts = found
    loss, steps, tol = rule
    outputs, n = truth.shape
    b = np.zeros((outputs, len(columns)))
    b0 = np.zeros(outputs)
    scale = 0.0
    for c in range(outputs):
        mean = (truth[c] * case_weight).sum()
        b0[c] = mean if loss == 0 else math.log(mean / (1 - mean) if loss == 1 else mean)
        slope = np.dot(columns, (truth[c] - mean) * case_weight)
        scale = max(scale, np.abs(slope).max())
    scale = max(scale, 1e-12 * max(1.0, np.abs(truth).max()))
    score = np.zeros((outputs, n))
    for c in range(outputs):
        score[c] = b0[c]
    for k in range(len(penalties)):
        done = False
        for _ in range(steps):
            worst = 0.0
            for c in range(outputs):
                at = (loss, c, penalties[k, 0], penalties[k, 1], tol * scale)
                worst = max(worst, _newton(columns, known, (b, b0, score), at))
            if worst <= tol * scale:
                done = True
                break
        if not done:
            return k
        weights[k] = b
        intercepts[k] = b0
    return -1


@kernel
@no_type_check
def _newton(columns, known, model, at):
    """Make one step of one output; returns how far it was from optimal before the step."""
    truth, case_weight = known
    b, b0, score = model
    loss, c, l1, l2, enough = at
    slope, curve = _slopes(truth[c], case_weight, score, loss, c)
    gradient = np.dot(columns, slope)
    worst = abs(slope.sum())
    size = 0
    chosen = np.empty(len(columns), dtype=np.int64)
    for j in range(len(columns)):
        broken = _broken(gradient[j], b[c, j], l1, l2)
        worst = max(worst, broken)
        if b[c, j] != 0 or broken > 0.1 * enough:
            chosen[size] = j
            size += 1
    if worst <= enough:
        return worst
    chosen = chosen[:size]
    used = np.empty((size, len(curve)))
    means = np.empty(size)
    total = curve.sum()
    for i in range(size):
        means[i] = np.dot(columns[chosen[i]], curve) / total
        used[i] = columns[chosen[i]] - means[i]
    gram = np.dot(used * curve, used.T)
    # the intercept is eliminated: it moves by shift, and every slope is seen without its mean
    left = gradient[chosen] - means * slope.sum()
    old = b[c][chosen]
    new = old.copy()
    _solve(gram, left, new, l1, l2, 0.01 * enough)
    change = new - old
    shift = slope.sum() / total - np.dot(means, change)
    move = np.dot(change, used) + slope.sum() / total
    share = _share(known, score, (loss, c, l1, l2), move, (old, change))
    for i in range(size):
        b[c, chosen[i]] = new[i] if share == 1.0 else old[i] + share * change[i]
    b0[c] += share * shift
    score[c] += share * move
    return worst


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
def _slopes(truth, case_weight, score, loss, c):
    """Give falling slope and curvature of the loss by the score of each case."""
    n = len(truth)
    slope = np.empty(n)
    curve = np.empty(n)
    for i in range(n):
        if loss == 0:
            slope[i], curve[i] = truth[i] - score[c, i], 1.0
        else:
            p = _probability(score[:, i], loss, c)
            slope[i], curve[i] = truth[i] - p, max(p * (1 - p), FLAT)
        slope[i] *= case_weight[i]
        curve[i] *= case_weight[i]
    return slope, curve


@kernel
@no_type_check
def _probability(score, loss, c):
    if loss == 1:
        return 1 / (1 + math.exp(-score[0])) if score[0] > -700 else 0.0
    top = score.max()
    total = 0.0
    for s in score:
        total += math.exp(s - top)
    return math.exp(score[c] - top) / total


@kernel
@no_type_check
def _solve(gram, left, b, l1, l2, enough):
    """Minimise b'Gb/2 - ... + l1 |b|_1 + l2/2 |b|^2; ``left`` is the falling slope at ``b``."""
    size = len(b)
    steady = 0
    for sweep in range(1000):
        worst = 0.0
        for j in range(size):
            worst = max(worst, _broken(left[j], b[j], l1, l2))
        if worst <= enough:
            return
        steady += 1
        for j in range(size):
            if gram[j, j] + l2 <= 0:
                continue
            at = left[j] + gram[j, j] * b[j]
            new = math.copysign(max(abs(at) - l1, 0.0), at) / (gram[j, j] + l2)
            if new != b[j]:
                change = new - b[j]
                if new * b[j] <= 0:
                    steady = 0
                b[j] = new
                for i in range(size):
                    left[i] -= gram[j, i] * change
        if steady >= STEADY or sweep % 64 == 63:
            for _ in range(size):
                if _solve_in_use(gram, left, b, l1, l2):
                    break
            steady = 0


@kernel
@no_type_check
def _solve_in_use(gram, left, b, l1, l2):
    """Go to the optimum for the signs in use; weights that would change theirs stop at 0."""
    used = np.nonzero(b)[0]
    size = len(used)
    root = np.empty((size, size))
    change = np.empty(size)
    for i in range(size):
        change[i] = left[used[i]] - math.copysign(l1, b[used[i]]) - l2 * b[used[i]]
        own = gram[used[i], used[i]] + l2
        for j in range(i + 1):
            value = gram[used[i], used[j]] if i > j else own
            value -= np.dot(root[i, :j], root[j, :j])
            if i > j:
                root[i, j] = value / root[j, j]
            elif value > SAME * own:
                root[i, i] = math.sqrt(value)
            else:
                # a copy of features before it: it stays, and they move
                root[i, : i + 1] = 0.0
                root[i, i] = np.inf
    for i in range(size):
        change[i] = (change[i] - np.dot(root[i, :i], change[:i])) / root[i, i]
    for i in range(size - 1, -1, -1):
        change[i] /= root[i, i]
        for j in range(i):
            change[j] -= root[i, j] * change[i]
    first = 1.0
    for i in range(size):
        if b[used[i]] * (b[used[i]] + first * change[i]) < 0:
            first = -b[used[i]] / change[i]
    parts = gram[used][:, used]
    best, gain = change * 0.0, 0.0
    for trial in range(5):
        share = first if trial == 4 else 0.5**trial
        move = np.empty(size)
        for i in range(size):
            to = b[used[i]] + share * change[i]
            crosses = to * b[used[i]] <= 0 or abs(to) < 1e-14 * abs(b[used[i]])
            move[i] = -b[used[i]] if crosses else share * change[i]
        after = _penalty(b[used] + move, l1, l2) - _penalty(b[used], l1, l2)
        after += np.dot(move, np.dot(parts, move)) / 2 - np.dot(left[used], move)
        if after < gain:
            best, gain = move, after
        if first == 1.0:
            break
    for i in range(size):
        b[used[i]] = 0.0 if best[i] == -b[used[i]] else b[used[i]] + best[i]
        for j in range(len(b)):
            left[j] -= gram[used[i], j] * best[i]
    return first == 1.0 or gain == 0.0


@kernel
@no_type_check
def _share(known, score, at, move, weights):
    """Halve the step until the objective does not rise."""
    old, change = weights
    loss, c, l1, l2 = at
    trial = score.copy()
    before = _objective(known, trial, loss, c) + _penalty(old, l1, l2)
    share = 1.0
    for _ in range(40):
        trial[c] = score[c] + share * move
        after = _objective(known, trial, loss, c) + _penalty(old + share * change, l1, l2)
        if after <= before + 1e-14 * abs(before):
            return share
        share *= 0.5
    return share


@kernel
@no_type_check
def _penalty(b, l1, l2):
    return l1 * np.abs(b).sum() + l2 / 2 * (b * b).sum()


@kernel
@no_type_check
def _objective(known, score, loss, c):
    """Give the mean loss; of classes as far as it depends on class ``c``."""
    truth, case_weight = known
    total = 0.0
    for i in range(len(case_weight)):
        if loss == 0:
            total += case_weight[i] * (truth[c, i] - score[c, i]) ** 2 / 2
        elif loss == 1:
            s = score[0, i]
            total += case_weight[i] * (
                max(s, 0.0) + math.log1p(math.exp(-abs(s))) - truth[0, i] * s
            )
        else:
            top = score[:, i].max()
            sums = 0.0
            for s in score[:, i]:
                sums += math.exp(s - top)
            total += case_weight[i] * (top + math.log(sums) - (truth[:, i] * score[:, i]).sum())
    return total
