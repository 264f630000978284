"""PyRadiomics 3.0.1: all its 3-D classes on the original image, bin width 25.

Runs in the rival's own environment. No IVH, no GLDZM, no local intensity: it has none.
"""
# SPDX-License-Identifier: Apache-2.0

import logging
import sys

import numpy as np
import SimpleITK as sitk
from _worker import serve
from radiomics import featureextractor

logging.getLogger("radiomics").setLevel(logging.ERROR)


def prepare(path):
    case = np.load(path)
    image = sitk.GetImageFromArray(case["intensity"])
    mask = sitk.GetImageFromArray(case["mask"].astype(np.uint8))
    for one in (image, mask):
        one.SetSpacing([float(s) for s in case["spacing_mm"][::-1]])
    extractor = featureextractor.RadiomicsFeatureExtractor(binWidth=25, additionalInfo=False)
    extractor.disableAllImageTypes()
    extractor.enableImageTypeByName("Original")
    extractor.enableAllFeatures()

    def work():
        found = extractor.execute(image, mask)
        return {k: float(v) for k, v in found.items() if k.startswith("original_")}

    return work


serve(prepare(sys.argv[1]))
