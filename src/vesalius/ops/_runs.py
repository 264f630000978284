"""Runs: how long a grey level goes on along a line, by direction."""
# SPDX-License-Identifier: Apache-2.0

from functools import lru_cache
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from vesalius.ops._cooccurrence import IN_PLANE, THROUGH_PLANE
from vesalius.ops._counts import (
    Counts,
    Offset,
    Scan,
    coalesce,
    flat_offsets,
    from_table,
    interleave,
    scan,
    shifted,
    slice_ranks,
    vectorised,
)
from vesalius.ops._jit import kernel


def run_lengths(
    levels: Int[Tensor, "z y x"] | Scan,
    *,
    directions: tuple[Offset, ...] = IN_PLANE + THROUGH_PLANE,
    by_slice: bool = False,
) -> Counts:
    """Count the maximal runs of each grey level by their length.

    Args:
        levels: (z, y, x) integers, or a ``scan`` of them; 0 outside the region, one voxel of
            zeros around it.
        directions: Steps (dz, dy, dx) with dz 0 or 1, and dy, dx in -1, 0, 1.
        by_slice: Keep the slices apart; only for directions with dz = 0.

    Returns:
        One matrix per direction, or per slice of the region and direction (direction fastest):
        row is the grey level, column the length in voxels. Same device as the input.

    Raises:
        ShapeError: ``levels`` is not (z, y, x) or lacks its border of zeros.
        UnitError: ``levels`` are not integers.
        IntensityError: A level exceeds 65535.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.7.
    """
    seen = scan(levels, directions)
    shape = seen.levels.shape
    cells = (shape[0] if by_slice else 1) * len(directions) * (seen.top + 1) * (max(shape) - 2)
    if vectorised(seen.levels, cells):
        return _runs_torch(seen.levels, directions, by_slice=by_slice)
    return _runs_numba(seen, directions, by_slice=by_slice)


def _runs_numba(seen: Scan, directions: tuple[Offset, ...], *, by_slice: bool) -> Counts:
    volume, rows, top = seen.volume, seen.rows, seen.top + 1
    groups = rows.slices if by_slice else 1
    longest = max(volume.shape) - 1
    table = np.zeros((groups * len(directions), longest, top), dtype=np.uint32)
    plane = volume.shape[1] * volume.shape[2]
    length = np.uint16 if longest < 65535 else np.uint32
    _count_runs(
        volume.reshape(-1),
        (rows.start, rows.stop, rows.z, seen.groups(by_slice)),
        (flat_offsets(directions, volume.shape), np.array([d[0] for d in directions], np.uint64)),
        np.empty(len(directions) * 2 * plane, dtype=length),
        table,
        _lowest_bit(),
    )
    return from_table(table.transpose(0, 2, 1))


@lru_cache(maxsize=1)
def _lowest_bit() -> NDArray[np.uint8]:
    """For each set of up to thirteen bits give the number of the lowest."""
    sets = np.arange(1, 1 << 13)
    return np.append(0, np.log2(sets & -sets)).astype(np.uint8)


def _runs_torch(levels: Tensor, directions: tuple[Offset, ...], *, by_slice: bool) -> Counts:
    rank = slice_ranks(levels)
    groups = int(rank.max()) + 1 if by_slice else 1
    parts = [_runs_along(levels, step, rank if by_slice else None) for step in directions]
    return interleave(parts, groups=groups)


def _runs_along(levels: Tensor, step: Offset, rank: Tensor | None) -> Counts:
    back = (-step[0], -step[1], -step[2])
    same = (shifted(levels, back) == levels) & (levels != 0)
    length = _running_length(same, step)
    ends = (shifted(levels, step) != levels) & (levels != 0)
    row, column = levels[ends].long(), length[ends].long()
    group = torch.zeros_like(row) if rank is None else rank[ends.nonzero()[:, 0]]
    groups = 1 if rank is None else int(rank.max()) + 1
    return coalesce(group, row, column, torch.ones_like(row), matrices=groups)


