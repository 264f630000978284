"""CT and X-ray physics: geometry in millimetres, projectors with exact adjoints, artefacts.

Part of the room ``physics`` (floor 3).
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics.ct._artefacts import Spectrum, patient_motion, polychromatic, rings
from vesalius.physics.ct._astra import astra_volume, from_astra, to_astra
from vesalius.physics.ct._drr import drr
from vesalius.physics.ct._exact import exact_projections, material_paths
from vesalius.physics.ct._geometry import (
    Geometry,
    cone,
    fan,
    helical,
    parallel,
    tomosynthesis,
)
from vesalius.physics.ct._projections import Projections
from vesalius.physics.ct._projector import Projector
from vesalius.physics.ct._rtk import RtkGeometry, from_rtk, to_rtk
from vesalius.physics.ct._tigre import TigreGeometry, from_tigre, to_tigre

__all__ = [
    "Geometry",
    "Projections",
    "Projector",
    "RtkGeometry",
    "Spectrum",
    "TigreGeometry",
    "astra_volume",
    "cone",
    "drr",
    "exact_projections",
    "fan",
    "from_astra",
    "from_rtk",
    "from_tigre",
    "helical",
    "material_paths",
    "parallel",
    "patient_motion",
    "polychromatic",
    "rings",
    "to_astra",
    "to_rtk",
    "to_tigre",
    "tomosynthesis",
]
