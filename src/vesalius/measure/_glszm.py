"""Grey level size zone features: how large the connected patches of one level are."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.measure._emphasis import emphases
from vesalius.measure._feature import Feature
from vesalius.measure._stack import Floats, stack_of
from vesalius.ops._counts import Counts


def _feature(tag: str, name: str, code: str, formula: str) -> Feature:
    return Feature(f"szm_{tag}", "glszm", name, code, "1", formula)


FEATURES: tuple[Feature, ...] = (
    _feature("sze", "Small zone emphasis", "5QRC", "sum p(i, s) / s^2"),
    _feature("lze", "Large zone emphasis", "48P8", "sum p(i, s) s^2"),
    _feature("lgze", "Low grey level zone emphasis", "XMSY", "sum p(i, s) / i^2"),
    _feature("hgze", "High grey level zone emphasis", "5GN9", "sum p(i, s) i^2"),
    _feature("szlge", "Small zone low grey level emphasis", "5RAI", "sum p(i, s) / (i s)^2"),
    _feature("szhge", "Small zone high grey level emphasis", "HW1V", "sum p(i, s) i^2 / s^2"),
    _feature("lzlge", "Large zone low grey level emphasis", "YH51", "sum p(i, s) s^2 / i^2"),
    _feature("lzhge", "Large zone high grey level emphasis", "J17V", "sum p(i, s) i^2 s^2"),
    _feature("glnu", "Grey level non-uniformity", "JNSA", "sum_i (sum_s n(i, s))^2 / N"),
    _feature(
        "glnu_norm", "Normalised grey level non-uniformity", "Y1RO", "sum_i (sum_s n(i, s))^2 / N^2"
    ),
    _feature("zsnu", "Zone size non-uniformity", "4JP3", "sum_s (sum_i n(i, s))^2 / N"),
    _feature(
        "zsnu_norm", "Normalised zone size non-uniformity", "VB3A", "sum_s (sum_i n(i, s))^2 / N^2"
    ),
    _feature("z_perc", "Zone percentage", "P30P", "number of zones / number of voxels"),
    _feature("gl_var", "Grey level variance", "BYLV", "sum (i - mean)^2 p(i, s)"),
    _feature("zs_var", "Zone size variance", "3NSA", "sum (s - mean)^2 p(i, s)"),
    _feature("zs_entr", "Zone size entropy", "GU8N", "-sum p(i, s) log2 p(i, s)"),
)


def measure_glszm(counts: Counts) -> Floats:
    """Work out the size zone features of each matrix of a stack.

    Args:
        counts: Sizes from ``ops.zones``; no matrix is empty.

    Returns:
        (16, matrices) in the order of ``FEATURES``.
    """
    return emphases(counts, stack_of(counts).covered())
