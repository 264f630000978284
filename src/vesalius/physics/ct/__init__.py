"""CT and X-ray physics: geometry in millimetres, projectors with exact adjoints, artefacts.

Part of the room ``physics`` (floor 3).
"""
# SPDX-License-Identifier: Apache-2.0

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

__all__ = [
    "Geometry",
    "Projections",
    "Projector",
    "cone",
    "drr",
    "exact_projections",
    "fan",
    "helical",
    "material_paths",
    "parallel",
    "tomosynthesis",
]
