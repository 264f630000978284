"""Judge a registration: overlap, surface distance, landmark error, folds, inverse consistency.

``evaluate`` gives all of it at once, before and after; the parts stand beside it. The pictures
(checkerboard, edges, swelling, deformed grid) are plain arrays of one plane.
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
from vesalius.register._pictures import (
    Plane,
    checkerboard,
    deformed_grid,
    edge_overlay,
    jacobian_map,
    middle_planes,
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
    "Plane",
    "RegistrationReport",
    "Row",
    "Structure",
    "alikeness",
    "checkerboard",
    "compare_labels",
    "deformed_grid",
    "edge_overlay",
    "evaluate",
    "folding",
    "inverse_consistency",
    "jacobian_map",
    "landmark_error",
    "middle_planes",
]
