"""Local intensity: the mean over one cubic centimetre where it is highest (IBSI chapter 3.2)."""
# SPDX-License-Identifier: Apache-2.0

import math

from vesalius.measure._feature import Feature, Value
from vesalius.measure._region import Region
from vesalius.measure._shape_checks import require_orthogonal
from vesalius.ops._ball import ball_peaks

PEAK_RADIUS_MM = 10 * (3 / (4 * math.pi)) ** (1 / 3)
"""Radius of a sphere of 1 cm^3, mm."""

FEATURES: tuple[Feature, ...] = (
    Feature(
        "loc_peak_loc",
        "local_intensity",
        "Local intensity peak",
        "VJGA",
        "{unit}",
        "mean over the 1 cm^3 sphere around the brightest voxel; the highest if several tie",
    ),
    Feature(
        "loc_peak_glob",
        "local_intensity",
        "Global intensity peak",
        "0F91",
        "{unit}",
        "highest mean over a 1 cm^3 sphere centred at any voxel of the region",
    ),
)


def local_intensity(region: Region) -> list[Value]:
    """Measure the local and the global intensity peak.

    The sphere may reach out of the region, into the margin of its block; at the border of the
    image the mean is over the voxels that exist.

    Args:
        region: The region; its block has a margin of ``PEAK_RADIUS_MM`` as far as the image goes.

    Returns:
        One value for each entry of ``FEATURES``.

    Raises:
        GeometryError: The axes of the grid are not at right angles.
    """
    require_orthogonal(region.grid)
    dz, dy, dx = region.grid.spacing_mm
    radius = (PEAK_RADIUS_MM / dz, PEAK_RADIUS_MM / dy, PEAK_RADIUS_MM / dx)
    peaks = ball_peaks(region.intensity, region.mask, radius)
    return [Value("loc_peak_loc", "", peaks.local), Value("loc_peak_glob", "", peaks.everywhere)]
