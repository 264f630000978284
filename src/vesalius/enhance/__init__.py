"""Image to image: filters of the IBSI-2 standard; later denoising, deblurring, bias correction.

Floor 5.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.enhance._filters import (
    Filter,
    GaborFilter,
    LawsFilter,
    LogFilter,
    MeanFilter,
    NonseparableFilter,
    RieszFilter,
    WaveletFilter,
    apply_filter,
    filter_name,
    in_plane,
    margin_voxels,
    response_unit,
    wavelet_bands,
)
from vesalius.enhance._normalise import Normalised, fit_nyul, normalise

__all__ = [
    "Filter",
    "GaborFilter",
    "LawsFilter",
    "LogFilter",
    "MeanFilter",
    "NonseparableFilter",
    "Normalised",
    "RieszFilter",
    "WaveletFilter",
    "apply_filter",
    "filter_name",
    "fit_nyul",
    "in_plane",
    "margin_voxels",
    "normalise",
    "response_unit",
    "wavelet_bands",
]
