"""How alike two images are: the losses that a registration lowers, each with its derivative.

One contrast: ``MeanSquare``, ``Ncc``. Several modalities: ``MutualInformation`` and
``NormalisedMutualInformation`` (linear models), ``Mind`` (deformable ones). Each is a ``Similarity``: smaller is more alike,
and ``features`` turns an image into what is compared.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._mind import Mind
from vesalius.register._mse import MeanSquare
from vesalius.register._mutual_information import MutualInformation, NormalisedMutualInformation
from vesalius.register._ncc import Ncc
from vesalius.register._similarity import Similarity

__all__ = [
    "MeanSquare",
    "Mind",
    "MutualInformation",
    "Ncc",
    "NormalisedMutualInformation",
    "Similarity",
]
