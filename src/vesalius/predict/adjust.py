"""Batch against biology: what a batch changes, what can be told apart, and what is adjusted for.

A batch (scanner, protocol, site) changes the measurement and not the patient; a confounder changes
features and outcome both. The first is harmonised, the second is adjusted for, and where batch and
outcome go together neither helps.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._associations import Association
from vesalius.predict._batch_effects import BatchEffects, batch_effects
from vesalius.predict._confounding import (
    Design,
    adjustment_plan,
    check_design,
    describe_design,
)
from vesalius.predict._effects import Effects, effect
from vesalius.predict._residualise import Residualise
from vesalius.predict._shift_tests import FeatureTest
from vesalius.predict._variance_shares import VarianceShares

__all__ = [
    "Association",
    "BatchEffects",
    "Design",
    "Effects",
    "FeatureTest",
    "Residualise",
    "VarianceShares",
    "adjustment_plan",
    "batch_effects",
    "check_design",
    "describe_design",
    "effect",
]
