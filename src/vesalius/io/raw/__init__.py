"""Raw measurements: HDF5, BART, NumPy and TIFF stacks, and geometry files.

Part of the room ``io``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io.raw._geometry import Scanner, open_geometry, save_geometry
from vesalius.io.raw._kspace import RawKSpace, open_kspace
from vesalius.io.raw._projections import RawProjections, open_projections, save_projections

__all__ = [
    "RawKSpace",
    "RawProjections",
    "Scanner",
    "open_geometry",
    "open_kspace",
    "open_projections",
    "save_geometry",
    "save_projections",
]
