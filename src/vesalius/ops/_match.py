"""Match the values of one image to another's by their quantiles, a monotone map."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

POINTS = 15  # quantiles between the mean and the brightest
TOP = 0.995  # the brightest samples are too few to tell anything: straight on from here
SAMPLES = 1 << 18  # about as many samples tell the quantiles well enough


@dataclass(frozen=True, slots=True)
class ValueMap:
    """A monotone, piecewise linear map of values; straight on beyond its ends.

    Attributes:
        given: Values of the image that is mapped, rising.
        wanted: What each becomes, rising.
    """

    given: tuple[float, ...]
    wanted: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Map samples; same shape, dtype and device."""
        knots = x.new_tensor(self.given)
        wanted = x.new_tensor(self.wanted)
        slope = wanted.diff() / knots.diff()
        piece = (torch.bucketize(x, knots) - 1).clamp(0, len(slope) - 1)
        return wanted[piece] + (x - knots[piece]) * slope[piece]


def match_values(given: Tensor, wanted: Tensor) -> ValueMap:
    """Find the map that gives one set of samples the quantiles of another.

    What is brighter than its own mean is matched by 17 quantiles, so that a background of
    another size does not decide; below, the map is straight down to the darkest sample. A gain
    and an offset are undone exactly; a strongly bent map only as far as the same tissue stays
    above the mean.

    Args:
        given: Samples of the image to map, any shape.
        wanted: Samples of the image to match.

    Returns:
        The map; the identity where either set is constant.

    References:
        Nyul, Udupa, Zhang (2000), doi:10.1109/42.836373 (landmarks of histograms). Differs from
        it in: one image is the standard of the other; background below the mean.
    """
    source, target = _landmarks(given), _landmarks(wanted)
    if source is None or target is None:
        return ValueMap((0.0, 1.0), (0.0, 1.0))
    # a quantile that does not rise is left out: its values are one
    keep = np.concatenate([[True], np.diff(source) > 1e-6 * (source[-1] - source[0])])
    return ValueMap(tuple(source[keep].tolist()), tuple(target[keep].tolist()))


def _landmarks(x: Tensor) -> np.ndarray | None:
    flat = x.detach().flatten()
    values = flat[:: max(1, flat.numel() // SAMPLES)].cpu().double().numpy()
    if values.min() == values.max():
        return None
    bright = np.quantile(values[values > values.mean()], np.linspace(0, TOP, POINTS + 2))
    return np.concatenate([[values.min()], bright])
