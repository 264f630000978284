"""Mean squared difference: for images of one contrast and one scale of values."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

from torch import Tensor

from vesalius.ops._pair_sums import mean_square
from vesalius.register._pairing import check_pair, finite, finite_tensor, flat_weight, pair
from vesalius.register._similarity import Samples, Similarity, Weight


@final
@dataclass(frozen=True, slots=True)
class MeanSquare(Similarity):
    """Compare values as they are: the weighted mean of their squared difference.

    Invariant to nothing: for images of one contrast, whose values mean the same (CT in HU, or
    scaled to one range beforehand). The loss has the square of the images' unit; several
    channels count alike.

    References:
        Hajnal et al. (1995), doi:10.1097/00004728-199501000-00021.
    """

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give the mean of ``w (warped - fixed)^2`` over samples and channels."""
        return square_loss(fixed, warped, weight)

    def gradient(
        self, fixed: Samples, warped: Samples, weight: Weight | None = None
    ) -> tuple[float, Samples]:
        """Give the loss and ``2 w (warped - fixed) / (c sum(w))``, fused."""
        return square_gradient(fixed, warped, weight)


def square_loss(fixed: Samples, warped: Samples, weight: Weight | None) -> Tensor:
    """Give the weighted mean square difference over samples and channels, differentiable."""
    f, m, w = pair(fixed, warped, weight)
    loss = ((m - f).square() * w).sum() / (w.sum() * f.shape[0])
    return finite_tensor(loss, "the mean squared difference")


def square_gradient(
    fixed: Samples, warped: Samples, weight: Weight | None
) -> tuple[float, Samples]:
    """Give the weighted mean square difference and its derivative by ``warped``."""
    check_pair(fixed, warped, weight)
    w = flat_weight(fixed, weight)
    loss, slope = mean_square(fixed.flatten(1), warped.flatten(1), w)
    return finite(loss, "the mean squared difference"), slope.view_as(warped)
