"""Test objects of CT: a cylinder of water, and bars to find the finest that can be told apart."""
# SPDX-License-Identifier: Apache-2.0

import math

from vesalius.errors import GeometryError
from vesalius.physics._phantom import Phantom
from vesalius.physics._solids import Box, Cylinder


def water_cylinder(*, diameter_mm: float = 200.0, length_mm: float = 1000.0) -> Phantom:
    """Make a round cylinder of water in air, along S through the origin.

    Args:
        diameter_mm: Diameter, mm.
        length_mm: Length, mm; the default leaves any usual scan at both ends.

    Returns:
        The phantom, HU: 0 inside, -1000 outside.

    Raises:
        GeometryError: A length is not positive.
    """
    radius = diameter_mm / 2
    water = Cylinder((0.0, 0.0, 0.0), (radius, radius, length_mm / 2), 0.0, name="water")
    return Phantom((water,), -1000.0, "HU")


def resolution_bars(
    line_pairs_per_mm: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2),
    *,
    value: float = 1000.0,
    diameter_mm: float = 100.0,
    bars: int = 5,
    length_mm: float = 40.0,
) -> Phantom:
    """Make groups of bars in a cylinder of water; bars and gaps of a group are equally wide.

    Args:
        line_pairs_per_mm: One group for each frequency f, counter-clockwise seen from +S from +L
            on; a bar is 1/(2 f) mm wide.
        value: HU of the bars.
        diameter_mm: Diameter of the water, mm; the groups stand on a circle of .6 of it.
        bars: Bars of a group.
        length_mm: Length along S, mm; bars are half as long as the water.

    Returns:
        The phantom, HU. The parts are named ``"water"`` and like ``"0.4 lp/mm"``; bars are apart
        along the tangent of the circle, so that the group at angle a is periodic along
        (-sin a, cos a).

    Raises:
        GeometryError: There is no group or bar, a number is not positive, or groups overlap.
    """
    _check(line_pairs_per_mm, bars, diameter_mm)
    radius = 0.3 * diameter_mm
    parts: list[Cylinder | Box] = [
        Cylinder(
            (0.0, 0.0, 0.0), (diameter_mm / 2, diameter_mm / 2, length_mm / 2), 0.0, name="water"
        )
    ]
    for group, frequency in enumerate(line_pairs_per_mm):
        a = 2 * math.pi * group / len(line_pairs_per_mm)
        for bar in range(bars):
            t = (bar - (bars - 1) / 2) / frequency
            place = (
                radius * math.cos(a) - t * math.sin(a),
                radius * math.sin(a) + t * math.cos(a),
                0.0,
            )
            half = (0.1 * diameter_mm, 0.25 / frequency, length_mm / 4)
            turn = (0.0, 0.0, math.degrees(a))
            parts.append(Box(place, half, value, turn, f"{frequency:g} lp/mm"))
    return Phantom(tuple(parts), -1000.0, "HU")


def _check(line_pairs_per_mm: tuple[float, ...], bars: int, diameter_mm: float) -> None:
    if not line_pairs_per_mm or min(line_pairs_per_mm) <= 0 or bars < 1:
        raise GeometryError(
            f"bars need at least one positive frequency and one bar, got {line_pairs_per_mm} "
            f"line pairs per mm and {bars} bars"
        )
    width = (bars - 0.5) / min(line_pairs_per_mm)
    # neighbouring groups meet first at their inner corners, .2 of the diameter from the middle
    room = 2 * 0.2 * diameter_mm * math.tan(math.pi / max(len(line_pairs_per_mm), 3))
    if not width < min(room, 0.6 * diameter_mm):
        raise GeometryError(
            f"groups of bars must not overlap: the coarsest is {width:.3g} mm wide and has "
            f"{min(room, 0.6 * diameter_mm):.3g} mm: use a larger diameter_mm, fewer bars or groups"
        )
