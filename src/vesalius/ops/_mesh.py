"""Marching cubes with a table that is the same from every side of the cube.

The table is not typed in but derived: on every face each run of corners outside is cut off, the
cuts of six faces close into loops, and loops are filled with triangles. Nothing prefers an axis
or a direction, so volume and area do not change when an image is flipped or turned by 90 degrees.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.errors import RegionError
from vesalius.ops._jit import kernel

Array = npt.NDArray[np.float64]

# corner c sits at (c >> 2 & 1, c >> 1 & 1, c & 1); edge k runs from _EDGES[k][0] to _EDGES[k][1]
_EDGES = tuple((c, c | bit) for bit in (4, 2, 1) for c in range(8) if not c & bit)
# corners of the six faces, counter-clockwise seen from outside
_FACES = (
    (0, 2, 3, 1),
    (4, 5, 7, 6),
    (0, 1, 5, 4),
    (2, 6, 7, 3),
    (0, 4, 6, 2),
    (1, 3, 7, 5),
)
_ROUND = 12  # at most 12 crossed edges in a cell


@dataclass(frozen=True, slots=True)
class MeshSize:
    """What a closed surface encloses and how large it is.

    Attributes:
        volume: Enclosed volume, in the cube of the unit of the spacing.
        area: Area of the surface, in the square of that unit.
    """

    volume: float
    area: float


class _Table(NamedTuple):
    volume: Array  # (256,) share of the cell that is inside
    normals: Array  # (n, 3) cross product of two sides of each triangle
    weight: Array  # (n,) share of each triangle: below 1 where several fills tie
    owner: npt.NDArray[np.int64]  # (n,) configuration of each triangle
    loops: npt.NDArray[np.int8]  # (256, 4, 13) length, then edges, of each loop


def mesh_size(mask: Bool[Tensor, "z y x"], spacing: tuple[float, float, float]) -> MeshSize:
    """Measure the marching-cubes surface of a mask, iso-level 0.5, closed at the border.

    No triangle is made: the 256 kinds of cells are counted, and each has a known share of volume
    and area, so the result is exact and does not depend on an order of summation.

    Args:
        mask: (z, y, x), True inside; the outside of the block counts as False.
        spacing: Size of a voxel along (z, y, x).

    Returns:
        Volume and area; both 0 for an empty mask.

    References:
        Lorensen and Cline (1987), doi:10.1145/37401.37422. Differs from it in: ambiguous faces
        always join the corners inside; of all ways to fill a loop the one of largest area is
        taken (as the usual tables mostly do), and the mean where several tie.
    """
    counts = _count_cells(_padded(mask))
    return _size_of(counts, spacing)


def marching_cubes(
    field: Float[Tensor, "z y x"], *, level: float = 0.0
) -> tuple[Float[Tensor, "vertices 3"], Int[Tensor, "faces 3"]]:
    """Make the triangles of an iso-surface; what is above the level is inside.

    Args:
        field: (z, y, x), floating point; the surface is open where it leaves the block.
        level: The iso-level, unit of ``field``.

    Returns:
        Vertices (z, y, x) float64 in samples, and faces whose normals point outwards in an
        array-order right-handed frame. Vertices are shared within a loop, not between cells.

    Raises:
        RegionError: The surface is empty: the field is nowhere, or everywhere, above the level.
    """
    samples = field.detach().to("cpu", torch.float64).contiguous().numpy()
    loops = _table().loops
    size = _count_triangles(samples, level, loops)
    if size[1] == 0:
        raise RegionError(
            f"field must cross the level {level:g} to have a surface, it lies between "
            f"{samples.min():g} and {samples.max():g}: choose a level in between"
        )
    vertices = np.empty((size[0], 3))
    faces = np.empty((size[1], 3), dtype=np.int64)
    _fill_triangles(samples, level, loops, np.array(_EDGES), vertices, faces)
    return torch.from_numpy(vertices), torch.from_numpy(faces)


def surface_size(
    field: Float[Tensor, "z y x"],
    spacing: tuple[float, float, float],
    *,
    level: float = 0.0,
) -> MeshSize:
    """Measure the iso-surface of a field; what is above the level is inside.

    Args:
        field: (z, y, x), floating point, below the level along the whole border of the block.
        spacing: Size of a voxel along (z, y, x).
        level: The iso-level, unit of ``field``.

    Returns:
        Volume and area of the triangles of ``marching_cubes``.

    Raises:
        RegionError: The surface is empty.
    """
    vertices, faces = marching_cubes(field, level=level)
    corners = (vertices * torch.tensor(spacing, dtype=torch.float64))[faces]
    a, b, c = corners.unbind(dim=1)
    normal = (b - a).cross(c - a, dim=1)
    volume = float((a * normal).sum(dim=1).sum()) / 6
    return MeshSize(abs(volume), float(normal.norm(dim=1).sum()) / 2)


def _padded(mask: Tensor) -> npt.NDArray[np.uint8]:
    inside = mask.detach().cpu().contiguous().numpy().view(np.uint8)
    padded = np.zeros(tuple(n + 2 for n in inside.shape), dtype=np.uint8)
    padded[1:-1, 1:-1, 1:-1] = inside
    return padded


def _size_of(counts: npt.NDArray[np.int64], spacing: tuple[float, float, float]) -> MeshSize:
    dz, dy, dx = spacing
    volume = float(_table().volume @ counts) * dz * dy * dx
    return MeshSize(volume, float(cell_areas(spacing) @ counts))


def cell_areas(spacing: tuple[float, float, float]) -> Array:
    """Give the area of the surface in each of the 256 kinds of cells.

    Args:
        spacing: Size of a voxel along (z, y, x).

    Returns:
        (256,); bit ``4 z + 2 y + x`` of the kind tells whether that corner is inside.
    """
    table = _table()
    dz, dy, dx = spacing
    stretched = table.normals * np.array([dy * dx, dz * dx, dz * dy])
    areas = np.sqrt((stretched * stretched).sum(axis=1)) * table.weight / 2
    return np.asarray(np.bincount(table.owner, weights=areas, minlength=256))


@cache
def _table() -> _Table:
    """Derive the 256 configurations; bit c of a configuration tells whether corner c is inside."""
    volume = np.zeros(256)
    loops = np.zeros((256, 4, _ROUND + 1), dtype=np.int8)
    triangles: list[tuple[Array, float, int]] = []
    for kind in range(256):
        volume[kind] = _face_share(kind, _FACES[5])  # the face x = 1 closes the volume integral
        for place, loop in enumerate(_loops(kind)):
            loops[kind, place, : 1 + len(loop)] = [len(loop), *loop]
            fills = _largest_fills(np.array([_middle(edge) for edge in loop]))
            for corners in (triangle for fill in fills for triangle in fill):
                normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
                triangles.append((normal, 1 / len(fills), kind))
                volume[kind] += normal[2] * corners[:, 2].sum() / 6 / len(fills)
    normals, weights, owners = zip(*triangles, strict=True)
    return _Table(volume, np.array(normals), np.array(weights), np.array(owners), loops)


def _loops(kind: int) -> list[list[int]]:
    """Give the closed loops of crossed edges, each outwards by the right-hand rule."""
    after: dict[int, int] = {}
    for face in _FACES:
        outside = [not kind >> corner & 1 for corner in face]
        for i in range(4):
            if outside[i] and not outside[i - 3]:  # a run of corners outside ends here
                j = i
                while outside[j - 1]:
                    j -= 1
                after[_edge(face[j - 1], face[j])] = _edge(face[i], face[i - 3])
    found = []
    while after:
        start, edge = after.popitem()
        loop = [start]
        while edge != start:
            loop.append(edge)
            edge = after.pop(edge)
        found.append(loop)
    return found


def _largest_fills(points: Array) -> list[list[Array]]:
    """Give the triangulations of a loop that have the largest area; several where they tie."""
    fills = [[points[list(t)] for t in fill] for fill in _triangulations(0, len(points) - 1)]
    areas = [
        sum(float(np.linalg.norm(np.cross(t[1] - t[0], t[2] - t[0]))) for t in fill)
        for fill in fills
    ]
    return [fill for fill, area in zip(fills, areas, strict=True) if area > max(areas) - 1e-9]


def _triangulations(first: int, last: int) -> list[list[tuple[int, int, int]]]:
    if last - first < 2:
        return [[]]
    return [
        [(first, middle, last), *left, *right]
        for middle in range(first + 1, last)
        for left in _triangulations(first, middle)
        for right in _triangulations(middle, last)
    ]


def _edge(one: int, other: int) -> int:
    return _EDGES.index((min(one, other), max(one, other)))


def _corner(c: int) -> Array:
    return np.array([c >> 2 & 1, c >> 1 & 1, c & 1], dtype=np.float64)


def _middle(edge: int) -> Array:
    one, other = _EDGES[edge]
    return (_corner(one) + _corner(other)) / 2


def _face_share(kind: int, face: tuple[int, ...]) -> float:
    inside = [kind >> corner & 1 for corner in face]
    diagonal = inside in ([1, 0, 1, 0], [0, 1, 0, 1])
    return 0.75 if diagonal else (0.0, 0.125, 0.5, 0.875, 1.0)[sum(inside)]


@kernel
@no_type_check
def _count_cells(mask):
    counts = np.zeros(256, np.int64)
    for z in range(mask.shape[0] - 1):
        for y in range(mask.shape[1] - 1):
            a, b = mask[z, y], mask[z, y + 1]
            c, d = mask[z + 1, y], mask[z + 1, y + 1]
            left = a[0] | b[0] << 2 | c[0] << 4 | d[0] << 6
            for x in range(1, mask.shape[2]):
                right = a[x] | b[x] << 2 | c[x] << 4 | d[x] << 6
                kind = left | right << 1
                if kind != 0 and kind != 255:
                    counts[kind] += 1
                left = right
    inside = 0
    for value in mask.flat:
        inside += value
    # each voxel is a corner of eight cells; what the other cells do not hold lies in full ones
    held = 0
    for kind in range(256):
        for c in range(8):
            held += counts[kind] * (kind >> c & 1)
    counts[255] = (8 * inside - held) // 8
    return counts


@kernel
@no_type_check
def _kind(field, level, z, y, x):
    kind = 0
    for c in range(8):
        if field[z + (c >> 2 & 1), y + (c >> 1 & 1), x + (c & 1)] > level:
            kind |= 1 << c
    return kind


@kernel
@no_type_check
def _count_triangles(field, level, loops):
    vertices, faces = 0, 0
    for z in range(field.shape[0] - 1):
        for y in range(field.shape[1] - 1):
            for x in range(field.shape[2] - 1):
                kind = _kind(field, level, z, y, x)
                for place in range(4):
                    n = loops[kind, place, 0]
                    if n == 0:
                        break
                    vertices += n if n == 3 else n + 1
                    faces += 1 if n == 3 else n
    return vertices, faces


@kernel
@no_type_check
def _fill_triangles(field, level, loops, edges, vertices, faces):
    v, f = 0, 0
    for z in range(field.shape[0] - 1):
        for y in range(field.shape[1] - 1):
            for x in range(field.shape[2] - 1):
                kind = _kind(field, level, z, y, x)
                if kind == 0 or kind == 255:
                    continue
                for place in range(4):
                    n = loops[kind, place, 0]
                    if n == 0:
                        break
                    _place_loop(field, level, (z, y, x), loops[kind, place], edges, vertices, v)
                    if n == 3:
                        faces[f, 0], faces[f, 1], faces[f, 2] = v, v + 1, v + 2
                        f, v = f + 1, v + 3
                        continue
                    for k in range(3):
                        vertices[v + n, k] = vertices[v : v + n, k].mean()
                    for k in range(n):
                        faces[f, 0], faces[f, 1], faces[f, 2] = v + n, v + k, v + (k + 1) % n
                        f += 1
                    v += n + 1


@kernel
@no_type_check
def _place_loop(field, level, cell, loop, edges, vertices, v):
    z, y, x = cell
    for k in range(loop[0]):
        one, other = edges[loop[k + 1], 0], edges[loop[k + 1], 1]
        a = field[z + (one >> 2 & 1), y + (one >> 1 & 1), x + (one & 1)]
        b = field[z + (other >> 2 & 1), y + (other >> 1 & 1), x + (other & 1)]
        share = (level - a) / (b - a)
        along = one ^ other
        vertices[v + k, 0] = z + (one >> 2 & 1) + (share if along == 4 else 0.0)
        vertices[v + k, 1] = y + (one >> 1 & 1) + (share if along == 2 else 0.0)
        vertices[v + k, 2] = x + (one & 1) + (share if along == 1 else 0.0)
