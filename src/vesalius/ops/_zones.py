"""Zones: connected voxels of one grey level, their sizes and their distance to the edge."""
# SPDX-License-Identifier: Apache-2.0

from functools import lru_cache
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._counts import (
    Counts,
    Offset,
    check_levels,
    coalesce,
    flat_offsets,
    nonempty_rows,
    shifted,
    slice_ranks,
)
from vesalius.ops._jit import kernel

# Neighbours that come earlier in raster order. Those that touch most others come first, so that
# one of them often stands for all.
PLANAR: tuple[Offset, ...] = ((0, -1, 0), (0, 0, -1), (0, -1, 1), (0, -1, -1))
SOLID: tuple[Offset, ...] = (
    (-1, 0, 0),
    *((-1, *step) for step in ((0, -1), (0, 1), (-1, 0), (1, 0))),
    *PLANAR,
    *((-1, *step) for step in ((-1, -1), (-1, 1), (1, -1), (1, 1))),
)
FAR = 2**31 - 1


class Zones(NamedTuple):
    """The zones of a volume, counted by grey level and size, and by grey level and distance."""

    sizes: Counts
    distances: Counts


def zones(
    levels: Int[Tensor, "z y x"], depth: Int[Tensor, "z y x"], *, by_slice: bool = False
) -> Zones:
    """Count the connected zones of each grey level by size and by distance to the edge.

    Args:
        levels: (z, y, x) integers; 0 outside the region, one voxel of zeros around it.
        depth: (z, y, x) int32, ``edge_distance`` of the morphological mask. The distance of a
            zone is the smallest of its voxels.
        by_slice: Zones stay within a slice (8 neighbours); otherwise in 3-D (26 neighbours).

    Returns:
        Two stacks with one matrix, or one per slice of the region: row is the grey level, column
        the number of voxels, or the distance. Same device as the input.

    Raises:
        ShapeError: ``levels`` lacks its border of zeros, or ``depth`` has another shape.
        UnitError: ``levels`` are not integers.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapters 3.8 and 3.9. Labelling: union-find
        in raster order with decision tables, Wu, Otoo, Suzuki (2009),
        doi:10.1007/s10044-008-0109-y.
    """
    check_levels(levels, PLANAR if by_slice else SOLID)
    _check_depth(levels, depth)
    find = _zones_torch if vectorised(levels) else _zones_numba
    matrix, level, size, near = find(levels, depth, by_slice=by_slice)
    matrices = int(slice_ranks(levels).max()) + 1 if by_slice else 1
    return Zones(
        _tally(matrix, level, size, matrices=matrices),
        _tally(matrix, level, near, matrices=matrices),
    )


def _check_depth(levels: Tensor, depth: Tensor) -> None:
    if depth.shape != levels.shape:
        raise ShapeError(
            f"depth must have the shape of levels {tuple(levels.shape)}, got {tuple(depth.shape)}"
        )


def vectorised(levels: Tensor) -> bool:
    """Say whether to label in torch: on a GPU."""
    return levels.is_cuda


def _tally(matrix: Tensor, level: Tensor, column: Tensor, *, matrices: int) -> Counts:
    """Count zones; the few large values apart, so that a dense table stays small."""
    return coalesce(matrix, level, column, torch.ones_like(column), matrices=matrices)


def _zones_numba(levels: Tensor, depth: Tensor, *, by_slice: bool) -> tuple[Tensor, ...]:
    volume = levels.contiguous().numpy()
    rows = nonempty_rows(volume)
    steps = PLANAR if by_slice else SOLID
    voxels = int((rows.stop - rows.start).sum())
    parent, size, near = (np.empty(voxels + 1, dtype=np.int32) for _ in range(3))
    level = np.empty(voxels + 1, dtype=volume.dtype)
    group = np.empty(voxels + 1, dtype=np.int32)
    plane = volume.shape[1] * volume.shape[2]
    found = _label_zones(
        (volume.reshape(-1), depth.contiguous().numpy().reshape(-1)),
        (rows.start, rows.stop, rows.z, rows.rank if by_slice else np.zeros_like(rows.rank)),
        (flat_offsets(steps, volume.shape), np.array([s[0] for s in steps]), _stand_ins(by_slice)),
        (parent, size, near, level, group),
        np.zeros(2 * plane, dtype=np.int32),
        plane,
    )
    kept = (array[:found].astype(np.int64) for array in (group, level, size, near))
    return tuple(torch.from_numpy(array) for array in kept)


