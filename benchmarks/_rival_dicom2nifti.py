"""dicom2nifti: a folder of one series to a NIfTI image in memory, no reorientation, no writing.

Runs in the rival's own environment.
"""
# SPDX-License-Identifier: Apache-2.0

import sys

import dicom2nifti
import dicom2nifti.settings
from _worker import serve

dicom2nifti.settings.disable_validate_slice_increment()
dicom2nifti.settings.disable_validate_orthogonal()


def prepare(folder):
    def work():
        image = dicom2nifti.dicom_series_to_nifti(folder, None, reorient_nifti=False)["NII"]
        # the image is lazy in its scaling only; what counts is that the samples are there
        return {"voxels": float(image.dataobj.shape[0]), "mean": float(image.get_fdata().mean())}

    return work


serve(prepare(sys.argv[1]))
