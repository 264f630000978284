"""Linear stages of the presets, with scales and windows that were chosen by measurement."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal

from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mutual_information import MutualInformation
from vesalius.register._plan import GaussNewton, Scale, Stage
from vesalius.register._similarity import Similarity

RADIUS = 6  # window of the local correlation, samples
BINS = 32


def linear_stages(
    name: Literal["rigid", "affine"], *, modality: Literal["same", "different"] = "same"
) -> tuple[Stage, ...]:
    """Give the stages of a linear preset: rigid, then affine where that is wanted.

    Args:
        name: The last model.
        modality: ``"same"`` compares by local correlation, ``"different"`` by mutual information.

    Returns:
        One or two stages.
    """
    similarity: Similarity = LocalNcc(RADIUS) if modality == "same" else MutualInformation(BINS)
    coarse = (Scale(16, 30), Scale(8, 20), Scale(4, 10))
    if name == "rigid":
        return (Stage("rigid", similarity, GaussNewton(), (*coarse, Scale(2, 10))),)
    fine = (Scale(8, 20), Scale(4, 15), Scale(2, 10))
    return (
        Stage("rigid", similarity, GaussNewton(), coarse),
        Stage("affine", similarity, GaussNewton(), fine),
    )
