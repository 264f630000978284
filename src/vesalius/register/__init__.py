"""Two images into one space: linear to diffeomorphic transforms, freely combined searches.

Floor 5. ``register`` is the front; a ``Plan`` of ``Stage`` says model, similarity, regulariser and
optimiser. Sub-rooms: ``similarity``, ``regularise``, ``fields``, ``landmarks``, ``atlas``,
``evaluate``, ``learned``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._basis import Basis
from vesalius.register._guides import Guides
from vesalius.register._linear_model import rigid_parameters
from vesalius.register._plan import (
    Adam,
    Demons,
    GaussNewton,
    Greedy,
    Lbfgs,
    Plan,
    Scale,
    Stage,
)
from vesalius.register._presets import Modality, Preset, preset
from vesalius.register._register import register
from vesalius.register._registration import Registration
from vesalius.register._regulariser import Regulariser, Smoother
from vesalius.register._similarity import Similarity
from vesalius.register._start import Init, start_transform
from vesalius.register._terms import Term

__all__ = [
    "Adam",
    "Basis",
    "Demons",
    "GaussNewton",
    "Greedy",
    "Guides",
    "Init",
    "Lbfgs",
    "Modality",
    "Plan",
    "Preset",
    "Registration",
    "Regulariser",
    "Scale",
    "Similarity",
    "Smoother",
    "Stage",
    "Term",
    "preset",
    "register",
    "rigid_parameters",
    "start_transform",
]
