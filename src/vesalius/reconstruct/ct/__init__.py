"""CT: filtered back-projection, FDK, corrections of raw data, iterative recipes.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct.ct._flat_field import (
    flat_field,
    mend_dead,
    subtract_scatter,
    to_line_integrals,
)
from vesalius.reconstruct.ct._rotation_centre import RotationCentre, centred, rotation_centre

__all__ = [
    "RotationCentre",
    "centred",
    "flat_field",
    "mend_dead",
    "rotation_centre",
    "subtract_scatter",
    "to_line_integrals",
]
