"""How alike two images are: the losses that a registration lowers, each with its derivative.

One contrast: ``MeanSquare``, ``Ncc``, ``LocalNcc``. Several modalities: ``MutualInformation`` and
``NormalisedMutualInformation`` (linear models), ``Mind`` and ``GradientFields`` (deformable ones).
Memberships of structures: ``SoftDice``. Any features: ``FeatureCosine`` of ``Features``. Each is
a ``Similarity``: smaller is more alike, and ``features`` turns an image into what is compared.

Beside them stand two ``Term``s, which guide a deformable search by data of their own:
``LandmarkDistance`` and ``LabelOverlap``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._feature_loss import FeatureCosine, Features
from vesalius.register._gradient_fields import GradientFields
from vesalius.register._landmark_loss import LandmarkDistance
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mind import Mind
from vesalius.register._mse import MeanSquare
from vesalius.register._mutual_information import MutualInformation, NormalisedMutualInformation
from vesalius.register._ncc import Ncc
from vesalius.register._overlap_loss import LabelOverlap, SoftDice
from vesalius.register._similarity import Similarity
from vesalius.register._terms import Term

__all__ = [
    "FeatureCosine",
    "Features",
    "GradientFields",
    "LabelOverlap",
    "LandmarkDistance",
    "LocalNcc",
    "MeanSquare",
    "Mind",
    "MutualInformation",
    "Ncc",
    "NormalisedMutualInformation",
    "Similarity",
    "SoftDice",
    "Term",
]
