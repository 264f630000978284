"""Where a transform takes a whole grid at once: a matrix, and a field where one is needed."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._bspline import BSpline
from vesalius.core._displacement import Displacement
from vesalius.core._grid import Grid
from vesalius.core._transform import Composite, Linear, Transform
from vesalius.core._velocity import Velocity
from vesalius.ops._pull import Places, pull
from vesalius.ops._sampling import resample_affine


@final
@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """The image of a grid's voxels: voxel i goes to ``matrix @ (i, 1) + field[:, i]``.

    Attributes:
        matrix: (4, 4) float64; array index (z, y, x, 1) to world point (L, P, S, 1), mm.
        field: (3, z, y, x), mm along (L, P, S); None where the matrix says it all.
        shape: Of the grid.
    """

    matrix: Float[Tensor, "4 4"]
    field: Float[Tensor, "3 z y x"] | None
    shape: tuple[int, int, int]

    def places(self, grid: Grid) -> Places:
        """Give the array indices of another grid that the voxels go to; a field must be there."""
        assert self.field is not None
        to_index = torch.linalg.inv(grid.affine).to(self.matrix.device)
        return Places(to_index @ self.matrix, to_index[:3, :3], self.field)


def mapped(transform: Transform, grid: Grid, *, device: torch.device) -> Mapped:
    """Take every voxel of a grid through a transform; linear and dense ones at their own speed.

    Args:
        transform: Fixed world to moving world, mm.
        grid: In the fixed world.
        device: Where the points of transforms of an unknown kind are made.

    Returns:
        Where the voxels go. Differentiable by the parameters of the transform.
    """
    at = Mapped(grid.affine, None, grid.shape)
    for part in reversed(_parts(transform)):
        at = _advance(part, at, device)
    return at


def _parts(transform: Transform) -> tuple[Transform, ...]:
    if isinstance(transform, Composite):
        return tuple(one for part in transform.parts for one in _parts(part))
    return (transform,)


def _advance(part: Transform, at: Mapped, device: torch.device) -> Mapped:
    """Take voxels that are on their way through one more transform."""
    if isinstance(part, Linear):
        return _turned(part.matrix, at)
    if isinstance(part, Velocity):
        part = part.displacement()
    if isinstance(part, BSpline) and at.field is None and not at.matrix.requires_grad:
        moved = part.on_lattice(at.matrix, at.shape)
    elif isinstance(part, Displacement):
        moved = _displaced(part, at)
    else:
        moved = _elsewhere(part, at, device)
    return Mapped(at.matrix, moved if at.field is None else _sum(at.field, moved), at.shape)


def _turned(matrix: Tensor, at: Mapped) -> Mapped:
    total = matrix.cpu() @ at.matrix
    if at.field is None:
        return Mapped(total, None, at.shape)
    turn = matrix[:3, :3].to(at.field.device, at.field.dtype)
    return Mapped(total, torch.einsum("vw,wzyx->vzyx", turn, at.field), at.shape)


def _displaced(part: Displacement, at: Mapped) -> Tensor:
    """Look up a field of displacement at voxels on their way."""
    matrix = torch.linalg.inv(part.grid.affine) @ at.matrix
    if at.field is None and not matrix.requires_grad:
        if part.grid.shape == at.shape and torch.equal(part.grid.affine, at.matrix):
            return part.data
        return resample_affine(part.data, matrix, shape=at.shape, border=part.outside)
    field = part.data.new_zeros((3, *at.shape)) if at.field is None else at.field
    there = Mapped(at.matrix, field.to(part.data.device), at.shape)
    return pull(part.data, there.places(part.grid), border=part.outside)


def _elsewhere(part: Transform, at: Mapped, device: torch.device) -> Tensor:
    """Ask any other transform point by point, some slices at a time."""
    field = at.field
    if field is None:
        field = torch.zeros((1, 1, 1, 1), device=device).expand(3, *at.shape)
    eye = torch.eye(3, dtype=torch.float64)
    slabs = [part(p) - p for p in Places(at.matrix, eye, field).slabs()]
    return torch.cat(slabs).movedim(-1, 0)


def _sum(first: Tensor, second: Tensor) -> Tensor:
    return first.to(second.device) + second
