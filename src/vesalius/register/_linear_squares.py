"""Least squares of a linear stage: Levenberg-Marquardt on differences after the best linear fit."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vesalius.errors import IntensityError
from vesalius.ops._linear_sums import Sums
from vesalius.register._linear_level import LinearLevel
from vesalius.register._watch import Watch

Fit = Literal["same", "line"]

KEPT = 0.25  # least overlap, as a part of the first one
REST = 2e-3  # a step below this part of the spacing ends a scale
REACH = 3.0  # longest step, in spacings
FAINT = 0.1  # least correlation that the line of best fit is believed to have


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """Loss, and its normal equations by the freedoms.

    Attributes:
        loss: Smaller is better.
        gradient: (n,), J^T r.
        product: (n, n), J^T J.
        overlap: Sum of the weights.
    """

    loss: float
    gradient: np.ndarray
    product: np.ndarray
    overlap: float


def normal_equations(level: LinearLevel, transform: np.ndarray, fit: Fit) -> Normal:
    """Give the normal equations of the residual between the images.

    Args:
        level: The scale.
        transform: (4, 4), fixed to moving world.
        fit: ``"same"``: r = m - f, loss is the mean of r^2. ``"line"``: r = a m + b - f with the
            best a and b, relative to the spread of f; loss is 1 - correlation; a and b are
            projected out of J (variable projection).

    Returns:
        The equations; an infinite loss where the images do not overlap.

    References:
        Golub & Pereyra (2003), doi:10.1088/0266-5611/19/2/201, section 3 (Kaufman's
        approximation: the derivative of the projection acts on J alone).
    """
    rates = level.rates(transform)
    loss, overlap = 0.0, math.inf
    gradient, product = np.zeros(12), np.zeros((12, 12))
    for share, sums in level.sums(transform):
        overlap = min(overlap, float(sums.moments[0]))
        if not overlap > 0:
            return Normal(math.inf, gradient @ rates, rates.T @ product @ rates, 0.0)
        part = _same(sums) if fit == "same" else _line(sums)
        loss += share * part.loss
        gradient += share * part.gradient
        product += share * part.product
    return Normal(loss, gradient @ rates, rates.T @ product @ rates, overlap)


def least_squares(
    level: LinearLevel,
    transform: np.ndarray,
    *,
    fit: Fit,
    damping: float,
    steps: int,
    tol: float,
    watch: Watch,
) -> np.ndarray:
    """Improve a map by Levenberg-Marquardt.

    Args:
        level: The scale.
        transform: (4, 4), where to begin.
        fit: See ``normal_equations``.
        damping: First damping, as a part of the diagonal; a tenth after a step that helped, ten
            times after one that did not.
        steps: Most evaluations.
        tol: See ``Watch.record``.
        watch: Told of each step that helped.

    Returns:
        (4, 4). Steps that lose three quarters of the first overlap are refused.

    Raises:
        IntensityError: The images are constant, or not finite, where they overlap.

    References:
        Marquardt (1963), doi:10.1137/0111030, section 4 (damping by the diagonal).
    """
    now = normal_equations(level, transform, fit)
    _require_contrast(now)
    least = KEPT * now.overlap
    for _ in range(steps):
        amounts = _damped(level, now, damping)
        length = level.allowed.length_mm(amounts)
        trial = transform @ level.allowed.step(amounts)
        then = normal_equations(level, trial, fit)
        if then.loss < now.loss and then.overlap >= least:
            before, now, transform = now.loss, then, trial
            damping = max(damping / 10, 1e-7)
            if watch.record(level.spacing_mm, before, length, tol=tol):
                break
        else:
            damping *= 10
        if length < REST * level.spacing_mm:
            break
    return transform


def _damped(level: LinearLevel, now: Normal, damping: float) -> np.ndarray:
    """Solve the damped equations; no step is longer than a few samples."""
    diagonal = np.diag(now.product)
    floor = 1e-9 * max(float(diagonal.max()), 1e-300)  # what changes nothing stays as it is
    amounts: np.ndarray = -np.linalg.solve(
        now.product + np.diag(damping * diagonal + floor), now.gradient
    )
    length = level.allowed.length_mm(amounts)
    return amounts * min(1.0, REACH * level.spacing_mm / max(length, 1e-300))


def _same(sums: Sums) -> Normal:
    w, _, _, ff, mm, fm = sums.moments
    gradient = (sums.first[2] - sums.first[1]) / w
    return Normal(float(ff + mm - 2 * fm) / w, gradient, sums.second / w, float(w))


def _line(sums: Sums) -> Normal:
    w, f, m, ff, mm, fm = sums.moments
    spread_f, spread_m, shared = ff - f * f / w, mm - m * m / w, fm - f * m / w
    if not (spread_f > 1e-12 * ff and spread_m > 1e-12 * mm):
        return Normal(math.nan, sums.first[0], sums.second, float(w))
    r = float(shared / math.sqrt(spread_f * spread_m))
    a = max(r, FAINT) * math.sqrt(spread_f / spread_m)
    j, fj, mj = sums.first
    by_f, by_m = fj - j * f / w, mj - j * m / w
    gradient = -a * (by_f - a * by_m)
    product = sums.second - np.outer(j, j) / w - np.outer(by_m, by_m) / spread_m
    return Normal(1 - r, gradient / spread_f, a * a * product / spread_f, float(w))


def _require_contrast(now: Normal) -> None:
    if math.isnan(now.loss):
        raise IntensityError(
            "both images must be finite and vary where they overlap, one is constant or holds "
            "NaN: check the images, their masks and the start"
        )
