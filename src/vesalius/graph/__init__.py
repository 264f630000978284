"""Graphs on images: superpixels and supervoxels (SLIC); later Laplacians, spectra, clustering.

Floor 3.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.graph._slic import slic

__all__ = ["slic"]
