"""Moving over from PyRadiomics: its extractor, its parameter files, its definitions.

``RadiomicsFeatureExtractor(...).execute(image, mask)`` gives PyRadiomics' values under
PyRadiomics' names, from vesalius' matrices.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.measure.compat._extractor import RadiomicsFeatureExtractor

__all__ = ["RadiomicsFeatureExtractor"]
