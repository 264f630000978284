"""Points and Mesh: places and surfaces in the world."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import torch
from torch import Tensor

from vesalius.errors import ShapeError, UnitError


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """World points (LPS, mm), with optional names.

    Attributes:
        data: (N, 3) floating point, (L, P, S), mm.
        names: One name for each point, or empty.

    Raises:
        ShapeError: ``data`` is not (N, 3) or the names do not fit.
        UnitError: ``data`` is not floating point, or half precision.
    """

    data: Tensor
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_vertices(self.data, "data")
        if self.names and len(self.names) != len(self.data):
            raise ShapeError(
                f"names must name all {len(self.data)} points or none, got {len(self.names)}"
            )

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A triangle surface in the world; normals point outwards by the right-hand rule.

    Attributes:
        vertices: (N, 3) floating point, (L, P, S), mm.
        faces: (M, 3) integer indices into ``vertices``.

    Raises:
        ShapeError: A shape is wrong or a face names a vertex that is not there.
        UnitError: ``vertices`` are not floating point or ``faces`` not integer.
    """

    vertices: Tensor
    faces: Tensor

    def __post_init__(self) -> None:
        _check_vertices(self.vertices, "vertices")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3:
            raise ShapeError(f"faces must have shape (M, 3), got {tuple(self.faces.shape)}")
        if self.faces.is_floating_point() or self.faces.dtype == torch.bool:
            raise UnitError(f"faces must be integer indices, got {self.faces.dtype}")
        n = len(self.vertices)
        if not self.faces.numel():
            return
        low, high = int(self.faces.min()), int(self.faces.max())
        if low < 0 or high >= n:
            raise ShapeError(
                f"faces must index vertices 0 to {n - 1}, got {low} to {high}: indices count from 0"
            )

    @property
    def volume_mm3(self) -> float:
        """Enclosed volume by the divergence theorem, mm^3; the surface must be closed."""
        a, b, c = self._corners()
        return abs(float((a * b.cross(c, dim=1)).sum(dim=1).sum())) / 6

    @property
    def area_mm2(self) -> float:
        """Sum of the triangle areas, mm^2."""
        a, b, c = self._corners()
        return float((b - a).cross(c - a, dim=1).norm(dim=1).sum()) / 2

    def _corners(self) -> tuple[Tensor, Tensor, Tensor]:
        # relative to the first vertex: far from the origin the products would cancel
        local = (self.vertices - self.vertices[:1]).double()
        return local[self.faces[:, 0]], local[self.faces[:, 1]], local[self.faces[:, 2]]


def _check_vertices(data: Tensor, name: str) -> None:
    if data.ndim != 2 or data.shape[1] != 3:
        raise ShapeError(f"{name} must have shape (N, 3), (L, P, S) mm, got {tuple(data.shape)}")
    if not data.is_floating_point() or data.dtype.itemsize < 4:
        raise UnitError(
            f"{name} must be float32 or float64 (coordinates are never float16), got {data.dtype}"
        )
