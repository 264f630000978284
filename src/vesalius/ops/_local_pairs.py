"""Local pairs: neighbouring grey levels counted anew in the cube around every voxel."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._cooccurrence import from_keys
from vesalius.ops._counts import Counts, Offset, shifted
from vesalius.ops._jit import kernel

Weigh = Callable[[Tensor, Tensor], Tensor]
"""From the levels of the two voxels of each pair, float64, to what is averaged."""


def local_pair_mean(
    levels: Int[Tensor, "z y x"], weigh: Weigh, *, steps: Sequence[Offset], radius: int
) -> Float[Tensor, "z y x"]:
    """Average a function over the pairs of neighbours inside the cube around every voxel.

    Each pair is weighed once for the whole volume; cubes are then sums along one axis after
    another, so that the cost per voxel grows with the radius, not with its cube.

    Args:
        levels: (z, y, x) integers; 0 outside the region.
        weigh: Applied to the levels of the first and the second voxel of every pair.
        steps: From the first voxel to the second, (dz, dy, dx), voxels.
        radius: The cube is ``2 * radius + 1`` voxels wide, cut off at the border.

    Returns:
        (z, y, x) float64; NaN where the cube has no pair. Same device as the input.

    Raises:
        ShapeError: ``radius`` is below 1.
    """
    _check_radius(radius)
    reach = max(radius, *(abs(part) for step in steps for part in step))
    padded = torch.nn.functional.pad(levels, (reach,) * 6)
    total = torch.zeros((2, *levels.shape), dtype=torch.float64, device=levels.device)
    for step in steps:
        if max(abs(part) for part in step) > 2 * radius:
            continue
        other = shifted(padded, step)
        pair = (padded != 0) & (other != 0)
        weight = torch.where(pair, weigh(padded.double(), other.double()), 0.0)
        volume = torch.stack([weight, pair.double()])
        for axis, part in enumerate(step, start=1):
            low, high = max(0, -part) - radius, radius - max(0, part)
            volume = _sum_along(volume, axis, range(reach + low, reach + high + 1), levels.shape)
        total += volume
    return torch.where(total[1] > 0, total[0] / total[1], torch.nan)


def local_cooccurrence(
    levels: Int[Tensor, "z y x"],
    centres: Int[Tensor, "n 3"],
    *,
    steps: Sequence[Offset],
    radius: int,
) -> Counts:
    """Count the pairs of neighbouring levels inside the cubes around some voxels.

    Args:
        levels: (z, y, x) integers on the CPU; 0 outside the region.
        centres: (n, 3), index (z, y, x) of the middle of each cube.
        steps: From the first voxel of a pair to the second, (dz, dy, dx), voxels.
        radius: The cube is ``2 * radius + 1`` voxels wide, cut off at the border.

    Returns:
        A matrix for each cube and step (step fastest), as ``cooccurrence`` gives them.

    Raises:
        ShapeError: ``radius`` is below 1.
    """
    _check_radius(radius)
    top = int(levels.max()) + 1
    matrices = len(centres) * len(steps)
    keys = np.empty(matrices * (2 * radius + 1) ** 3, dtype=np.int64)
    way = np.array(steps, dtype=np.int64)
    found = _list_local(levels.numpy(), centres.long().numpy(), way, radius, top, keys)
    return from_keys(keys[:found], top, matrices=matrices)


def _check_radius(radius: int) -> None:
    if radius < 1:
        raise ShapeError(f"radius must be at least 1 for a cube to hold neighbours, got {radius}")


def _sum_along(volume: Tensor, axis: int, starts: range, shape: Sequence[int]) -> Tensor:
    """Add up windows of a volume along one axis, cut to the size that the result has there."""
    length = shape[axis - 1]
    total = volume.narrow(axis, starts[0], length).clone()
    for start in starts[1:]:
        total += volume.narrow(axis, start, length)
    return total


@kernel
@no_type_check
def _list_local(levels, centres, steps, radius, top, keys):
    k = 0
    size = levels.shape
    low = np.empty(3, dtype=np.int64)
    high = np.empty(3, dtype=np.int64)
    for c in range(len(centres)):
        for s in range(len(steps)):
            dz, dy, dx = steps[s]
            for a in range(3):
                low[a] = max(centres[c, a] - radius, 0) + max(0, -steps[s, a])
                high[a] = min(centres[c, a] + radius + 1, size[a]) - max(0, steps[s, a])
            base = (c * len(steps) + s) * top
            for z in range(low[0], high[0]):
                for y in range(low[1], high[1]):
                    for x in range(low[2], high[2]):
                        a, b = np.int64(levels[z, y, x]), np.int64(levels[z + dz, y + dy, x + dx])
                        if a != 0 and b != 0:
                            keys[k] = (base + min(a, b)) * top + max(a, b)
                            k += 1
    return k
