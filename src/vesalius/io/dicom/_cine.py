"""Cine: when the frames of a moving picture were taken, and how large its pixels are."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np

from vesalius.io._handle import Array

CENTIMETRE = 3
"""PhysicalUnitsXDirection of a region in space (PS3.3 C.8.5.5.1.1)."""
SAME = 0.01
RATES = ("CineRate", "RecommendedDisplayFrameRate")


def frame_times_ms(header: Any, count: int) -> Array:
    """Give the time of each frame after the first.

    By FrameTimeVector or FrameTime (PS3.3 C.7.6.5), else by the rate at which it was recorded
    (CineRate) or is to be shown (RecommendedDisplayFrameRate).

    Args:
        header: A pydicom dataset.
        count: Number of frames.

    Returns:
        (count,) ms, or empty where nothing tells.
    """
    vector = header.get("FrameTimeVector", None)
    if vector is not None and np.size(np.asarray(vector, dtype=object)) == count:
        steps = np.array([float(v) for v in np.atleast_1d(np.asarray(vector, dtype=object))])
        if np.isfinite(steps).all() and (steps[1:] > 0).all():
            # the first is the time before the first frame
            return np.asarray(np.cumsum(steps) - steps[0])
    for keyword in ("FrameTime", *RATES):
        value = header.get(keyword, None)
        number = float(value) if value not in (None, "") else 0.0
        if np.isfinite(number) and number > 0:
            return np.arange(count) * (1000 / number if keyword in RATES else number)
    return np.empty(0)


def ultrasound_spacing_mm(header: Any) -> tuple[float, float] | None:
    """Give the pixel spacing of an ultrasound image from its regions (PS3.3 C.8.5.5).

    Args:
        header: A pydicom dataset.

    Returns:
        Distance between (rows, columns), or None where no region is calibrated in centimetres, or
        several are and differ by more than 1%.
    """
    found = []
    for region in header.get("SequenceOfUltrasoundRegions", None) or ():
        units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
        if region.get("RegionSpatialFormat") == 1 and units == (CENTIMETRE, CENTIMETRE):
            deltas = region.get("PhysicalDeltaY"), region.get("PhysicalDeltaX")
            found.append([10 * abs(float(v or 0)) for v in deltas])
    if not found:
        return None
    first = np.array(found[0])
    apart = np.abs(np.array(found) - first).max()
    if not (np.isfinite(first).all() and first.min() > 0) or apart > SAME * first.min():
        return None
    return float(first[0]), float(first[1])
