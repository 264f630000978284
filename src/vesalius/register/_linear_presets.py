"""Linear stages of the presets, with scales and windows that were chosen by measurement."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal

from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mutual_information import MutualInformation
from vesalius.register._ncc import Ncc
from vesalius.register._plan import GaussNewton, Scale, Stage
from vesalius.register._similarity import Similarity

RADIUS = 6  # window of the local correlation, samples
BINS = 32
COARSE = (Scale(16, 30), Scale(8, 20))
DENSE = (Scale(8, 40),)  # a joint histogram of fewer samples leads astray: prostate_mr_us


def linear_stages(
    name: Literal["rigid", "affine"], *, modality: Literal["same", "different"] = "same"
) -> tuple[Stage, ...]:
    """Give the stages of a linear preset: rigid at coarse scales, then the model itself.

    Coarse scales compare by correlation of the whole images: of 60 starts turned by 20 degrees
    and shifted by 20 mm on two real brains none was lost, by local correlation three were. Fine
    scales compare by local correlation, which overlaps structures better.

    Args:
        name: The last model.
        modality: ``"same"`` compares by correlation, ``"different"`` by mutual information.

    Returns:
        Two stages.
    """
    far: Similarity = Ncc() if modality == "same" else MutualInformation(BINS)
    near: Similarity = LocalNcc(RADIUS) if modality == "same" else far
    fine: tuple[Scale, ...] = (Scale(4, 15), Scale(2, 10))
    if name == "affine":
        fine = (Scale(8, 20), *fine)
    return (
        Stage("rigid", far, GaussNewton(), COARSE if modality == "same" else DENSE),
        Stage(name, near, GaussNewton(), fine),
    )
