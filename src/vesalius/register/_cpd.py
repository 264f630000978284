"""Coherent point drift: two point sets without pairs, by the likelihood of a Gaussian mixture."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vesalius.core import Linear, Points
from vesalius.errors import ConfigError, GeometryError
from vesalius.register._icp import SEARCH, PointFit, PointSearch, SetModel, check_set
from vesalius.register._landmark_fit import IDENTITY, WORLD, Dimension, fit_linear
from vesalius.register._radial import GaussianKernel, RadialSpline, squared_distances

SLAB = 1 << 21  # pairs of points held at once


@dataclass(frozen=True, slots=True)
class Drift:
    """How freely the points of a coherent drift move.

    Attributes:
        sigma_mm: Width of the Gaussian over which neighbours move together, mm (beta).
        weight: Strength of the regularisation (lambda).

    Raises:
        ConfigError: A value is not positive.
    """

    sigma_mm: float
    weight: float = 2.0

    def __post_init__(self) -> None:
        if not (0 < self.sigma_mm < math.inf and 0 < self.weight < math.inf):
            raise ConfigError(
                f"sigma_mm and weight must be positive, got {self.sigma_mm} and {self.weight}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Soft:
    """Sums of the probabilities of all pairs.

    Attributes:
        each: (m,), over the moving points: how much each fixed point is wanted.
        other: (n,), over the fixed points.
        goal: (m, 3), the mean moving point of each fixed one.
    """

    each: Tensor
    other: Tensor
    goal: Tensor


def drift_linear(
    fixed: Points,
    moving: Points,
    *,
    model: SetModel = "rigid",
    start: Linear = IDENTITY,
    outliers: float = 0.1,
    search: PointSearch = SEARCH,
    dimension: Dimension = 3,
) -> PointFit[Linear]:
    """Find a linear map between two point sets by coherent point drift.

    Soft pairs and a width that shrinks reach further than ICP, at a cost of all pairs a step.

    Args:
        fixed: The points that are mapped (the centres of the mixture), mm.
        moving: Where they should lie (the data), mm.
        model: ``"rigid"``, ``"similarity"`` or ``"affine"``.
        start: First guess, fixed to moving.
        outliers: Share of moving points expected to be noise, at least 0 and below 1.
        search: When it ends.
        dimension: 2 for points of a plane (a 2-D image): the map stays within it.

    Returns:
        The map; ``rms_mm`` is the width of the mixture at the end, sigma.

    Raises:
        GeometryError: Points are too few, not finite, all moving ones in one place, or leave the
            map open.
        ConfigError: ``outliers`` is out of range.

    References:
        Myronenko and Song (2010), doi:10.1109/TPAMI.2010.46, figs. 2 and 3 (rigid, affine).
    """
    source, target = check_set(fixed.data, "fixed", 4), check_set(moving.data, "moving", 4)
    _check_outliers(outliers)
    _check_apart(target)
    found = start
    variance = float(squared_distances(found(source), target).mean()) / dimension
    for step in range(1, search.steps + 1):
        soft = _expect(found(source), target, variance, outliers, dimension)
        found = fit_linear(
            Points(source),
            Points(soft.goal),
            model=model,
            weights=soft.each,
            dimension=dimension,
        )
        old, variance = variance, _variance(found(source), target, soft, dimension)
        if abs(old - variance) <= search.tol * old:
            return PointFit(found, math.sqrt(variance), step, True)
    return PointFit(found, math.sqrt(variance), search.steps, False)


def drift(
    fixed: Points,
    moving: Points,
    *,
    how: Drift,
    outliers: float = 0.1,
    search: PointSearch = SEARCH,
    dimension: Dimension = 3,
) -> PointFit[RadialSpline]:
    """Find a smooth deformation between two point sets by coherent point drift.

    Args:
        fixed: The points that are mapped, mm; first brought near by a linear map.
        moving: Where they should lie, mm.
        how: How freely they move.
        outliers: Share of moving points expected to be noise, at least 0 and below 1.
        search: When it ends.
        dimension: 2 for points of a plane: none of them leaves it.

    Returns:
        The map, a sum of one Gaussian about each fixed point (and the shift of the means);
        ``rms_mm`` is the width of the mixture at the end, sigma.

    Raises:
        GeometryError: Points are too few, not finite, or all moving ones in one place.
        ConfigError: ``outliers`` is out of range.

    References:
        Myronenko and Song (2010), doi:10.1109/TPAMI.2010.46, fig. 4 (non-rigid). Differs from it
        in: lengths are divided by the spread of the moving points alone, and sigma stays in mm.
    """
    source, target = check_set(fixed.data, "fixed", 1), check_set(moving.data, "moving", 2)
    _check_outliers(outliers)
    _check_apart(target)
    shift = target.mean(dim=0) - source.mean(dim=0)
    spread = _spread(target)
    kernel = GaussianKernel(how.sigma_mm)
    gram = kernel.value(squared_distances(source, source))
    weights = torch.zeros_like(source)
    moved = source + shift
    variance = float(squared_distances(moved, target).mean()) / dimension
    done, step = False, 0
    while not done and step < search.steps:
        step += 1
        soft = _expect(moved, target, variance, outliers, dimension)
        # the paper's lambda is for points of unit spread
        ridge = torch.diag(how.weight * variance / spread / soft.each.clamp_min(1e-12))
        wanted = soft.goal - source - shift
        weights = torch.linalg.solve(gram + ridge, wanted)
        moved = source + shift + gram @ weights
        old, variance = variance, _variance(moved, target, soft, dimension)
        done = abs(old - variance) <= search.tol * old
    polynomial = torch.cat([shift[None], torch.zeros(3, 3, dtype=torch.float64)])
    spline = RadialSpline(kernel, WORLD, source, weights, polynomial)
    return PointFit(spline, math.sqrt(variance), step, done)


def _spread(points: Tensor) -> float:
    """Give the mean squared distance from the centre, mm^2."""
    return float((points - points.mean(dim=0)).pow(2).sum(dim=1).mean().clamp_min(1e-300))


def _check_apart(target: Tensor) -> None:
    """Refuse points in one place: their spread is the unit of the paper's lengths."""
    if not float((target - target[:1]).abs().max()) > 0:
        raise GeometryError(
            f"moving points must lie in more than one place, these {len(target)} do not: "
            "check what made them"
        )


