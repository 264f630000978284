"""DICOM beyond opening: segmentations, reports, contours out; names removed; the network."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io.dicom._context import Caption
from vesalius.io.dicom._deid_refuse import Profile
from vesalius.io.dicom._deid_report import DeidReport
from vesalius.io.dicom._deid_uids import read_pseudonyms
from vesalius.io.dicom._deidentify import deidentify
from vesalius.io.dicom._write_map import save_parametric_map
from vesalius.io.dicom._write_report import Measurement, save_report
from vesalius.io.dicom._write_rtstruct import save_rtstruct
from vesalius.io.dicom._write_seg import save_seg
from vesalius.io.dicom._write_series import save_series

__all__ = [
    "Caption",
    "DeidReport",
    "Measurement",
    "Profile",
    "deidentify",
    "read_pseudonyms",
    "save_parametric_map",
    "save_report",
    "save_rtstruct",
    "save_seg",
    "save_series",
]
