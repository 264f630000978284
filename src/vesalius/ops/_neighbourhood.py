"""Neighbourhoods: how a voxel differs from those around it, and how many of them it depends on."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vesalius.ops._counts import (
    Counts,
    Scan,
    coalesce,
    flat_offsets,
    from_table,
    neighbour_offsets,
    scan,
    shifted,
    slice_ranks,
    vectorised,
)
from vesalius.ops._jit import kernel


class Differences(NamedTuple):
    """Voxels with neighbours, by grey level i (row) and number of neighbours k (column).

    ``voxels`` counts them; ``totals`` sums |k i - (sum of the neighbours)|, so that dividing by k
    gives the sum of |i - mean| exactly, whatever the order of summation. Both have the same cells
    but for those of ``totals`` that are zero.
    """

    voxels: Counts
    totals: Counts


def differences(
    levels: Int[Tensor, "z y x"] | Scan, *, distance: int = 1, by_slice: bool = False
) -> Differences:
    """Compare each grey level with the mean of its neighbours inside the region.

    Voxels without a neighbour in the region are left out.

    Args:
        levels: (z, y, x) integers, or a ``scan`` of them; 0 outside the region, which keeps
            ``distance`` voxels from the border along every axis that is looked along.
        distance: Chebyshev radius of the neighbourhood, voxels.
        by_slice: Neighbourhoods stay within a slice, and slices are kept apart.

    Returns:
        Integer counts and totals, one matrix, or one per slice of the region. Same device.

    Raises:
        ShapeError: ``levels`` is not (z, y, x) or lacks its border of zeros.
        UnitError: ``levels`` are not integers.
        IntensityError: A level exceeds 65535.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.10.
    """
    around = neighbour_offsets(distance, planar=by_slice)
    seen = scan(levels, around)
    volume, rows, top = seen.volume, seen.rows, seen.top + 1
    slices = seen.levels.shape[0] if by_slice else 1
    if vectorised(seen.levels, slices * top * (len(around) + 1)):
        return _differences_torch(seen.levels, distance, by_slice=by_slice)
    shape = (rows.slices if by_slice else 1, top, len(around) + 1)
    voxels, totals = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    beside = tuple(step for step in around if step[2] == 0)
    _count_differences(
        volume.reshape(-1),
        (rows.start, rows.stop, seen.groups(by_slice)),
        flat_offsets((*beside, (0, 0, 0)), volume.shape),
        (voxels, totals),
        distance,
    )
    return Differences(from_table(voxels), from_table(totals))


def dependences(
    levels: Int[Tensor, "z y x"] | Scan,
    *,
    distance: int = 1,
    coarseness: int = 0,
    by_slice: bool = False,
) -> Counts:
    """Count the voxels of each grey level by how many voxels around them are alike.

    Args:
        levels: (z, y, x) integers, or a ``scan`` of them; 0 outside the region, which keeps
            ``distance`` voxels from the border along every axis that is looked along.
        distance: Chebyshev radius of the neighbourhood, voxels.
        coarseness: Levels that differ by at most this much are alike.
        by_slice: Neighbourhoods stay within a slice, and slices are kept apart.

    Returns:
        One matrix, or one per slice of the region: row is the grey level, column the number of
        dependent voxels, the voxel itself included. Same device as the input.

    Raises:
        ShapeError: ``levels`` is not (z, y, x) or lacks its border of zeros.
        UnitError: ``levels`` are not integers.
        IntensityError: A level exceeds 65535.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.11.
    """
    around = neighbour_offsets(distance, planar=by_slice)
    seen = scan(levels, around)
    volume, rows, top = seen.volume, seen.rows, seen.top + 1
    slices = seen.levels.shape[0] if by_slice else 1
    if vectorised(seen.levels, slices * top * (len(around) + 2)):
        return _dependences_torch(seen.levels, distance, coarseness, by_slice=by_slice)
    table = np.zeros((rows.slices if by_slice else 1, top, len(around) + 2), dtype=np.uint32)
    _count_dependences(
        volume.reshape(-1),
        (rows.start, rows.stop, seen.groups(by_slice)),
        flat_offsets(around, volume.shape),
        table,
        coarseness,
    )
    return from_table(table)


def _differences_torch(levels: Tensor, distance: int, *, by_slice: bool) -> Differences:
    near = torch.zeros(levels.shape, dtype=torch.int32, device=levels.device)
    total = torch.zeros(levels.shape, dtype=torch.int64, device=levels.device)
    for step in neighbour_offsets(distance, planar=by_slice):
        other = shifted(levels, step)
        near += other != 0
        total += other
    kept = (levels != 0) & (near > 0)
    row, column = levels[kept].long(), near[kept].long()
    matrix, matrices = _matrix_of(levels, kept, by_slice=by_slice)
    gap = (row * column - total[kept]).abs()
    voxels = coalesce(matrix, row, column, torch.ones_like(row), matrices=matrices)
    some = gap > 0
    totals = coalesce(matrix[some], row[some], column[some], gap[some], matrices=matrices)
    return Differences(voxels, totals)


def _dependences_torch(levels: Tensor, distance: int, coarseness: int, *, by_slice: bool) -> Counts:
    alike = torch.ones(levels.shape, dtype=torch.int32, device=levels.device)
    wide = levels.to(torch.int32)
    for step in neighbour_offsets(distance, planar=by_slice):
        other = shifted(wide, step)
        alike += (other != 0) & ((other - wide).abs() <= coarseness)
    kept = levels != 0
    matrix, matrices = _matrix_of(levels, kept, by_slice=by_slice)
    row, column = levels[kept].long(), alike[kept].long()
    return coalesce(matrix, row, column, torch.ones_like(row), matrices=matrices)


def _matrix_of(levels: Tensor, kept: Tensor, *, by_slice: bool) -> tuple[Tensor, int]:
    rank = slice_ranks(levels)
    slices = kept.nonzero()[:, 0]
    if by_slice:
        return rank[slices], int(rank.max()) + 1
    return torch.zeros_like(slices), 1


@kernel
@no_type_check
def _count_differences(levels, rows, beside, tables, distance):
    start, stop, group = rows
    voxels, totals = tables
    widest = np.int64(np.max(stop - start)) + 2 * distance
    column_sum, column_near = np.empty(widest, np.int32), np.empty(widest, np.int32)
    box_sum, box_near = np.empty(widest, np.int32), np.empty(widest, np.int32)
    for r in range(start.size):
        first, size = start[r], stop[r] - start[r]
        reach = np.uint64(distance)
        wide = size + reach + reach
        _add_columns(levels, first - reach, wide, beside, column_sum, column_near)
        _add_box(column_sum, box_sum, size, distance)
        _add_box(column_near, box_near, size, distance)
        g = group[r]
        for x in range(size):
            level = np.int64(levels[first + x])
            near = np.int64(box_near[x]) - 1
            if level != 0 and near > 0:
                voxels[g, level, near] += 1
                totals[g, level, near] += abs(level * near - (box_sum[x] - level))


@kernel
@no_type_check
def _add_columns(levels, first, size, beside, total, near):
    total[:] = 0
    near[:] = 0
    for k in range(beside.size):
        other = first + beside[k]
        for x in range(size):
            level = levels[other + x]
            total[x] += level
            near[x] += 1 if level != 0 else 0


@kernel
@no_type_check
def _add_box(columns, box, size, distance):
    box[:] = 0
    for k in range(2 * distance + 1):
        shift = np.uint64(k)
        for x in range(size):
            box[x] += columns[shift + x]


@kernel
@no_type_check
def _count_dependences(levels, rows, offsets, table, coarseness):
    start, stop, group = rows
    alike = np.empty(np.int64(np.max(stop - start)), np.int16)
    for r in range(start.size):
        first, size = start[r], stop[r] - start[r]
        alike[:] = 1
        for k in range(offsets.size):
            if coarseness == 0:
                _add_equal(levels, first, size, offsets[k], alike)
            else:
                _add_alike(levels, first, size, offsets[k], alike, coarseness)
        g = group[r]
        for x in range(size):
            level = levels[first + x]
            if level != 0:
                table[g, level, alike[x]] += 1


@kernel
@no_type_check
def _add_equal(levels, first, size, step, alike):
    for x in range(size):
        v = first + x
        alike[x] += np.int16(levels[v] == levels[v + step])


@kernel
@no_type_check
def _add_alike(levels, first, size, step, alike, coarseness):
    for x in range(size):
        v = first + x
        other = levels[v + step]
        gap = abs(np.int64(other) - np.int64(levels[v]))
        alike[x] += np.int16((other != 0) & (gap <= coarseness))
