"""DICOM beyond opening: segmentations, reports, contours out; names removed; the network."""
# SPDX-License-Identifier: Apache-2.0

__all__: list[str] = []
