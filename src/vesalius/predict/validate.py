"""Validation on cases that the model has not seen: splits, nested folds, leaks, chance, size."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._splits import Part, Split, balanced_folds, parts, units_of

__all__ = [
    "Part",
    "Split",
    "balanced_folds",
    "parts",
    "units_of",
]
