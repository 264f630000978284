"""The arithmetic that runs, zones, zone distances and dependences share: emphases and spreads."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.measure._stack import Floats, Ints, Stack, stack_of
from vesalius.ops._counts import TABLE_CELLS, Counts

NAMES = 16
"""How many features ``emphases`` gives."""


def emphases(counts: Counts, voxels: Floats) -> Floats:
    """Work out the sixteen features of a matrix of grey levels against lengths.

    With n(i, j) the counts, N their sum, p = n / N, in this order: small emphasis
    sum p / j^2; large emphasis sum p j^2; low grey level sum p / i^2; high grey level sum p i^2;
    small low sum p / (i j)^2; small high sum p i^2 / j^2; large low sum p j^2 / i^2; large high
    sum p i^2 j^2; grey level non-uniformity sum_i (sum_j n)^2 / N and the same / N^2; length
    non-uniformity sum_j (sum_i n)^2 / N and the same / N^2; percentage N / voxels; grey level
    variance; length variance; entropy -sum p log2 p.

    Args:
        counts: A stack of matrices: row is the grey level i, column the length j.
        voxels: (matrices,) the voxels that each matrix stands for.

    Returns:
        (16, matrices); no matrix may be empty.
    """
    cells = stack_of(counts)
    total = cells.total()
    i2 = cells.row.astype(np.float64) ** 2
    j2 = cells.column.astype(np.float64) ** 2
    n = cells.count.astype(np.float64)
    weights = (n / j2, n * j2, n / i2, n * i2, n / (i2 * j2), n * i2 / j2, n * j2 / i2, n * i2 * j2)
    moments = [cells.sum(weight) / total for weight in weights]
    grey, length = _squares(cells, cells.row), _squares(cells, cells.column)
    p = n / total[cells.matrix]
    return np.stack(
        [
            *moments,
            grey / total,
            grey / total**2,
            length / total,
            length / total**2,
            total / voxels,
            _variance(cells, cells.row, total),
            _variance(cells, cells.column, total),
            0.0 - cells.sum(p * np.log2(p)),
        ]
    )


def _squares(cells: Stack, index: Ints) -> Floats:
    """Sum the squares of the counts that share a value of ``index``, matrix by matrix."""
    size = int(index.max()) + 1
    if cells.matrices * size <= TABLE_CELLS:
        return np.asarray((cells.marginal(index, cells.count, size) ** 2).sum(axis=1))
    key, place = np.unique(cells.matrix * size + index, return_inverse=True)
    together = np.bincount(place, weights=cells.count)
    squares = np.bincount(key // size, weights=together**2, minlength=cells.matrices)
    return np.asarray(squares, dtype=np.float64)


def _variance(cells: Stack, index: Ints, total: Floats) -> Floats:
    mean = cells.sum(cells.count * index) / total
    return cells.sum(cells.count * (index - mean[cells.matrix]) ** 2) / total
