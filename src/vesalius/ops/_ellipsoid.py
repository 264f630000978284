"""Ellipsoids: the least one around points, and the size of any."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConvergenceError, ShapeError
from vesalius.ops._jit import kernel

Axes = tuple[float, float, float]
Array = npt.NDArray[np.float64]

_ADDED = 32  # points added at once to those that hold the ellipsoid
_ROUND = 500  # steps between two looks at all points
_SLOW = 5_000  # steps after which an interior-point method takes over
_ROUNDS, _NEWTON = 20, 60


def ellipsoid_volume(semi_axes: Axes) -> float:
    """Give the volume of an ellipsoid from its three semi-axes."""
    a, b, c = semi_axes
    return 4 / 3 * math.pi * a * b * c


def ellipsoid_area(semi_axes: Axes, *, terms: int = 20) -> float:
    """Give the surface area of an ellipsoid as the IBSI defines it, by a series of Legendre terms.

    The IBSI's series is exact for a sphere only: it gives 4 pi a b (1 - e^2/3 ...) for a long
    ellipsoid with axes (a, b, b), whose surface is 4 pi a b (1 - e^2/6 ...). The reference values
    are made with it, so it is kept.

    Args:
        semi_axes: Three semi-axes, longest first; the last may be 0.
        terms: Highest order summed.

    Returns:
        The area, in the square of the unit of the axes.

    References:
        IBSI reference manual, area density of the approximate enclosing ellipsoid (RDD2).
    """
    a, b, c = semi_axes
    alpha, beta = 1 - (b / a) ** 2, 1 - (c / a) ** 2  # squares of the eccentricities
    before, term, total = 0.0, 1.0, 1.0  # term = (alpha beta)^(n/2) P_n(mean / sqrt(alpha beta))
    mean = (alpha + beta) / 2
    for n in range(1, terms + 1):
        before, term = term, ((2 * n - 1) * mean * term - (n - 1) * alpha * beta * before) / n
        total += term / (1 - 4 * n * n)
    return 4 * math.pi * a * b * total


def enclosing_ellipsoid(
    points: Float[Tensor, "n 3"], *, tol: float = 1e-8, steps: int = 100_000
) -> Axes:
    """Find the semi-axes of the ellipsoid of least volume that holds all points.

    Args:
        points: (n, 3) floating point, not all in one plane; the corners of a hull are enough.
        tol: Relative excess at which the search ends; the volume is then known to about 3 tol.
        steps: Largest number of steps.

    Returns:
        Semi-axes, longest first, in the unit of the points.

    Raises:
        ShapeError: Fewer than four points.
        ConvergenceError: The tolerance was not reached.

    References:
        Todd and Yildirim (2007), doi:10.1016/j.dam.2007.02.013: Khachiyan's algorithm with steps
        away, started from Kumar and Yildirim's extremes. Differs from it in: it is run on a few
        points, to which those that stick out most are added until none does; where its steps
        become small, an interior-point method ends the search.
    """
    if len(points) < 4:
        raise ShapeError(f"points must hold at least four to span a volume, got {len(points)}")
    spots = points.detach().to("cpu", torch.float64).numpy()
    centre = (spots.min(axis=0) + spots.max(axis=0)) / 2
    scale = float(np.abs(spots - centre).max())
    spots = (spots - centre) / scale
    chosen, weights, excess = _active_set(spots, tol, min(steps, _SLOW))
    if excess > tol and steps > _SLOW:
        chosen, weights, excess = _central_path(spots, chosen, tol)
    if not excess <= tol:
        raise ConvergenceError(
            f"ellipsoid must be within {tol:g} after {steps} steps, it is within {excess:.3g}: "
            "give more steps, or points that do not lie in one plane"
        )
    return _semi_axes(spots[chosen], weights, scale)


def _central_path(
    spots: Array, chosen: npt.NDArray[np.intp], tol: float
) -> tuple[npt.NDArray[np.intp], Array, float]:
    """End a slow search: solve for the weights of few points, and add those that stick out."""
    lifted = np.concatenate([spots, np.ones((len(spots), 1))], axis=1)
    weights, excess = np.empty(0), np.inf
    for _ in range(_ROUNDS):
        weights = _solved(lifted[chosen], tol / 10)
        spread = _spread(lifted, lifted[chosen], weights)
        excess = float(spread.max()) / 4 - 1
        if excess <= tol:
            break
        far = np.argsort(-spread, kind="stable")[:_ADDED]
        chosen = np.union1d(chosen, far[spread[far] > 4])
    return chosen, weights, excess


def _solved(lifted: Array, tol: float) -> Array:
    """Maximise the log determinant over the weights by a primal-dual interior-point method."""
    n = len(lifted)
    weights, slack, level = np.full(n, 1 / n), np.ones(n), 4.0
    for _ in range(_NEWTON):
        gap = float(weights @ slack) / n
        if n * gap < tol:
            break
        aim = gap / 10
        inverse = np.linalg.inv((lifted * weights[:, None]).T @ lifted)
        cross = lifted @ inverse @ lifted.T
        system = np.ones((n + 1, n + 1))
        system[:n, :n] = cross**2 + np.diag(slack / weights)
        system[n, n] = 0
        rest = np.append(np.diag(cross) + aim / weights - level, 1 - weights.sum())
        step = np.linalg.solve(system, rest)
        moved = step[:n]
        slid = (aim - slack * moved) / weights - slack
        length = min(1.0, 0.95 * _reach(weights, moved), 0.95 * _reach(slack, slid))
        weights, slack = weights + length * moved, slack + length * slid
        level += length * float(step[n])
    shares: Array = weights / weights.sum()
    return shares


def _reach(values: Array, change: Array) -> float:
    """How far one may go along a change until a value is 0."""
    falling = change < 0
    return float((values[falling] / -change[falling]).min()) if falling.any() else np.inf


def _spread(lifted: Array, held: Array, weights: Array) -> Array:
    inverse = np.linalg.inv((held * weights[:, None]).T @ held)
    spread: Array = np.einsum("ia,ab,ib->i", lifted, inverse, lifted)
    return spread


def _semi_axes(spots: Array, weights: Array, scale: float) -> Axes:
    middle = weights @ spots
    spread = (spots * weights[:, None]).T @ spots - np.outer(middle, middle)
    c, b, a = np.linalg.eigvalsh(spread).tolist()
    return scale * math.sqrt(3 * a), scale * math.sqrt(3 * b), scale * math.sqrt(3 * c)


@kernel
@no_type_check
def _active_set(spots, tol, steps):
    """Give the points that hold the ellipsoid, their weights, and by how much any sticks out."""
    lifted = np.ones((len(spots), 4))
    lifted[:, :3] = spots
    weights = _first_weights(spots)
    chosen = np.flatnonzero(weights)
    weights = weights[chosen]
    spread, excess, taken = np.empty(len(spots)), np.inf, 0
    while taken < steps:
        weights, used = _khachiyan(lifted[chosen], weights, tol / 2, _ROUND)
        taken += used
        _spread_of(lifted, _inverse(lifted[chosen], weights), spread)
        held = spread[chosen[weights > 0]]
        excess = max(spread.max() / 4 - 1, 1 - held.min() / 4)
        if excess <= tol:
            break
        # points that have come to lie inside are let go, those that stick out most are taken on
        stays = (weights > 0) | (spread[chosen] > 4)
        chosen, weights = chosen[stays], weights[stays]
        outside = spread > 4
        outside[chosen] = False
        added = _furthest(spread, outside)
        chosen = np.concatenate((chosen, added))
        weights = np.concatenate((weights, np.zeros(len(added))))
    return chosen, weights, excess


@kernel
@no_type_check
def _furthest(spread, outside):
    """Give the points of a set that stick out most, in their order."""
    left = outside.copy()
    for _ in range(_ADDED):
        far = -1
        for i in range(len(spread)):
            if left[i] and (far < 0 or spread[i] > spread[far]):
                far = i
        if far < 0:
            break
        left[far] = False
    return np.flatnonzero(outside & ~left)


@kernel
@no_type_check
def _inverse(lifted, weights):
    spread = np.zeros((4, 4))
    for i in range(len(lifted)):
        if weights[i] > 0:
            for a in range(4):
                for b in range(4):
                    spread[a, b] += weights[i] * lifted[i, a] * lifted[i, b]
    # Gauss and Jordan, in place; the matrix is positive definite, so that no pivot is 0
    for k in range(4):
        pivot = 1.0 / spread[k, k]
        spread[k, k] = 1.0
        for b in range(4):
            spread[k, b] *= pivot
        for a in range(4):
            if a != k:
                factor = spread[a, k]
                spread[a, k] = 0.0
                for b in range(4):
                    spread[a, b] -= factor * spread[k, b]
    return spread


@kernel
@no_type_check
def _spread_of(lifted, inverse, out):
    for i in range(len(lifted)):
        total = 0.0
        for a in range(4):
            for b in range(4):
                total += lifted[i, a] * inverse[a, b] * lifted[i, b]
        out[i] = total


@kernel
@no_type_check
def _first_weights(points):
    """Share the weight among the extremes along axes made orthogonal one after the other."""
    weights = np.zeros(len(points))
    axes = np.zeros((3, 3))
    for k in range(3):
        direction = np.zeros(3)
        direction[k] = 1.0
        for j in range(k):
            direction -= (direction * axes[j]).sum() * axes[j]
        low, high = 0, 0
        low_at, high_at = np.inf, -np.inf
        for i in range(len(points)):
            at = (points[i] * direction).sum()
            if at < low_at:
                low, low_at = i, at
            if at > high_at:
                high, high_at = i, at
        weights[low] += 1.0
        weights[high] += 1.0
        along = points[high] - points[low]
        for j in range(k):
            along = along - (along * axes[j]).sum() * axes[j]
        axes[k] = along / np.sqrt((along * along).sum())
    return weights / weights.sum()


@kernel
@no_type_check
def _khachiyan(lifted, weights, tol, steps):
    n = len(lifted)
    weights = weights.copy()
    spread = np.empty(n)
    fresh = True
    for step in range(steps):
        if fresh or step % 64 == 63:  # the rank-one updates drift: start anew now and then
            inverse = _inverse(lifted, weights)
            _spread_of(lifted, inverse, spread)
        far, near = 0, -1
        for i in range(n):
            if spread[i] > spread[far]:
                far = i
            if weights[i] > 0 and (near < 0 or spread[i] < spread[near]):
                near = i
        over, under = spread[far] / 4 - 1, 1 - spread[near] / 4
        if not max(over, under) > tol:
            if fresh:
                break
            fresh = True
            continue
        fresh = False
        at = far if over >= under else near
        share = (spread[at] - 4) / (4 * (spread[at] - 1))
        if over < under:
            share = max(share, -weights[at] / (1 - weights[at]))
        _step(lifted, weights, inverse, spread, at, share)
    return weights, step + 1


@kernel
@no_type_check
def _step(lifted, weights, inverse, spread, at, share):
    n = len(lifted)
    column = np.zeros(4)
    for a in range(4):
        for b in range(4):
            column[a] += inverse[a, b] * lifted[at, b]
    factor = share / (1 - share + share * spread[at])
    for i in range(n):
        cross = 0.0
        for a in range(4):
            cross += lifted[i, a] * column[a]
        spread[i] = (spread[i] - factor * cross * cross) / (1 - share)
        weights[i] *= 1 - share
    weights[at] += share
    if weights[at] < 1e-15:
        weights[at] = 0.0
    for a in range(4):
        for b in range(4):
            inverse[a, b] = (inverse[a, b] - factor * column[a] * column[b]) / (1 - share)
