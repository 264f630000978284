"""Groups of images: atlases and their labels, templates, models of deformation, time series.

An atlas is an image with labels. Register it to a fixed image, carry its labels over with
``transfer_labels``, and fuse those of several atlases.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._deformation_model import DeformationModel, PrincipalBasis
from vesalius.register._fusion import (
    Fused,
    Likeness,
    locally_weighted,
    majority,
    transfer_labels,
)
from vesalius.register._polyaffine import Polyaffine, polyaffine
from vesalius.register._series import SeriesMotion, framewise_displacement, register_series
from vesalius.register._staple import Staple, staple
from vesalius.register._template import Template, build_template

__all__ = [
    "DeformationModel",
    "Fused",
    "Likeness",
    "Polyaffine",
    "PrincipalBasis",
    "SeriesMotion",
    "Staple",
    "Template",
    "build_template",
    "framewise_displacement",
    "locally_weighted",
    "majority",
    "polyaffine",
    "register_series",
    "staple",
    "transfer_labels",
]
