"""MR images from k-space: coil maps, SENSE, compressed sensing.

Part of the room ``reconstruct``. An image from k-space has two channels, magnitude and phase:
samples of an ``Image`` are real.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct.mri._coil_data import (
    adaptive_combine,
    compress,
    noise_covariance,
    prewhiten,
    root_sum_of_squares,
)
from vesalius.reconstruct.mri._espirit import CoilMaps, Espirit, espirit
from vesalius.reconstruct.mri._homodyne import homodyne
from vesalius.reconstruct.mri._sense import Sense, complex_of, image_of, sense
from vesalius.reconstruct.mri._spin import CycleSpin

__all__ = [
    "CoilMaps",
    "CycleSpin",
    "Espirit",
    "Sense",
    "adaptive_combine",
    "complex_of",
    "compress",
    "espirit",
    "homodyne",
    "image_of",
    "noise_covariance",
    "prewhiten",
    "root_sum_of_squares",
    "sense",
]
