"""What lies inside a mask: its box, its values and their distribution, each in one pass."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
from numpy.typing import NDArray

from vesalius.ops._jit import kernel

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_COUNTED = 1 << 16  # a span of whole numbers up to this is counted, however few the values


class Distribution(NamedTuple):
    """Values in ascending order, each with how often it occurs.

    Attributes:
        values: (n,) float64, ascending; each once if they were counted, else all.
        counts: (n,) float64, how often each occurs; None if they were sorted: once each.
    """

    values: Floats
    counts: Floats | None = None

    @property
    def total(self) -> int:
        """Number of values, each counted as often as it occurs."""
        return len(self.values) if self.counts is None else int(self.counts.sum())


class Census(NamedTuple):
    """How many voxels of a mask there are, are kept, are not finite; extremes of the finite."""

    voxels: int
    kept: int
    bad: int
    low: float
    high: float


def box_of(mask: Bools) -> NDArray[np.int64]:
    """Find the bounding box of a mask.

    Args:
        mask: (z, y, x), contiguous.

    Returns:
        (3, 2) first index and end along z, y, x; all 0 for an empty mask.
    """
    box: NDArray[np.int64] = _box(mask.view(np.uint8))
    return box


def keep_between(
    values: Floats, mask: Bools, bounds: tuple[float | None, float | None]
) -> tuple[Bools, Census]:
    """Keep the voxels of a mask whose value lies in a range, ends included.

    Args:
        values: (z, y, x) float64, contiguous.
        mask: (z, y, x), contiguous.
        bounds: Lower and upper end; None for no end.

    Returns:
        The mask of what is kept, and the counts.
    """
    low = -np.inf if bounds[0] is None else float(bounds[0])
    high = np.inf if bounds[1] is None else float(bounds[1])
    kept = np.empty(mask.shape, dtype=np.bool_)
    found = _keep(values.reshape(-1), mask.reshape(-1), low, high, kept.reshape(-1))
    return kept, Census(*found)


def distribution(values: Floats, mask: Bools) -> Distribution:
    """Order the values inside a mask; whole numbers are counted, which is faster than to sort.

    Args:
        values: (z, y, x) float64, contiguous, finite inside the mask.
        mask: (z, y, x), contiguous, not empty.

    Returns:
        The values in ascending order, with their counts.
    """
    inside = np.empty(int(np.count_nonzero(mask)))
    low, high, whole = _gather(values.reshape(-1), mask.reshape(-1), inside)
    if whole and high - low < max(_COUNTED, len(inside)):
        counts = _count(inside, low, int(high - low) + 1)
        held = np.flatnonzero(counts)
        return Distribution(held + low, counts[held].astype(np.float64))
    inside.sort()
    return Distribution(inside)


def level_histogram(levels: NDArray[np.integer], top: int) -> NDArray[np.int64]:
    """Count how often each of the levels 1 to ``top`` occurs; others are left out."""
    counts: NDArray[np.int64] = _count_levels(levels.reshape(-1), top)[1:]
    return counts


@kernel
@no_type_check
def _box(mask):
    box = np.zeros((3, 2), np.int64)
    box[:, 0] = np.array(mask.shape)
    width = mask.shape[2]
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            row = mask[z, y]
            held = np.uint8(0)
            for x in range(width):
                held = np.uint8(held | row[x])  # bytes stay bytes, many at a time
            if held == 0:
                continue
            first, end = 0, width
            while row[first] == 0:
                first += 1
            while row[end - 1] == 0:
                end -= 1
            box[0, 0], box[0, 1] = min(box[0, 0], z), z + 1
            box[1, 0], box[1, 1] = min(box[1, 0], y), max(box[1, 1], y + 1)
            box[2, 0], box[2, 1] = min(box[2, 0], first), max(box[2, 1], end)
    if box[0, 1] == 0:
        box[:] = 0
    return box


@kernel
@no_type_check
def _keep(values, mask, low, high, kept):
    voxels, count, bad = 0, 0, 0
    least, most = np.inf, -np.inf
    for i in range(len(values)):
        kept[i] = False
        if mask[i]:
            value = values[i]
            voxels += 1
            if not np.isfinite(value):
                bad += 1
                continue
            least, most = min(least, value), max(most, value)
            if low <= value <= high:
                kept[i] = True
                count += 1
    return voxels, count, bad, least, most


@kernel
@no_type_check
def _gather(values, mask, out):
    n, whole, low, high = 0, True, np.inf, -np.inf
    for i in range(len(values)):
        if mask[i]:
            value = values[i]
            out[n] = value
            n += 1
            whole &= value == np.rint(value)
            low, high = min(low, value), max(high, value)
    return low, high, whole


@kernel
@no_type_check
def _count(values, low, size):
    counts = np.zeros(size, np.int64)
    for i in range(len(values)):
        counts[np.int64(values[i] - low)] += 1
    return counts


@kernel
@no_type_check
def _count_levels(levels, top):
    counts = np.zeros(top + 1, np.int64)
    for level in levels:
        if level > 0:  # most are 0, and an addition to one place waits for the last
            counts[level] += 1
    return counts
