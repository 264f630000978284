"""Explain: what a model's score rests on, what moves it, and in which direction."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._correlated import correlated_groups
from vesalius.predict._partial_dependence import PartialDependence, partial_dependence
from vesalius.predict._permutation_importance import (
    Importance,
    PermutationImportance,
    Shuffling,
    permutation_importance,
)

__all__ = [
    "Importance",
    "PartialDependence",
    "PermutationImportance",
    "Shuffling",
    "correlated_groups",
    "partial_dependence",
    "permutation_importance",
]
