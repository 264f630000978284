"""Neighbouring grey level dependence features: how many voxels around each are alike."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.measure._emphasis import emphases
from vesalius.measure._feature import Feature
from vesalius.measure._stack import Floats, stack_of
from vesalius.ops._counts import Counts


def _feature(tag: str, name: str, code: str, formula: str) -> Feature:
    return Feature(f"ngl_{tag}", "ngldm", name, code, "1", formula)


FEATURES: tuple[Feature, ...] = (
    _feature("lde", "Low dependence emphasis", "SODN", "sum p(i, k) / k^2"),
    _feature("hde", "High dependence emphasis", "IMOQ", "sum p(i, k) k^2"),
    _feature("lgce", "Low grey level count emphasis", "TL9H", "sum p(i, k) / i^2"),
    _feature("hgce", "High grey level count emphasis", "OAE7", "sum p(i, k) i^2"),
    _feature("ldlge", "Low dependence low grey level emphasis", "EQ3F", "sum p(i, k) / (i k)^2"),
    _feature("ldhge", "Low dependence high grey level emphasis", "JA6D", "sum p(i, k) i^2 / k^2"),
    _feature("hdlge", "High dependence low grey level emphasis", "NBZI", "sum p(i, k) k^2 / i^2"),
    _feature("hdhge", "High dependence high grey level emphasis", "9QMG", "sum p(i, k) i^2 k^2"),
    _feature("glnu", "Grey level non-uniformity", "FP8K", "sum_i (sum_k n(i, k))^2 / N"),
    _feature(
        "glnu_norm", "Normalised grey level non-uniformity", "5SPA", "sum_i (sum_k n(i, k))^2 / N^2"
    ),
    _feature("dcnu", "Dependence count non-uniformity", "Z87G", "sum_k (sum_i n(i, k))^2 / N"),
    _feature(
        "dcnu_norm",
        "Normalised dependence count non-uniformity",
        "OKJI",
        "sum_k (sum_i n(i, k))^2 / N^2",
    ),
    _feature(
        "dc_perc",
        "Dependence count percentage",
        "6XV8",
        "number of neighbourhoods / number of voxels",
    ),
    _feature("gl_var", "Grey level variance", "1PFV", "sum (i - mean)^2 p(i, k)"),
    _feature("dc_var", "Dependence count variance", "DNX2", "sum (k - mean)^2 p(i, k)"),
    _feature("dc_entr", "Dependence count entropy", "FCBV", "-sum p(i, k) log2 p(i, k)"),
    _feature("dc_energy", "Dependence count energy", "CAS9", "sum p(i, k)^2"),
)


def measure_ngldm(counts: Counts) -> Floats:
    """Work out the dependence features of each matrix of a stack.

    Args:
        counts: A stack from ``ops.dependences``; no matrix is empty.

    Returns:
        (17, matrices) in the order of ``FEATURES``.
    """
    cells = stack_of(counts)
    energy = cells.sum(cells.count.astype(np.float64) ** 2) / cells.total() ** 2
    return np.vstack([emphases(counts, cells.total()), energy])
