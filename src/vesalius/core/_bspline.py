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
from vesalius.core._transform import PointsMm, Transform, check_points
from vesalius.ops._freeform import spline_at, spline_on_lattice, spline_slope


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

    Example:
        >>> control = Grid.from_spacing((7, 7, 7), (10, 10, 10))
        >>> coefficients = torch.zeros(3, 7, 7, 7, dtype=torch.float64)
        >>> coefficients[0, 3, 3, 3] = 27.0
        >>> move = BSpline(coefficients, control)
        >>> move(torch.tensor([30.0, 30.0, 30.0], dtype=torch.float64)).round(decimals=6).tolist()
        [38.0, 30.0, 30.0]

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
        check_points(points_mm)
        index = self.grid.to_index(points_mm.double()).to(self.coefficients.device)
        moved = spline_at(self.coefficients, index).movedim(0, -1)
        return points_mm + moved.to(points_mm.device, points_mm.dtype)

    def on_lattice(
        self, matrix: Float[Tensor, "4 4"], shape: tuple[int, int, int]
    ) -> Float[Tensor, "3 z y x"]:
        """Give the displacement, mm, at the points ``matrix @ (z, y, x, 1)`` of a lattice."""
        to_index = torch.linalg.inv(self.grid.affine) @ matrix
        return spline_on_lattice(self.coefficients, to_index, shape=shape)

    def inverse(self) -> Transform:
        """Give the inverse, solved by Newton's method at the points that it is asked for."""
        return Inverse(self)

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the exact derivative of the spline at each point."""
        check_points(points_mm)
        index = self.grid.to_index(points_mm.double()).to(self.coefficients.device)
        slope = spline_slope(self.coefficients, index).movedim((0, 1), (-2, -1))
        to_index = torch.linalg.inv(self.grid.affine)[:3, :3].to(slope.device, slope.dtype)
        eye = torch.eye(3, dtype=slope.dtype, device=slope.device)
        out: Tensor = eye + slope @ to_index
        return out.to(points_mm.device, points_mm.dtype)

    def __repr__(self) -> str:
        z, y, x = self.grid.shape
        spacing = " x ".join(f"{s:.4g}" for s in self.grid.spacing_mm)
        return f"BSpline(fixed -> moving, mm, LPS, zyx {z} x {y} x {x} points, {spacing} mm apart)"
