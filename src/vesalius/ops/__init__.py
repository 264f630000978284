"""Pure functions on tensors, in samples: no files, no Image, no millimetres.

Floor 1. Imports nothing of vesalius but ``errors``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.ops._cooccurrence import cooccurrence
from vesalius.ops._distance import edge_distance
from vesalius.ops._filters import gaussian
from vesalius.ops._jacobian import corner_determinants, determinants, folding
from vesalius.ops._neighbourhood import dependences, differences
from vesalius.ops._noise import noise_level
from vesalius.ops._runs import run_lengths
from vesalius.ops._sampling import resample_affine, sample, sample_labels
from vesalius.ops._spline import spline_coefficients
from vesalius.ops._warp import compose, exponential, invert, warp, warp_with_gradient
from vesalius.ops._zones import zones

__all__ = [
    "compose",
    "cooccurrence",
    "corner_determinants",
    "dependences",
    "determinants",
    "differences",
    "edge_distance",
    "exponential",
    "folding",
    "gaussian",
    "invert",
    "noise_level",
    "resample_affine",
    "run_lengths",
    "sample",
    "sample_labels",
    "spline_coefficients",
    "warp",
    "warp_with_gradient",
    "zones",
]
