"""Judge a registration: overlap, surface distance, landmark error, folds, inverse consistency.

``evaluate`` gives all of it at once, before and after; the parts stand beside it.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._evaluate import (
    alikeness,
    compare_labels,
    evaluate,
    folding,
    inverse_consistency,
    landmark_error,
)
from vesalius.register._report import (
    Alikeness,
    Consistency,
    Folding,
    LandmarkError,
    RegistrationReport,
    Row,
    Structure,
)

__all__ = [
    "Alikeness",
    "Consistency",
    "Folding",
    "LandmarkError",
    "RegistrationReport",
    "Row",
    "Structure",
    "alikeness",
    "compare_labels",
    "evaluate",
    "folding",
    "inverse_consistency",
    "landmark_error",
]