def _check_outliers(outliers: float) -> None:
    if not 0 <= outliers < 1:
        raise ConfigError(f"outliers must be at least 0 and below 1, got {outliers}")


def _expect(
    moved: Tensor, target: Tensor, variance: float, outliers: float, dimension: int
) -> _Soft:
    """Give the sums of P(m | n), Gaussian about each moved point plus a uniform share.

    The uniform density is that of the paper, 1 for lengths in units of the moving points' spread.
    """
    m, n = len(moved), len(target)
    share = outliers / (1 - outliers) * m / n
    width = dimension / 2 * math.log(2 * math.pi * variance / _spread(target))
    noise = width + math.log(share) if share else -math.inf
    each, goal = torch.zeros(m).double(), torch.zeros(m, 3).double()
    other = torch.empty(n).double()
    for rows in torch.split(torch.arange(n), max(1, SLAB // m)):
        exponent = squared_distances(target[rows], moved) / (-2 * variance)
        # divided by the largest term of each row, or far points would be 0 / 0
        top = exponent.amax(dim=1, keepdim=True)
        part = (exponent - top).exp()
        part = part / (part.sum(dim=1, keepdim=True) + (noise - top).exp())
        each += part.sum(dim=0)
        goal += part.T @ target[rows]
        other[rows] = part.sum(dim=1)
    near = each[:, None] > 1e-200
    goal = torch.where(near, goal / each[:, None].clamp_min(1e-200), moved)
    return _Soft(each, other, goal)


def _variance(moved: Tensor, target: Tensor, soft: _Soft, dimension: int) -> float:
    """Give the mean squared distance of the soft pairs along one axis; never quite 0."""
    centre = target.mean(dim=0)
    a, b, goal = moved - centre, target - centre, soft.goal - centre
    total = soft.other @ (b**2).sum(dim=1)
    total = total + soft.each @ ((a**2).sum(dim=1) - 2 * (a * goal).sum(dim=1))
    floor = 1e-12 * float((b**2).sum(dim=1).mean())
    return max(float(total) / float(dimension * soft.each.sum()), floor, 1e-300)
