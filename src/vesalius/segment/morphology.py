"""Morphology in millimetres: on labels, which keep their names, and on grey values.

``dilate``, ``erode``, ``opening``, ``closing`` and ``reconstruct`` take an image or labels, and an
element: ``Ball``, ``Ellipsoid``, ``Box`` or any ``Footprint``. The others count, keep, drop, fill
and part what hangs together.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._connected import (
    clear_border,
    components,
    fill_holes,
    hysteresis,
    largest_component,
    remove_small,
    separate,
)
from vesalius.segment._elements import Ball, Box, Element, Ellipsoid, Footprint
from vesalius.segment._morphology import (
    closing,
    dilate,
    erode,
    gradient,
    opening,
    reconstruct,
    top_hat,
)

__all__ = [
    "Ball",
    "Box",
    "Element",
    "Ellipsoid",
    "Footprint",
    "clear_border",
    "closing",
    "components",
    "dilate",
    "erode",
    "fill_holes",
    "gradient",
    "hysteresis",
    "largest_component",
    "opening",
    "reconstruct",
    "remove_small",
    "separate",
    "top_hat",
]
