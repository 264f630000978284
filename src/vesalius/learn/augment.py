"""Augmentation: parameters are drawn from a generator, then deterministic functions use them.

Batched and in torch, so that no worker process is needed: on one CPU core some hundredths of the
cost of a step. ``VOLUME``, ``MICROSCOPY`` and ``NONE`` are the settings of the plans.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.learn._augment import (
    MICROSCOPY,
    NONE,
    VOLUME,
    Augmentation,
    Augmented,
    Truth,
    augment,
)
from vesalius.learn._augment_space import (
    Lattice,
    Motion,
    Move,
    Outside,
    Sampling,
    centre_cut,
    draw_move,
    lattice,
    moved,
)
from vesalius.learn._augment_values import Appearance, Change, changed, draw_change

__all__ = [
    "MICROSCOPY",
    "NONE",
    "VOLUME",
    "Appearance",
    "Augmentation",
    "Augmented",
    "Change",
    "Lattice",
    "Motion",
    "Move",
    "Outside",
    "Sampling",
    "Truth",
    "augment",
    "centre_cut",
    "changed",
    "draw_change",
    "draw_move",
    "lattice",
    "moved",
]
