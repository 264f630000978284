"""Atlases: labels carried over and fused.

An atlas is an image with labels. Register it to a fixed image, carry its labels over with
``transfer_labels``, and fuse those of several atlases.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._fusion import (
    Fused,
    Likeness,
    locally_weighted,
    majority,
    transfer_labels,
)
from vesalius.register._staple import Staple, staple

__all__ = [
    "Fused",
    "Likeness",
    "Staple",
    "locally_weighted",
    "majority",
    "staple",
    "transfer_labels",
]
