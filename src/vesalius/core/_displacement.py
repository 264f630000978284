"""Displacement: a transform given by a vector of displacement at each voxel of a grid."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._grid import Grid
from vesalius.core._image import Image
from vesalius.core._transform import PointsMm, Transform, check_points
from vesalius.errors import ConvergenceError, GeometryError, ShapeError, UnitError
from vesalius.ops._jacobian import folding
from vesalius.ops._sampling import sample
from vesalius.ops._slope import linear_with_slope
from vesalius.ops._warp import invert

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

    Example:
        >>> field = torch.zeros(3, 4, 4, 4, dtype=torch.float64)
        >>> field[2] = 1.5
        >>> move = Displacement(field, Grid.from_spacing((4, 4, 4)))
        >>> move(torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)).tolist()
        [1.0, 1.0, 2.5]
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

    @property
    def outside(self) -> Literal["nearest", "extent"]:
        """The border as interpolation names it."""
        return "nearest" if self.border == "nearest" else "extent"

    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm."""
        check_points(points_mm)
        index = self._index(points_mm)
        moved = sample(self.data, index, border=self.outside).movedim(0, -1)
        return points_mm + moved.to(points_mm.device, points_mm.dtype)

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the exact derivative of the linear interpolant at each point."""
        check_points(points_mm)
        index = self._index(points_mm)
        slope = linear_with_slope(self.data, index).slope.movedim((0, 1), (-2, -1))
        if self.border == "zero":
            slope = slope * self._within(index)[..., None, None].to(slope.device)
        to_index = torch.linalg.inv(self.grid.affine)[:3, :3].to(slope.device, slope.dtype)
        eye = torch.eye(3, dtype=slope.dtype, device=slope.device)
        out: Tensor = eye + slope @ to_index
        return out.to(points_mm.device, points_mm.dtype)

    def _index(self, points_mm: PointsMm) -> PointsMm:
        # far from the origin float32 would cost a hundredth of a voxel
        return self.grid.to_index(points_mm.double())

    def _within(self, index: PointsMm) -> Tensor:
        """Say which places lie within the outer faces of the voxels."""
        size = torch.tensor(self.grid.shape, dtype=index.dtype, device=index.device)
        return ((index >= -0.5) & (index <= size - 0.5)).all(dim=-1)

    def inverse(self) -> "Displacement":
        """Give the inverse on the same grid, within 1e-3 of a voxel at each; see ``inversion``."""
        return self.inversion(tol_mm=1e-3 * min(self.grid.spacing_mm)).transform

    def inversion(self, *, tol_mm: float, allow_folds: bool = False) -> Inversion:
        """Invert the map at the voxels of its own grid.

        Between the voxels the inverse is interpolated, as any field is. Where the map leads out
        of its grid, a larger grid is better: ``transform.to_field(larger).inversion(...)``.

        Args:
            tol_mm: How far a voxel may miss once it is mapped forward, mm.
            allow_folds: Whether to give the best that was found where the map cannot be inverted.

        Returns:
            The inverse and its residual.

        Raises:
            GeometryError: The map folds, and it is not allowed.
            ConvergenceError: Some voxels miss by more than ``tol_mm``, and it is not allowed.
            ConfigError: ``tol_mm`` is not positive.
        """
        flow = self.flow().detach()
        folds = 0 if allow_folds else int((folding(flow) <= 0).sum())
        if folds:
            raise GeometryError(
                f"the map must not fold to be inverted, but it does in {folds} cells between "
                "voxels: use inversion(tol_mm=..., allow_folds=True) for the best that can be had"
            )
        # the search counts in samples: the shortest edge keeps its promise along every axis
        found = invert(flow, tol=0.5 * tol_mm / max(self.grid.spacing_mm))
        inverse = Displacement.from_flow(found.flow, self.grid, border=self.border)
        residual = (self @ inverse).to_field(self.grid).data.norm(dim=0, keepdim=True)
        count = 0 if allow_folds else int((residual > tol_mm).sum())
        if count:
            raise ConvergenceError(
                f"the inverse must be found within {tol_mm:g} mm at every voxel, but {count} miss "
                f"by up to {float(residual.max()):.3g} mm: the map leads out of its grid there; "
                "use inversion(tol_mm=..., allow_folds=True), or to_field on a larger grid first"
            )
        return Inversion(inverse, Image(residual, self.grid, "mm"))

    def to_field(self, grid: Grid) -> "Displacement":
        """Give the displacement at the voxels of ``grid``."""
        if grid is self.grid:
            return self
        return Displacement(field_of(self, grid).data, grid, self.border)

    def __repr__(self) -> str:
        z, y, x = self.grid.shape
        return f"Displacement(fixed -> moving, mm, LPS, zyx {z} x {y} x {x}, {self.border} outside)"


def field_of(transform: Transform, grid: Grid) -> Displacement:
    """Evaluate any transform at the voxels of a grid."""
    from vesalius.core._lattice import mapped  # which knows every kind of transform

    at = mapped(transform, grid, device=torch.device("cpu"))
    change = at.matrix - grid.affine
    field = at.field
    if field is not None and not bool(change.detach().any()) and not change.requires_grad:
        return Displacement(field, grid)
    shift = torch.zeros(3, 1, 1, 1, dtype=torch.float64) + change[:3, 3].reshape(3, 1, 1, 1)
    for axis, n in enumerate(grid.shape):
        along = torch.arange(n, dtype=torch.float64).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
        shift = shift + change[:3, axis].reshape(3, 1, 1, 1) * along
    if field is None:
        return Displacement(shift, grid)
    return Displacement((field + shift.to(field.device)).to(field.dtype), grid)


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
