"""Where the voxels of a grid fall on the detector: three affine functions of the index per view."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import GeometryError
from vesalius.physics.ct import Geometry

Functions = Float[Tensor, "view 4"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """Affine functions of a voxel's index (z, y, x, 1), one row of coefficients per view.

    For a flat detector, column = middle + ``across`` / ``depth`` and row = middle + ``along`` /
    ``depth``; parallel rays have no depth (it is not divided by), fans divide the column alone.

    Attributes:
        geometry: The rays.
        grid: The voxels.
        across: (view, 4), columns.
        along: (view, 4), rows.
        depth: (view, 4), part of the way from the source to the detector.
    """

    geometry: Geometry
    grid: Grid
    across: Functions
    along: Functions
    depth: Functions

    def at(self, index: Float[Tensor, "n 4"]) -> Float[Tensor, "view n 2"]:
        """Give (column, row) where voxels fall, for few voxels.

        Args:
            index: (n, 4) indices (z, y, x, 1).

        Returns:
            (view, n, 2), fractional; a voxel behind the source gives NaN.
        """
        across, along, depth = (f @ index.T for f in (self.across, self.along, self.depth))
        geometry = self.geometry
        if geometry.beam == "parallel":
            column, row = across, along
        else:
            depth = torch.where(depth > 0, depth, torch.full_like(depth, math.nan))
            column, row = across / depth, along / depth
            if geometry.arc_mm > 0:
                tangent, inward = self.in_plane_mm(across, depth)
                pitch = geometry.u.norm(dim=1)[:, None]
                column = torch.atan2(tangent, inward) * geometry.arc_mm / pitch
                row = along * geometry.arc_mm / torch.hypot(tangent, inward)
            if geometry.beam == "fan":
                row = along
        middle_row, middle_column = geometry.middle
        return torch.stack([column + middle_column, row + middle_row], dim=-1)

    def in_plane_mm(self, across: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Distances from the source along ``u`` and towards the detector, each (view, n), mm."""
        geometry = self.geometry
        pitch = geometry.u.norm(dim=1)[:, None]
        reach = (geometry.centre - geometry.source).norm(dim=1)[:, None]
        return across * pitch, depth * reach

    @property
    def corners(self) -> Float[Tensor, "view 8 2"]:
        """Where the eight corners of the grid's outer faces fall, (column, row)."""
        ends = [(-0.5, n - 0.5) for n in self.grid.shape]
        index = torch.cartesian_prod(*(torch.tensor(e, dtype=torch.float64) for e in ends))
        return self.at(torch.cat([index, torch.ones(8, 1, dtype=torch.float64)], dim=1))

    @property
    def is_aligned(self) -> bool:
        """Whether the grid's z axis runs along detector columns, to 1 % of an element."""
        z, y, x = self.grid.shape
        tilt = max(
            float(self.across[:, 0].abs().max()) * z,
            float(self.depth[:, 0].abs().max()) * z * max(self.geometry.shape),
            float((self.along[:, 1].abs() * y + self.along[:, 2].abs() * x).max()),
        )
        return tilt < 0.01


def shadow(geometry: Geometry, grid: Grid) -> Shadow:
    """Work out where voxels fall on the detector.

    Args:
        geometry: Rays; any beam.
        grid: Voxels.

    Returns:
        The functions.

    Raises:
        GeometryError: A source lies within the volume, or no voxel falls on the detector.
    """
    parallel = geometry.beam == "parallel"
    out = geometry.source if parallel else geometry.centre - geometry.source
    origin = geometry.centre if parallel else geometry.source
    frame = torch.linalg.inv(torch.stack([geometry.u, geometry.v, out], dim=2))
    affine = grid.affine[:3].expand(geometry.views, 3, 4).clone()
    affine[:, :, 3] -= origin
    across, along, depth = (frame @ affine).unbind(dim=1)
    found = Shadow(geometry, grid, across, along, depth)
    _check_meets(found)
    return found


def _check_meets(found: Shadow) -> None:
    corners = found.corners
    if not bool(torch.isfinite(corners).all()):
        raise GeometryError(
            "the source must stay outside the volume, got voxels behind it: check the source "
            "distance and the grid's spacing, both in mm"
        )
    rows, columns = found.geometry.shape
    low, high = corners.amin(dim=1), corners.amax(dim=1)
    last = torch.tensor([columns - 0.5, rows - 0.5], dtype=torch.float64)
    meets = ((high > -0.5) & (low < last)).all(dim=1)
    if not bool(meets.any()):
        raise GeometryError(
            f"the volume must fall on the detector, got columns {float(low[:, 0].min()):.4g} to "
            f"{float(high[:, 0].max()):.4g} of {columns} and rows {float(low[:, 1].min()):.4g} to "
            f"{float(high[:, 1].max()):.4g} of {rows}: check the grid's origin and the isocentre"
        )
