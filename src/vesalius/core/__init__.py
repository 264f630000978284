"""The nouns: grids, images, labels, points, transforms, operators, and provenance.

Floor 2. Imports only ``ops`` and ``errors``. Nothing in here opens a file.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.core._bspline import BSpline
from vesalius.core._diagonal import Diagonal
from vesalius.core._displacement import Displacement
from vesalius.core._grid import Grid, differences
from vesalius.core._image import Image, Labels, Series
from vesalius.core._operator import Block, Identity, LinearOperator, stack
from vesalius.core._points import Mesh, Points
from vesalius.core._provenance import Provenance, hash_json, hash_samples
from vesalius.core._resample import (
    centred_grid,
    resample,
    resample_labels,
)
from vesalius.core._step import Step
from vesalius.core._transform import Composite, Linear, Transform
from vesalius.core._velocity import Velocity

__all__ = [
    "BSpline",
    "Block",
    "Composite",
    "Diagonal",
    "Displacement",
    "Grid",
    "Identity",
    "Image",
    "Labels",
    "Linear",
    "LinearOperator",
    "Mesh",
    "Points",
    "Provenance",
    "Series",
    "Step",
    "Transform",
    "Velocity",
    "centred_grid",
    "differences",
    "hash_json",
    "hash_samples",
    "resample",
    "resample_labels",
    "stack",
]
