"""Grey level co-occurrence: how often two levels stand side by side, by direction."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vesalius.ops._counts import (
    TABLE_CELLS,
    Counts,
    Ints,
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

IN_PLANE: tuple[Offset, ...] = ((0, 0, 1), (0, 1, -1), (0, 1, 0), (0, 1, 1))
"""The four directions of a slice, as (dz, dy, dx)."""

THROUGH_PLANE: tuple[Offset, ...] = tuple((1, y, x) for y in (-1, 0, 1) for x in (-1, 0, 1))
"""The nine directions that leave the slice; with ``IN_PLANE`` the thirteen of 3-D."""


def cooccurrence(
    levels: Int[Tensor, "z y x"] | Scan,
    *,
    directions: tuple[Offset, ...] = IN_PLANE + THROUGH_PLANE,
    distance: int = 1,
    by_slice: bool = False,
) -> Counts:
    """Count pairs of neighbouring grey levels.

    The matrices are symmetric; only cells with row <= column are given, and a cell of the
    diagonal holds twice the number of its pairs, as in the full matrix.

    Args:
        levels: (z, y, x) integers, or a ``scan`` of them; 0 outside the region, which keeps
            ``distance`` voxels from the border along every axis that a direction leaves.
        directions: Steps (dz, dy, dx); scaled by ``distance``.
        distance: Chebyshev distance of the two voxels, voxels.
        by_slice: Keep the slices apart; only for directions with dz = 0.

    Returns:
        One matrix per direction, or per slice of the region and direction (direction fastest).
        Pairs that leave the region are not counted. Same device as the input.

    Raises:
        ShapeError: ``levels`` is not (z, y, x) or lacks its border of zeros.
        UnitError: ``levels`` are not integers.
        IntensityError: A level exceeds 65535.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.6.
    """
    steps = tuple((distance * dz, distance * dy, distance * dx) for dz, dy, dx in directions)
    seen = scan(levels, steps)
    slices = seen.levels.shape[0] if by_slice else 1
    if vectorised(seen.levels, 0):
        return _pairs_torch(seen.levels, steps, by_slice=by_slice)
    if slices * len(steps) * (seen.top + 1) ** 2 > TABLE_CELLS:
        return _pairs_sorted(seen, steps, by_slice=by_slice)
    return _pairs_numba(seen, steps, by_slice=by_slice)


def _pairs_numba(seen: Scan, steps: tuple[Offset, ...], *, by_slice: bool) -> Counts:
    rows, top = seen.rows, seen.top + 1
    groups = rows.slices if by_slice else 1
    table = np.zeros((groups * len(steps), top, top), dtype=np.uint32)
    _count_pairs(
        seen.volume.reshape(-1),
        (rows.start, rows.stop, seen.groups(by_slice)),
        flat_offsets(steps, seen.volume.shape),
        table.reshape(-1),
        top,
    )
    _fold(table)
    return from_table(table)


def _pairs_sorted(seen: Scan, steps: tuple[Offset, ...], *, by_slice: bool) -> Counts:
    """Sort the pairs where a dense table of their counts would be too large."""
    volume, rows, top = seen.volume, seen.rows, seen.top + 1
    group = seen.groups(by_slice)
    voxels = int((rows.stop - rows.start).sum())
    keys = np.empty((len(steps), voxels), dtype=np.int64)
    found = np.zeros(len(steps), dtype=np.int64)
    lines = (rows.start, rows.stop, group)
    _list_pairs(volume.reshape(-1), lines, flat_offsets(steps, volume.shape), keys, found, top)
    every = np.concatenate([row[:n] for row, n in zip(keys, found, strict=True)])
    return from_keys(every, top, matrices=(rows.slices if by_slice else 1) * len(steps))


def from_keys(keys: Ints, top: int, *, matrices: int) -> Counts:
    """Count the pairs (matrix * top + low) * top + high, two for each of the diagonal.

    Args:
        keys: One for each pair, in any order; sorted in place.
        top: One more than the highest level.
        matrices: How many matrices there are.

    Returns:
        The stack.
    """
    keys.sort()
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    count = np.diff(first, append=keys.size)
    place, high = np.divmod(keys[first], top)
    matrix, low = np.divmod(place, top)
    count[low == high] *= 2
    return Counts(
        matrix=torch.from_numpy(matrix),
        row=torch.from_numpy(low),
        column=torch.from_numpy(high),
        count=torch.from_numpy(count),
        matrices=matrices,
    )


def _pairs_torch(levels: Tensor, steps: tuple[Offset, ...], *, by_slice: bool) -> Counts:
    rank = slice_ranks(levels)
    groups = int(rank.max()) + 1 if by_slice else 1
    parts = [_pairs_along(levels, step, rank if by_slice else None) for step in steps]
    return interleave(parts, groups=groups)


def _pairs_along(levels: Tensor, step: Offset, rank: Tensor | None) -> Counts:
    other = shifted(levels, step)
    pair = (levels != 0) & (other != 0)
    a, b = levels[pair].long(), other[pair].long()
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    group = torch.zeros_like(a) if rank is None else rank[pair.nonzero()[:, 0]]
    weight = torch.where(a == b, 2, 1)
    groups = 1 if rank is None else int(rank.max()) + 1
    return coalesce(group, low, high, weight, matrices=groups)


@kernel
@no_type_check
def _count_pairs(levels, rows, offsets, table, top):
    start, stop, group = rows
    wide = np.uint64(top)
    square = wide * wide
    for r in range(start.size):
        base = group[r] * np.uint64(offsets.size) * square
        for v in range(start[r], stop[r]):
            level = np.uint64(levels[v])
            if level != 0:
                cell = base + level * wide
                for d in range(offsets.size):
                    table[cell + np.uint64(levels[v + offsets[d]])] += 1
                    cell += square


@kernel
@no_type_check
def _list_pairs(levels, rows, offsets, keys, found, top):
    start, stop, group = rows
    for r in range(start.size):
        for d in range(offsets.size):
            base = (np.int64(group[r]) * offsets.size + d) * top
            k = found[d]
            for v in range(start[r], stop[r]):
                a, b = np.int64(levels[v]), np.int64(levels[v + offsets[d]])
                if a != 0 and b != 0:
                    keys[d, k] = (base + min(a, b)) * top + max(a, b)
                    k += 1
            found[d] = k


@kernel
@no_type_check
def _fold(table):
    for m in range(table.shape[0]):
        for i in range(table.shape[1]):
            table[m, 0, i] = 0
            table[m, i, 0] = 0
            table[m, i, i] *= 2
            for j in range(i):
                table[m, j, i] += table[m, i, j]
                table[m, i, j] = 0
