"""From raw measurements to images: analytic, iterative and learned, for CT, MR, PET, microscopy.

Floor 5. The recipes stand here; ``reconstruct.ct``, ``.mri``, ``.pet`` and ``.optics`` hold what
belongs to one kind of acquisition, ``reconstruct.solve`` solvers and priors for any operator,
``reconstruct.strength`` rules that choose how strong a prior is.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.ct import Iterative, fbp, fdk, gridding, iterate
from vesalius.reconstruct.mri import Sense, espirit, sense
from vesalius.reconstruct.optics import (
    RichardsonLucy,
    lightfield_volume,
    richardson_lucy,
    super_resolve,
)
from vesalius.reconstruct.pet import Emission, emission

__all__ = [
    "Emission",
    "Iterative",
    "Reconstruction",
    "RichardsonLucy",
    "Sense",
    "emission",
    "espirit",
    "fbp",
    "fdk",
    "gridding",
    "iterate",
    "lightfield_volume",
    "richardson_lucy",
    "sense",
    "super_resolve",
]
