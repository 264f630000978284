"""Displacement: a transform given by a vector of displacement at each voxel of a grid."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._grid import Grid
from vesalius.core._image import Image
from vesalius.core._transform import PointsMm, Transform
from vesalius.errors import ConvergenceError, GeometryError, ShapeError, UnitError
from vesalius.ops._sampling import sample
from vesalius.ops._slope import linear_with_slope
from vesalius.ops._warp import InverseFlow, invert

Field = Float[Tensor, "3 z y x"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Inversion:
    """The inverse of a field of displacement, and how far it misses.

    Attributes:
        transform: The inverse, on the same grid.
        residual_mm: |T(T^-1(x)) - x| at each voxel, mm.
    """

    transform: "Displacement"
    residual_mm: Image


@final
@dataclass(frozen=True, slots=True, eq=False)
class Displacement(Transform):
    """Points moved by the linear interpolant of a field: ``T(x) = x + data(x)``.

    Attributes:
        data: (3, z, y, x), float32 or float64; displacement along (L, P, S), mm.
        grid: Where the vectors stand, in the fixed world.
        border: Beyond the grid, ``"nearest"`` repeats the vectors of its edge, ``"zero"`` moves
            nothing beyond the outer faces of its voxels, as ITK does.

    Raises:
        ShapeError: ``data`` does not fit the grid.
        UnitError: ``data`` is not float32 or float64.
        GeometryError: ``data`` is not finite.
    """

    data: Tensor
    grid: Grid
    border: Literal["nearest", "zero"] = "nearest"

    def __post_init__(self) -> None:
        check_field(self.data, self.grid)

    @classmethod
    def from_flow(
        cls, flow: Field, grid: Grid, *, border: Literal["nearest", "zero"] = "nearest"
    ) -> "Displacement":
        """Make the transform of a flow in samples along (z, y, x) of ``grid``."""
        return cls(to_mm(flow, grid), grid, border)

    def flow(self) -> Field:
        """Give the field in samples along (z, y, x) of its grid."""
        return to_samples(self.data, self.grid)

    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm."""
        index = self.grid.to_index(points_mm)
        kind: Literal["nearest", "extent"] = "nearest" if self.border == "nearest" else "extent"
        moved = sample(self.data, index, border=kind).movedim(0, -1)
        return points_mm + moved.to(points_mm.device, points_mm.dtype)

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the exact derivative of the linear interpolant at each point."""
        index = self.grid.to_index(points_mm)
        slope = linear_with_slope(self.data, index).slope.movedim((0, 1), (-2, -1))
        to_index = torch.linalg.inv(self.grid.affine)[:3, :3].to(slope.device, slope.dtype)
        eye = torch.eye(3, dtype=slope.dtype, device=slope.device)
        out: Tensor = eye + slope @ to_index
        return out.to(points_mm.device, points_mm.dtype)

    def inverse(self) -> "Displacement":
        """Give the inverse on the same grid, within 1e-3 of a voxel; see ``inversion``."""
        return self.inversion(tol_mm=1e-3 * min(self.grid.spacing_mm)).transform

    def inversion(self, *, tol_mm: float, allow_folds: bool = False) -> Inversion:
        """Invert the map on its own grid.

        Args:
            tol_mm: How far a voxel may miss once it is mapped forward, mm.
            allow_folds: Whether to give the best that was found where the map cannot be inverted.

        Returns:
            The inverse and its residual.

        Raises:
            ConvergenceError: Some voxels miss by more than ``tol_mm``, and it is not allowed.
        """
        spacing = self.grid.spacing_mm
        found = invert(self.flow(), tol=tol_mm / max(spacing), steps=100)
        inverse = Displacement.from_flow(found.flow, self.grid, border=self.border)
        residual = _residual(found, self, inverse)
        worst = float(residual.data.max())
        if worst > tol_mm and not allow_folds:
            count = int((residual.data > tol_mm).sum())
            raise ConvergenceError(
                f"the inverse must be found within {tol_mm:g} mm at every voxel, but {count} miss "
                f"by up to {worst:.3g} mm: the map folds there; use "
                "inversion(tol_mm=..., allow_folds=True) for the best that can be had"
            )
        return Inversion(inverse, residual)

    def to_field(self, grid: Grid) -> "Displacement":
        """Give the displacement at the voxels of ``grid``."""
        if grid is self.grid:
            return self
        return field_of(self, grid)

    def __repr__(self) -> str:
        z, y, x = self.grid.shape
        return f"Displacement(fixed -> moving, mm, LPS, zyx {z} x {y} x {x}, {self.border} outside)"


def _residual(found: InverseFlow, forward: Displacement, inverse: Displacement) -> Image:
    del found
    at = voxels(forward.grid).to(forward.data.device)
    missed = (forward(inverse(at)) - at).norm(dim=-1)
    return Image(missed[None].to(forward.data.dtype), forward.grid, "mm")


def voxels(grid: Grid) -> Float[Tensor, "z y x 3"]:
    """Give the world points of all voxels of a grid, mm, float64."""
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    return grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))


def field_of(transform: Transform, grid: Grid) -> Displacement:
    """Evaluate any transform at the voxels of a grid."""
    at = voxels(grid)
    return Displacement((transform(at) - at).movedim(-1, 0).float().contiguous(), grid)


def to_mm(flow: Field, grid: Grid) -> Field:
    """Turn samples along (z, y, x) into mm along (L, P, S)."""
    affine = grid.affine[:3, :3].to(flow.device, flow.dtype)
    return torch.einsum("wi,izyx->wzyx", affine, flow)


def to_samples(data: Field, grid: Grid) -> Field:
    """Turn mm along (L, P, S) into samples along (z, y, x)."""
    inverse = torch.linalg.inv(grid.affine[:3, :3]).to(data.device, data.dtype)
    return torch.einsum("iw,wzyx->izyx", inverse, data)


def check_field(data: Tensor, grid: Grid) -> None:
    """Refuse a field that does not fit its grid, or is not made of finite floats."""
    if tuple(data.shape) != (3, *grid.shape):
        z, y, x = grid.shape
        raise ShapeError(
            f"data must have shape (3, {z}, {y}, {x}) to fit its grid, got {tuple(data.shape)}: "
            "one vector (L, P, S) for each voxel"
        )
    if data.dtype not in (torch.float32, torch.float64):
        raise UnitError(f"data must be float32 or float64, mm, got {data.dtype}: convert it first")
    if not bool(torch.isfinite(data.detach()).all()):
        raise GeometryError("data must be finite, got NaN or infinity: check what made the field")
