"""Centreline Dice: whether thin branching things are connected as they should be."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple

from jaxtyping import Bool
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._skeleton import skeleton


class CentrelineDice(NamedTuple):
    """Overlap of skeletons with masks.

    Attributes:
        cldice: Harmonic mean of both; NaN where both masks are empty, 0 where one is.
        precision: Share of the first skeleton (prediction) inside the second mask.
        sensitivity: Share of the second skeleton (truth) inside the first mask.
    """

    cldice: float
    precision: float
    sensitivity: float


def centreline_dice(
    first: Bool[Tensor, "z y x"], second: Bool[Tensor, "z2 y2 x2"]
) -> CentrelineDice:
    """Compare two masks by their centrelines.

    Args:
        first: (z, y, x), the prediction; one slice is taken as a plane.
        second: The truth, same shape.

    Returns:
        The three shares.

    Raises:
        ShapeError: The masks differ in shape.

    References:
        Shit et al. (2021), doi:10.1109/CVPR46437.2021.01629, eqs. (1)-(3). Differs from it in: the
        skeleton keeps topology exactly (:func:`skeleton`), it is not the soft one of the loss.
    """
    if first.shape != second.shape:
        raise ShapeError(
            "masks must have one shape to be compared by their centrelines, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}: bring them onto one grid first"
        )
    one, two = first.detach().cpu(), second.detach().cpu()
    empty = [not bool(mask.any()) for mask in (one, two)]
    if any(empty):
        value = math.nan if all(empty) else 0.0
        return CentrelineDice(value, value, value)
    precision, sensitivity = _share(skeleton(one), two), _share(skeleton(two), one)
    both = precision + sensitivity
    return CentrelineDice(
        2 * precision * sensitivity / both if both else 0.0, precision, sensitivity
    )


def _share(line: Tensor, mask: Tensor) -> float:
    return int((line & mask).sum()) / int(line.sum())
