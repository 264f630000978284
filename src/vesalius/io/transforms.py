"""Files of transforms and points: ITK, ANTs, greedy, FSL, FreeSurfer, our own JSON.

Part of the room ``io``. Whatever direction and frame a file has, what comes out leads from the
fixed to the moving world in LPS mm, and what goes in is turned to what the format demands.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io._points import load_pixels, load_points, save_pixels, save_points
from vesalius.io._transform_describe import describe
from vesalius.io._transform_field import load_field, save_field
from vesalius.io._transform_files import load, load_ants, save, save_ants
from vesalius.io._transform_fsl import load_fsl, save_fsl
from vesalius.io._transform_greedy import load_greedy, save_greedy
from vesalius.io._transform_hdf5 import load_itk_hdf5, save_itk_hdf5
from vesalius.io._transform_lta import LtaFile, load_lta, save_lta
from vesalius.io._transform_matlab import load_itk_mat, save_itk_mat
from vesalius.io._transform_text import load_itk_text, save_itk_text

__all__ = [
    "LtaFile",
    "describe",
    "load",
    "load_ants",
    "load_field",
    "load_fsl",
    "load_greedy",
    "load_itk_hdf5",
    "load_itk_mat",
    "load_itk_text",
    "load_lta",
    "load_pixels",
    "load_points",
    "save",
    "save_ants",
    "save_field",
    "save_fsl",
    "save_greedy",
    "save_itk_hdf5",
    "save_itk_mat",
    "save_itk_text",
    "save_lta",
    "save_pixels",
    "save_points",
]
