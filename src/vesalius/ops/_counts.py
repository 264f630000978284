"""Counts: a stack of sparse count matrices, the common result of every texture operator."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.ops._jit import kernel

Ints = NDArray[np.int64]
Places = NDArray[np.uint64]
Offset = tuple[int, int, int]

TABLE_CELLS = 1 << 22
"""Dense tables up to this many cells are counted in place; larger ones are sorted, sparse."""

_NO_PLACES: Places = np.zeros(0, np.uint64)
_NOTHING: NDArray[np.integer] = np.zeros((0, 0, 0), np.int16)

LARGEST_LEVEL = 65535
"""With more levels the keys of sparse matrices could overflow, and no scanner has more."""


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """A stack of count matrices in sparse form: one entry per cell that is not zero.

    Entries are sorted by matrix, row and column, and no cell comes twice.

    Attributes:
        matrix: (n,) int64, which matrix of the stack a cell belongs to.
        row: (n,) int64, the grey level.
        column: (n,) int64, the second grey level, run length, zone size, ...
        count: (n,) int64, how often.
        matrices: How many matrices there are, empty ones included.
    """

    matrix: Int[Tensor, " n"]
    row: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    count: Int[Tensor, " n"]
    matrices: int


class Rows(NamedTuple):
    """The image rows that are not empty: flat [start, stop), z, and rank of the slice.

    Unsigned, so that kernels index with them without a test for negative numbers, which would
    keep their inner loops from being vectorised.
    """

    start: Places
    stop: Places
    z: Places
    rank: Places
    slices: int


class Scan(NamedTuple):
    """A level volume that has been looked through: its values, and its rows on the CPU.

    Attributes:
        levels: (z, y, x), as it came.
        top: The highest level.
        border: Width of the zeros around the region along z, y, x, voxels.
        volume: The same levels for kernels, contiguous; empty on a GPU.
        rows: The rows that hold a voxel of the region; none on a GPU.
    """

    levels: Tensor
    top: int
    border: Offset = (LARGEST_LEVEL, LARGEST_LEVEL, LARGEST_LEVEL)
    volume: NDArray[np.integer] = _NOTHING
    rows: Rows = Rows(_NO_PLACES, _NO_PLACES, _NO_PLACES, _NO_PLACES, 0)

    def groups(self, by_slice: bool) -> Places:
        """Give the number of the matrix that each row adds to: of its slice, or 0."""
        return self.rows.rank if by_slice else np.zeros_like(self.rows.rank)


def coalesce(
    matrix: Int[Tensor, " n"],
    row: Int[Tensor, " n"],
    column: Int[Tensor, " n"],
    count: Int[Tensor, " n"],
    *,
    matrices: int,
) -> Counts:
    """Add up entries that name the same cell.

    Args:
        matrix: (n,) which matrix, 0 to ``matrices - 1``.
        row: (n,) not negative.
        column: (n,) not negative.
        count: (n,) what is added.
        matrices: How many matrices the stack has.

    Returns:
        The sorted stack; same device as the input.
    """
    if matrix.numel() == 0:
        empty = torch.zeros(0, dtype=torch.int64, device=matrix.device)
        return Counts(empty, empty, empty, empty, matrices)
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    if not matrix.is_cuda and matrices * rows * columns <= TABLE_CELLS:
        table = np.zeros((matrices, rows, columns), dtype=np.int64)
        _add_at(table, matrix.numpy(), row.numpy(), column.numpy(), count.numpy())
        return from_table(table)
    key = (matrix.long() * rows + row) * columns + column
    cell, total = _sum_sorted(key, count.long())
    level = cell // columns
    return Counts(level // rows, level % rows, cell % columns, total, matrices)


def merge(counts: Counts, groups: Int[Tensor, " m"], *, matrices: int) -> Counts:
    """Add matrices of a stack together.

    Args:
        counts: The stack.
        groups: (m,) for each matrix of ``counts`` the matrix of the result it is added to.
        matrices: How many matrices the result has.

    Returns:
        The merged stack.
    """
    matrix = groups.to(counts.matrix.device)[counts.matrix]
    return coalesce(matrix, counts.row, counts.column, counts.count, matrices=matrices)


def interleave(parts: list[Counts], *, groups: int) -> Counts:
    """Put the stacks of several directions into one, direction fastest.

    Args:
        parts: One stack for each direction, of ``groups`` matrices each.
        groups: Matrices of each stack: slices, or 1.

    Returns:
        ``groups * len(parts)`` matrices; matrix m of direction d comes at ``m * len(parts) + d``.
    """
    matrix = [p.matrix * len(parts) + d for d, p in enumerate(parts)]
    joined = [torch.cat([getattr(p, name) for p in parts]) for name in ("row", "column", "count")]
    return coalesce(torch.cat(matrix), *joined, matrices=groups * len(parts))


def concatenate(first: Counts, second: Counts) -> Counts:
    """Put the matrices of a second stack behind those of a first."""
    return Counts(
        matrix=torch.cat([first.matrix, second.matrix + first.matrices]),
        row=torch.cat([first.row, second.row]),
        column=torch.cat([first.column, second.column]),
        count=torch.cat([first.count, second.count]),
        matrices=first.matrices + second.matrices,
    )


def from_table(table: NDArray[np.uint32] | Ints) -> Counts:
    """Turn a dense table (matrix, row, column) into ``Counts``."""
    cells = np.empty((4, _count_nonzero(table)), dtype=np.int64)
    _list_nonzero(table, *cells)
    matrix, row, column, count = torch.from_numpy(cells)
    return Counts(matrix, row, column, count, matrices=len(table))


def scan(levels: Tensor | Scan, reach: tuple[Offset, ...]) -> Scan:
    """Look through a level volume once for all who count in it.

    Args:
        levels: (z, y, x) integers, or what an earlier scan found in them, which is then only asked
            whether its border is as wide as ``reach``.
        reach: The steps (dz, dy, dx) that will be taken from its voxels.

    Returns:
        The volume with what is known of it.

    Raises:
        ShapeError: It is not (z, y, x), or a step from a voxel of the region may leave it.
        UnitError: It is not of an integer type.
        IntensityError: There are more than 65535 levels.
    """
    if isinstance(levels, Scan):
        _check_border(levels.border, reach)
        return levels
    if levels.is_cuda:
        check_levels(levels, reach)
        return Scan(levels, int(levels.max()))
    _check_kind(levels)
    volume = levels.contiguous().numpy()
    rows, top, border = _rows_of(volume)
    _check_top(top)
    _check_border(border, reach)
    return Scan(levels, top, border, volume, rows)


def check_levels(levels: Tensor, reach: tuple[Offset, ...]) -> None:
    """Refuse a level volume that the texture operators cannot count.

    Args:
        levels: What came.
        reach: The steps (dz, dy, dx) that will be taken from its voxels.

    Raises:
        ShapeError: It is not (z, y, x), or a step from a voxel of the region may leave it.
        UnitError: It is not of an integer type.
        IntensityError: There are more than 65535 levels.
    """
    if not levels.is_cuda:
        scan(levels, reach)
        return
    _check_kind(levels)
    _check_top(int(levels.max()) if levels.numel() else 0)
    z, y, x = (levels != 0).nonzero().T
    if z.numel():
        places = zip((z, y, x), levels.shape, strict=True)
        free = [(int(at.min()), size - 1 - int(at.max())) for at, size in places]
        _check_border((min(free[0]), min(free[1]), min(free[2])), reach)


def _check_kind(levels: Tensor) -> None:
    if levels.ndim != 3:
        raise ShapeError(f"levels must have shape (z, y, x), got {tuple(levels.shape)}")
    if levels.is_floating_point() or levels.dtype is torch.bool:
        raise UnitError(f"levels must be integers, got {levels.dtype}: discretise first")


def _check_top(top: int) -> None:
    if top > LARGEST_LEVEL:
        raise IntensityError(f"levels must not exceed {LARGEST_LEVEL}, got {top}: use wider bins")


def _check_border(border: Offset, reach: tuple[Offset, ...]) -> None:
    for axis, pad in enumerate(_widest(reach)):
        if border[axis] < pad:
            raise ShapeError(
                f"levels must have a border of {pad} zeros along axis {axis}: pad the volume"
            )


@lru_cache(maxsize=64)
def _widest(reach: tuple[Offset, ...]) -> Offset:
    z, y, x = (max(abs(step[axis]) for step in reach) for axis in range(3))
    return z, y, x


def vectorised(levels: Tensor, cells: int) -> bool:
    """Say whether to count by sorting in torch: on a GPU, or where a dense table is too large."""
    return levels.is_cuda or cells > TABLE_CELLS


def slice_ranks(levels: Tensor) -> Int[Tensor, " z"]:
    """Number the slices that hold a voxel of the region; -1 for the others."""
    held = (levels != 0).flatten(1).any(dim=1)
    return torch.where(held, torch.cumsum(held, dim=0) - 1, -1)


def nonempty_rows(levels: NDArray[np.integer]) -> Rows:
    """List the rows of a contiguous (z, y, x) volume that hold a voxel of the region."""
    return _rows_of(levels)[0]


def _rows_of(levels: NDArray[np.integer]) -> tuple[Rows, int, Offset]:
    """Give the rows, the highest level, and how many zeros lie around along each axis."""
    z, y, _ = levels.shape
    table = np.empty((4, z * y), dtype=np.uint64)
    kept, slices, top, *border = _scan_rows(levels.reshape(-1), levels.shape, table)
    start, stop, plane, rank = table[:, :kept]
    return Rows(start, stop, plane, rank, slices), top, (border[0], border[1], border[2])


def flat_offsets(offsets: tuple[Offset, ...], shape: tuple[int, ...]) -> Places:
    """Turn (dz, dy, dx) into steps through a flat (z, y, x) volume, modulo 2^64."""
    _, y, x = shape
    steps = np.array([(dz * y + dy) * x + dx for dz, dy, dx in offsets], dtype=np.int64)
    return steps.view(np.uint64)


def neighbour_offsets(distance: int, *, planar: bool) -> tuple[Offset, ...]:
    """List all offsets within a Chebyshev distance, the centre left out, in raster order."""
    reach = range(-distance, distance + 1)
    depth = (0,) if planar else reach
    every = ((dz, dy, dx) for dz in depth for dy in reach for dx in reach)
    return tuple(offset for offset in every if offset != (0, 0, 0))


def shifted(volume: Tensor, offset: Offset) -> Tensor:
    """Give each voxel's neighbour at ``offset``; the padding makes wraps harmless."""
    return torch.roll(volume, shifts=tuple(-step for step in offset), dims=(0, 1, 2))


