"""Files in and out: the only room that knows DICOM, NIfTI, OME-Zarr and every other format.

Floor 4. Every convention of a file format is converted here, once, by name.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io._atomic import atomic_write
from vesalius.io._budget import Budget
from vesalius.io._contours import Contours, Outline, Roi
from vesalius.io._describe import describe
from vesalius.io._doors import from_nibabel, from_simpleitk, to_nibabel, to_simpleitk
from vesalius.io._handle import Finding, Handle
from vesalius.io._open import Survey, open, open_labels, open_regions, scan, survey
from vesalius.io._rasterise import Drawn, rasterise
from vesalius.io._samples import as_labels
from vesalius.io._save import formats, save
from vesalius.io._trace import trace

__all__ = [
    "Budget",
    "Contours",
    "Drawn",
    "Finding",
    "Handle",
    "Outline",
    "Roi",
    "Survey",
    "as_labels",
    "atomic_write",
    "describe",
    "formats",
    "from_nibabel",
    "from_simpleitk",
    "open",
    "open_labels",
    "open_regions",
    "rasterise",
    "save",
    "scan",
    "survey",
    "to_nibabel",
    "to_simpleitk",
    "trace",
]
