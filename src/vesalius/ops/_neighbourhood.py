"""Neighbourhoods: how a voxel differs from those around it, and how many of them it depends on."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vesalius.ops._counts import (
    Counts,
    check_levels,
    coalesce,
    flat_offsets,
    from_table,
    neighbour_offsets,
    nonempty_rows,
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
    levels: Int[Tensor, "z y x"], *, distance: int = 1, by_slice: bool = False
) -> Differences:
    """Compare each grey level with the mean of its neighbours inside the region.

    Voxels without a neighbour in the region are left out.

    Args:
        levels: (z, y, x) integers; 0 outside the region, which keeps ``distance`` voxels from
            the border along every axis that is looked along.
        distance: Chebyshev radius of the neighbourhood, voxels.
        by_slice: Neighbourhoods stay within a slice, and slices are kept apart.

    Returns:
        Integer counts and totals, one matrix, or one per slice of the region. Same device.

    Raises:
        ShapeError: ``levels`` is not (z, y, x) or lacks its border of zeros.
        UnitError: ``levels`` are not integers.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.10.
    """
    around = neighbour_offsets(distance, planar=by_slice)
    check_levels(levels, around)
    top = int(levels.max()) + 1
    slices = levels.shape[0] if by_slice else 1
    if vectorised(levels, slices * top * (len(around) + 1)):
        return _differences_torch(levels, distance, by_slice=by_slice)
    volume = levels.contiguous().numpy()
    rows = nonempty_rows(volume)
    shape = (rows.slices if by_slice else 1, top, len(around) + 1)
    voxels, totals = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    beside = tuple(step for step in neighbour_offsets(distance, planar=by_slice) if step[2] == 0)
    _count_differences(
        volume.reshape(-1),
        (rows.start, rows.stop, rows.rank if by_slice else np.zeros_like(rows.rank)),
        np.append(flat_offsets(beside, volume.shape), 0),
        (voxels, totals),
        distance,
    )
    return Differences(from_table(voxels), from_table(totals))


def dependences(
    levels: Int[Tensor, "z y x"], *, distance: int = 1, coarseness: int = 0, by_slice: bool = False
) -> Counts:
    """Count the voxels of each grey level by how many voxels around them are alike.

    Args:
        levels: (z, y, x) integers; 0 outside the region, which keeps ``distance`` voxels from
            the border along every axis that is looked along.
        distance: Chebyshev radius of the neighbourhood, voxels.
        coarseness: Levels that differ by at most this much are alike.
        by_slice: Neighbourhoods stay within a slice, and slices are kept apart.

    Returns:
        One matrix, or one per slice of the region: row is the grey level, column the number of
        dependent voxels, the voxel itself included. Same device as the input.

    Raises:
        ShapeError: ``levels`` is not (z, y, x) or lacks its border of zeros.
        UnitError: ``levels`` are not integers.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.11.
    """
    around = neighbour_offsets(distance, planar=by_slice)
    check_levels(levels, around)
    top = int(levels.max()) + 1
    slices = levels.shape[0] if by_slice else 1
    if vectorised(levels, slices * top * (len(around) + 2)):
        return _dependences_torch(levels, distance, coarseness, by_slice=by_slice)
    volume = levels.contiguous().numpy()
    rows = nonempty_rows(volume)
    table = np.zeros((rows.slices if by_slice else 1, top, len(around) + 2), dtype=np.uint32)
    _count_dependences(
        volume.reshape(-1),
        (rows.start, rows.stop, rows.rank if by_slice else np.zeros_like(rows.rank)),
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
    width = 0
    for r in range(start.size):
        width = max(width, stop[r] - start[r])
    column_sum = np.empty(width + 2 * distance, np.int32)
    column_near = np.empty(width + 2 * distance, np.int32)
    box_sum = np.empty(width, np.int32)
    box_near = np.empty(width, np.int32)
    for r in range(start.size):
        n = stop[r] - start[r]
        row = levels[start[r] : stop[r]]
        _add_columns(levels, start[r] - distance, n + 2 * distance, beside, column_sum, column_near)
        _add_box(column_sum, box_sum, n, distance)
        _add_box(column_near, box_near, n, distance)
        g = group[r]
        for x in range(n):
            level = np.int64(row[x])
            near = box_near[x] - 1
            if level != 0 and near > 0:
                voxels[g, level, near] += 1
                totals[g, level, near] += abs(level * near - (box_sum[x] - level))


@kernel
@no_type_check
def _add_columns(levels, start, size, beside, total, near):
    sums = total[:size]
    counts = near[:size]
    sums[:] = 0
    counts[:] = 0
    for k in range(beside.size):
        other = levels[start + beside[k] : start + beside[k] + size]
        for x in range(size):
            sums[x] += other[x]
            counts[x] += other[x] != 0


@kernel
@no_type_check
def _add_box(columns, box, size, distance):
    out = box[:size]
    out[:] = 0
    for k in range(2 * distance + 1):
        other = columns[k : k + size]
        for x in range(size):
            out[x] += other[x]


@kernel
@no_type_check
def _count_dependences(levels, rows, offsets, table, coarseness):
    start, stop, group = rows
    width = 0
    for r in range(start.size):
        width = max(width, stop[r] - start[r])
    alike = np.empty(width, np.int16)
    for r in range(start.size):
        n = stop[r] - start[r]
        row = levels[start[r] : stop[r]]
        out = alike[:n]
        out[:] = 1
        for k in range(offsets.size):
            other = levels[start[r] + offsets[k] : stop[r] + offsets[k]]
            if coarseness == 0:
                for x in range(n):
                    out[x] += np.int16(other[x] == row[x])
            else:
                for x in range(n):
                    gap = abs(np.int32(other[x]) - np.int32(row[x]))
                    out[x] += np.int16(other[x] != 0 and gap <= coarseness)
        g = group[r]
        for x in range(n):
            if row[x] != 0:
                table[g, row[x], out[x]] += 1
