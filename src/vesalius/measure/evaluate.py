"""Labels against the truth: scores of labels and of objects, cohorts, intervals, paired tests.

Part of the room ``measure``. The arithmetic stands in ``ops``; the report of a registration and the
losses of training use the same.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.measure._compare import Comparison, LabelScore, compare
from vesalius.measure._compare_cohort import Contest, Summary, contest, summarise
from vesalius.measure._compare_objects import (
    Found,
    ObjectComparison,
    compare_objects,
    pool_objects,
)
from vesalius.measure._interval import Interval, PairedTest, bootstrap_interval, paired_test

__all__ = [
    "Comparison",
    "Contest",
    "Found",
    "Interval",
    "LabelScore",
    "ObjectComparison",
    "PairedTest",
    "Summary",
    "bootstrap_interval",
    "compare",
    "compare_objects",
    "contest",
    "paired_test",
    "pool_objects",
    "summarise",
]
