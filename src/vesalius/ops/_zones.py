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
    TABLE_CELLS,
    Counts,
    Offset,
    Scan,
    coalesce,
    flat_offsets,
    from_table,
    scan,
    shifted,
    slice_ranks,
)
from vesalius.ops._jit import kernel

# Neighbours that come earlier in raster order. The voxel just before comes first, because its
# zone is at hand; then those that touch most others, because one of them stands for all.
PLANAR: tuple[Offset, ...] = ((0, 0, -1), (0, -1, 0), (0, -1, 1), (0, -1, -1))
SOLID: tuple[Offset, ...] = (
    (0, 0, -1),
    (-1, 0, 0),
    *PLANAR[1:],
    *((-1, *step) for step in ((0, -1), (0, 1), (-1, 0), (1, 0))),
    *((-1, *step) for step in ((-1, -1), (-1, 1), (1, -1), (1, 1))),
)
WIDE = 128
"""Sizes and distances below this are counted in a dense table, the rarer larger ones listed."""


class Zones(NamedTuple):
    """The zones of a volume, counted by grey level and size, and by grey level and distance."""

    sizes: Counts
    distances: Counts


def zones(
    levels: Int[Tensor, "z y x"] | Scan, depth: Int[Tensor, "z y x"], *, by_slice: bool = False
) -> Zones:
    """Count the connected zones of each grey level by size and by distance to the edge.

    Args:
        levels: (z, y, x) integers, or a ``scan`` of them; 0 outside the region, one voxel of
            zeros around it.
        depth: (z, y, x) int32, ``edge_distance`` of the morphological mask. The distance of a
            zone is the smallest of its voxels.
        by_slice: Zones stay within a slice (8 neighbours); otherwise in 3-D (26 neighbours).

    Returns:
        Two stacks with one matrix, or one per slice of the region: row is the grey level, column
        the number of voxels, or the distance. Same device as the input.

    Raises:
        ShapeError: ``levels`` lacks its border of zeros, or ``depth`` has another shape.
        UnitError: ``levels`` are not integers.
        IntensityError: A level exceeds 65535.

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapters 3.8 and 3.9. Labelling: union-find
        in raster order with decision tables, Wu, Otoo, Suzuki (2009),
        doi:10.1007/s10044-008-0109-y.
    """
    seen = scan(levels, PLANAR if by_slice else SOLID)
    _check_depth(seen.levels, depth)
    if not vectorised(seen.levels):
        return _zones_numba(seen, depth, by_slice=by_slice)
    matrix, level, size, near = _zones_torch(seen.levels, depth, by_slice=by_slice)
    matrices = int(slice_ranks(seen.levels).max()) + 1 if by_slice else 1
    one = torch.ones_like(matrix)
    return Zones(
        coalesce(matrix, level, size, one, matrices=matrices),
        coalesce(matrix, level, near, one, matrices=matrices),
    )


def _check_depth(levels: Tensor, depth: Tensor) -> None:
    if depth.shape != levels.shape:
        raise ShapeError(
            f"depth must have the shape of levels {tuple(levels.shape)}, got {tuple(depth.shape)}"
        )


def vectorised(levels: Tensor) -> bool:
    """Say whether to label in torch: on a GPU."""
    return levels.is_cuda


