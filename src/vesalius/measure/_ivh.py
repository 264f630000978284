"""Intensity-volume histogram: which fraction of the volume has at least which intensity."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
from numpy.typing import NDArray

from vesalius.measure._config import Ivh
from vesalius.measure._feature import Feature, Value

_FLAT = "all intensities are equal, so that an intensity fraction has no meaning"
_CAPPED = "a larger volume fraction than that has the highest level"
_MANY = 10_000_000


def _feature(
    tag: str, name: str, code: str, unit: str, formula: str, undefined: str = ""
) -> Feature:
    return Feature(tag, "ivh", name, code, unit, formula, undefined)


FEATURES: tuple[Feature, ...] = (
    _feature(
        "ivh_v10",
        "Volume at intensity fraction 0.10",
        "BC2M",
        "1",
        "largest volume fraction with intensity fraction >= 0.10",
        _FLAT,
    ),
    _feature(
        "ivh_v90",
        "Volume at intensity fraction 0.90",
        "BC2M",
        "1",
        "largest volume fraction with intensity fraction >= 0.90",
        _FLAT,
    ),
    _feature(
        "ivh_i10",
        "Intensity at volume fraction 0.10",
        "GBPN",
        "{unit}",
        "smallest intensity that at most 0.10 of the volume reaches",
        _CAPPED,
    ),
    _feature(
        "ivh_i90",
        "Intensity at volume fraction 0.90",
        "GBPN",
        "{unit}",
        "smallest intensity that at most 0.90 of the volume reaches",
        _CAPPED,
    ),
    _feature("ivh_diff_v10_v90", "Volume fraction difference", "DDTU", "1", "V10 - V90", _FLAT),
    _feature("ivh_diff_i10_i90", "Intensity difference", "CNV2", "{unit}", "I10 - I90", _CAPPED),
    _feature(
        "ivh_auc",
        "Area under the intensity-volume curve",
        "9CMM",
        "1",
        "trapezoidal area of volume fraction over intensity fraction (not standardised)",
        _FLAT,
    ),
)


def ivh(
    values: NDArray[np.float64],
    settings: Ivh,
    *,
    bounds: tuple[float | None, float | None] = (None, None),
    counts: NDArray[np.float64] | None = None,
) -> list[Value]:
    """Measure the intensity-volume histogram.

    Args:
        values: (N,) float64, ascending, N >= 1, unit of the image.
        settings: How intensities become levels. ``none``: whole numbers are levels 1 apart, other
            values are taken as they are (the limit of ever finer bins). ``bin_width``: centres of
            bins. ``bin_count``: numbers of bins, so that I10 and I90 are numbers of bins too.
        bounds: Re-segmentation range. Where an end is set, the curve of whole numbers or of fixed
            bins ends there, else at the smallest or largest value.
        counts: (N,) float64, how often each value occurs; once each if not given.

    Returns:
        One value for each of ``FEATURES``, in their order. NaN with a reason for a constant region,
        and for I10 or I90 where a larger volume fraction has the highest level.

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, section 3.5.
    """
    levels, edges = _levels(values, settings, bounds)
    volume = _share_above(values, counts, edges)
    i10, i90 = _intensity_at(levels, volume, 0.1), _intensity_at(levels, volume, 0.9)
    span = levels[-1] - levels[0]
    v10 = v90 = auc = float("nan")
    if span > 0:
        fraction = (levels - levels[0]) / span
        v10 = float(volume[np.searchsorted(fraction, 0.1 - 1e-12)])
        v90 = float(volume[np.searchsorted(fraction, 0.9 - 1e-12)])
        auc = float(np.trapezoid(volume, fraction))
    flat = "" if span > 0 else _FLAT
    capped = "" if np.isfinite(i10) and np.isfinite(i90) else _CAPPED
    return [
        Value("ivh_v10", "", v10, flat),
        Value("ivh_v90", "", v90, flat),
        Value("ivh_i10", "", i10, "" if np.isfinite(i10) else _CAPPED),
        Value("ivh_i90", "", i90, "" if np.isfinite(i90) else _CAPPED),
        Value("ivh_diff_v10_v90", "", v10 - v90, flat),
        Value("ivh_diff_i10_i90", "", i10 - i90, capped),
        Value("ivh_auc", "", auc, flat),
    ]


def _levels(
    values: NDArray[np.float64], settings: Ivh, bounds: tuple[float | None, float | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the levels, ascending, and where each begins."""
    low = float(values[0]) if bounds[0] is None else bounds[0]
    high = float(values[-1]) if bounds[1] is None else bounds[1]
    levels: NDArray[np.float64]
    edges: NDArray[np.float64]
    if settings.method == "bin_count":
        low, high = float(values[0]), float(values[-1])
        levels = np.arange(1.0, settings.bin_count + 1)
        edges = low + (high - low) / settings.bin_count * (levels - 1)
    elif settings.method == "bin_width":
        count = max(1, int(np.ceil((high - low) / settings.bin_width - 1e-9)))
        edges = low + settings.bin_width * np.arange(count).astype(np.float64)
        levels = edges + settings.bin_width / 2
    elif high - low <= _MANY and bool((values == np.rint(values)).all()):
        levels = edges = np.arange(math.floor(low), math.ceil(high) + 1).astype(np.float64)
    else:
        levels = edges = np.unique(values)
    return (levels[:1], np.full(1, -np.inf)) if low == high else (levels, edges)


def _share_above(
    values: NDArray[np.float64], counts: NDArray[np.float64] | None, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the share of the volume at or above each edge."""
    place = np.searchsorted(values, edges, "left")
    if counts is None:
        return (len(values) - place) / len(values)
    before = np.concatenate([np.zeros(1), np.cumsum(counts)])
    share: NDArray[np.float64] = (before[-1] - before[place]) / before[-1]
    return share


def _intensity_at(
    levels: NDArray[np.float64], volume: NDArray[np.float64], fraction: float
) -> float:
    reached = np.flatnonzero(volume <= fraction)
    return float(levels[reached[0]]) if len(reached) else float("nan")
