"""Pure functions on tensors, in samples: no files, no Image, no millimetres.

Floor 1. Imports nothing of vesalius but ``errors``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.ops._filters import gaussian
from vesalius.ops._noise import noise_level
from vesalius.ops._sampling import resample_affine, sample, sample_labels
from vesalius.ops._spline import spline_coefficients

__all__ = [
    "gaussian",
    "noise_level",
    "resample_affine",
    "sample",
    "sample_labels",
    "spline_coefficients",
]
