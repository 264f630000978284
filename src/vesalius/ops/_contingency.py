"""Contingency: how many samples each label of one array shares with each label of another."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any, NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._jit import kernel

_PIECE = 1 << 22  # samples that are widened to int64 at once


class Contingency(NamedTuple):
    """The joint histogram of two label arrays, without its empty cells.

    Attributes:
        first: Labels of the first array, sorted; 0 too, where it occurs.
        second: Labels of the second array, sorted.
        row: Place in ``first`` of each cell.
        column: Place in ``second`` of each cell.
        shared: Samples in each cell, at least 1.
    """

    first: Int[Tensor, " n"]
    second: Int[Tensor, " m"]
    row: Int[Tensor, " k"]
    column: Int[Tensor, " k"]
    shared: Int[Tensor, " k"]

    @property
    def sizes(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " m"]]:
        """Samples of each label of the first and of the second array."""
        return (
            torch.zeros_like(self.first).index_add_(0, self.row, self.shared),
            torch.zeros_like(self.second).index_add_(0, self.column, self.shared),
        )


def contingency(
    first: Integer[Tensor, "*shape"], second: Integer[Tensor, "*shape2"]
) -> Contingency:
    """Count the samples of each pair of labels, in one pass.

    Args:
        first: Labels, any integer type.
        second: Labels of the same shape.

    Returns:
        The joint histogram; int64 on the CPU. What follows from it (overlap of objects, adapted
        Rand, variation of information) needs no second look at the samples.

    Raises:
        ShapeError: The arrays differ in shape, or hold nothing.

    Example:
        >>> contingency(torch.tensor([1, 1, 0]), torch.tensor([0, 2, 2])).shared
        tensor([1, 1, 1])
    """
    if first.shape != second.shape or not first.numel():
        raise ShapeError(
            "label arrays must have one shape and at least one sample to be counted together, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}: bring them onto one grid first"
        )
    ones, twos = (x.detach().cpu().contiguous().numpy().reshape(-1) for x in (first, second))
    pieces = [
        _runs(ones[k : k + _PIECE], twos[k : k + _PIECE]) for k in range(0, len(ones), _PIECE)
    ]
    one, two, length = (np.concatenate(part) for part in zip(*pieces, strict=True))
    rows, row = np.unique(one, return_inverse=True)
    columns, column = np.unique(two, return_inverse=True)
    cells, place = np.unique(row * len(columns) + column, return_inverse=True)
    count = np.zeros(len(cells), dtype=np.int64)
    np.add.at(count, place, length)
    found = (rows, columns, *np.divmod(cells, len(columns)), count)
    return Contingency(*(torch.from_numpy(np.ascontiguousarray(x)) for x in found))


def _runs(one: Any, two: Any) -> tuple[Any, Any, Any]:
    """Give both labels and the length of each run of samples in which neither changes."""
    a, b = one.astype(np.int64), two.astype(np.int64)
    out = np.empty((3, _count_runs(a, b)), dtype=np.int64)
    _fill_runs(a, b, out)
    return out[0], out[1], out[2]


@kernel
@no_type_check
def _count_runs(a, b):
    count = 1
    for k in range(1, len(a)):
        if a[k] != a[k - 1] or b[k] != b[k - 1]:
            count += 1
    return count


@kernel
@no_type_check
def _fill_runs(a, b, out):
    at, begun = 0, 0
    for k in range(1, len(a) + 1):
        if k == len(a) or a[k] != a[k - 1] or b[k] != b[k - 1]:
            out[0, at], out[1, at], out[2, at] = a[k - 1], b[k - 1], k - begun
            at += 1
            begun = k
