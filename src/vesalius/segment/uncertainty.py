"""How sure a model is: temperature, volume intervals, error detection, unfamiliar input.

Part of the room ``segment``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.ops._conformal import CrossConformal, Ratios, cross_conformal, ratio_interval
from vesalius.ops._temperature import Temperature, fit_temperature, tempered
from vesalius.segment._calibrate import Unseen, calibrate, error_detection, unseen_cases
from vesalius.segment._familiarity import Familiarity, appearance, familiarity, reference
from vesalius.segment._volumes import volumes

__all__ = [
    "CrossConformal",
    "Familiarity",
    "Ratios",
    "Temperature",
    "Unseen",
    "appearance",
    "calibrate",
    "cross_conformal",
    "error_detection",
    "familiarity",
    "fit_temperature",
    "ratio_interval",
    "reference",
    "tempered",
    "unseen_cases",
    "volumes",
]
