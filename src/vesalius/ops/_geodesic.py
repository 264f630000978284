"""Distances along the inside of a mask: how far it is from a source without leaving."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._jit import kernel

Spacing = tuple[float, float, float]


class Geodesic(NamedTuple):
    """How far each voxel is from its nearest source, inside the mask.

    Attributes:
        distance: (z, y, x) float32 in the unit of the spacing; infinite where no way leads.
        nearest: (z, y, x) int32, number of that source; 0 where no way leads.
    """

    distance: Float32[Tensor, "z y x"]
    nearest: Int32[Tensor, "z y x"]


def geodesic(
    sources: Int32[Tensor, "z y x"], inside: Bool[Tensor, "z2 y2 x2"], spacing: Spacing
) -> Geodesic:
    """Measure the shortest way from any source through a mask, by steps to all 26 neighbours.

    Args:
        sources: (z, y, x), 0 or the number of a source; those outside the mask do not count.
        inside: (z, y, x), where ways may lead.
        spacing: Size of a voxel along (z, y, x).

    Returns:
        Distances, at most 8% (in a plane; 13% in a volume) longer than the straight line, since
        steps have 26 directions; of sources equally near the one that was reached first.

    Raises:
        ShapeError: Shapes differ.

    References:
        Dijkstra (1959), doi:10.1007/BF01386390; steps of one length come in order by themselves,
        so that a queue for each length replaces the heap.
    """
    if sources.shape != inside.shape:
        raise ShapeError(
            f"sources and mask must have one shape, got {tuple(sources.shape)} and "
            f"{tuple(inside.shape)}"
        )
    walls = np.pad(inside.detach().cpu().numpy(), 1)
    nearest = np.pad(sources.detach().cpu().numpy(), 1) * walls
    far = np.where(nearest > 0, np.float32(0), np.float32(np.inf)).astype(np.float32)
    offsets, lengths, kind = _steps(walls.shape, spacing)
    _spread(walls.reshape(-1), nearest.reshape(-1), far.reshape(-1), (offsets, lengths, kind))
    core = (slice(1, -1),) * 3
    return Geodesic(
        torch.from_numpy(far[core].copy()), torch.from_numpy(nearest[core].astype(np.int32))
    )


def _steps(
    shape: tuple[int, ...], spacing: Spacing
) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
    """List the offset of each step in a flat array, the lengths that occur, and each one's."""
    steps = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    steps.remove((0, 0, 0))
    offsets = np.array([(z * shape[1] + y) * shape[2] + x for z, y, x in steps], np.int64)
    long = [
        math.sqrt(sum((n * s) ** 2 for n, s in zip(step, spacing, strict=True))) for step in steps
    ]
    lengths, kind = np.unique(np.array(long, np.float32), return_inverse=True)
    return offsets, lengths, kind.astype(np.int64)


@kernel
@no_type_check
def _spread(walls, nearest, far, steps):
    offsets, lengths, kind = steps
    queues, room = len(lengths) + 1, 1024
    place = np.empty((queues, room), np.int64)
    reached = np.empty((queues, room), np.float32)
    head, held = np.zeros(queues, np.int64), np.zeros(queues, np.int64)
    for p in range(len(far)):  # the last queue holds the sources
        if far[p] == 0:
            if held[queues - 1] == room:
                place, reached, room = _roomier(place, reached, head, held)
            _push(place, reached, queues - 1, head, held, p, np.float32(0))
    while True:
        first = -1
        for k in range(queues):
            if held[k] > 0 and (first < 0 or reached[k, head[k]] < reached[first, head[first]]):
                first = k
        if first < 0:
            break
        p, now = place[first, head[first]], reached[first, head[first]]
        head[first] = (head[first] + 1) % room
        held[first] -= 1
        if far[p] < now:
            continue
        for k in range(len(offsets)):
            q, then = p + offsets[k], now + lengths[kind[k]]
            if walls[q] and then < far[q]:
                far[q] = then
                nearest[q] = nearest[p]
                if held[kind[k]] == room:
                    place, reached, room = _roomier(place, reached, head, held)
                _push(place, reached, kind[k], head, held, q, then)


@kernel
@no_type_check
def _push(place, reached, k, head, held, p, now):
    at = (head[k] + held[k]) % place.shape[1]
    place[k, at] = p
    reached[k, at] = now
    held[k] += 1


@kernel
@no_type_check
def _roomier(place, reached, head, held):
    """Double the room of all queues; each starts at its beginning again."""
    queues, room = place.shape
    wider, deeper = np.empty((queues, 2 * room), np.int64), np.empty((queues, 2 * room), np.float32)
    for k in range(queues):
        for i in range(held[k]):
            at = (head[k] + i) % room
            wider[k, i] = place[k, at]
            deeper[k, i] = reached[k, at]
        head[k] = 0
    return wider, deeper, 2 * room