def _sum_sorted(key: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    # Parts are sorted already, which a stable sort makes use of.
    order = torch.argsort(key, stable=True) if key.is_cuda else _merge_order(key)
    ordered = key[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    cell = ordered[first]
    total = torch.zeros(cell.numel(), dtype=torch.int64, device=key.device)
    return cell, total.index_add_(0, torch.cumsum(first, dim=0) - 1, count[order])


def _merge_order(key: Tensor) -> Tensor:
    return torch.from_numpy(np.argsort(key.numpy(), kind="stable"))


@kernel
@no_type_check
def _add_at(table, matrix, row, column, count):
    for k in range(count.size):
        table[matrix[k], row[k], column[k]] += count[k]


@kernel
@no_type_check
def _count_nonzero(table):
    found = 0
    for m in range(table.shape[0]):
        for i in range(table.shape[1]):
            for j in range(table.shape[2]):
                found += table[m, i, j] != 0
    return found


@kernel
@no_type_check
def _list_nonzero(table, matrix, row, column, count):
    k = 0
    for m in range(table.shape[0]):
        for i in range(table.shape[1]):
            for j in range(table.shape[2]):
                if table[m, i, j] != 0:
                    matrix[k] = m
                    row[k] = i
                    column[k] = j
                    count[k] = table[m, i, j]
                    k += 1


@kernel
@no_type_check
def _scan_rows(levels, shape, table):
    depth, height, width = shape
    kept, slices, top = 0, 0, 0
    border_z, border_y, border_x = depth, height, width
    for z in range(depth):
        before = kept
        for y in range(height):
            first = (z * height + y) * width
            last = first + width
            while first < last and levels[first] == 0:
                first += 1
            if first == last:
                continue
            while levels[last - 1] == 0:
                last -= 1
            for v in range(first, last):
                top = max(top, np.int64(levels[v]))
            left = first - (z * height + y) * width
            border_z = min(border_z, z, depth - 1 - z)
            border_y = min(border_y, y, height - 1 - y)
            border_x = min(border_x, left, width - (last - first) - left)
            table[0, kept], table[1, kept] = first, last
            table[2, kept], table[3, kept] = z, slices
            kept += 1
        if kept > before:
            slices += 1
    return kept, slices, top, border_z, border_y, border_x
