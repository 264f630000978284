"""Thresholds: one for the whole image, several, or one for each place.

Each method says in ``Segmentation.curves`` what it decided by: the histogram with its thresholds,
and the criterion whose extreme they are.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.segment._local_threshold import Local
from vesalius.segment._thresholds import (
    Fixed,
    Isodata,
    Li,
    MaximumEntropy,
    MultiOtsu,
    Otsu,
    Valley,
    Yen,
)

__all__ = [
    "Fixed",
    "Isodata",
    "Li",
    "Local",
    "MaximumEntropy",
    "MultiOtsu",
    "Otsu",
    "Valley",
    "Yen",
]