@lru_cache(maxsize=2)
def _stand_ins(by_slice: bool) -> NDArray[np.uint16]:
    """For each set of equal neighbours (as bits) give one of every connected group of them."""
    steps = np.array(PLANAR if by_slice else SOLID)
    touching = np.abs(steps[:, None] - steps[None]).max(axis=2) <= 1
    sets = np.arange(1 << len(steps))[:, None] >> np.arange(len(steps)) & 1 == 1
    first = np.where(sets, np.arange(len(steps)), len(steps))
    for _ in range(len(steps)):
        reach = np.where(touching & sets[:, None, :], first[:, None, :], len(steps)).min(axis=2)
        first = np.where(sets, reach, len(steps))
    leads = sets & (first == np.arange(len(steps)))
    bits: NDArray[np.uint16] = (leads << np.arange(len(steps))).sum(axis=1).astype(np.uint16)
    return bits


def _zones_torch(levels: Tensor, depth: Tensor, *, by_slice: bool) -> tuple[Tensor, ...]:
    label = _propagate(levels, PLANAR if by_slice else SOLID)
    inside = levels.reshape(-1) != 0
    root, index, size = torch.unique(
        label[inside], return_inverse=True, return_counts=True, sorted=True
    )
    near = torch.full_like(root, FAR).scatter_reduce_(
        0, index, depth.reshape(-1)[inside].long(), "amin"
    )
    level = levels.reshape(-1)[root].long()
    plane = levels.shape[1] * levels.shape[2]
    group = slice_ranks(levels)[root // plane] if by_slice else torch.zeros_like(root)
    return group, level, size, near


def _propagate(levels: Tensor, steps: tuple[Offset, ...]) -> Tensor:
    """Hook each zone's root to the smallest root beside it, and flatten, until nothing moves."""
    flat = torch.arange(levels.numel(), device=levels.device)
    inside = levels != 0
    edges = []
    for step in steps:
        other = shifted(flat.reshape(levels.shape), step)
        equal = inside & (shifted(levels, step) == levels)
        edges.append(torch.stack([flat.reshape(levels.shape)[equal], other[equal]]))
    a, b = torch.cat(edges, dim=1)
    label = flat
    while True:
        low = torch.minimum(label[a], label[b])
        high = torch.maximum(label[a], label[b])
        moved = label.scatter_reduce(0, high, low, "amin")
        moved = _flatten(moved)
        if torch.equal(moved, label):
            return label
        label = moved


def _flatten(label: Tensor) -> Tensor:
    while True:
        shorter = label[label]
        if torch.equal(shorter, label):
            return label
        label = shorter


@kernel
@no_type_check
def _label_zones(volumes, rows, neighbours, table, state, plane):
    levels, depth = volumes
    start, stop, slice_, group = rows
    offsets, climbs, stand_ins = neighbours
    parent, size, near, level_of, group_of = table
    n = offsets.size
    back = np.empty(n, np.int64)
    width = 0
    for r in range(start.size):
        width = max(width, stop[r] - start[r])
    equal = np.empty(width, np.uint16)
    made = 0
    for r in range(start.size):
        z = slice_[r]
        here = ((z & 1) - z) * plane
        for d in range(n):
            there = (((z + climbs[d]) & 1) - (z + climbs[d])) * plane
            back[d] = there + offsets[d]
        _equal_bits(levels, start[r], stop[r], offsets, equal)
        for v in range(start[r], stop[r]):
            level = levels[v]
            if level == 0:
                continue
            leads = stand_ins[equal[v - start[r]]]
            if leads == 0:
                root = made
                made += 1
                parent[root] = root
                size[root] = 0
                near[root] = FAR
                level_of[root] = level
                group_of[root] = group[r]
            else:
                d = 0
                while (leads >> d) & 1 == 0:
                    d += 1
                root = _root(parent, state[v + back[d]])
                leads >>= d + 1
                d += 1
                while leads != 0:
                    if leads & 1:
                        other = _root(parent, state[v + back[d]])
                        if other < root:
                            parent[root] = other
                            root = other
                        elif root < other:
                            parent[other] = root
                    leads >>= 1
                    d += 1
            state[v + here] = root
            size[root] += 1
            near[root] = min(near[root], depth[v])
    return _gather_roots(table, made)


@kernel
@no_type_check
def _equal_bits(levels, start, stop, offsets, equal):
    row = levels[start:stop]
    bits = equal[: stop - start]
    bits[:] = 0
    for d in range(offsets.size):
        other = levels[start + offsets[d] : stop + offsets[d]]
        bit = np.uint16(1 << d)
        for x in range(row.size):
            bits[x] |= bit if row[x] == other[x] else np.uint16(0)


@kernel
@no_type_check
def _root(parent, label):
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@kernel
@no_type_check
def _gather_roots(table, made):
    parent, size, near, level_of, group_of = table
    found = 0
    for k in range(made):
        root = parent[parent[k]]
        parent[k] = root
        if root != k:
            size[root] += size[k]
            near[root] = min(near[root], near[k])
    for k in range(made):
        if parent[k] == k:
            size[found] = size[k]
            near[found] = near[k]
            level_of[found] = level_of[k]
            group_of[found] = group_of[k]
            found += 1
    return found
