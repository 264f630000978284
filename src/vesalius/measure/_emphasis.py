"""The arithmetic that runs, zones, zone distances and dependences share: emphases and spreads."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.measure._stack import Floats, stack_of
from vesalius.ops._counts import Counts
from vesalius.ops._jit import kernel

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
    table = np.full((NAMES, cells.matrices), np.nan)
    _emphasise(cells.matrix, cells.row, cells.column, cells.count, table)
    table[12] = cells.total() / voxels
    return table


@kernel
@no_type_check
def _emphasise(matrix, row, column, count, table):
    """Fill in all but the percentage, matrix by matrix; cells are sorted by matrix and row."""
    lengths = np.zeros(max(column) + 1 if len(column) > 0 else 0, np.int64)
    start, n = 0, len(matrix)
    while start < n:
        stop = start
        total, i_sum, j_sum = 0, 0, 0
        while stop < n and matrix[stop] == matrix[start]:
            total += count[stop]
            i_sum += count[stop] * row[stop]
            j_sum += count[stop] * column[stop]
            lengths[column[stop]] += count[stop]
            stop += 1
        grey, length = _squares(row[start:stop], column[start:stop], count[start:stop], lengths)
        whole, m = np.float64(total), matrix[start]
        sums = _moments(
            (row[start:stop], column[start:stop], count[start:stop]),
            (whole, i_sum / whole, j_sum / whole),
        )
        for k in range(8):
            table[k, m] = sums[k] / whole
        table[8, m], table[9, m] = grey / whole, grey / whole**2
        table[10, m], table[11, m] = length / whole, length / whole**2
        table[13, m], table[14, m], table[15, m] = sums[8] / whole, sums[9] / whole, 0.0 - sums[10]
        start = stop


@kernel
@no_type_check
def _squares(row, column, count, lengths):
    """Sum the squares of the counts of each level, and of each length, which are then cleared."""
    grey, length, level = 0.0, 0.0, 0
    for k in range(len(row)):
        level += count[k]
        if k + 1 == len(row) or row[k + 1] != row[k]:
            grey += np.float64(level) ** 2
            level = 0
        length += np.float64(lengths[column[k]]) ** 2
        lengths[column[k]] = 0
    return grey, length


@kernel
@no_type_check
def _moments(cells, middle):
    """Sum the eight emphases, both spreads, and p log2 p."""
    row, column, count = cells
    whole, i_mean, j_mean = middle
    sums = np.zeros(11)
    for k in range(len(row)):
        i, j, n = np.float64(row[k]), np.float64(column[k]), np.float64(count[k])
        i2, j2 = i * i, j * j
        sums[0] += n / j2
        sums[1] += n * j2
        sums[2] += n / i2
        sums[3] += n * i2
        sums[4] += n / (i2 * j2)
        sums[5] += n * i2 / j2
        sums[6] += n * j2 / i2
        sums[7] += n * i2 * j2
        sums[8] += n * (i - i_mean) ** 2
        sums[9] += n * (j - j_mean) ** 2
        sums[10] += n / whole * np.log2(n / whole)
    return sums
