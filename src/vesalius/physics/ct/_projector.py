"""Projector: line integrals of an image along the rays of a CT geometry, with the exact adjoint."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import Literal, final

import torch
from torch import Tensor

from vesalius.core import Grid, LinearOperator
from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.physics.ct._footprint import footprint_traversal
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._joseph2d import plane_traversal
from vesalius.physics.ct._joseph3d import column_traversal
from vesalius.physics.ct._joseph_rays import RayTraversal, index_rays
from vesalius.physics.ct._projector_torch import TorchTraversal
from vesalius.physics.ct._traversal import Traversal

Method = Literal["joseph", "footprint"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Projector(LinearOperator):
    """Integrate an image along every ray of a geometry.

    Maps (*batch, z, y, x) in 1/mm on ``grid`` to line integrals (*batch, view, row, column)
    without a unit. The adjoint is exact: the same weights, transposed.

    Attributes:
        geometry: Where the rays run.
        grid: Where the voxels are; any orthogonal orientation. A grid whose slices lie across the
            rotation axis takes the fast way of parallel and fan beams.
        method: ``"joseph"``: linear interpolation in each plane that the ray crosses.
            ``"footprint"``: the shadow of each voxel, averaged over each detector element; for
            grids whose slices lie across the detector's rows.

    Raises:
        GeometryError: The grid is sheared, or no ray meets it; or ``"footprint"`` does not fit.

    Example:
        >>> from vesalius.physics.ct import parallel
        >>> angles = torch.arange(0.0, 180.0, 3.0)
        >>> grid = Grid.from_spacing((1, 16, 16), origin_mm=(-7.5, -7.5, 0.0))
        >>> project = Projector(parallel(angles, shape=(1, 24)), grid)
        >>> project(torch.ones(1, 16, 16)).shape
        torch.Size([60, 1, 24])

    References:
        Joseph (1982), doi:10.1109/TMI.1982.4307572.
        Long, Fessler, Balter (2010), doi:10.1109/TMI.2010.2050898.
    """

    geometry: Geometry
    grid: Grid
    method: Method = "joseph"
    _traversal: Traversal = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.grid.is_orthogonal:
            raise GeometryError(
                f"the grid of a projector must have axes at right angles, got {self.grid!r} with "
                "sheared axes: resample the image onto an orthogonal grid first"
            )
        if not _meets(self.geometry, self.grid):
            raise GeometryError(
                f"rays must meet the volume, got {self.geometry!r} that misses {self.grid!r}: "
                "check origin_mm of the grid, offsets of the detector and the isocentre"
            )
        object.__setattr__(self, "_traversal", _traversal(self.geometry, self.grid, self.method))

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape (z, y, x) of an image."""
        return self.grid.shape

    @property
    def codomain(self) -> tuple[int, ...]:
        """Shape (view, row, column) of the projections."""
        return self.geometry.codomain

    def apply(self, x: Tensor) -> Tensor:
        """Integrate along every ray: (*batch, z, y, x) to (*batch, view, row, column)."""
        way = self._way(x.device)
        y = way.forward(_prepared(x, self.domain, way))
        return y.reshape(*x.shape[:-3], *self.codomain).to(x.device)

    def adjoint(self, y: Tensor) -> Tensor:
        """Smear every ray's value along it: (*batch, view, row, column) to (*batch, z, y, x)."""
        way = self._way(y.device)
        x = way.back(_prepared(y, self.codomain, way))
        return x.reshape(*y.shape[:-3], *self.domain).to(y.device)

    def _way(self, device: torch.device) -> Traversal:
        """Torch where the data are on a GPU; footprints are thrown on the CPU wherever they are."""
        if device.type == "cpu" or self.method == "footprint":
            return self._traversal
        return TorchTraversal(self.geometry, self.grid)


def _traversal(geometry: Geometry, grid: Grid, method: Method) -> Traversal:
    """Choose the fastest way that fits."""
    if method == "footprint":
        return footprint_traversal(geometry, grid)
    plane = plane_traversal(geometry, grid)
    return plane or column_traversal(geometry, grid) or RayTraversal(geometry, grid)


def _prepared(x: Tensor, shape: tuple[int, ...], way: Traversal) -> Tensor:
    """Fold the batch axes into one and make it contiguous, where the traversal works."""
    if x.dtype not in (torch.float32, torch.float64):
        raise UnitError(
            f"input of a projector must be float32 or float64, got {x.dtype}: cast it with .float()"
        )
    if tuple(x.shape[-3:]) != shape:
        raise ShapeError(
            f"input of a projector must end in shape {shape}, got {tuple(x.shape)}: "
            "batch axes come first"
        )
    x = x.detach() if isinstance(way, TorchTraversal) else x.detach().cpu()
    return x.reshape(-1, *shape).contiguous()


def _meets(geometry: Geometry, grid: Grid) -> bool:
    """Whether any ray crosses the box of the grid's voxels; stops at the first view that does."""
    high = torch.tensor(grid.shape, dtype=torch.float64) - 0.5
    for view in range(geometry.views):
        start, step = index_rays(geometry, grid, slice(view, view + 1))
        step = torch.where(step == 0, torch.full_like(step, 1e-300), step)
        one, two = (-0.5 - start) / step, (high - start) / step
        enter = torch.minimum(one, two).amax(dim=1)
        leave = torch.maximum(one, two).amin(dim=1)
        if geometry.beam != "parallel":
            enter = enter.clamp_min(0.0)
        if bool((enter < leave).any()):
            return True
    return False
