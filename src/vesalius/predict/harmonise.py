"""Harmonise: bring features of several scanners, protocols or hospitals to one scale.

Every step is learned from training cases and treats others, of batches seen or new. ComBat's
statistics can be taken where the cases are and joined elsewhere.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._combat import Combat, moments_by_batch
from vesalius.predict._combat_shrink import Shrinkage
from vesalius.predict._combat_statistics import (
    Effect,
    Model,
    Moments,
    effect_of,
    joined,
    model_of,
    moments_of,
)
from vesalius.predict._harmonise_whole import Harmonised, harmonise_whole
from vesalius.predict._longitudinal_combat import LongitudinalCombat
from vesalius.predict._nested_combat import NestedCombat
from vesalius.predict._quantile import Quantile
from vesalius.predict._standardise import ZScore

__all__ = [
    "Combat",
    "Effect",
    "Harmonised",
    "LongitudinalCombat",
    "Model",
    "Moments",
    "NestedCombat",
    "Quantile",
    "Shrinkage",
    "ZScore",
    "effect_of",
    "harmonise_whole",
    "joined",
    "model_of",
    "moments_by_batch",
    "moments_of",
]
