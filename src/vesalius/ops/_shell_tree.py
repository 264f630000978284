"""Shells of a region by distance from its seeds, and the narrow places behind which it widens."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._components import components
from vesalius.ops._jit import kernel


class Neck(NamedTuple):
    """A narrow place of a region.

    Attributes:
        place: (n, 3) voxels (z, y, x) of the narrow place.
        behind: (z, y, x) True in it and in all that is reached through it alone.
        shell: Its number, counted from the seeds.
    """

    place: NDArray[np.int64]
    behind: NDArray[np.bool_]
    shell: int


def narrowest_neck(
    distance: Float32[Tensor, "z y x"], thickness: float, *, widening: float, share: float
) -> Neck | None:
    """Find where a region becomes narrow and then wide again, as it does where it leaks.

    The region is cut into shells by the distance from the seeds, and each shell into connected
    parts. A part is a neck where a part before it, on the way from the seeds, is twice as large,
    one behind it ``widening`` times as large, and the volume behind it at least a ``share`` of the
    rest.

    Args:
        distance: (z, y, x), infinite outside the region.
        thickness: Of a shell, in the unit of the distance; positive.
        widening: How much wider the region becomes, at least 1.
        share: Least volume behind, relative to the volume that stays.

    Returns:
        The neck of fewest voxels, the nearest of these; None where there is none.

    Raises:
        ConfigError: ``thickness`` is not positive or ``widening`` below 1.
    """
    if not (thickness > 0 and widening >= 1):
        raise ConfigError(
            f"thickness must be positive and widening at least 1, got {thickness} and {widening}"
        )
    far = distance.cpu().numpy()
    reached = np.isfinite(far)
    shells = np.zeros(far.shape, np.int32)
    shells[reached] = (far[reached] / thickness).astype(np.int32) + 1
    parts = components(torch.from_numpy(shells), full=True)
    parent = _parents(parts.numbers, shells, parts.sizes)
    order = np.argsort(parts.values, kind="stable")
    neck = _narrowest(parent, order, parts.sizes, (float(widening), float(share)))
    if neck < 0:
        return None
    table = _subtree(parent, order, neck)
    behind = table[parts.numbers]
    place = np.argwhere(parts.numbers == neck + 1)
    return Neck(place.astype(np.int64), behind, int(parts.values[neck]))


@kernel
@no_type_check
def _parents(numbers, shells, sizes):
    """Find for each part the largest part of the shell before that it touches; -1 for none."""
    nz, ny, nx = numbers.shape
    parent = np.full(len(sizes), -1)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                own = numbers[z, y, x] - 1
                if own < 0:
                    continue
                for a in range(max(z - 1, 0), min(z + 2, nz)):
                    for b in range(max(y - 1, 0), min(y + 2, ny)):
                        for c in range(max(x - 1, 0), min(x + 2, nx)):
                            other = numbers[a, b, c] - 1
                            if other < 0 or shells[a, b, c] >= shells[z, y, x]:
                                continue
                            if parent[own] < 0 or sizes[other] > sizes[parent[own]]:
                                parent[own] = other
    return parent


@kernel
@no_type_check
def _narrowest(parent, order, sizes, rule):
    widening, share = rule
    n = len(parent)
    before, behind = np.zeros(n), np.zeros(n)
    volume = sizes.astype(np.float64)
    for i in range(n):
        own = order[i]
        if parent[own] >= 0:
            before[own] = max(before[parent[own]], sizes[parent[own]])
    for i in range(n - 1, -1, -1):
        own = order[i]
        if parent[own] >= 0:
            up = parent[own]
            behind[up] = max(behind[up], max(behind[own], np.float64(sizes[own])))
            volume[up] += volume[own]
    total, best = 0.0, -1
    for i in range(n):
        total += sizes[i]
    for i in range(n):
        own = order[i]
        narrow = before[own] >= 2 * sizes[own] and behind[own] >= widening * sizes[own]
        large = volume[own] >= share * (total - volume[own])
        if narrow and large and (best < 0 or sizes[own] < sizes[best]):
            best = own
    return best


@kernel
@no_type_check
def _subtree(parent, order, top):
    """Mark a part and all behind it, by number; the first entry is for no part."""
    marked = np.zeros(len(parent) + 1, np.bool_)
    marked[top + 1] = True
    for i in range(len(order)):
        own = order[i]
        if parent[own] >= 0 and marked[parent[own] + 1]:
            marked[own + 1] = True
    return marked
