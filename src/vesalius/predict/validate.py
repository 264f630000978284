"""Validation on cases that the model has not seen: splits, nested folds, leaks, chance, size."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._external import external
from vesalius.predict._leak_rows import duplicates
from vesalius.predict._leaks import find_leaks
from vesalius.predict._learning_curve import LearningCurve, learning_curve, read_curves
from vesalius.predict._nested import nested_validation, validate
from vesalius.predict._permutation import Permutation, permutation_test
from vesalius.predict._sample_size import (
    SampleSize,
    cox_snell_of_auc,
    pac_sample_size,
    sample_size_binary,
    sample_size_number,
    sample_size_survival,
)
from vesalius.predict._splits import Part, Split, balanced_folds, parts, units_of
from vesalius.predict._stability_index import selection_stability

__all__ = [
    "LearningCurve",
    "Part",
    "Permutation",
    "SampleSize",
    "Split",
    "balanced_folds",
    "cox_snell_of_auc",
    "duplicates",
    "external",
    "find_leaks",
    "learning_curve",
    "nested_validation",
    "pac_sample_size",
    "parts",
    "permutation_test",
    "read_curves",
    "sample_size_binary",
    "sample_size_number",
    "sample_size_survival",
    "selection_stability",
    "units_of",
    "validate",
]
