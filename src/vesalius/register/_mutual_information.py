"""Mutual information, plain and normalised: for images of different modalities."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._parzen import joint_histogram
from vesalius.register._pairing import check_pair, flat_weight
from vesalius.register._similarity import Samples, Similarity, Weight

MARGIN = 0.001  # share of the samples at each end of the range that may be outliers


@final
@dataclass(frozen=True, slots=True)
class MutualInformation(Similarity):
    """Compare by how well one image's values foretell the other's: -MI, in nats.

    At most 0 (nothing foretold, as for a constant image). Independent of any one-to-one map of
    values, up to the width of a bin: for images of different modalities, linear models first of
    all. Values are windowed by the cubic B-spline along both axes of the joint histogram.
    Several channels: mean of theirs.

    ``features`` scales each channel so that its values from the 0.1 to the 99.9 percent point,
    where the weight is not 0, lie in 0 to 1, and clips what is beyond; the comparison takes only
    such images. Where the two points are equal the extremes take their place.

    Attributes:
        bins: Bins of each image, 8 to 1000; 32 to 64 is usual.

    Raises:
        ConfigError: Too few or too many bins.

    References:
        Viola, Wells (1997), doi:10.1023/A:1007958904918; Mattes et al. (2003),
        doi:10.1109/TMI.2003.809072, eqs. (2) to (6); Thevenaz, Unser (2000),
        doi:10.1109/83.887976, eqs. (8), (9), (19) and (24). Differs from Mattes in: a cubic
        window for the fixed image too, all samples, a range by percent points.
    """

    bins: int = 32

    def __post_init__(self) -> None:
        _require_bins(self.bins)

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give -MI, a mean over channels, nats; the images are those of ``features``."""
        return -_mean(fixed, warped, weight, bins=self.bins, normalised=False)

    def features(
        self,
        image: Samples,
        spacing_mm: tuple[float, float, float],
        weight: Weight | None = None,
    ) -> Samples:
        """Scale each channel to 0 to 1 by its percent points where the weight is not 0.

        Raises:
            IntensityError: A channel is constant or not finite there.
        """
        del spacing_mm
        return _scaled(image, weight)


@final
@dataclass(frozen=True, slots=True)
class NormalisedMutualInformation(Similarity):
    """Compare by Studholme's ratio: -(H(f) + H(w)) / H(f, w), from -2 to -1.

    As ``MutualInformation``, but less drawn by how much of the images overlaps.

    Attributes:
        bins: Bins of each image, 8 to 1000; 32 to 64 is usual.

    Raises:
        ConfigError: Too few or too many bins.

    References:
        Studholme, Hill, Hawkes (1999), doi:10.1016/S0031-3203(98)00091-0, eq. (6).
    """

    bins: int = 32

    def __post_init__(self) -> None:
        _require_bins(self.bins)

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give the negative ratio, a mean over channels; the images are those of ``features``."""
        return -_mean(fixed, warped, weight, bins=self.bins, normalised=True)

    def features(
        self,
        image: Samples,
        spacing_mm: tuple[float, float, float],
        weight: Weight | None = None,
    ) -> Samples:
        """Scale each channel to 0 to 1; see ``MutualInformation.features``.

        Raises:
            IntensityError: A channel is constant or not finite there.
        """
        del spacing_mm
        return _scaled(image, weight)


def _require_bins(bins: int) -> None:
    if not 8 <= bins <= 1000:
        raise ConfigError(f"bins must be 8 to 1000, got {bins}: take 32 to 64")


def _mean(
    fixed: Tensor, warped: Tensor, weight: Tensor | None, *, bins: int, normalised: bool
) -> Tensor:
    check_pair(fixed, warped, weight)
    w = flat_weight(fixed, weight)
    values = [
        _information(joint_histogram(f, m, w, bins=bins), normalised=normalised)
        for f, m in zip(fixed.flatten(1), warped.flatten(1), strict=True)
    ]
    return torch.stack(values).mean()


def _information(table: Tensor, *, normalised: bool) -> Tensor:
    joint = table / table.sum().detach()
    single = _entropy(joint.sum(0)) + _entropy(joint.sum(1))
    return single / _entropy(joint) if normalised else single - _entropy(joint)


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.where(p > 0, 1).log()).sum()


def _scaled(image: Tensor, weight: Tensor | None) -> Tensor:
    low, high = zip(*(_range(channel, weight) for channel in image), strict=True)
    shape = (-1, 1, 1, 1)
    bottom, top = (torch.tensor(v).to(image).reshape(shape) for v in (low, high))
    return ((image - bottom) / (top - bottom)).clamp(0, 1)


def _range(channel: Tensor, weight: Tensor | None) -> tuple[float, float]:
    """Give the robust range of a channel's values where they count."""
    values = channel.flatten() if weight is None else channel[weight[0] > 0]
    least, most = (float(v) for v in values.aminmax()) if len(values) else (0.0, 0.0)
    if not least < most or most - least == float("inf"):
        raise IntensityError(
            "mutual information needs finite samples of more than one value where they count, "
            f"got {least:g} to {most:g}: check the image and its mask"
        )
    skip = int(MARGIN * len(values))
    low = float(values.kthvalue(1 + skip).values)
    high = float(values.kthvalue(len(values) - skip).values)
    return (low, high) if low < high else (least, most)
