"""Radial splines: a smooth map through landmark pairs, one radial function about each."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Points, Transform
from vesalius.core._inverse import Inverse
from vesalius.errors import ConfigError
from vesalius.ops._radial_sum import Form, radial_slope, radial_sum
from vesalius.register._landmark_fit import (
    Dimension,
    Frame,
    check_distinct,
    check_plane,
    check_size,
    checked,
    frame,
    smoothing_diagonal,
    solve_spline,
)

SLAB = 1 << 21  # distances held at once


class RadialKernel(ABC):
    """A radial function phi(r), conditionally positive definite of order two or less."""

    __slots__ = ()

    @abstractmethod
    def value(self, squared: Tensor) -> Tensor:
        """Give phi at squared distances, mm^2."""

    @abstractmethod
    def slope(self, squared: Tensor) -> Tensor:
        """Give phi'(r) / r at squared distances, mm^2; 0 where phi has a kink at r = 0."""

    def compiled(self) -> tuple[Form, float] | None:
        """Name the compiled loop that sums this phi, and its scale; None where there is none."""
        return None


@final
@dataclass(frozen=True, slots=True)
class GaussianKernel(RadialKernel):
    """exp(-r^2 / 2 sigma^2): local, infinitely smooth, ill-conditioned where it is wide.

    Attributes:
        sigma_mm: Standard deviation, mm.

    Raises:
        ConfigError: ``sigma_mm`` is not positive.
    """

    sigma_mm: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma_mm < float("inf"):
            raise ConfigError(f"sigma_mm must be positive, got {self.sigma_mm}: give mm")

    def value(self, squared: Tensor) -> Tensor:
        """Give phi at squared distances, mm^2."""
        return torch.exp(squared / (-2 * self.sigma_mm**2))

    def slope(self, squared: Tensor) -> Tensor:
        """Give phi'(r) / r at squared distances, mm^2."""
        return self.value(squared) / -(self.sigma_mm**2)

    def compiled(self) -> tuple[Form, float]:
        """Name the compiled loop that sums this phi, and its scale."""
        return "gaussian", self.sigma_mm


@final
@dataclass(frozen=True, slots=True)
class WendlandKernel(RadialKernel):
    """A piecewise polynomial that is exactly 0 beyond its support, positive definite up to 3-D.

    Attributes:
        support_mm: Radius beyond which a landmark has no say, mm.
        smoothness: Continuous derivatives: 2, ``(1-t)^4 (4t + 1)``, or 4,
            ``(1-t)^6 (35t^2 + 18t + 3) / 3``, with t = r / support.

    Raises:
        ConfigError: ``support_mm`` is not positive.

    References:
        Wendland (1995), doi:10.1007/BF02123482; Fornefett, Rohr and Stiehl (2001),
        doi:10.1016/S0262-8856(00)00057-3 (for landmarks).
    """

    support_mm: float
    smoothness: Literal[2, 4] = 2

    def __post_init__(self) -> None:
        if not 0 < self.support_mm < float("inf"):
            raise ConfigError(f"support_mm must be positive, got {self.support_mm}: give mm")

    def value(self, squared: Tensor) -> Tensor:
        """Give phi at squared distances, mm^2."""
        t = _root(squared) / self.support_mm
        rest = (1 - t).clamp_min(0)
        if self.smoothness == 2:
            return rest**4 * (4 * t + 1)
        return rest**6 * (35 * t**2 + 18 * t + 3) / 3

    def slope(self, squared: Tensor) -> Tensor:
        """Give phi'(r) / r at squared distances, mm^2."""
        t = _root(squared) / self.support_mm
        rest = (1 - t).clamp_min(0)
        if self.smoothness == 2:
            return -20 / self.support_mm**2 * rest**3
        return -56 / 3 / self.support_mm**2 * rest**5 * (5 * t + 1)

    def compiled(self) -> tuple[Form, float]:
        """Name the compiled loop that sums this phi, and its scale."""
        return ("wendland 2" if self.smoothness == 2 else "wendland 4"), self.support_mm


