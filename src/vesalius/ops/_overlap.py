"""Overlap of labels: Dice and Jaccard of each, from three counts."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vesalius.errors import ShapeError, UnitError


class Overlap(NamedTuple):
    """How far labels cover each other; one entry for each value asked for.

    Attributes:
        dice: 2 |A and B| / (|A| + |B|); 0 where one is empty, NaN where both are.
        jaccard: |A and B| / |A or B|; 0 where one is empty, NaN where both are.
        first: Samples of the label in the first array.
        second: Samples of the label in the second array.
        both: Samples where both have it.
    """

    dice: Float[Tensor, " n"]
    jaccard: Float[Tensor, " n"]
    first: Integer[Tensor, " n"]
    second: Integer[Tensor, " n"]
    both: Integer[Tensor, " n"]


def overlap(
    first: Integer[Tensor, "*shape"], second: Integer[Tensor, "*shape2"], values: tuple[int, ...]
) -> Overlap:
    """Compare labels sample by sample.

    Args:
        first: Labels, any integer type.
        second: Labels of the same shape.
        values: The labels to compare.

    Returns:
        Float64 ratios and int64 counts on the CPU, in the order of ``values``.

    Raises:
        ShapeError: The arrays differ in shape.
        UnitError: ``values`` are not different whole numbers.

    Example:
        >>> overlap(torch.tensor([1, 1, 0]), torch.tensor([0, 1, 1]), (1,)).dice
        tensor([0.5000], dtype=torch.float64)

    References:
        Dice (1945), doi:10.2307/1932409; Jaccard (1912), doi:10.1111/j.1469-8137.1912.tb05611.x.
    """
    if first.shape != second.shape:
        raise ShapeError(
            "labels must have one shape to be compared sample by sample, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}: bring them onto one grid first"
        )
    if len(set(values)) != len(values):
        raise UnitError(f"values must be different labels, got {values}")
    order = sorted(values)
    table = torch.tensor(order, dtype=torch.int64, device=first.device)
    one, two = (_places(x.reshape(-1), table) for x in (first, second))
    counts = [torch.bincount(x, minlength=len(order) + 1)[1:] for x in (one, two, one[one == two])]
    back = torch.tensor([order.index(v) for v in values], dtype=torch.int64)
    a, b, both = (c.cpu()[back] for c in counts)
    return Overlap(2.0 * both.double() / (a + b), both.double() / (a + b - both), a, b, both)


def _places(labels: Tensor, table: Tensor) -> Tensor:
    """Give the place of each label in the sorted table, from 1; 0 where it is not there."""
    if not len(table):
        return torch.zeros_like(labels, dtype=torch.int64)
    wide = labels.to(torch.int64)
    low, high = int(table[0]), int(table[-1])
    if high - low < 1 << 16:  # one look-up for each sample
        lookup = torch.zeros(high - low + 3, dtype=torch.int64, device=labels.device)
        lookup[table - low + 1] = torch.arange(1, len(table) + 1, device=labels.device)
        return lookup[(wide - (low - 1)).clamp(0, high - low + 2)]
    at = torch.searchsorted(table, wide).clamp(max=len(table) - 1)
    return torch.where(table[at] == wide, at + 1, 0)
