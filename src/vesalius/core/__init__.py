"""The nouns: grids, images, labels, points, transforms, operators, and provenance.

Floor 2. Imports only ``ops`` and ``errors``. Nothing in here opens a file.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.core._diagonal import Diagonal
from vesalius.core._grid import Grid, differences
from vesalius.core._image import Image, Labels, Series
from vesalius.core._operator import Block, Identity, LinearOperator, stack
from vesalius.core._points import Mesh, Points
from vesalius.core._provenance import Provenance, hash_json, hash_samples
from vesalius.core._resample import (
    anti_alias_sigma,
    centred_grid,
    resample,
    resample_labels,
)
from vesalius.core._step import Step
from vesalius.core._transform import Composite, Linear, Transform

__all__ = [
    "Block",
    "Composite",
    "Diagonal",
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
    "anti_alias_sigma",
    "centred_grid",
    "differences",
    "hash_json",
    "hash_samples",
    "resample",
    "resample_labels",
    "stack",
]
