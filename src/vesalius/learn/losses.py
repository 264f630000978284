"""Losses: from the outputs of a network and a full, a weak or no truth to a scalar.

Those of full truth take outputs (batch, classes, *space) before the soft maximum, the class of each
sample (batch, 1, *space) and its weight (batch, 1, *space); negative classes and weight 0 mean that
the truth is not known there. Half precision is widened to float32.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.learn._losses import (
    cross_entropy,
    deep_supervision,
    dice_cross_entropy,
    focal,
    soft_dice,
    thinned,
    tversky,
)
from vesalius.learn._shape_losses import boundary, centre_line_dice, soft_skeleton
from vesalius.learn._weak_losses import affinity, boxes, consistency, image_tags, ramp_up

__all__ = [
    "affinity",
    "boundary",
    "boxes",
    "centre_line_dice",
    "consistency",
    "cross_entropy",
    "deep_supervision",
    "dice_cross_entropy",
    "focal",
    "image_tags",
    "ramp_up",
    "soft_dice",
    "soft_skeleton",
    "thinned",
    "tversky",
]