@final
@dataclass(frozen=True, slots=True, eq=False)
class RadialSpline(Transform):
    """``T(x) = x + polynomial(x) + sum_i w_i phi(|x - p_i|)``: made by a fit to landmarks.

    Attributes:
        kernel: phi.
        frame: Coordinates in which distances are taken: the world's, or a plane's.
        centres: (n, d), the fixed landmarks in that frame, mm.
        weights: (n, 3), w; their sum and first moments are 0.
        polynomial: (d + 1, 3), constant and slopes of the affine part of the displacement.
    """

    kernel: RadialKernel
    frame: Frame
    centres: Tensor
    weights: Tensor
    polynomial: Tensor

    def __call__(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Map points (L, P, S), mm."""
        flat = points_mm.reshape(-1, 3).double()
        form = self.kernel.compiled()
        if form is not None and not tracked(flat, self.weights, self.centres, self.polynomial):
            q = self.frame.coordinates(flat)
            bent = radial_sum(q, self.centres, self.weights, form=form[0], scale=form[1])
            straight = flat + with_one(q) @ self.polynomial
            return (straight + bent).to(points_mm.dtype).reshape(points_mm.shape)
        moved = [
            part + with_one(q) @ self.polynomial.to(q) + self.kernel.value(d2) @ self.weights.to(q)
            for part, q, d2 in self._slabs(flat)
        ]
        return torch.cat(moved).to(points_mm.dtype).reshape(points_mm.shape)

    def inverse(self) -> Transform:
        """Give the inverse, found point by point; raises where there is none."""
        return Inverse(self)

    def jacobian(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
        """Give the derivative of the mapped point by the point, in closed form."""
        flat = points_mm.reshape(-1, 3).double()
        form = self.kernel.compiled()
        if form is not None and not tracked(flat, self.weights, self.centres, self.polynomial):
            q = self.frame.coordinates(flat)
            bent = radial_slope(q, self.centres, self.weights, form=form[0], scale=form[1])
            slopes = torch.eye(3).double() + (self.polynomial[1:].T + bent) @ self.frame.axes
            return slopes.to(points_mm.dtype).reshape(*points_mm.shape, 3)
        found = []
        for _, q, d2 in self._slabs(flat):
            centres, weights = self.centres.to(q), self.weights.to(q)
            slope = self.kernel.slope(d2)
            # sum_i w_i g_i (q - p_i)' without an array for each pair
            inner = (slope @ weights)[:, :, None] * q[:, None, :]
            pairs = weights[:, :, None] * centres[:, None, :]
            by_frame = inner - torch.einsum("mn,nij->mij", slope, pairs)
            total = self.polynomial[1:].to(q).T + by_frame
            found.append(torch.eye(3).to(q) + total @ self.frame.axes.to(q))
        return torch.cat(found).to(points_mm.dtype).reshape(*points_mm.shape, 3)

    def _slabs(self, flat: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Give some points at a time, their coordinates and squared distances to the centres."""
        for part in torch.split(flat, max(1, SLAB // len(self.centres))):
            q = self.frame.coordinates(part)
            yield part, q, squared_distances(q, self.centres.to(q))

    def __repr__(self) -> str:
        n, d = self.centres.shape
        return f"RadialSpline(fixed -> moving, mm, LPS, {self.kernel}, {n} landmarks, {d}-D)"


def radial_spline(
    fixed: Points,
    moving: Points,
    *,
    kernel: RadialKernel,
    smoothing: float = 0.0,
    error_mm: tuple[float, ...] = (),
    dimension: Dimension = 3,
) -> RadialSpline:
    """Fit a radial spline with an affine part to landmark pairs.

    Args:
        fixed: (N, 3), mm; at least ``dimension + 1``, not on one plane (line in 2-D).
        moving: (N, 3), mm; row i is the same place as row i of ``fixed``.
        kernel: phi.
        smoothing: 0 goes through every pair; above, the map is smoother and misses them:
            ``smoothing * error_mm ** 2`` is added to the diagonal of the kernel's matrix.
        error_mm: Standard deviation of each pair, mm; empty takes 1 for all.
        dimension: 2 for landmarks of a plane (a 2-D image): the map moves within that plane and
            does not depend on the direction across it.

    Returns:
        The map, fixed to moving.

    Raises:
        ShapeError: The landmarks or their errors do not pair up.
        GeometryError: They are too few or too many, on one line or plane, in one place, not
            finite; or the kernel is so wide that the system cannot be solved.

    References:
        Bookstein (1989), doi:10.1109/34.24792; Rohr et al. (2001), doi:10.1109/42.929618
        (smoothing by the errors of the landmarks, isotropic).
    """
    source, target = checked(fixed, moving, dimension + 1, f"{dimension}-D spline")
    check_size(len(source))
    here = frame(source, dimension, dimension)
    if dimension == 2:
        check_plane(here, target)
    if smoothing == 0:
        check_distinct(source, "fixed")
        check_distinct(target, "moving")
    q = here.coordinates(source)
    matrix = kernel.value(squared_distances(q, q))
    matrix += torch.diag(smoothing_diagonal(smoothing, error_mm, len(q)))
    weights, polynomial = solve_spline(matrix, with_one(q), target - source)
    return RadialSpline(kernel, here, q, weights, polynomial)


def with_one(q: Float[Tensor, "m d"]) -> Float[Tensor, "m d1"]:
    """Give the rows (1, q) of an affine polynomial."""
    return torch.cat([torch.ones_like(q[:, :1]), q], dim=1)


def tracked(*tensors: Tensor) -> bool:
    """Say whether a compiled loop cannot take the tensors: derivatives are wanted, or no CPU."""
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return wanted or any(t.device.type != "cpu" for t in tensors)


def squared_distances(a: Float[Tensor, "m d"], b: Float[Tensor, "n d"]) -> Float[Tensor, "m n"]:
    """Give squared distances; by differences, since products would cancel near a centre."""
    total = torch.zeros(len(a), len(b), dtype=a.dtype, device=a.device)
    for axis in range(a.shape[1]):
        total = total + (a[:, axis, None] - b[None, :, axis]) ** 2
    return total


def _root(squared: Tensor) -> Tensor:
    # the derivative of the root at 0 is infinite: torch would make NaN of 0 * infinity
    return squared.clamp_min(1e-24).sqrt()
