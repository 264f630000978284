"""Grey level distance zone features: how far inside the region the patches of one level lie."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.measure._emphasis import emphases
from vesalius.measure._feature import Feature
from vesalius.measure._stack import Floats
from vesalius.ops._counts import Counts


def _feature(tag: str, name: str, code: str, formula: str) -> Feature:
    return Feature(f"dzm_{tag}", "gldzm", name, code, "1", formula)


FEATURES: tuple[Feature, ...] = (
    _feature("sde", "Small distance emphasis", "0GBI", "sum p(i, d) / d^2"),
    _feature("lde", "Large distance emphasis", "MB4I", "sum p(i, d) d^2"),
    _feature("lgze", "Low grey level zone emphasis", "S1RA", "sum p(i, d) / i^2"),
    _feature("hgze", "High grey level zone emphasis", "K26C", "sum p(i, d) i^2"),
    _feature("sdlge", "Small distance low grey level emphasis", "RUVG", "sum p(i, d) / (i d)^2"),
    _feature("sdhge", "Small distance high grey level emphasis", "DKNJ", "sum p(i, d) i^2 / d^2"),
    _feature("ldlge", "Large distance low grey level emphasis", "A7WM", "sum p(i, d) d^2 / i^2"),
    _feature("ldhge", "Large distance high grey level emphasis", "KLTH", "sum p(i, d) i^2 d^2"),
    _feature("glnu", "Grey level non-uniformity", "VFT7", "sum_i (sum_d n(i, d))^2 / N"),
    _feature(
        "glnu_norm", "Normalised grey level non-uniformity", "7HP3", "sum_i (sum_d n(i, d))^2 / N^2"
    ),
    _feature("zdnu", "Zone distance non-uniformity", "V294", "sum_d (sum_i n(i, d))^2 / N"),
    _feature(
        "zdnu_norm",
        "Normalised zone distance non-uniformity",
        "IATH",
        "sum_d (sum_i n(i, d))^2 / N^2",
    ),
    _feature("z_perc", "Zone percentage", "VIWW", "number of zones / number of voxels"),
    _feature("gl_var", "Grey level variance", "QK93", "sum (i - mean)^2 p(i, d)"),
    _feature("zd_var", "Zone distance variance", "7WT1", "sum (d - mean)^2 p(i, d)"),
    _feature("zd_entr", "Zone distance entropy", "GBDU", "-sum p(i, d) log2 p(i, d)"),
)


def measure_gldzm(counts: Counts, voxels: Floats) -> Floats:
    """Work out the distance zone features of each matrix of a stack.

    Args:
        counts: Distances from ``ops.zones``; no matrix is empty.
        voxels: (matrices,) voxels of the region, or of each slice.

    Returns:
        (16, matrices) in the order of ``FEATURES``.
    """
    return emphases(counts, voxels)
