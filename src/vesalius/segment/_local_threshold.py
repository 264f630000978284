"""A threshold for each place, from the values around it: uneven light, print, fine bright lines."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float64
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError, RegionError
from vesalius.ops._box_mean import box_sum
from vesalius.ops._filters import gaussian
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    as_floats,
    check_reach,
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Segmentation

Volume = Float64[Tensor, "z y x"]
Around = Literal["mean", "gaussian", "niblack", "sauvola"]
_SPREAD = 3.0  # a Gaussian of this many standard deviations to the radius


@final
@dataclass(frozen=True, slots=True)
class Local(Method):
    """Compare each value with those around it.

    ``mean`` and ``gaussian`` take the mean m of the box, or weighted; ``niblack`` takes m - k s
    with the standard deviation s of the box; ``sauvola`` takes m (1 + k (s / R - 1)), values
    counted from the lowest, R half of their span. Only samples inside the mask are averaged; beyond
    the edges of the image the samples are mirrored (``gaussian``: repeated).

    Attributes:
        around: What is compared with.
        radius_mm: Half of the box along each axis; a third of it is the Gaussian's standard
            deviation. Should exceed the radius of the objects.
        k: Of Niblack and of Sauvola.
        offset_sd: What a value must be above the local threshold, in standard deviations of the
            image: keeps noise away where nothing is.
        foreground: Which side becomes label 1.

    References:
        Niblack (1986), ISBN 0134806743; Sauvola and Pietikainen (2000),
        doi:10.1016/S0031-3203(99)00055-2, eq. (5).
    """

    around: Around = "mean"
    radius_mm: float = 15.0
    k: float = 0.2
    offset_sd: float = 0.25
    foreground: Literal["bright", "dark"] = "bright"

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        if not 0 < self.radius_mm < float("inf"):
            raise ConfigError(f"radius_mm must be positive and finite, got {self.radius_mm}")
        x = as_floats(one_channel(image, "Local"))
        inside = where_to_work(hints)
        counted = torch.ones_like(x) if inside is None else inside.cpu().double()
        known = x[counted != 0]
        # by the extremes: the mean of equal values may differ from them by its rounding
        if not len(known) or float(known.min()) == float(known.max()):
            raise RegionError("an image must have two different values around to compare, got one")
        sd = float(known.std(correction=0))
        spacing = orthogonal_spacing(image.grid, "Local")
        check_reach("radius_mm", self.radius_mm, image.grid)
        level = self._level(x, counted, spacing)
        sign = 1.0 if self.foreground == "bright" else -1.0
        found = (sign * (x - level) > self.offset_sd * sd) & (counted != 0)
        if on_step is not None:
            on_step(Step("segment: Local", 1, 1))
        labels = Labels(
            found.to(torch.uint8)[None].to(image.device), image.grid, {(0, 1): "object"}
        )
        maps = {"threshold": Image(level[None].to(image.device), image.grid, image.unit)}
        values = {"standard deviation": sd, "offset": sign * self.offset_sd * sd}
        return Segmentation(labels=labels, maps=maps, values=values, settings=settings_of(self))

    def _level(self, x: Volume, counted: Volume, spacing: tuple[float, float, float]) -> Volume:
        if self.around == "gaussian":
            dz, dy, dx = (
                0.0 if n == 1 else self.radius_mm / _SPREAD / mm
                for n, mm in zip(x.shape, spacing, strict=True)
            )
            weight = gaussian(counted, (dz, dy, dx)).clamp(min=1e-12)
            return gaussian(x * counted, (dz, dy, dx)) / weight
        rz, ry, rx = (round(self.radius_mm / mm) for mm in spacing)
        count = box_sum(counted, (rz, ry, rx)).clamp(min=1.0)
        # from the middle: the square of a large mean would hide a small spread
        middle = float(x[counted != 0].mean())
        low, high = float(x[counted != 0].min()), float(x[counted != 0].max())
        centred = (x - middle) * counted
        mean = box_sum(centred, (rz, ry, rx)) / count
        if self.around == "mean":
            return mean + middle
        square = box_sum(centred * centred, (rz, ry, rx)) / count
        spread = (square - mean * mean).clamp(min=0.0).sqrt()
        mean = mean + middle
        if self.around == "niblack":
            return mean - self.k * spread
        half = (high - low) / 2
        return low + (mean - low) * (1 + self.k * (spread / half - 1))
