"""Microscopy files: TIFF, OME-TIFF, OME-Zarr, ImageJ, and outlines for QuPath and Fiji."""
# SPDX-License-Identifier: Apache-2.0

__all__: list[str] = []
