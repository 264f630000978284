"""Grey level co-occurrence features: how the levels of neighbouring voxels go together."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.measure._feature import Feature
from vesalius.measure._stack import Floats, entropy, quotient, stack_of
from vesalius.ops._counts import Counts
from vesalius.ops._jit import kernel

_EMPTY = "no two voxels of the region are neighbours at this distance: the matrix is empty"
_FLAT = "0/0: all neighbouring voxels have one grey level, or no two voxels are neighbours"


def _feature(tag: str, name: str, code: str, formula: str, undefined: str = _EMPTY) -> Feature:
    return Feature(f"cm_{tag}", "glcm", name, code, "1", formula, undefined)


FEATURES: tuple[Feature, ...] = (
    _feature("joint_max", "Joint maximum", "GYBY", "max p(i, j)"),
    _feature("joint_avg", "Joint average", "60VM", "mu = sum i p(i, j)"),
    _feature("joint_var", "Joint variance", "UR99", "sum (i - mu)^2 p(i, j)"),
    _feature("joint_entr", "Joint entropy", "TU9B", "-sum p(i, j) log2 p(i, j)"),
    _feature("diff_avg", "Difference average", "TF7R", "m = sum k p(|i - j| = k)"),
    _feature("diff_var", "Difference variance", "D3YU", "sum (k - m)^2 p(|i - j| = k)"),
    _feature("diff_entr", "Difference entropy", "NTRS", "-sum p(|i - j| = k) log2 of it"),
    _feature("sum_avg", "Sum average", "ZGXS", "sum k p(i + j = k)"),
    _feature("sum_var", "Sum variance", "OEEB", "sum (k - sum average)^2 p(i + j = k)"),
    _feature("sum_entr", "Sum entropy", "P6QZ", "-sum p(i + j = k) log2 of it"),
    _feature("energy", "Angular second moment", "8ZQL", "sum p(i, j)^2"),
    _feature("contrast", "Contrast", "ACUI", "sum (i - j)^2 p(i, j)"),
    _feature("dissimilarity", "Dissimilarity", "8S9J", "sum |i - j| p(i, j)"),
    _feature("inv_diff", "Inverse difference", "IB1Z", "sum p(i, j) / (1 + |i - j|)"),
    _feature(
        "inv_diff_norm",
        "Normalised inverse difference",
        "NDRX",
        "sum p(i, j) / (1 + |i - j| / Ng)",
    ),
    _feature("inv_diff_mom", "Inverse difference moment", "WF0Z", "sum p(i, j) / (1 + (i - j)^2)"),
    _feature(
        "inv_diff_mom_norm",
        "Normalised inverse difference moment",
        "1QCO",
        "sum p(i, j) / (1 + (i - j)^2 / Ng^2)",
    ),
    _feature("inv_var", "Inverse variance", "E8JP", "2 sum_{i<j} p(i, j) / (i - j)^2"),
    _feature("corr", "Correlation", "NI2N", "sum (i - mu) (j - mu) p(i, j) / variance", _FLAT),
    _feature("auto_corr", "Autocorrelation", "QWB0", "sum i j p(i, j)"),
    _feature("clust_tend", "Cluster tendency", "DG8W", "sum (i + j - 2 mu)^2 p(i, j)"),
    _feature("clust_shade", "Cluster shade", "7NFM", "sum (i + j - 2 mu)^3 p(i, j)"),
    _feature("clust_prom", "Cluster prominence", "AE86", "sum (i + j - 2 mu)^4 p(i, j)"),
    _feature(
        "info_corr1",
        "First measure of information correlation",
        "R8DG",
        "(HXY - HXY1) / HX",
        _FLAT,
    ),
    _feature(
        "info_corr2",
        "Second measure of information correlation",
        "JN9H",
        "sqrt(1 - exp(-2 (HXY2 - HXY)))",
    ),
)


def measure_glcm(counts: Counts, levels: int) -> Floats:
    """Work out the co-occurrence features of each matrix of a stack.

    The matrices are symmetric, so that both marginals are equal and HXY1 = HXY2 = 2 HX.

    Args:
        counts: A stack from ``ops.cooccurrence``.
        levels: Number of grey levels Ng.

    Returns:
        (25, matrices) in the order of ``FEATURES``; NaN where one is undefined.
    """
    cells = stack_of(counts)
    top = int(cells.column.max(initial=0)) + 1
    whole = np.zeros(cells.matrices)
    joint = np.zeros((4, cells.matrices))
    one, gap = np.zeros((cells.matrices, top)), np.zeros((cells.matrices, top))
    both = np.zeros((cells.matrices, 2 * top - 1))
    each = (cells.matrix, cells.row, cells.column, cells.count)
    _spread(each, whole, joint, (one, gap, both))
    table = _features((joint[0], joint[1], joint[2], joint[3]), gap, both, one, levels)
    table[:, whole == 0] = np.nan
    return table


@kernel
@no_type_check
def _spread(cells, whole, joint, marginals):
    """Work out maximum, entropy, energy and autocorrelation, and the three marginals."""
    matrix, row, column, count = cells
    one, gap, both = marginals
    for k in range(len(matrix)):
        whole[matrix[k]] += count[k] if row[k] == column[k] else 2 * count[k]
    for k in range(len(matrix)):
        m, i, j = matrix[k], row[k], column[k]
        each = count[k] / whole[m]
        p = each if i == j else 2 * each
        joint[0, m] = max(joint[0, m], each)
        joint[1, m] -= p * np.log2(each)
        joint[2, m] += p * each
        joint[3, m] += p * (i * j)
        one[m, i] += p / 2
        one[m, j] += p / 2
        gap[m, j - i] += p
        both[m, i + j] += p


def _features(
    joint: tuple[Floats, Floats, Floats, Floats],
    gap: Floats,
    both: Floats,
    one: Floats,
    levels: int,
) -> Floats:
    largest, bits, energy, product = joint
    i, k, s = (np.arange(a.shape[1], dtype=np.float64) for a in (one, gap, both))
    mean = (one * i).sum(axis=1)
    off = i - mean[:, None]
    variance = (one * off**2).sum(axis=1)
    apart = s - 2 * mean[:, None]
    square = apart * apart
    powers = (square, square * apart, square * square)
    tendency, shade, prominence = ((both * power).sum(axis=1) for power in powers)
    gap_mean = (gap * k).sum(axis=1)
    contrast = (gap * k**2).sum(axis=1)
    hx = entropy(one)
    # cov = E[(i + j - 2 mu)^2] / 2 - variance, because both marginals are equal.
    correlation = quotient(tendency / 2 - variance, variance)
    return np.stack(
        [
            largest,
            mean,
            variance,
            bits,
            gap_mean,
            (gap * (k - gap_mean[:, None]) ** 2).sum(axis=1),
            entropy(gap),
            2 * mean,
            tendency,
            entropy(both),
            energy,
            contrast,
            gap_mean,
            (gap / (1 + k)).sum(axis=1),
            (gap / (1 + k / levels)).sum(axis=1),
            (gap / (1 + k**2)).sum(axis=1),
            (gap / (1 + (k / levels) ** 2)).sum(axis=1),
            (gap[:, 1:] / k[1:] ** 2).sum(axis=1),
            correlation,
            product,
            tendency,
            shade,
            prominence,
            quotient(bits - 2 * hx, hx),
            np.sqrt(np.maximum(0.0, 1 - np.exp(-2 * (2 * hx - bits)))),
        ]
    )
