"""The chest phantom: organs of exactly known volume, in HU, named like the sample CT's."""
# SPDX-License-Identifier: Apache-2.0

import math

from vesalius.core import Grid
from vesalius.physics._phantom import Phantom
from vesalius.physics._solids import Ellipsoid

NODULES = (
    Ellipsoid.sphere((-70.0, -12.0, 60.0), 12.0, value=40.0, name="nodule_right"),
    Ellipsoid.sphere((72.0, 20.0, 20.0), 8.0, value=40.0, name="nodule_left"),
)
"""Nodules of the default chest: one in each lung."""


def chest_grid(spacing_mm: tuple[float, float, float] = (2.5, 1.5, 1.5)) -> Grid:
    """Make a grid that holds the chest phantom.

    Args:
        spacing_mm: Voxel size along (z, y, x), mm.

    Returns:
        An axis-aligned grid of 360 x 260 x 320 mm (L, P, S), the phantom in its middle.
    """
    dz, dy, dx = spacing_mm
    shape = (round(320 / dz), round(260 / dy), round(360 / dx))
    origin = tuple(-(n - 1) * s / 2 for n, s in zip(shape[::-1], (dx, dy, dz), strict=True))
    return Grid.from_spacing(shape, spacing_mm, origin_mm=(origin[0], origin[1], origin[2]))


def chest_phantom(*, nodules: tuple[Ellipsoid, ...] = NODULES) -> Phantom:
    """Make a chest of ellipsoids that lie inside each other or apart, so that volumes are exact.

    Noise and blur are added afterwards, with ``add_noise``.

    Args:
        nodules: Each must lie wholly inside one organ; ``truth`` refuses it otherwise.

    Returns:
        Air, body, lungs, heart, aorta, liver, spleen, vertebrae, ribs and nodules, HU. The body
        is longer than any grid, so that it leaves the scan at both ends as a patient does.
    """
    body = Ellipsoid((0.0, 0.0, 0.0), (172.0, 122.0, 1500.0), 30.0, name="body")
    organs = (
        Ellipsoid((-78.0, -5.0, 40.0), (50.0, 76.0, 95.0), -850.0, name="lung_right"),
        Ellipsoid((82.0, -5.0, 40.0), (46.0, 76.0, 95.0), -850.0, name="lung_left"),
        Ellipsoid((4.0, -40.0, 20.0), (28.0, 34.0, 48.0), 45.0, name="heart"),
        Ellipsoid((14.0, 38.0, 20.0), (12.0, 12.0, 110.0), 160.0, name="aorta"),
        Ellipsoid((-62.0, -10.0, -108.0), (68.0, 62.0, 44.0), 105.0, name="liver"),
        Ellipsoid((88.0, 28.0, -102.0), (28.0, 40.0, 38.0), 115.0, name="spleen"),
    )
    return Phantom((body, *organs, *_spine(), *_ribs(), *nodules), -1000.0, "HU")


def _spine() -> tuple[Ellipsoid, ...]:
    return tuple(
        Ellipsoid((0.0, 72.0, s), (20.0, 17.0, 11.0), 220.0, name="vertebrae")
        for s in range(-144, 145, 24)
    )


def _ribs() -> tuple[Ellipsoid, ...]:
    """Short rods on an ellipse between the lungs and the skin."""
    ribs = []
    for s in range(-60, 121, 30):
        for degree in (-60, -30, 0, 30, 60, 120, 150, 180, 210, 240):
            t = math.radians(degree)
            centre = (157.0 * math.cos(t), 109.0 * math.sin(t), float(s))
            tangent = math.degrees(math.atan2(109.0 * math.cos(t), -157.0 * math.sin(t)))
            rod = Ellipsoid(centre, (16.0, 4.0, 6.0), 400.0, (0.0, 0.0, tangent), "ribs")
            ribs.append(rod)
    return tuple(ribs)
