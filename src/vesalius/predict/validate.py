"""Validation on cases that the model has not seen: splits, nested folds, leaks, chance, size."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._leaks import find_leaks
from vesalius.predict._nested import validate
from vesalius.predict._splits import Part, Split, balanced_folds, parts, units_of
from vesalius.predict._stability_index import selection_stability

__all__ = [
    "Part",
    "Split",
    "balanced_folds",
    "find_leaks",
    "parts",
    "selection_stability",
    "units_of",
    "validate",
]
