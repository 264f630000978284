"""Watershed by flooding from markers, and the splitting of touching objects by their distance."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, NamedTuple, final, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer, Shaped
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.ops._distance_field import distance_to
from vesalius.ops._h_maxima import h_maxima
from vesalius.ops._jit import kernel
from vesalius.ops._rank_queue import levels, lowest, mark, ranked, unmark

Touch = Literal["faces", "corners"]
"""Which voxels are neighbours: those that share a face, or also an edge or a corner."""

Spacing = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True)
class Flood:
    """How the water spreads.

    Attributes:
        touch: Which voxels are neighbours.
        lines: Whether voxels where two basins meet stay 0.
        compactness: Height added for each unit of distance from the marker: basins become
            rounder and more even; 0 follows the relief alone.
        spacing: Size of a voxel along (z, y, x), for the compactness.

    Raises:
        ConfigError: The compactness is negative or not finite.
    """

    touch: Touch = "faces"
    lines: bool = False
    compactness: float = 0.0
    spacing: Spacing = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if not 0 <= self.compactness < np.inf:
            raise ConfigError(
                f"compactness must be 0 or a positive number, got {self.compactness}: 0 is the "
                "plain watershed"
            )


PLAIN = Flood()


def watershed(
    height: Shaped[Tensor, "z y x"],
    markers: Integer[Tensor, "z2 y2 x2"],
    mask: Bool[Tensor, "z3 y3 x3"] | None = None,
    flood: Flood = PLAIN,
) -> Int[Tensor, "z y x"]:
    """Flood a relief from markers: each voxel goes to the marker whose water reaches it first.

    Lower voxels are flooded first, and of equal ones those that were reached first. Work is
    linear in the number of voxels, apart from the sorting of the heights.

    Args:
        height: (z, y, x) real, any dtype; integers are exact.
        markers: (z, y, x), 0 where there is none; connected or not.
        mask: Where water may go; everywhere if absent.
        flood: How it spreads.

    Returns:
        (z, y, x) int32 values of the markers; 0 outside the mask, where no water comes, and on
        lines.

    Raises:
        ShapeError: The shapes differ.
        IntensityError: A height is NaN.
        RegionError: No marker lies inside the mask, or one is negative or above 2^31 - 1.

    References:
        Beucher and Meyer (1993), The morphological approach to segmentation; compact: Neubert
        and Protzel (2014), doi:10.1109/ICPR.2014.181. Marker voxels of equal height flood in
        raster order; water that has risen over a pass keeps its level behind it.
    """
    field = _laid(height, markers, mask, flood)
    if flood.lines or flood.compactness > 0:
        seeds = np.flatnonzero(field.labels > 0)
        options = np.array([flood.compactness, *flood.spacing])
        values = np.full(field.labels.shape, np.inf)
        values[field.inside] = field.values
        _flood_far(values, field.labels, seeds, field.steps, (field.size, options), flood.lines)
    else:
        ranks, count = ranked(field.values)
        spread = np.zeros(field.labels.shape, np.int32)
        spread[field.inside] = ranks
        _flood(spread, field.labels, field.steps, count, levels(count))
    z, y, x = field.size
    block = field.labels.reshape(z, y, x)[field.core]
    return torch.from_numpy(np.maximum(block, 0)).to(height.device)


def split_touching(
    mask: Bool[Tensor, "z y x"], spacing: Spacing, depth: float
) -> Int[Tensor, "z y x"]:
    """Split a mask into round parts: watershed on its distance from the border.

    Args:
        mask: (z, y, x), True inside.
        spacing: Size of a voxel along (z, y, x).
        depth: Two summits of the distance are two objects if the pass between them lies this much
            below the lower one, in the unit of the spacing; larger splits less. Positive.

    Returns:
        (z, y, x) int32, parts from 1 on in raster order of their summits; 0 outside.

    Raises:
        ConfigError: ``depth`` is not positive.
    """
    if not bool(mask.any()):
        return torch.zeros(mask.shape, dtype=torch.int32, device=mask.device)
    framed = torch.nn.functional.pad(
        mask, [0 if n == 1 else 1 for n in mask.shape[::-1] for _ in "ab"]
    )
    inner = tuple(slice(0 if n == 1 else 1, (0 if n == 1 else 1) + n) for n in mask.shape)
    far = distance_to(~framed, spacing).to(mask.device)[inner]
    return watershed(-far, h_maxima(far, depth, mask), mask, Flood("corners"))


class _Field(NamedTuple):
    """A framed block as flat arrays: outside of mask and frame the labels are -1."""

    labels: NDArray[np.int32]
    inside: NDArray[np.intp]
    values: NDArray[np.generic]
    steps: NDArray[np.int64]
    size: tuple[int, int, int]
    core: tuple[slice, slice, slice]


def _laid(height: Tensor, markers: Tensor, mask: Tensor | None, flood: Flood) -> _Field:
    _check(height, markers, mask)
    inside = np.ones(height.shape, bool) if mask is None else mask.cpu().numpy()
    marked = markers.detach().cpu().numpy() * inside
    if not marked.any() or marked.min() < 0 or marked.max() > np.iinfo(np.int32).max:
        raise RegionError(
            "markers must have positive values below 2^31 inside the mask, got "
            f"{int(marked.min())} to {int(marked.max())}: mark each basin by a number from 1 on"
        )
    frame = [(0, 0) if n == 1 else (1, 1) for n in height.shape]
    labels = np.pad(np.where(inside, marked, -1).astype(np.int32), frame, constant_values=-1)
    flat = labels.reshape(-1)
    core = [slice(a, a + n) for n, (a, _) in zip(height.shape, frame, strict=True)]
    z, y, x = labels.shape
    return _Field(
        flat,
        np.flatnonzero(flat >= 0),
        height.detach().cpu().numpy()[inside],
        neighbour_steps((z, y, x), flood.touch),
        (z, y, x),
        (core[0], core[1], core[2]),
    )


def _check(height: Tensor, markers: Tensor, mask: Tensor | None) -> None:
    for name, other in (("markers", markers), ("mask", mask)):
        if other is not None and other.shape != height.shape:
            raise ShapeError(
                f"{name} must have the shape of the height {tuple(height.shape)}, "
                f"got {tuple(other.shape)}"
            )
    if height.is_floating_point() and bool(height.isnan().any()):
        raise IntensityError(
            "heights must be numbers, got NaN: replace it, or leave it out by mask"
        )


def neighbour_steps(size: tuple[int, int, int], touch: Touch) -> NDArray[np.int64]:
    """Give the steps to the neighbours of a voxel in a flat block, nearest first.

    Args:
        size: Of the block along (z, y, x); an axis of one voxel has no neighbours.
        touch: Which are neighbours.

    Returns:
        Differences of flat indices.
    """
    reach = [(0,) if n == 1 else (-1, 0, 1) for n in size]
    found = [
        (abs(z) + abs(y) + abs(x), (z * size[1] + y) * size[2] + x)
        for z in reach[0]
        for y in reach[1]
        for x in reach[2]
    ]
    limit = 1 if touch == "faces" else 3
    near = sorted((d for d in found if 0 < d[0] <= limit), key=lambda d: d[0])
    return np.array([step for _, step in near], np.int64)


@kernel
@no_type_check
def _flood(ranks, labels, steps, count, starts):
    """Flood in place: labels are 0 where water may go, -1 where not."""
    words = np.zeros(starts[-1], np.uint64)
    head = np.full(count, -1, np.int32)
    tail = np.empty(count, np.int32)
    after = np.full(len(labels), -1, np.int32)
    for i in range(len(labels)):
        if labels[i] > 0:
            _append(i, ranks[i], head, tail, after, words, starts)
    rank = lowest(words, starts)
    while rank >= 0:
        i = head[rank]
        while i >= 0:
            for step in steps:
                j = i + step
                if labels[j] == 0:
                    labels[j] = labels[i]
                    # water that has risen does not sink again
                    _append(j, max(rank, ranks[j]), head, tail, after, words, starts)
            i = after[i]
        head[rank] = -1
        unmark(words, starts, rank)
        rank = lowest(words, starts)


@kernel
@no_type_check
def _append(i, rank, head, tail, after, words, starts):
    if head[rank] < 0:
        head[rank] = i
        mark(words, starts, rank)
    else:
        after[tail[rank]] = i
    tail[rank] = i


@kernel
@no_type_check
def _flood_far(values, labels, seeds, steps, frame, lines):
    """Flood where a voxel may be reached at several heights, or become a line."""
    size, options = frame
    compactness = options[0]
    keys = np.empty((max(1024, 2 * len(seeds)), 2))
    what = np.empty((len(keys), 2), np.int64)
    line = -2
    held, age = 0, 0
    for i in seeds:
        held = _push(keys, what, held, (values[i], 0.0, i, i))
    while held > 0:
        i, source, risen = what[0, 0], what[0, 1], keys[0, 0]
        held = _pop(keys, what, held)
        if i != source:
            if labels[i] != 0:
                continue
            if lines and _between(labels, steps, i):
                labels[i] = line
                continue
            labels[i] = labels[source]
        for step in steps:
            j = i + step
            if labels[j] != 0:
                continue
            age += 1
            if compactness > 0:
                value = values[j] + compactness * _apart(j, source, size, options)
            else:
                value = max(values[j], risen)
            if held == len(keys):
                keys, what = _grown(keys, what)
            held = _push(keys, what, held, (value, float(age), j, source))


@kernel
@no_type_check
def _between(labels, steps, i):
    seen = 0
    for step in steps:
        near = labels[i + step]
        if near > 0:
            if seen != 0 and near != seen:
                return True
            seen = near
    return False


@kernel
@no_type_check
def _apart(i, j, size, options):
    plane = size[1] * size[2]
    dz = (i // plane - j // plane) * options[1]
    dy = (i % plane // size[2] - j % plane // size[2]) * options[2]
    dx = (i % size[2] - j % size[2]) * options[3]
    return np.sqrt(dz * dz + dy * dy + dx * dx)


@kernel
@no_type_check
def _grown(keys, what):
    more, rest = np.empty((2 * len(keys), 2)), np.empty((2 * len(keys), 2), np.int64)
    more[: len(keys)] = keys
    rest[: len(keys)] = what
    return more, rest


@kernel
@no_type_check
def _before(keys, a, b):
    return keys[a, 0] < keys[b, 0] or (keys[a, 0] == keys[b, 0] and keys[a, 1] < keys[b, 1])


@kernel
@no_type_check
def _swap(keys, what, a, b):
    for k in range(2):
        keys[a, k], keys[b, k] = keys[b, k], keys[a, k]
        what[a, k], what[b, k] = what[b, k], what[a, k]


@kernel
@no_type_check
def _push(keys, what, held, entry):
    keys[held, 0], keys[held, 1], what[held, 0], what[held, 1] = entry
    at = held
    while at > 0 and _before(keys, at, (at - 1) // 2):
        _swap(keys, what, at, (at - 1) // 2)
        at = (at - 1) // 2
    return held + 1


@kernel
@no_type_check
def _pop(keys, what, held):
    held -= 1
    _swap(keys, what, 0, held)
    at = 0
    while True:
        least = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < held and _before(keys, child, least):
                least = child
        if least == at:
            return held
        _swap(keys, what, at, least)
        at = least