def _zones_numba(seen: Scan, depth: Tensor, *, by_slice: bool) -> Zones:
    volume, inward, rows = seen.volume, depth.contiguous().numpy(), seen.rows
    steps = PLANAR if by_slice else SOLID
    groups, top = rows.slices if by_slice else 1, seen.top + 1
    voxels = int((rows.stop - rows.start).sum())
    wide = min(WIDE, TABLE_CELLS // (groups * top) + 1)
    tables = np.zeros((2, groups, top, wide), dtype=np.uint32)
    listed = np.empty((2, voxels, 3), dtype=np.int32)
    parent, size = np.empty(voxels, dtype=np.uint32), np.empty(voxels, dtype=np.uint32)
    climbs = np.array([-s[0] for s in steps], np.uint64)
    tails = _label_zones(
        (volume.reshape(-1), inward.reshape(-1)),
        (rows.start, rows.stop, rows.z, seen.groups(by_slice)),
        (flat_offsets(steps, volume.shape), climbs, _stand_ins(by_slice)),
        (parent, size, np.empty(voxels, inward.dtype), np.empty(voxels, volume.dtype)),
        np.empty(2 * volume.shape[1] * volume.shape[2], dtype=np.uint32),
        (tables, listed),
    )
    kept = (listed[k, :tail] for k, tail in enumerate(tails))
    return Zones(*(_join(table, rest) for table, rest in zip(tables, kept, strict=True)))


def _join(table: NDArray[np.uint32], listed: NDArray[np.int32]) -> Counts:
    """Put the zones that were listed one by one to those that were counted in a table."""
    common = from_table(table)
    if len(listed) == 0:
        return common
    matrix, row, column = torch.from_numpy(listed.astype(np.int64)).unbind(dim=1)
    rest = coalesce(matrix, row, column, torch.ones_like(row), matrices=common.matrices)
    key = torch.cat([c.matrix * table.shape[1] + c.row for c in (common, rest)])
    # Both parts are sorted, and the columns of the second are the larger ones.
    order = torch.from_numpy(np.argsort(key.numpy(), kind="stable"))
    return Counts(
        matrix=torch.cat([common.matrix, rest.matrix])[order],
        row=torch.cat([common.row, rest.row])[order],
        column=torch.cat([common.column, rest.column])[order],
        count=torch.cat([common.count, rest.count])[order],
        matrices=common.matrices,
    )


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
    near = torch.full_like(root, torch.iinfo(torch.int64).max).scatter_reduce_(
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
def _label_zones(volumes, rows, neighbours, zone, state, counts):
    """Label row by row with union-find; count the zones of a slice, or of all, at its end."""
    levels, depth = volumes
    start, stop, slice_, group = rows
    offsets, climbs, stand_ins = neighbours
    one = np.uint64(1)
    plane = np.uint64(state.size // 2)
    back = np.empty(offsets.size, np.uint64)
    equal = np.empty(np.int64(np.max(stop - start)), np.uint16)
    tails = np.zeros(2, np.int64)
    made = 0
    for r in range(start.size):
        if r > 0 and group[r] != group[r - 1]:
            _count_zones(zone, made, group[r - 1], counts, tails)
            made = 0
        z, first, size = slice_[r], start[r], stop[r] - start[r]
        here = ((z & one) - z) * plane
        for d in range(offsets.size):
            below = z - climbs[d]
            back[d] = offsets[d] + ((below & one) - below) * plane
        _equal_bits(levels, first, size, offsets, equal)
        made = _label_row(
            (levels, depth), (first, size, here), (equal, stand_ins, back), zone, state, made
        )
    _count_zones(zone, made, group[start.size - 1], counts, tails)
    return tails


@kernel
@no_type_check
def _equal_bits(levels, first, size, offsets, equal):
    equal[:] = 0
    for d in range(offsets.size):
        bit = np.uint16(1 << d)
        step = offsets[d]
        for x in range(size):
            v = first + x
            equal[x] |= bit if levels[v] == levels[v + step] else np.uint16(0)


@kernel
@no_type_check
def _label_row(volumes, row, neighbours, zone, state, made):
    levels, depth = volumes
    first, length, here = row
    equal, stand_ins, back = neighbours
    parent, size, near, level_of = zone
    root = np.uint32(0)
    run = 0
    low = depth[first]
    for x in range(length):
        v = first + x
        level = levels[v]
        if level == 0:
            continue
        leads = stand_ins[equal[x]]
        if leads != 1:
            if run > 0:
                size[root] += run
                near[root] = min(near[root], low)
            run = 0
            low = depth[v]
            if leads == 0:
                root = np.uint32(made)
                parent[root] = root
                size[root] = 0
                near[root] = low
                level_of[root] = level
                made += 1
            else:
                root = _unite(parent, state, v, leads, back)
        run += 1
        low = min(low, depth[v])
        state[v + here] = root
    size[root] += run
    near[root] = min(near[root], low)
    return made


@kernel
@no_type_check
def _unite(parent, state, v, leads, back):
    """Join the zones of the leading neighbours of a voxel; give their root."""
    d = 0
    while leads & 1 == 0:
        leads >>= 1
        d += 1
    root = _root(parent, state[v + back[d]])
    leads >>= 1
    while leads != 0:
        d += 1
        if leads & 1:
            other = _root(parent, state[v + back[d]])
            if other < root:
                parent[root] = other
                root = other
            else:
                parent[other] = root
        leads >>= 1
    return root


@kernel
@no_type_check
def _root(parent, label):
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@kernel
@no_type_check
def _count_zones(zone, made, group, counts, tails):
    """Add what was found under each label to its root, then count the roots."""
    parent, size, near, _ = zone
    for k in range(made):
        root = parent[parent[k]]
        parent[k] = root
        if root != k:
            size[root] += size[k]
            near[root] = min(near[root], near[k])
    tables, listed = counts
    tails[0] = _tally(zone, size, made, (group, tables[0, group], listed[0]), tails[0])
    tails[1] = _tally(zone, near, made, (group, tables[1, group], listed[1]), tails[1])


@kernel
@no_type_check
def _tally(zone, values, made, counts, tail):
    parent, _, _, level_of = zone
    group, table, listed = counts
    for k in range(made):
        if parent[k] == k:
            value = values[k]
            if value < table.shape[1]:
                table[level_of[k], value] += 1
            else:
                listed[tail, 0] = group
                listed[tail, 1] = level_of[k]
                listed[tail, 2] = value
                tail += 1
    return tail
