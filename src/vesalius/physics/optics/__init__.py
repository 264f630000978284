"""Microscope physics: point spread functions, convolution, light-field, made nuclei.

Part of the room ``physics``. PSFs are images in mm with a sum of 1; operators take tensors.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics.optics._blur import Blur, Downsample
from vesalius.physics.optics._convolution import Convolution
from vesalius.physics.optics._lightfield import LightField
from vesalius.physics.optics._lightfield_psf import (
    MicrolensArray,
    lightfield_psf,
    lightfield_reach,
)
from vesalius.physics.optics._nuclei import NucleiLook, nuclei
from vesalius.physics.optics._objective import Objective
from vesalius.physics.optics._psf import (
    born_wolf,
    gaussian_psf,
    gaussian_widths_mm,
    measured_psf,
)

__all__ = [
    "Blur",
    "Convolution",
    "Downsample",
    "LightField",
    "MicrolensArray",
    "NucleiLook",
    "Objective",
    "born_wolf",
    "gaussian_psf",
    "gaussian_widths_mm",
    "lightfield_psf",
    "lightfield_reach",
    "measured_psf",
    "nuclei",
]
