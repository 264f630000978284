"""Microscope images: deconvolution, super-resolution, light-field volumes.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct.optics._lattice import Lattice, find_lattice, rectify
from vesalius.reconstruct.optics._lightfield import lightfield_volume, pupil_gain
from vesalius.reconstruct.optics._linear import tikhonov_deconvolution, wiener
from vesalius.reconstruct.optics._richardson_lucy import (
    RichardsonLucy,
    likeliest,
    richardson_lucy,
)
from vesalius.reconstruct.optics._super_resolution import super_resolve

__all__ = [
    "Lattice",
    "RichardsonLucy",
    "find_lattice",
    "lightfield_volume",
    "likeliest",
    "pupil_gain",
    "rectify",
    "richardson_lucy",
    "super_resolve",
    "tikhonov_deconvolution",
    "wiener",
]
