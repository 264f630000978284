"""DICOM beyond opening: segmentations, reports, contours out; names removed; the network."""
# SPDX-License-Identifier: Apache-2.0
from vesalius.io.dicom._write_rtstruct import save_rtstruct

__all__ = ["save_rtstruct"]
