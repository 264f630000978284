"""DICOM beyond opening: segmentations, reports, contours out; names removed; the network."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io.dicom._deid_refuse import Profile
from vesalius.io.dicom._deid_report import DeidReport
from vesalius.io.dicom._deid_uids import read_pseudonyms
from vesalius.io.dicom._deidentify import deidentify
from vesalius.io.dicom._write_rtstruct import save_rtstruct

__all__ = ["DeidReport", "Profile", "deidentify", "read_pseudonyms", "save_rtstruct"]