def _running_length(same: Tensor, step: Offset) -> Tensor:
    """Number the voxels of every run from 1, walking along the first axis that is stepped."""
    axis = next(k for k in range(3) if step[k] != 0)
    rest = [step[k] for k in range(3) if k != axis]
    flags = same.movedim(axis, 0)
    length = torch.ones(flags.shape, dtype=torch.int32, device=same.device)
    for k in range(1, flags.shape[0]):
        before = torch.roll(length[k - 1], shifts=rest, dims=(0, 1))
        length[k] += before * flags[k]
    return length.movedim(0, axis)


@kernel
@no_type_check
def _count_runs(levels, rows, directions, state, table, lowest):
    """Walk row by row; whole rows at a time but for the runs of two or more that end."""
    start, stop, depth, group = rows
    offsets, climbs = directions
    one = np.uint64(1)
    plane = np.uint64(state.size // offsets.size // 2)
    ending = np.empty(np.int64(np.max(stop - start)), np.uint16)
    voxels = np.zeros((table.shape[0] // offsets.size, table.shape[2]), np.int64)
    for r in range(start.size):
        z, first, size = depth[r], start[r], stop[r] - start[r]
        here = first + ((z & one) - z) * plane
        ending[:] = 0
        for d in range(offsets.size):
            below = z - climbs[d]
            there = first - offsets[d] + ((below & one) - below) * plane
            layer = np.uint64(2 * d) * plane
            if offsets[d] == one:
                _lengthen_along(levels, first, size, state, layer + here)
            else:
                _lengthen(levels, (first, size, offsets[d]), state, layer + here, layer + there)
            _mark_ends(levels, (first, size, offsets[d]), state, layer + here, ending, d)
        row = (first, size, here, plane)
        _count_row(levels, row, (state, ending, lowest), (table, voxels), group[r])
    _fill_ones(table, voxels, offsets.size)


@kernel
@no_type_check
def _lengthen(levels, row, state, here, there):
    first, size, step = row
    for x in range(size):
        v = first + x
        state[here + x] = state[there + x] + 1 if levels[v] == levels[v - step] else 1


@kernel
@no_type_check
def _lengthen_along(levels, first, size, state, here):
    length = 0
    before = levels[first]
    for x in range(size):
        level = levels[first + x]
        length = length + 1 if level == before else 1
        state[here + x] = length
        before = level


@kernel
@no_type_check
def _mark_ends(levels, row, state, here, ending, d):
    first, size, step = row
    bit = np.uint16(1 << d)
    for x in range(size):
        v = first + x
        ends = (levels[v] != levels[v + step]) & (state[here + x] > 1)
        ending[x] |= bit if ends else np.uint16(0)


@kernel
@no_type_check
def _count_row(levels, row, runs, counted, group):
    first, size, here, plane = row
    state, ending, lowest = runs
    table, voxels = counted
    counts = table.reshape(-1)
    n = np.uint64(table.shape[0] // voxels.shape[0])
    longest, top = np.uint64(table.shape[1]), np.uint64(table.shape[2])
    for x in range(size):
        level = np.uint64(levels[first + x])
        if level != 0:
            voxels[group, level] += 1
            left = ending[x]
            while left != 0:
                d = np.uint64(lowest[left])
                left &= left - np.uint16(1)
                length = np.uint64(state[np.uint64(2) * d * plane + here + x])
                counts[((group * n + d) * longest + length) * top + level] += 1


@kernel
@no_type_check
def _fill_ones(table, voxels, n):
    """Runs of one voxel are those that are in no longer run."""
    for m in range(table.shape[0]):
        for level in range(table.shape[2]):
            table[m, 1, level] = voxels[m // n, level]
        for length in range(2, table.shape[1]):
            for level in range(table.shape[2]):
                table[m, 1, level] -= length * table[m, length, level]
