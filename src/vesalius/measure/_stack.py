"""Sums over stacks of sparse matrices: what the texture families share."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.measure._feature import Aggregation, Feature, Value
from vesalius.ops._counts import Counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The cells of a stack of matrices as numpy arrays, for sums matrix by matrix."""

    matrix: Ints
    row: Ints
    column: Ints
    count: Ints
    matrices: int

    def sum(self, weight: Floats | Ints) -> Floats:
        """Add up a weight (one per cell) within each matrix, in the order of the cells."""
        sums = np.bincount(self.matrix, weights=weight, minlength=self.matrices)
        return np.asarray(sums, dtype=np.float64)

    def total(self) -> Floats:
        """Give the sum of the counts of each matrix."""
        return self.sum(self.count)

    def covered(self) -> Floats:
        """Give the voxels that the entries cover: the sum of count times column."""
        return self.sum(self.count * self.column)

    def marginal(self, index: Ints, weight: Floats | Ints, size: int) -> Floats:
        """Add up a weight within each matrix and value of ``index``: (matrices, size)."""
        place = self.matrix * size + index
        cells = np.bincount(place, weights=weight, minlength=self.matrices * size)
        return np.asarray(cells, dtype=np.float64).reshape(self.matrices, size)


def stack_of(counts: Counts) -> Stack:
    """Bring a stack of counts to the CPU."""
    return Stack(
        matrix=counts.matrix.cpu().numpy(),
        row=counts.row.cpu().numpy(),
        column=counts.column.cpu().numpy(),
        count=counts.count.cpu().numpy(),
        matrices=counts.matrices,
    )


def average(features: tuple[Feature, ...], table: Floats, aggregation: Aggregation) -> list[Value]:
    """Average each feature over the matrices in which it is defined.

    Args:
        features: The features of the family.
        table: (features, matrices), NaN where a feature is undefined.
        aggregation: How the matrices were made.

    Returns:
        One value per feature. It is NaN, with the reason, where no matrix defines it; where only
        some do, the reason says how many were left out.
    """
    if np.isnan(table).any():
        return [_mean(f, row, aggregation) for f, row in zip(features, table, strict=True)]
    means = (np.ascontiguousarray(table).sum(axis=1) / table.shape[1]).tolist()
    return [Value(f.tag, aggregation, mean) for f, mean in zip(features, means, strict=True)]


def _mean(feature: Feature, row: Floats, aggregation: Aggregation) -> Value:
    defined = row[~np.isnan(row)]
    if defined.size == 0:
        return Value(feature.tag, aggregation, float("nan"), feature.undefined)
    mean = float(defined.sum() / defined.size)
    missing = row.size - defined.size
    if missing == 0:
        return Value(feature.tag, aggregation, mean)
    reason = f"left out {missing} of {row.size} matrices: {feature.undefined}"
    return Value(feature.tag, aggregation, mean, reason)


def quotient(above: Floats, below: Floats) -> Floats:
    """Divide; NaN where the divisor is zero."""
    out = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=out, where=below != 0)
    return out


def entropy(p: Floats) -> Floats:
    """Give the entropy in bits of each row of probabilities."""
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(0.0 - (p * logs).sum(axis=1))
