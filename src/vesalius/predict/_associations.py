"""Associations: one feature after another with an outcome, given covariates, all at once."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.predict._confounding import span
from vesalius.predict._table import Floats

_MOST_STEPS = 40
_TOL = 1e-9
_MOST_HALVINGS = 12
_LARGEST_LOG_ODDS = 30.0
_LARGEST_ERROR = 1e3

SEPARATED = "the feature, with the covariates, parts the classes without an error"
GIVEN = "given exactly by the covariates, or the same for all cases"
FEW = "too few cases"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """How strongly each feature goes with the outcome.

    Attributes:
        estimate: (features,) odds ratio, or change of the outcome, for one standard deviation.
        low: (features,) lower end of the 95 % interval.
        high: (features,) upper end.
        p: (features,) of no association.
        reasons: Why an estimate is missing, for each feature; empty text where it is there.
    """

    estimate: Floats = field(repr=False)
    low: Floats = field(repr=False)
    high: Floats = field(repr=False)
    p: Floats = field(repr=False)
    reasons: tuple[str, ...] = field(default=(), repr=False)


def linear(x: Floats, covariates: Floats, y: Floats) -> Association:
    """Fit a straight line for each feature, given the covariates.

    Args:
        x: (cases, features), finite.
        covariates: (cases, terms), without a constant.
        y: (cases,) the outcome.

    Returns:
        Slopes with t intervals. By Frisch, Waugh and Lovell: what the covariates leave of the
        outcome is put against what they leave of the feature.

    References:
        Lovell (1963), doi:10.1080/01621459.1963.10480682.
    """
    from scipy.stats import t as student

    basis = span(covariates - covariates.mean(axis=0))
    own, outcome = _left(x, basis), _left(y[:, None], basis)
    free = len(y) - 2 - basis.shape[1]
    if free < 1:
        return _absent(x.shape[1], FEW)
    square = (own**2).sum(axis=0)
    known = square > 1e-18 * np.maximum((x**2).sum(axis=0), 1e-300)
    slope = np.full(x.shape[1], np.nan)
    np.divide((own * outcome).sum(axis=0), square, out=slope, where=known)
    rest = ((outcome - own * np.where(known, slope, 0.0)) ** 2).sum(axis=0)
    error = np.full(x.shape[1], np.nan)
    np.divide(np.sqrt(rest / free), np.sqrt(square), out=error, where=known)
    wide = error * student.ppf(0.975, free)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * student.sf(np.abs(slope / error), free)
    return Association(slope, slope - wide, slope + wide, p, _why(known, GIVEN))


def logistic(x: Floats, covariates: Floats, y: Floats) -> Association:
    """Fit a logistic line for each feature, given the covariates.

    Args:
        x: (cases, features), finite, of the size of 1.
        covariates: (cases, terms), without a constant.
        y: (cases,) 1 for the event, 0 for none.

    Returns:
        Odds ratios with Wald intervals, by maximum likelihood (Newton steps, halved where they
        overshoot). Where the classes are parted without an error there
        is no finite estimate, and the reason says so.

    References:
        Albert, Anderson (1984), doi:10.1093/biomet/71.1.1 (when the estimate exists).
    """
    from scipy.stats import norm

    basis = span(covariates - covariates.mean(axis=0)) * np.sqrt(len(y))
    own = _left(x, basis / np.sqrt(len(y)))
    square = (own**2).sum(axis=0)
    known = square > 1e-18 * np.maximum((x**2).sum(axis=0), 1e-300)
    if len(y) < basis.shape[1] + 3 or not 0 < y.sum() < len(y):
        return _absent(x.shape[1], FEW)
    weight = np.full(x.shape[1], np.nan)
    error = np.full(x.shape[1], np.nan)
    fixed = np.concatenate((np.ones((len(y), 1)), basis), axis=1)
    # what the covariates leave has the same weight, and hardly depends on them
    weight[known], error[known], met = _newton(own[:, known], fixed, y)
    reasons = np.where(known, "", GIVEN).astype(object)
    reasons[np.flatnonzero(known)[~met]] = SEPARATED
    wide = norm.ppf(0.975) * error
    with np.errstate(over="ignore"):
        low, middle, high = (np.exp(v) for v in (weight - wide, weight, weight + wide))
    p = 2 * norm.sf(np.abs(weight / error))
    return Association(middle, low, high, p, tuple(str(why) for why in reasons))


def _newton(x: Floats, fixed: Floats, y: Floats) -> tuple[Floats, Floats, np.ndarray]:
    """Give weight, standard error and whether there is a finite one, for each feature."""
    count = x.shape[1]
    weights = np.zeros((fixed.shape[1] + 1, count))
    weights[0] = np.log(y.mean() / (1 - y.mean()))
    error = np.full(count, np.nan)
    met = np.zeros(count, dtype=bool)
    going = np.arange(count)
    for _ in range(_MOST_STEPS):
        if not len(going):
            break
        part, now = x[:, going], weights[:, going]
        step, variance = _step(part, fixed, y, now)
        weights[:, going] = now + step * _shortened(part, fixed, y, now, step)
        there = (np.abs(step[-1]) < _TOL * (1 + np.abs(weights[-1, going]))) & (variance > 0)
        error[going[there]] = np.sqrt(variance[there])
        met[going[there]] = True
        going = going[~there]
    # parted classes may stand still too, where no case has a weight any more
    met &= error < _LARGEST_ERROR
    return np.where(met, weights[-1], np.nan), np.where(met, error, np.nan), met


def _shortened(x: Floats, fixed: Floats, y: Floats, weights: Floats, step: Floats) -> Floats:
    """Halve the step of each feature until it does not lessen the likelihood."""
    start = _likelihood(x, fixed, y, weights)
    size = np.ones(x.shape[1])
    for _ in range(_MOST_HALVINGS):
        worse = _likelihood(x, fixed, y, weights + step * size) < start - 1e-12 * np.abs(start)
        if not worse.any():
            break
        size[worse] /= 2
    return size


def _likelihood(x: Floats, fixed: Floats, y: Floats, weights: Floats) -> Floats:
    odds = fixed @ weights[:-1] + x * weights[-1]
    return np.asarray((y[:, None] * odds - np.logaddexp(0, odds)).sum(axis=0))


def _step(x: Floats, fixed: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Give Newton's step for each feature, and the variance of its weight."""
    terms, count = fixed.shape[1], x.shape[1]
    odds = fixed @ weights[:-1] + x * weights[-1]
    odds = np.clip(odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)
    chance = 1 / (1 + np.exp(-odds))
    spread, missed = chance * (1 - chance), y[:, None] - chance
    pairs = (fixed[:, :, None] * fixed[:, None]).reshape(len(y), terms * terms)
    curve = np.empty((count, terms + 1, terms + 1))
    curve[:, :-1, :-1] = (pairs.T @ spread).T.reshape(count, terms, terms)
    curve[:, -1, :-1] = curve[:, :-1, -1] = (fixed.T @ (spread * x)).T
    curve[:, -1, -1] = (spread * x**2).sum(axis=0)
    slope = np.concatenate((fixed.T @ missed, (x * missed).sum(axis=0)[None]))
    # a level that parts the classes by itself has no curvature left; its weight does not matter
    size = np.trace(curve, axis1=1, axis2=2)[:, None, None]
    curve += 1e-13 * size * np.eye(terms + 1)
    inverse = np.linalg.inv(curve)
    return np.einsum("fij,jf->if", inverse, slope), inverse[:, -1, -1]


def _left(values: Floats, basis: Floats) -> Floats:
    centred = values - values.mean(axis=0)
    return np.asarray(centred - basis @ (basis.T @ centred))


def _why(known: np.ndarray, reason: str) -> tuple[str, ...]:
    return tuple("" if there else reason for there in known)


def _absent(count: int, reason: str) -> Association:
    none = np.full(count, np.nan)
    return Association(none, none, none, none, (reason,) * count)
