"""Operators whose output is sparse for images: slopes, DCT, DFT, wavelets.

Part of the room ``physics`` (floor 3).
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.physics.sparse._slopes import Gradient, Laplacian
from vesalius.physics.sparse._transforms import Dct, Dft, Wavelet, keep_largest

__all__ = ["Dct", "Dft", "Gradient", "Laplacian", "Wavelet", "keep_largest"]
