"""Objects without weights: a threshold, the distance to its border, a watershed between summits."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError
from vesalius.ops import gaussian
from vesalius.ops._distance_field import distance_to
from vesalius.ops._object_boxes import equivalent_diameters, object_boxes
from vesalius.ops._tidy_objects import tidy_objects
from vesalius.ops._watershed import split_touching
from vesalius.segment._hints import Hints
from vesalius.segment._local_threshold import Local
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    held_inside,
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Curve, Segmentation
from vesalius.segment._thresholds import Otsu


@final
@dataclass(frozen=True, slots=True)
class DistanceWatershed(Method):
    """Split a threshold into round objects, such as nuclei, where no trained model fits.

    Two summits of the distance to the border are two objects if the pass between them lies deep
    enough: as a share of the typical half width of the objects, so that their size need not be
    known. Bent objects are split, and objects pressed flat together are not.

    Attributes:
        threshold: ``"otsu"`` for the whole image, or ``"local"`` where the ground is uneven.
        radius_mm: Of the neighbourhood of the local threshold.
        foreground: Which side the objects are on.
        blur_samples: Standard deviation of the Gaussian before the threshold, in the finest
            samples; 0 for none.
        depth_share: Least depth of a pass, as a share of the typical half width.
        least_samples: Smaller objects are left out.

    Raises:
        ConfigError: A number is out of range.

    References:
        Otsu (1979), doi:10.1109/TSMC.1979.4310076; Vincent and Soille (1991),
        doi:10.1109/34.87344.
    """

    threshold: Literal["otsu", "local"] = "otsu"
    radius_mm: float = 30.0
    foreground: Literal["bright", "dark"] = "bright"
    blur_samples: float = 1.0
    depth_share: float = 0.1
    least_samples: int = 15

    def __post_init__(self) -> None:
        numbers = (self.blur_samples, self.depth_share)
        if not (0 <= numbers[0] < math.inf and 0 < numbers[1] < math.inf) or self.least_samples < 1:
            raise ConfigError(
                "blur_samples must not be negative, depth_share be positive and least_samples at "
                f"least 1, got {self.blur_samples}, {self.depth_share} and {self.least_samples}"
            )

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        x = one_channel(image, "DistanceWatershed").detach().cpu().double()
        spacing = orthogonal_spacing(image.grid, "DistanceWatershed")
        finest = min(spacing)
        z, y, x_sigma = (
            0.0 if n == 1 else self.blur_samples * finest / mm
            for n, mm in zip(x.shape, spacing, strict=True)
        )
        held = held_inside(x, where_to_work(hints), spacing)
        smooth = Image(gaussian(held[None], (z, y, x_sigma)), image.grid, image.unit)
        cut = self._method().apply(smooth, hints)
        mask = cut.labels.data[0] != 0
        objects = _split(mask, spacing, self.depth_share)
        labels = tidy_objects(objects, least_size=self.least_samples).to(image.device)
        if on_step is not None:
            on_step(Step("segment: DistanceWatershed", 1, 1))
        dims = 2 if image.grid.shape[0] == 1 else 3
        diameters = np.sort(equivalent_diameters(object_boxes(labels).sizes, dims))
        values = {**cut.values, "objects": float(len(diameters))}
        curves = cut.curves
        if len(diameters):
            values["median diameter"] = float(np.median(diameters))
            curves = (*cut.curves, _sizes(diameters))
        names = dict.fromkeys(((0, k) for k in range(1, 1 + len(diameters))), "object")
        return Segmentation(
            labels=Labels(labels[None], image.grid, names),
            maps=cut.maps,
            curves=curves,
            values=values,
            remarks=cut.remarks,
            settings=settings_of(self),
        )

    def _method(self) -> Method:
        if self.threshold == "otsu":
            return Otsu(foreground=self.foreground)
        return Local(radius_mm=self.radius_mm, foreground=self.foreground)


def _sizes(diameters: np.ndarray) -> Curve:
    """Show how many objects are smaller than each diameter."""
    share = torch.arange(1, len(diameters) + 1, dtype=torch.float64) / len(diameters)
    middle = (float(np.median(diameters)),)
    sizes = torch.from_numpy(diameters)
    return Curve("Diameters", sizes, share, "diameter (samples)", "share of objects", middle)


def _split(
    mask: Bool[Tensor, "z y x"], spacing: tuple[float, float, float], share: float
) -> Int[Tensor, "z y x"]:
    """Split at passes of a share of the typical half width: the median of the splits' summits."""
    if not bool(mask.any()) or bool(mask.all()):
        return mask.int()
    far = distance_to(~mask, spacing).to(mask.device)
    half_width = float(far[mask].quantile(0.9)) if int(mask.sum()) < 1 << 24 else float(far.max())
    return split_touching(mask, spacing, max(share * half_width, 1e-6))
