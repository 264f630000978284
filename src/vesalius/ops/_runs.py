"""Runs: how long a grey level goes on along a line, by direction."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vesalius.ops._cooccurrence import IN_PLANE, THROUGH_PLANE
from vesalius.ops._counts import (
    Counts,
    Offset,
    check_levels,
    coalesce,
    flat_offsets,
    from_table,
    nonempty_rows,
    shifted,
    slice_ranks,
    vectorised,
)
from vesalius.ops._jit import kernel


def run_lengths(
    levels: Int[Tensor, "z y x"],
    *,
    directions: tuple[Offset, ...] = IN_PLANE + THROUGH_PLANE,
    by_slice: bool = False,
) -> Counts:
    """Count the maximal runs of each grey level by their length.

    Args:
        levels: (z, y, x) integers; 0 outside the region, one voxel of zeros around it.
        directions: Steps (dz, dy, dx) with dz 0 or 1, and dy, dx in -1, 0, 1.
        by_slice: Keep the slices apart; only for directions with dz = 0.

    Returns:
        One matrix per direction, or per slice of the region and direction (direction fastest):
        row is the grey level, column the length in voxels. Same device as the input.

    Raises:
        ShapeError: ``levels`` is not (z, y, x) or lacks its border of zeros.
        UnitError: ``levels`` are not integers.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.7.
    """
    check_levels(levels, directions)
    top = int(levels.max()) + 1
    slices = levels.shape[0] if by_slice else 1
    longest = max(levels.shape) - 2
    if vectorised(levels, slices * len(directions) * top * longest):
        return _runs_torch(levels, directions, by_slice=by_slice)
    return _runs_numba(levels, directions, top, by_slice=by_slice)


def _runs_numba(
    levels: Tensor, directions: tuple[Offset, ...], top: int, *, by_slice: bool
) -> Counts:
    volume = levels.contiguous().numpy()
    rows = nonempty_rows(volume)
    groups = rows.slices if by_slice else 1
    longest = max(volume.shape) - 1
    table = np.zeros((groups * len(directions), longest, top), dtype=np.uint32)
    group = rows.rank if by_slice else np.zeros_like(rows.rank)
    plane = volume.shape[1] * volume.shape[2]
    length = np.uint16 if longest < 65536 else np.uint32
    state = np.zeros(2 * plane * len(directions), dtype=length)
    _count_runs(
        volume.reshape(-1),
        (rows.start, rows.stop, rows.z, group),
        (flat_offsets(directions, volume.shape), np.array([d[0] for d in directions])),
        state,
        table,
        plane,
    )
    return from_table(np.ascontiguousarray(table.transpose(0, 2, 1)))


def _runs_torch(levels: Tensor, directions: tuple[Offset, ...], *, by_slice: bool) -> Counts:
    rank = slice_ranks(levels)
    groups = int(rank.max()) + 1 if by_slice else 1
    parts = [_runs_along(levels, step, rank if by_slice else None) for step in directions]
    matrix = [p.matrix * len(directions) + d for d, p in enumerate(parts)]
    joined = [torch.cat([getattr(p, name) for p in parts]) for name in ("row", "column", "count")]
    return coalesce(torch.cat(matrix), *joined, matrices=groups * len(directions))


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
def _count_runs(levels, rows, directions, state, table, plane):
    start, stop, depth, group = rows
    offsets, climbs = directions
    n = offsets.size
    longest, top = table.shape[1], table.shape[2]
    counts = table.reshape(-1)
    matrix = longest * top
    back = np.empty(n, np.int64)
    for r in range(start.size):
        z = depth[r]
        here = ((z & 1) - z) * plane
        for d in range(n):
            there = (((z - climbs[d]) & 1) - (z - climbs[d])) * plane
            back[d] = (there - offsets[d]) * n + d
        base = group[r] * n * matrix
        for v in range(start[r], stop[r]):
            level = levels[v]
            if level != 0:
                for d in range(n):
                    step = offsets[d]
                    length = 1
                    if levels[v - step] == level:
                        length += state[v * n + back[d]]
                    state[(v + here) * n + d] = length
                    ends = levels[v + step] != level
                    counts[base + d * matrix + length * top + level] += ends
