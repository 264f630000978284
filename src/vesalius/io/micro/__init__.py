"""Microscopy files: TIFF, OME-TIFF, OME-Zarr, ImageJ, and outlines for QuPath and Fiji."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io._geojson import save_geojson
from vesalius.io.micro._imagej_roi import save_imagej_rois
from vesalius.io.micro._omezarr_save import save_ome_zarr, save_ome_zarr_labels
from vesalius.io.micro._validate import validate

__all__ = ["save_geojson", "save_imagej_rois", "save_ome_zarr", "save_ome_zarr_labels", "validate"]
