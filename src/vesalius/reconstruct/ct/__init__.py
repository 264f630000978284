"""CT: filtered back-projection, FDK, corrections of raw data, iterative recipes.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct.ct._beam_hardening import (
    Linearisation,
    calibrate_hardening,
    linearise,
    water_hardening,
)
from vesalius.reconstruct.ct._fbp import fbp
from vesalius.reconstruct.ct._fdk import fdk
from vesalius.reconstruct.ct._filters import Window
from vesalius.reconstruct.ct._flat_field import (
    flat_field,
    mend_dead,
    subtract_scatter,
    to_line_integrals,
)
from vesalius.reconstruct.ct._gridding import gridding
from vesalius.reconstruct.ct._iterative import Iterative, iterate
from vesalius.reconstruct.ct._metal import Metal, reduce_metal
from vesalius.reconstruct.ct._rotation_centre import RotationCentre, centred, rotation_centre
from vesalius.reconstruct.ct._stripes import remove_stripes
from vesalius.reconstruct.ct._truncation import Truncation
from vesalius.reconstruct.ct._weights import Scan

__all__ = [
    "Iterative",
    "Linearisation",
    "Metal",
    "RotationCentre",
    "Scan",
    "Truncation",
    "Window",
    "calibrate_hardening",
    "centred",
    "fbp",
    "fdk",
    "flat_field",
    "gridding",
    "iterate",
    "linearise",
    "mend_dead",
    "reduce_metal",
    "remove_stripes",
    "rotation_centre",
    "subtract_scatter",
    "to_line_integrals",
    "water_hardening",
]
