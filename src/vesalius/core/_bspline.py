"""BSpline: free-form deformation, the cubic spline of displacements at a grid of control points."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._displacement import check_field
from vesalius.core._grid import Grid
from vesalius.core._inverse import Inverse
from vesalius.core._transform import PointsMm, Transform


@final
@dataclass(frozen=True, slots=True, eq=False)
class BSpline(Transform):
    """Points moved by a cubic B-spline: ``T(x) = x + sum_k coefficients_k B(index(x) - k)``.

    The local coordinate along an axis is the fractional part of the index among the control
    points, and the first of the four that act is the floor of the index less one. Beyond the grid
    the coefficients count as 0, so that the displacement fades out smoothly; it is that of ITK
    wherever all 4 x 4 x 4 control points exist. An axis of one control point is not bent along.

    Attributes:
        coefficients: (3, z, y, x), float32 or float64; along (L, P, S), mm.
        grid: The control points, in the fixed world.

    Raises:
        ShapeError: ``coefficients`` do not fit the grid.
        UnitError: They are not float32 or float64.
        GeometryError: They are not finite.

    References:
        Rueckert et al. (1999), doi:10.1109/42.796284, eq. (3). Differs from it in: the local
        coordinate is the fractional part, not the whole index.
    """

    coefficients: Tensor
    grid: Grid

    def __post_init__(self) -> None:
        check_field(self.coefficients, self.grid)

    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm."""
        taps = self._taps(points_mm)
        out = self._sum(taps, (0, 0, 0)).movedim(0, -1)
        return points_mm + out.reshape(points_mm.shape).to(points_mm.device, points_mm.dtype)

    def inverse(self) -> Transform:
        """Give the inverse, solved by Newton's method at the points that it is asked for."""
        return Inverse(self)

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the exact derivative of the spline at each point."""
        taps = self._taps(points_mm)
        orders = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
        slope = torch.stack([self._sum(taps, order) for order in orders], dim=1)
        to_index = torch.linalg.inv(self.grid.affine)[:3, :3].to(slope.device, slope.dtype)
        eye = torch.eye(3, dtype=slope.dtype, device=slope.device)
        out: Tensor = eye + slope.movedim(-1, 0) @ to_index
        return out.reshape(*points_mm.shape, 3).to(points_mm.device, points_mm.dtype)

    def __repr__(self) -> str:
        z, y, x = self.grid.shape
        spacing = " x ".join(f"{s:.4g}" for s in self.grid.spacing_mm)
        return f"BSpline(fixed -> moving, mm, LPS, zyx {z} x {y} x {x} points, {spacing} mm apart)"

    def _taps(self, points_mm: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        flat = points_mm.reshape(-1, 3).to(self.coefficients.device)
        index = self.grid.to_index(flat).to(self.coefficients.dtype)
        return [_axis(index[:, a], n) for a, n in enumerate(self.grid.shape)]

    def _sum(
        self, taps: list[tuple[Tensor, Tensor, Tensor]], orders: tuple[int, int, int]
    ) -> Tensor:
        _, ny, nx = self.grid.shape
        flat = self.coefficients.flatten(1)
        (iz, *wz), (iy, *wy), (ix, *wx) = taps
        total = flat.new_zeros((3, iz.shape[1]))
        for a, weight_z in enumerate(wz[orders[0]]):
            for b, weight_y in enumerate(wy[orders[1]]):
                for c, weight_x in enumerate(wx[orders[2]]):
                    at = (iz[a] * ny + iy[b]) * nx + ix[c]
                    total = total + flat[:, at] * (weight_z * weight_y * weight_x)
        return total


def _axis(index: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Give four control points, their weights, and the derivatives of these, each (4, points)."""
    if n == 1:
        zero = torch.zeros_like(index)[None]
        return zero.long(), zero + 1, zero
    first = index.detach().floor()
    t = index - first
    s = 1 - t
    weight = torch.stack(
        [s**3 / 6, 2 / 3 - t * t * (1 - t / 2), 2 / 3 - s * s * (1 - s / 2), t**3 / 6]
    )
    slope = torch.stack([-s * s / 2, t * (1.5 * t - 2), s * (2 - 1.5 * s), t * t / 2])
    at = first.long() + torch.arange(-1, 3, device=index.device)[:, None]
    there = ((at >= 0) & (at < n)).to(index.dtype)
    return at.clamp(0, n - 1), weight * there, slope * there
