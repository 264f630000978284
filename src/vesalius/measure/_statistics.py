"""Statistics: the 18 intensity statistics of IBSI-1."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
from numpy.typing import NDArray

from vesalius.measure._feature import Feature, Value

Sorted = NDArray[np.float64]

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


def statistics(values: Sorted) -> list[Value]:
    """Measure the 18 intensity statistics.

    Args:
        values: (N,) float64, ascending, N >= 1: the intensities inside the intensity mask, unit of
            the image.

    Returns:
        One value for each of ``FEATURES``, in their order. Skewness and kurtosis of a constant
        region, and the two dispersion ratios with a zero denominator, are NaN with a reason.

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, section 3.3. Percentiles are linear
        between order statistics. Sums run over sorted values, so that the order of the voxels
        (rotation, cropping) changes nothing.
    """
    shared = moments(values, "stat")
    energy = float(np.dot(values, values))
    return [
        *shared,
        Value("stat_energy", "", energy),
        Value("stat_rms", "", float(np.sqrt(energy / len(values)))),
    ]


def moments(values: Sorted, prefix: str) -> list[Value]:
    """Measure the 16 statistics that intensities and grey levels have in common, in IBSI's order.

    Args:
        values: (N,) float64, ascending.
        prefix: ``"stat"`` or ``"ih"``, put before the name.

    Returns:
        mean, var, skew, kurt, median, min, p10, p90, max, iqr, range, mad, rmad, medad, cov, qcod.
    """
    mean = float(values.mean())
    low, high = float(values[0]), float(values[-1])
    if low == high:  # rounding of the mean must not become a spread
        mean = low
    centred = values - mean
    squares = centred * centred
    var = float(squares.mean())
    flat = low == high
    p10, p25, p50, p75, p90 = (percentile(values, p) for p in (10, 25, 50, 75, 90))
    spread = np.sqrt(var)
    skew = np.nan if flat else float(np.dot(squares, centred)) / len(values) / spread**3
    kurt = np.nan if flat else float(np.dot(squares, squares)) / len(values) / var**2 - 3
    inner = values[np.searchsorted(values, p10, "left") : np.searchsorted(values, p90, "right")]
    found = [
        ("mean", mean, ""),
        ("var", var, ""),
        ("skew", skew, _FLAT if flat else ""),
        ("kurt", kurt, _FLAT if flat else ""),
        ("median", p50, ""),
        ("min", low, ""),
        ("p10", p10, ""),
        ("p90", p90, ""),
        ("max", high, ""),
        ("iqr", p75 - p25, ""),
        ("range", high - low, ""),
        ("mad", _mean_distance(values, mean), ""),
        ("rmad", *_robust_deviation(inner)),
        ("medad", _mean_distance(values, p50), ""),
        ("cov", *_ratio(float(spread), mean, _MEAN_0)),
        ("qcod", *_ratio(p75 - p25, p75 + p25, _QUARTILES_0)),
    ]
    return [Value(f"{prefix}_{name}", "", float(value), reason) for name, value, reason in found]


def percentile(values: Sorted, p: float) -> float:
    """Take a percentile of ascending values, linear between order statistics.

    Args:
        values: (N,) ascending.
        p: Percent, 0 to 100.

    Returns:
        The value at rank (N - 1) p / 100.
    """
    rank = (len(values) - 1) * p / 100
    below = int(rank)
    above = min(below + 1, len(values) - 1)
    return float(values[below] + (values[above] - values[below]) * (rank - below))


def _mean_distance(values: Sorted, centre: float) -> float:
    return float(np.abs(values - centre).mean())


def _robust_deviation(inner: Sorted) -> tuple[float, str]:
    if len(inner) == 0:
        return float("nan"), _NONE_BETWEEN
    return _mean_distance(inner, float(inner.mean())), ""


def _ratio(numerator: float, denominator: float, reason: str) -> tuple[float, str]:
    if denominator == 0:
        return float("nan"), reason
    return numerator / denominator, ""
