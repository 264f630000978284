"""Normalised cross-correlation over the whole image: for images of one contrast."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

from torch import Tensor

from vesalius.ops._pair_sums import correlation
from vesalius.register._pairing import check_pair, finite, finite_tensor, flat_weight, pair
from vesalius.register._similarity import Samples, Similarity, Weight


@final
@dataclass(frozen=True, slots=True)
class Ncc(Similarity):
    """Compare up to a rising straight line: 1 - r, with r the correlation of all samples.

    From 0 (each image is ``a`` times the other plus ``b``, ``a`` > 0) to 2. It is *not*
    independent of the modality: only of such a linear map of values. An image that is constant
    where it counts correlates with nothing: the loss is 1. Several channels: mean of theirs.

    References:
        Lewis (1995), "Fast normalized cross-correlation", eq. (2), without its windows.
    """

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give 1 - r, a mean over channels; 0 to 2."""
        f, m, w = pair(fixed, warped, weight)
        share = w / w.sum()
        f = f - (share * f).sum(1, keepdim=True)
        m = m - (share * m).sum(1, keepdim=True)
        energy = (share * f * f).sum(1) * (share * m * m).sum(1)
        flat = energy <= 1e-40
        r = ((share * f * m).sum(1) / energy.where(~flat, 1).sqrt()).where(~flat, 0)
        return finite_tensor(1 - r.mean(), "normalised cross-correlation")

    def gradient(
        self, fixed: Samples, warped: Samples, weight: Weight | None = None
    ) -> tuple[float, Samples]:
        """Give the loss and its derivative from the moments of both images, in two passes."""
        check_pair(fixed, warped, weight)
        w = flat_weight(fixed, weight)
        r, slope = correlation(fixed.flatten(1), warped.flatten(1), w)
        loss = finite(1 - float(r.mean()), "normalised cross-correlation")
        return loss, slope.div_(-len(r)).view_as(warped)
