"""Elastic body spline: landmark pairs moved by smooth forces in an elastic solid."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Points, Transform
from vesalius.core._inverse import Inverse
from vesalius.errors import ConfigError
from vesalius.ops._radial_sum import elastic_sum
from vesalius.register._landmark_fit import (
    check_distinct,
    check_size,
    checked,
    frame,
    smoothing_diagonal,
    solve_spline,
)
from vesalius.register._radial import tracked, with_one

Force = Literal["r", "1/r", "point"]
Smooth = Literal["r", "1/r"]
SLAB = 1 << 19  # pairs of a point and a landmark held at once


def elastic_green(
    offset_mm: Float[Tensor, "*batch 3"], *, force: Force, poisson_ratio: float
) -> Float[Tensor, "*batch 3 3"]:
    """Give the displacement G in an infinite elastic solid about one force, shear modulus 1.

    ``u = G c`` solves ``mu Lap u + (lambda + mu) grad div u + f(r) c = 0`` with mu = 1.

    Args:
        offset_mm: Places relative to the force, mm.
        force: f: ``"r"`` and ``"1/r"`` are spread over the solid; ``"point"`` is a delta (Kelvin),
            whose displacement is infinite at the force, so that no spline can be made of it.
        poisson_ratio: nu, above -1 and below 0.5; ``lambda = 2 mu nu / (1 - 2 nu)``.

    Returns:
        3 x 3 matrices; infinite or NaN at the place of a point force.

    Raises:
        ConfigError: ``poisson_ratio`` is out of range.

    References:
        Davis et al. (1997), doi:10.1109/42.585759: ``[(11 - 12 nu) r^2 I - 3 xx'] r`` and
        ``[(7 - 8 nu) r^2 I - xx'] / r``; the constant factors, which the paper leaves to the
        coefficients, are derived here from u = (lambda + 2 mu) Lap g c - (lambda + mu) grad div g c
        with Lap Lap g = -f / (mu (lambda + 2 mu)). In Kelvin's tensor the coefficient of I/r is
        (lambda + 3 mu) / (lambda + 2 mu).
    """
    _check_ratio(poisson_ratio)
    r = offset_mm.norm(dim=-1)[..., None, None]
    identity = torch.eye(3, dtype=offset_mm.dtype, device=offset_mm.device)
    outer = offset_mm[..., :, None] * offset_mm[..., None, :]
    if force == "point":
        far = 4 - 4 * poisson_ratio - 1
        kelvin: Tensor = (far * identity / r + outer / r**3) / (16 * torch.pi * (1 - poisson_ratio))
        return kelvin
    direct, mixed, _, _ = _profile(r, force, poisson_ratio)
    factor = _factor(force, poisson_ratio)
    green: Tensor = factor * (direct * identity + mixed * outer)
    return green


@final
@dataclass(frozen=True, slots=True, eq=False)
class ElasticSpline(Transform):
    """``T(x) = x + affine(x) + sum_i G(x - p_i) w_i``: made by a fit to landmarks.

    Attributes:
        force: f of ``elastic_green``.
        poisson_ratio: nu.
        centres: (n, 3), the fixed landmarks, mm.
        weights: (n, 3), the forces; their sum and first moments are 0.
        origin: (3,), where the affine part is the constant alone, mm.
        polynomial: (4, 3), constant and slopes of the affine part of the displacement.
    """

    force: Smooth
    poisson_ratio: float
    centres: Tensor
    weights: Tensor
    origin: Tensor
    polynomial: Tensor

    def __call__(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Map points (L, P, S), mm."""
        flat = points_mm.reshape(-1, 3).double()
        factor = _factor(self.force, self.poisson_ratio)
        if not tracked(flat, self.weights, self.centres, self.polynomial):
            direct = _direct(self.force, self.poisson_ratio)
            bent = elastic_sum(flat, self.centres, self.weights, force=self.force, direct=direct)
            moved_flat = flat + self._affine(flat) + factor * bent
            return moved_flat.to(points_mm.dtype).reshape(points_mm.shape)
        moved = []
        for part, away, r, along in self._slabs(flat):
            own, mixed, _, _ = _profile(r, self.force, self.poisson_ratio)
            u = own @ self.weights.to(part)
            u = u + torch.einsum("mn,mni->mi", mixed * along, away)
            moved.append(part + self._affine(part) + factor * u)
        return torch.cat(moved).to(points_mm.dtype).reshape(points_mm.shape)

    def inverse(self) -> Transform:
        """Give the inverse, found point by point; raises where there is none."""
        return Inverse(self)

    def jacobian(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
        """Give the derivative of the mapped point by the point, in closed form."""
        flat = points_mm.reshape(-1, 3).double()
        factor = _factor(self.force, self.poisson_ratio)
        found = []
        for part, away, r, along in self._slabs(flat):
            _, mixed, direct_slope, mixed_slope = _profile(r, self.force, self.poisson_ratio)
            w, eye = self.weights.to(part), torch.eye(3).to(part)
            du = torch.einsum("mn,ni,mnj->mij", direct_slope, w, away)
            du = du + torch.einsum("mn,mni,mnj->mij", mixed_slope * along, away, away)
            du = du + (mixed * along).sum(dim=1)[:, None, None] * eye
            du = du + torch.einsum("mn,mni,nj->mij", mixed, away, w)
            found.append(eye + self.polynomial[1:].to(part).T + factor * du)
        return torch.cat(found).to(points_mm.dtype).reshape(*points_mm.shape, 3)

    def _affine(self, part: Tensor) -> Tensor:
        return with_one(part - self.origin.to(part)) @ self.polynomial.to(part)

    def _slabs(self, flat: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Give some points at a time: x, x - p_i, its length, and its product with w_i."""
        for part in torch.split(flat, max(1, SLAB // len(self.centres))):
            away = part[:, None] - self.centres.to(part)
            r = (away**2).sum(dim=-1).clamp_min(1e-24).sqrt()
            yield part, away, r, (away * self.weights.to(part)).sum(dim=-1)

    def __repr__(self) -> str:
        return (
            f"ElasticSpline(fixed -> moving, mm, LPS, force {self.force}, "
            f"nu {self.poisson_ratio:g}, {len(self.centres)} landmarks)"
        )


def elastic_body(
    fixed: Points,
    moving: Points,
    *,
    force: Smooth = "r",
    poisson_ratio: float = 0.3,
    smoothing: float = 0.0,
    error_mm: tuple[float, ...] = (),
) -> ElasticSpline:
    """Fit an elastic body spline with an affine part to landmark pairs of a volume.

    Args:
        fixed: (N, 3), mm; at least 4, not in one plane.
        moving: (N, 3), mm; row i is the same place as row i of ``fixed``.
        force: How a landmark's force is spread: ``"r"`` gives the smoother map, ``"1/r"`` the
            more local one.
        poisson_ratio: nu, above -1 and below 0.5: how much the solid narrows when it is
            stretched; near 0.5 it keeps its volume.
        smoothing: 0 goes through every pair; above, the map is smoother and misses them.
        error_mm: Standard deviation of each pair, mm; empty takes 1 for all.

    Returns:
        The map, fixed to moving.

    Raises:
        ShapeError: The landmarks or their errors do not pair up.
        GeometryError: They are too few, in one plane, in one place, or not finite.
        ConfigError: ``poisson_ratio`` is out of range.

    References:
        Davis et al. (1997), doi:10.1109/42.585759. Differs from it in: the smoothing, added to
        the diagonal as in Rohr et al. (2001), doi:10.1109/42.929618.
    """
    _check_ratio(poisson_ratio)
    source, target = checked(fixed, moving, 4, "elastic body")
    check_size(3 * len(source))
    origin = frame(source, 3, 3).origin
    if smoothing == 0:
        check_distinct(source, "fixed")
        check_distinct(target, "moving")
    n = len(source)
    green = elastic_green(source[:, None] - source, force=force, poisson_ratio=poisson_ratio)
    # G of the force r is conditionally negative definite: turned, so that smoothing regularises
    sign = -1.0 if force == "r" else 1.0
    matrix = sign * green.permute(0, 2, 1, 3).reshape(3 * n, 3 * n)
    matrix += torch.diag(smoothing_diagonal(smoothing, error_mm, n).repeat_interleave(3))
    rows = torch.kron(with_one(source - origin), torch.eye(3, dtype=torch.float64))
    weights, polynomial = solve_spline(matrix, rows, (target - source).reshape(-1, 1))
    return ElasticSpline(
        force, poisson_ratio, source, sign * weights.reshape(n, 3), origin, polynomial.reshape(4, 3)
    )


def _check_ratio(poisson_ratio: float) -> None:
    if not -1 < poisson_ratio < 0.5:
        raise ConfigError(
            f"poisson_ratio must be above -1 and below 0.5, got {poisson_ratio}: "
            "0.3 suits most tissue, 0.49 nearly keeps the volume"
        )


def _factor(force: Smooth, nu: float) -> float:
    """Make G solve Navier's equation for a shear modulus of 1 (the paper's has other forces)."""
    return -1 / (144 * (1 - nu)) if force == "r" else -1 / (16 * (1 - nu))


def _direct(force: Smooth, nu: float) -> float:
    """Give Davis' alpha or beta."""
    return 11 - 12 * nu if force == "r" else 7 - 8 * nu


def _profile(r: Tensor, force: Smooth, nu: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give a, b of ``a w + b x (x.w)`` and a'/r, b'/r."""
    r = r.clamp_min(1e-12)
    alpha = beta = _direct(force, nu)
    if force == "r":
        return alpha * r**3, -3 * r, 3 * alpha * r, -3 / r
    return beta * r, -1 / r, beta / r, 1 / r**3
