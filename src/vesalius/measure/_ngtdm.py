"""Neighbourhood grey tone difference features: how a voxel stands out from those around it."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.measure._feature import Feature
from vesalius.measure._stack import Floats, quotient, stack_of
from vesalius.ops._jit import kernel
from vesalius.ops._neighbourhood import Differences

_SMOOTH = "division by zero: every voxel equals the mean of its neighbours, or has none"
_FLAT = "0/0: fewer than two grey levels among the voxels that have neighbours"
_EVEN = "division by zero: i p_i is the same for all grey levels, or there are fewer than two"


def _feature(tag: str, name: str, code: str, formula: str, undefined: str) -> Feature:
    return Feature(f"ngt_{tag}", "ngtdm", name, code, "1", formula, undefined)


FEATURES: tuple[Feature, ...] = (
    _feature("coarseness", "Coarseness", "QCDE", "1 / sum_i p_i s_i", _SMOOTH),
    _feature(
        "contrast",
        "Contrast",
        "65HE",
        "sum_ij p_i p_j (i - j)^2 / (m (m - 1)) * sum_i s_i / N, m levels present",
        _FLAT,
    ),
    _feature("busyness", "Busyness", "NQ30", "sum_i p_i s_i / sum_ij |i p_i - j p_j|", _EVEN),
    _feature(
        "complexity",
        "Complexity",
        "HDEZ",
        "sum_ij |i - j| (p_i s_i + p_j s_j) / (p_i + p_j) / N",
        "no voxel has a neighbour in the region",
    ),
    _feature("strength", "Strength", "1X9X", "sum_ij (p_i + p_j) (i - j)^2 / sum_i s_i", _SMOOTH),
)


def measure_ngtdm(found: Differences) -> Floats:
    """Work out the grey tone difference features of each matrix of a stack.

    Args:
        found: Voxels and totals from ``ops.differences``.

    Returns:
        (5, matrices) in the order of ``FEATURES``; NaN where one is undefined. The standard sets
        a coarseness of 10^6 and a busyness and strength of 0 where they are undefined; here they
        have no value.
    """
    voxels, totals = stack_of(found.voxels), stack_of(found.totals)
    top = int(voxels.row.max(initial=0)) + 1
    n = voxels.marginal(voxels.row, voxels.count, top)
    s = totals.marginal(totals.row, totals.count / totals.column, top)
    size = n.sum(axis=1)
    p = n / np.maximum(size, 1)[:, None]
    i = np.arange(top, dtype=np.float64)
    present = (n > 0).sum(axis=1)
    busy, complex_ = np.zeros(len(n)), np.zeros(len(n))
    _over_pairs(p, s, busy, complex_)
    mean, square = (p * i).sum(axis=1), (p * i**2).sum(axis=1)
    spread = 2 * (p * (i - mean[:, None]) ** 2).sum(axis=1)
    rough, whole = (p * s).sum(axis=1), s.sum(axis=1)
    # sum_ij (p_i + p_j)(i - j)^2 over present levels, by moments.
    there = n > 0
    first, second = (there * i).sum(axis=1), (there * i**2).sum(axis=1)
    strong = 2 * (present * square - 2 * mean * first + second)
    pairs = present * (present - 1.0)
    table = np.stack(
        [
            quotient(np.ones(len(n)), rough),
            quotient(spread * whole, pairs * size),
            np.where(present > 1, quotient(rough, busy), np.nan),
            quotient(complex_, size),
            quotient(strong, whole),
        ]
    )
    return table


@kernel
@no_type_check
def _over_pairs(p, s, busy, complexity):
    """Sum over ordered pairs of grey levels that are present."""
    for m in range(p.shape[0]):
        for i in range(p.shape[1]):
            if p[m, i] == 0:
                continue
            for j in range(i):
                if p[m, j] == 0:
                    continue
                busy[m] += 2 * abs(i * p[m, i] - j * p[m, j])
                weight = (p[m, i] * s[m, i] + p[m, j] * s[m, j]) / (p[m, i] + p[m, j])
                complexity[m] += 2 * (i - j) * weight
