"""Grey level run length features: how long a level goes on along a line."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.measure._emphasis import emphases
from vesalius.measure._feature import Feature
from vesalius.measure._stack import Floats, stack_of
from vesalius.ops._counts import Counts


def _feature(tag: str, name: str, code: str, formula: str) -> Feature:
    return Feature(f"rlm_{tag}", "glrlm", name, code, "1", formula)


FEATURES: tuple[Feature, ...] = (
    _feature("sre", "Short runs emphasis", "22OV", "sum p(i, r) / r^2"),
    _feature("lre", "Long runs emphasis", "W4KF", "sum p(i, r) r^2"),
    _feature("lgre", "Low grey level run emphasis", "V3SW", "sum p(i, r) / i^2"),
    _feature("hgre", "High grey level run emphasis", "G3QZ", "sum p(i, r) i^2"),
    _feature("srlge", "Short run low grey level emphasis", "HTZT", "sum p(i, r) / (i r)^2"),
    _feature("srhge", "Short run high grey level emphasis", "GD3A", "sum p(i, r) i^2 / r^2"),
    _feature("lrlge", "Long run low grey level emphasis", "IVPO", "sum p(i, r) r^2 / i^2"),
    _feature("lrhge", "Long run high grey level emphasis", "3KUM", "sum p(i, r) i^2 r^2"),
    _feature("glnu", "Grey level non-uniformity", "R5YN", "sum_i (sum_r n(i, r))^2 / N"),
    _feature(
        "glnu_norm", "Normalised grey level non-uniformity", "OVBL", "sum_i (sum_r n(i, r))^2 / N^2"
    ),
    _feature("rlnu", "Run length non-uniformity", "W92Y", "sum_r (sum_i n(i, r))^2 / N"),
    _feature(
        "rlnu_norm", "Normalised run length non-uniformity", "IC23", "sum_r (sum_i n(i, r))^2 / N^2"
    ),
    _feature("r_perc", "Run percentage", "9ZK5", "number of runs / number of voxels"),
    _feature("gl_var", "Grey level variance", "8CE5", "sum (i - mean)^2 p(i, r)"),
    _feature("rl_var", "Run length variance", "SXLW", "sum (r - mean)^2 p(i, r)"),
    _feature("rl_entr", "Run entropy", "HJ9O", "-sum p(i, r) log2 p(i, r)"),
)


def measure_glrlm(counts: Counts) -> Floats:
    """Work out the run length features of each matrix of a stack.

    Args:
        counts: A stack from ``ops.run_lengths``; no matrix is empty.

    Returns:
        (16, matrices) in the order of ``FEATURES``. The percentage is taken of the voxels of all
        directions that were merged.
    """
    return emphases(counts, stack_of(counts).covered())
