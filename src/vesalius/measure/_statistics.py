"""Statistics: the 18 intensity statistics of IBSI-1."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np
from numpy.typing import NDArray

from vesalius.measure._feature import Feature, Value
from vesalius.ops._jit import kernel

Sorted = NDArray[np.float64]

_BLOCK = 1024

_FLAT = "all intensities are equal"
_MEAN_0 = "the mean is 0"
_NONE_BETWEEN = "no intensity lies between the 10th and the 90th percentile"
_QUARTILES_0 = "the quartiles add up to 0"


def _feature(
    tag: str, name: str, code: str, unit: str, formula: str, undefined: str = ""
) -> Feature:
    return Feature(tag, "statistics", name, code, unit, formula, undefined)


FEATURES: tuple[Feature, ...] = (
    _feature("stat_mean", "Mean intensity", "Q4LE", "{unit}", "mu = sum x / N"),
    _feature("stat_var", "Intensity variance", "ECT3", "{unit}^2", "s^2 = sum (x - mu)^2 / N"),
    _feature("stat_skew", "Intensity skewness", "KE2A", "1", "mean (x - mu)^3 / s^3", _FLAT),
    _feature(
        "stat_kurt", "Excess intensity kurtosis", "IPH6", "1", "mean (x - mu)^4 / s^4 - 3", _FLAT
    ),
    _feature("stat_median", "Median intensity", "Y12H", "{unit}", "P50"),
    _feature("stat_min", "Minimum intensity", "1GSF", "{unit}", "min x"),
    _feature("stat_p10", "10th intensity percentile", "QG58", "{unit}", "P10"),
    _feature("stat_p90", "90th intensity percentile", "8DWT", "{unit}", "P90"),
    _feature("stat_max", "Maximum intensity", "84IY", "{unit}", "max x"),
    _feature("stat_iqr", "Intensity interquartile range", "SALO", "{unit}", "P75 - P25"),
    _feature("stat_range", "Intensity range", "2OJQ", "{unit}", "max x - min x"),
    _feature("stat_mad", "Mean absolute deviation", "4FUA", "{unit}", "mean |x - mu|"),
    _feature(
        "stat_rmad",
        "Robust mean absolute deviation",
        "1128",
        "{unit}",
        "mean |x - mu'| over P10 <= x <= P90, mu' the mean of those",
        _NONE_BETWEEN,
    ),
    _feature("stat_medad", "Median absolute deviation", "N72L", "{unit}", "mean |x - P50|"),
    _feature("stat_cov", "Coefficient of variation", "7TET", "1", "s / mu", _MEAN_0),
    _feature(
        "stat_qcod",
        "Quartile coefficient of dispersion",
        "9S40",
        "1",
        "(P75 - P25) / (P75 + P25)",
        _QUARTILES_0,
    ),
    _feature("stat_energy", "Intensity energy", "N8CA", "{unit}^2", "sum x^2"),
    _feature("stat_rms", "Root mean square intensity", "5ZWQ", "{unit}", "sqrt(sum x^2 / N)"),
)


def statistics(values: Sorted, counts: Sorted | None = None) -> list[Value]:
    """Measure the 18 intensity statistics.

    Args:
        values: (N,) float64, ascending, N >= 1: the intensities inside the intensity mask, unit of
            the image.
        counts: (N,) float64, how often each occurs; once each if not given.

    Returns:
        One value for each of ``FEATURES``, in their order. Skewness and kurtosis of a constant
        region, and the two dispersion ratios with a zero denominator, are NaN with a reason.

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, section 3.3. Percentiles are linear
        between order statistics. Sums run over sorted values, so that the order of the voxels
        (rotation, cropping) changes nothing.
    """
    if counts is None:
        values, counts = _distinct(values)
    shared = moments(values, counts, "stat")
    total = float(counts.sum())
    energy = float(_raw_sums(values, counts)[1])
    return [
        *shared,
        Value("stat_energy", "", energy),
        Value("stat_rms", "", math.sqrt(energy / total)),
    ]


def moments(values: Sorted, counts: Sorted, prefix: str) -> list[Value]:
    """Measure the 16 statistics that intensities and grey levels have in common, in IBSI's order.

    Args:
        values: (N,) float64, ascending, each once.
        counts: (N,) float64, how often each occurs.
        prefix: ``"stat"`` or ``"ih"``, put before the name.

    Returns:
        mean, var, skew, kurt, median, min, p10, p90, max, iqr, range, mad, rmad, medad, cov, qcod.
    """
    ends = np.cumsum(counts)
    total = float(ends[-1])
    low, high = float(values[0]), float(values[-1])
    flat = low == high
    # rounding of the mean must not become a spread
    mean = low if flat else _raw_sums(values, counts)[0] / total
    p10, p25, p50, p75, p90 = (percentile(values, p, ends) for p in (10, 25, 50, 75, 90))
    second, third, fourth, apart, from_median = _central_sums(values, counts, mean, p50)
    var = second / total
    spread = math.sqrt(var)
    inner = slice(np.searchsorted(values, p10, "left"), np.searchsorted(values, p90, "right"))
    found = [
        ("mean", mean, ""),
        ("var", var, ""),
        ("skew", math.nan if flat else third / total / spread**3, _FLAT if flat else ""),
        ("kurt", math.nan if flat else fourth / total / var**2 - 3, _FLAT if flat else ""),
        ("median", p50, ""),
        ("min", low, ""),
        ("p10", p10, ""),
        ("p90", p90, ""),
        ("max", high, ""),
        ("iqr", p75 - p25, ""),
        ("range", high - low, ""),
        ("mad", apart / total, ""),
        ("rmad", *_robust_deviation(values[inner], counts[inner])),
        ("medad", from_median / total, ""),
        ("cov", *_ratio(spread, mean, _MEAN_0)),
        ("qcod", *_ratio(p75 - p25, p75 + p25, _QUARTILES_0)),
    ]
    return [Value(f"{prefix}_{name}", "", float(value), reason) for name, value, reason in found]


def percentile(values: Sorted, p: float, ends: Sorted | None = None) -> float:
    """Take a percentile of ascending values, linear between order statistics.

    Args:
        values: (N,) ascending.
        p: Percent, 0 to 100.
        ends: (N,) running sum of how often each occurs; once each if not given.

    Returns:
        The value at rank (total - 1) p / 100.
    """
    total = len(values) if ends is None else int(ends[-1])
    rank = (total - 1) * p / 100
    below = int(rank)
    above = min(below + 1, total - 1)
    places = (below, above) if ends is None else np.searchsorted(ends, (below, above), "right")
    one, other = float(values[places[0]]), float(values[places[1]])
    return one + (other - one) * (rank - below)


def _robust_deviation(inner: Sorted, counts: Sorted) -> tuple[float, str]:
    if len(inner) == 0:
        return math.nan, _NONE_BETWEEN
    total = float(counts.sum())
    mean = float(inner[0]) if inner[0] == inner[-1] else _raw_sums(inner, counts)[0] / total
    return _central_sums(inner, counts, mean, mean)[3] / total, ""


def _ratio(numerator: float, denominator: float, reason: str) -> tuple[float, str]:
    if denominator == 0:
        return math.nan, reason
    return numerator / denominator, ""


@kernel
@no_type_check
def _distinct(values):
    """Give each of ascending values once, and how often it occurs."""
    found, counts, n = np.empty(len(values)), np.zeros(len(values)), 0
    for i in range(len(values)):
        if i == 0 or values[i] != values[i - 1]:
            found[n] = values[i]
            n += 1
        counts[n - 1] += 1.0
    return found[:n], counts[:n]


@kernel
@no_type_check
def _raw_sums(values, counts):
    """Sum values and squares, by blocks so that roundings stay few."""
    total, energy = 0.0, 0.0
    for start in range(0, len(values), _BLOCK):
        one, two = 0.0, 0.0
        for i in range(start, min(start + _BLOCK, len(values))):
            weight = counts[i]
            one += weight * values[i]
            two += weight * values[i] * values[i]
        total += one
        energy += two
    return total, energy


@kernel
@no_type_check
def _central_sums(values, counts, mean, median):
    """Sum the second to fourth power and the size of deviations, and the distance to the median."""
    sums = np.zeros(5)
    for start in range(0, len(values), _BLOCK):
        second, third, fourth, apart, from_median = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(start, min(start + _BLOCK, len(values))):
            weight = counts[i]
            away = values[i] - mean
            square = away * away
            second += weight * square
            third += weight * square * away
            fourth += weight * square * square
            apart += weight * abs(away)
            from_median += weight * abs(values[i] - median)
        sums[0] += second
        sums[1] += third
        sums[2] += fourth
        sums[3] += apart
        sums[4] += from_median
    return sums[0], sums[1], sums[2], sums[3], sums[4]
