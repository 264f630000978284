"""Head: which voxels of a scan are tissue and not air."""
# SPDX-License-Identifier: Apache-2.0

import torch
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import IntensityError

BINS = 256
ENDS = (0.005, 0.995)  # quantiles between which the threshold is searched
MOST = 1_000_000  # samples it is searched in


def head_of(image: Image) -> Tensor:
    """Tell tissue from air by the threshold that parts the intensities best.

    Args:
        image: The first channel decides.

    Returns:
        (z, y, x), True in tissue.

    Raises:
        IntensityError: The image is constant, or not finite.

    References:
        Otsu (1979), doi:10.1109/TSMC.1979.4310076, eq. (18). Differs in: the histogram ends at
        the 0.5th and 99.5th percentile.
    """
    data = image.data[0]
    sample = data.reshape(-1)[:: max(1, data.numel() // MOST)].double().cpu()
    if not bool(torch.isfinite(sample).all()) or float(sample.min()) == float(sample.max()):
        raise IntensityError(
            "a head must stand out from the air around it, got an image that is constant or not "
            "finite: look at it first"
        )
    return data.double() > _threshold(sample)


def _threshold(sample: Tensor) -> float:
    low, high = torch.quantile(sample, torch.tensor(ENDS, dtype=torch.float64)).tolist()
    if not high > low:
        low, high = float(sample.min()), float(sample.max())
    counts = torch.histc(sample.clamp(low, high), BINS, low, high)
    middle = low + (torch.arange(BINS, dtype=torch.float64) + 0.5) * (high - low) / BINS
    share = torch.cumsum(counts, 0) / counts.sum()
    moment = torch.cumsum(counts * middle, 0) / counts.sum()
    apart = (moment[-1] * share - moment).square() / (share * (1 - share)).clamp(min=1e-12)
    best = int(apart[:-1].argmax())
    return float(low + (best + 1) * (high - low) / BINS)
