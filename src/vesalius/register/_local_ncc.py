"""Local normalised cross-correlation: the same tissue up to a local brightness and contrast."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._filters import gaussian
from vesalius.ops._local_ncc import FixedWindows, fixed_windows, local_ncc, local_ncc_gradient
from vesalius.register._pairing import check_pair
from vesalius.register._similarity import Samples, Similarity, Weight

FLOOR = 1e-4  # of the variance of the whole image: below it a window is flat


@final
@dataclass(frozen=True, slots=True)
class LocalNcc(Similarity):
    """Compare in a small window around each sample: 1 - mean of the squared local correlation.

    From 0 to 1. Blind to brightness and contrast that change slowly (bias fields, staining).
    Samples of weight 0 are left out of every window, and their own windows do not count. Images
    must have a variance near 1, as ``features`` makes them. Several channels: mean of theirs.

    Attributes:
        radius: Half width of the window, samples; cut at the borders.
        window: ``"box"`` weighs its samples alike; ``"gaussian"`` is a Gaussian of the same
            variance, ``radius (radius + 1) / 3``, smoother and slower.

    Raises:
        ConfigError: ``radius`` is not positive.

    References:
        Avants et al. (2008), doi:10.1016/j.media.2007.06.004, eq. (2). Differs from it in: the
        gradient is that of the whole mean, not of each window's centre alone; a small floor is
        added to both variances.
    """

    radius: int = 2
    window: Literal["box", "gaussian"] = "box"

    def __post_init__(self) -> None:
        if self.radius < 1:
            raise ConfigError(f"radius must be at least 1 sample, got {self.radius}")

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give the loss, a mean over channels."""
        check_pair(fixed, warped, weight)
        if self.window == "gaussian":
            losses = [self._gaussian(f, w, weight) for f, w in zip(fixed, warped, strict=True)]
        else:
            pairs = zip(self.windows(fixed, weight), warped, strict=True)
            losses = [local_ncc(windows, w) for windows, w in pairs]
        return torch.stack(losses).mean()

    def gradient(
        self, fixed: Samples, warped: Samples, weight: Weight | None = None
    ) -> tuple[float, Samples]:
        """Give the loss and its exact derivative; box windows by running sums."""
        check_pair(fixed, warped, weight)
        if self.window == "gaussian":
            return Similarity.gradient(self, fixed, warped, weight)
        pairs = zip(self.windows(fixed, weight), warped, strict=True)
        found = [local_ncc_gradient(windows, w) for windows, w in pairs]
        slope = torch.stack([s for _, s in found]) / len(found)
        return sum(v for v, _ in found) / len(found), slope

    def windows(self, fixed: Samples, weight: Weight | None) -> list[FixedWindows]:
        """Give what the windows of each channel of the fixed image hold."""
        radius = (self.radius,) * 3
        only = None if weight is None else weight[0].to(fixed.dtype)
        return [fixed_windows(f, radius, weight=only, floor=FLOOR) for f in fixed]

    def features(
        self,
        image: Samples,
        spacing_mm: tuple[float, float, float],
        weight: Weight | None = None,
    ) -> Samples:
        """Bring each channel to mean 0 and variance 1, where it counts.

        Raises:
            IntensityError: A channel is constant, or holds NaN or infinity.
        """
        del spacing_mm
        where = torch.ones_like(image[:1]) if weight is None else weight.to(image.dtype)
        share = where / where.sum().clamp_min(1e-12)
        mean = (image * share).sum((1, 2, 3), keepdim=True)
        spread = ((image - mean) ** 2 * share).sum((1, 2, 3), keepdim=True).sqrt()
        if not bool(torch.isfinite(spread).all()):
            raise IntensityError("images must be finite to correlate, got NaN or infinity")
        if not bool((spread > 1e-6 * mean.abs()).all() and (spread > 0).all()):
            raise IntensityError(
                "each channel must vary where it counts, got deviations "
                f"{spread.flatten().tolist()}: a constant image correlates with nothing"
            )
        return (image - mean) / spread

    def _gaussian(
        self,
        fixed: Float[Tensor, "z y x"],
        warped: Float[Tensor, "z y x"],
        weight: Weight | None,
    ) -> Tensor:
        sigma = math.sqrt(self.radius * (self.radius + 1) / 3)
        ones = torch.ones_like(fixed) if weight is None else weight[0].to(fixed.dtype)
        parts = torch.stack([torch.ones_like(fixed), fixed, warped])
        parts = torch.cat([parts, torch.stack([fixed**2, warped**2, fixed * warped])]) * ones
        n, f, w, ff, ww, fw = gaussian(parts, (sigma,) * 3)
        n = n.clamp_min(1e-6)
        f, w = f / n, w / n
        cross = fw / n - f * w
        var_f = (ff / n - f * f).clamp_min(0) + FLOOR
        var_w = (ww / n - w * w).clamp_min(0) + FLOOR
        squares: Tensor = ones * cross * cross / (var_f * var_w)
        return 1 - squares.sum() / ones.sum()
