"""Explain: what a model's score rests on, what moves it, and in which direction."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.predict._attribution import Attribution, attribution
from vesalius.predict._correlated import correlated_groups
from vesalius.predict._counterfactual import (
    Change,
    Counterfactual,
    Counterfactuals,
    Search,
    counterfactuals,
)
from vesalius.predict._partial_dependence import PartialDependence, partial_dependence
from vesalius.predict._permutation_importance import (
    Importance,
    PermutationImportance,
    Shuffling,
    permutation_importance,
)
from vesalius.predict._shapley import Sampling, Shapley, shapley
from vesalius.predict._voxel_map import Pieces, VoxelMap, voxel_map

__all__ = [
    "Attribution",
    "Change",
    "Counterfactual",
    "Counterfactuals",
    "Importance",
    "PartialDependence",
    "PermutationImportance",
    "Pieces",
    "Sampling",
    "Search",
    "Shapley",
    "Shuffling",
    "VoxelMap",
    "attribution",
    "correlated_groups",
    "counterfactuals",
    "partial_dependence",
    "permutation_importance",
    "shapley",
    "voxel_map",
]
