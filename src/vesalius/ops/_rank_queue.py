"""Queue of voxels by rank: lowest rank first, first in first out within a rank, no comparisons."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
from numpy.typing import NDArray

from vesalius.ops._jit import kernel

Ints = NDArray[np.int32]

_NARROW = 1 << 20
"""Integers that span less are their own ranks: nothing has to be sorted."""


def ranked(values: NDArray[np.generic]) -> tuple[Ints, int]:
    """Replace values by whole numbers from 0 in the same order, equal where they are equal.

    Args:
        values: (n,) real.

    Returns:
        (n,) int32 ranks, and how many ranks there may be.
    """
    if len(values) == 0:
        return np.zeros(0, np.int32), 1
    if values.dtype.kind in "iub":
        low, high = int(values.min()), int(values.max())
        if high - low < _NARROW:
            return (values.astype(np.int64) - low).astype(np.int32), high - low + 1
    order = np.argsort(values)
    ranks = np.empty(len(values), np.int32)
    return ranks, int(_number(values[order], order, ranks))


def levels(count: int) -> NDArray[np.int64]:
    """Lay out the bit tree over ``count`` ranks: where each of its levels begins, and the end."""
    starts = [0]
    while True:
        count = (count + 63) >> 6
        starts.append(starts[-1] + count)
        if count <= 1:
            return np.array(starts, np.int64)


@kernel
@no_type_check
def _number(ascending, order, ranks):
    rank = 0
    for i in range(len(order)):
        if i and ascending[i] != ascending[i - 1]:
            rank += 1
        ranks[order[i]] = rank
    return rank + 1


@kernel
@no_type_check
def mark(words, starts, rank):
    """Note in the bit tree that a rank has voxels."""
    one = np.uint64(1)
    for level in range(len(starts) - 1):
        at = starts[level] + (rank >> 6)
        was = words[at]
        words[at] = was | (one << np.uint64(rank & 63))
        if was != 0:
            return
        rank >>= 6


@kernel
@no_type_check
def unmark(words, starts, rank):
    """Note that a rank has none any more."""
    one = np.uint64(1)
    for level in range(len(starts) - 1):
        at = starts[level] + (rank >> 6)
        words[at] &= ~(one << np.uint64(rank & 63))
        if words[at] != 0:
            return
        rank >>= 6


@kernel
@no_type_check
def lowest(words, starts):
    """Find the lowest rank that has voxels, -1 where none has."""
    top = len(starts) - 2
    if words[starts[top]] == 0:
        return -1
    rank = 0
    for level in range(top, -1, -1):
        rank = (rank << 6) + _trailing(words[starts[level] + rank])
    return rank


@kernel
@no_type_check
def _trailing(word):
    """Count the zeros below the lowest bit."""
    count = 0
    for width in (32, 16, 8, 4, 2, 1):
        if word & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)) == 0:
            word = word >> np.uint64(width)
            count += width
    return count
