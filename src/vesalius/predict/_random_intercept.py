"""Random intercept: a linear model with an offset of each subject, by exact restricted likelihood.

One ratio of two variances decides all; it is found for every feature at once by a search along one
line, since what the likelihood needs of the cases is sums over subjects with equally many visits.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import RegionError
from vesalius.predict._table import Floats

_GRID = 33
"""Places at which the likelihood is looked at before its peak is narrowed down."""
_NARROWED = 40
"""Golden sections: the bracket shrinks by 4e-9, finer than the likelihood can be told apart."""
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_MOST = 1.0 - 1e-6
"""Share of the variance between subjects at most: beyond, visits of a subject are copies."""

Codes = NDArray[np.int64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class RandomIntercept:
    """A fitted model of each feature.

    Attributes:
        weights: (terms, features) of the design.
        ratio: (features,) variance between subjects, in units of that within.
        deviation: (features,) standard deviation within subjects.
        intercepts: (subjects, features) expected offset of each subject.
    """

    weights: Floats = field(repr=False)
    ratio: Floats = field(repr=False)
    deviation: Floats = field(repr=False)
    intercepts: Floats = field(repr=False)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Products over all cases, and over subjects with equally many visits of their sums."""

    cases: int
    visits: Floats  # (groups,)
    subjects: Floats  # (groups,) how many have so many visits
    xx: Floats  # (terms, terms)
    xy: Floats  # (terms, features)
    yy: Floats  # (features,)
    group_xx: Floats  # (groups, terms, terms)
    group_xy: Floats  # (groups, terms, features)
    group_yy: Floats  # (groups, features)


def random_intercept(values: Floats, design: Floats, subjects: Codes) -> RandomIntercept:
    """Fit ``values = design @ weights + offset of the subject + noise`` for each feature.

    Restricted maximum likelihood; the ratio of the variances lies between 0 and a million.

    Args:
        values: (cases, features), finite.
        design: (cases, terms), of full rank.
        subjects: (cases,) number of each case's subject, from 0, all of them occurring.

    Returns:
        The fits. Where no subject has two visits the ratio is 0.

    Raises:
        RegionError: As many terms as cases.

    References:
        Harville (1977), doi:10.1080/01621459.1977.10480998 (restricted likelihood); Lindstrom &
        Bates (1988), doi:10.1080/01621459.1988.10478693 (profile).
    """
    if len(values) <= design.shape[1]:
        raise RegionError(
            f"a model must have more cases than terms, got {len(values)} and {design.shape[1]}: "
            "keep fewer covariates"
        )
    centre = values.mean(axis=0)
    sums = _sums(values - centre, design, subjects)
    ratio = _best_ratio(sums)
    weights, rest, _ = _solved(sums, ratio)
    left = values - centre - design @ weights
    deviation = np.sqrt(rest / (sums.cases - design.shape[1]))
    return RandomIntercept(
        weights + _constant(design)[:, None] * centre,
        ratio,
        deviation,
        expected_offsets(left, subjects, ratio),
    )


def expected_offsets(residuals: Floats, subjects: Codes, ratio: Floats) -> Floats:
    """Give the offset that is expected of each subject, given its residuals (best predictor).

    Args:
        residuals: (cases, features) what the design leaves.
        subjects: (cases,) number of each case's subject, from 0.
        ratio: (features,) variance between subjects, in units of that within.

    Returns:
        (subjects, features), drawn towards 0.
    """
    visits = np.bincount(subjects).astype(np.float64)
    total = np.zeros((len(visits), residuals.shape[1]))
    np.add.at(total, subjects, residuals)
    return np.asarray(ratio * total / (1.0 + visits[:, None] * ratio))


def _constant(design: Floats) -> Floats:
    """Find the combination of terms that is 1 for every case: a centre can be put back in it."""
    return np.asarray(np.linalg.lstsq(design, np.ones(len(design)), rcond=None)[0])


def _sums(values: Floats, design: Floats, subjects: Codes) -> _Sums:
    visits = np.bincount(subjects)
    x = np.zeros((len(visits), design.shape[1]))
    y = np.zeros((len(visits), values.shape[1]))
    np.add.at(x, subjects, design)
    np.add.at(y, subjects, values)
    groups = np.unique(visits)
    own = [visits == count for count in groups]
    return _Sums(
        len(values),
        groups.astype(np.float64),
        np.array([one.sum() for one in own], dtype=np.float64),
        design.T @ design,
        design.T @ values,
        np.einsum("ij,ij->j", values, values),
        np.stack([x[one].T @ x[one] for one in own]),
        np.stack([x[one].T @ y[one] for one in own]),
        np.stack([np.einsum("ij,ij->j", y[one], y[one]) for one in own]),
    )


def _solved(sums: _Sums, ratio: Floats) -> tuple[Floats, Floats, Floats]:
    """Give weights, residual squares and the logarithm of the determinants at (features,) ratios.

    The inverse covariance of a subject with n visits is ``I - ratio / (1 + n ratio) 1 1'``.
    """
    share = ratio / (1.0 + sums.visits[:, None] * ratio)
    xx = sums.xx - np.einsum("gf,gij->fij", share, sums.group_xx)
    xy = sums.xy - np.einsum("gf,gif->if", share, sums.group_xy)
    yy = sums.yy - np.einsum("gf,gf->f", share, sums.group_yy)
    weights = np.linalg.solve(xx, xy.T[:, :, None])[:, :, 0].T
    rest = np.maximum(yy - np.einsum("if,if->f", weights, xy), 1e-300)
    logs = sums.subjects @ np.log1p(sums.visits[:, None] * ratio) + np.linalg.slogdet(xx)[1]
    return weights, rest, logs


def _cost(sums: _Sums, share: Floats) -> Floats:
    """Give (features,) -2 log restricted likelihood but for constants, at shares between subjects.

    A share is ``ratio / (1 + ratio)``.
    """
    _, rest, logs = _solved(sums, share / (1.0 - share))
    free = sums.cases - sums.xx.shape[0]
    return np.asarray(free * np.log(rest) + logs)


def _best_ratio(sums: _Sums) -> Floats:
    features = len(sums.yy)
    if sums.visits.max() < 2:
        return np.zeros(features)
    places = np.concatenate((np.linspace(0.0, 0.98, _GRID - 8), 1 - np.geomspace(0.015, 1e-6, 8)))
    costs = np.stack([_cost(sums, np.full(features, place)) for place in places])
    peak = costs.argmin(axis=0)
    low, high = places[np.maximum(peak - 1, 0)], places[np.minimum(peak + 1, len(places) - 1)]
    share = _narrowed(sums, low, high)
    # the ends of the line are places, too
    best = np.where(_cost(sums, share) < costs.min(axis=0), share, places[peak])
    best = np.minimum(best, _MOST)
    return np.asarray(best / (1.0 - best))


def _narrowed(sums: _Sums, low: Floats, high: Floats) -> Floats:
    """Search by golden sections between (features,) bounds."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = _cost(sums, left), _cost(sums, right)
    for _ in range(_NARROWED):
        down = at_left < at_right
        low, high = np.where(down, low, left), np.where(down, right, high)
        fresh = np.where(down, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        cost = _cost(sums, fresh)
        left, right = np.where(down, fresh, right), np.where(down, left, fresh)
        at_left, at_right = np.where(down, cost, at_right), np.where(down, at_left, cost)
    return np.asarray(0.5 * (low + high))
