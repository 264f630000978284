"""Watershed: basins from marks or seeds, or touching objects split by their distance."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.core import Image, Step
from vesalius.errors import ConfigError
from vesalius.ops._level_set import slope_size
from vesalius.ops._watershed import Flood, Touch, split_touching, watershed
from vesalius.segment._contour_start import painted, seed_indices, smoothed
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    Spacing,
    finest_mm,
    held_inside,
    marks_of,
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Segmentation
from vesalius.segment._thresholds import Otsu


@final
@dataclass(frozen=True, slots=True)
class Watershed(Method):
    """Flood an image from marks, or split the touching objects of a mask.

    With ``hints.marks`` each value floods its basin; with ``hints.seeds_mm`` each seed is a basin
    and ``hints.outside_mm`` together are the background, label 0. With neither, the objects of
    ``hints.start`` (without it, those brighter than Otsu's threshold) are split where they are
    narrow; each part gets a number.

    Attributes:
        relief: What is flooded from marks or seeds: the slope of the image (basins meet at
            edges), its values (dark basins, bright walls), or the reverse.
        sigma_voxels: Smoothing before, samples of the finest axis.
        touch: Which voxels are neighbours in a flood from marks or seeds.
        lines: Whether voxels where two basins meet stay 0.
        compactness: For rounder basins, in units of the relief for each mm; 0 for none.
        depth_mm: Parts of an object are split where the pass between two summits of the distance
            lies this far below the lower one; 0 takes the finest spacing.

    References:
        Beucher and Meyer (1993); see ``ops._watershed``.
    """

    relief: Literal["slope", "values", "negative values"] = "slope"
    sigma_voxels: float = 1.0
    touch: Touch = "faces"
    lines: bool = False
    compactness: float = 0.0
    depth_mm: float = 0.0

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        if not 0 <= self.sigma_voxels < float("inf") or not 0 <= self.depth_mm < float("inf"):
            raise ConfigError(
                "sigma_voxels and depth_mm must be 0 or positive, got "
                f"{self.sigma_voxels} and {self.depth_mm}"
            )
        marked = hints.marks is not None or bool(hints.seeds_mm)
        found = self._flooded(image, hints) if marked else self._split(image, hints)
        if on_step is not None:
            on_step(Step("watershed", 1, 1))
        return found

    def _flooded(self, image: Image, hints: Hints) -> Segmentation:
        spacing = orthogonal_spacing(image.grid, "Watershed")
        markers, outside = _markers(image, hints)
        flood = Flood(self.touch, self.lines, self.compactness, spacing)
        mask = where_to_work(hints)
        data = watershed(self._relief(image, mask, spacing), markers, _cpu(mask), flood)
        if outside:
            data[data == outside] = 0
        names = {}
        if hints.marks is not None:
            names = {value: name for (_, value), name in hints.marks.names.items()}
        basins = len(np.unique(markers[markers > 0].numpy()))
        return Segmentation(
            painted(data, image, names),
            values={"markers": float(basins)},
            settings=settings_of(self),
        )

    def _relief(
        self, image: Image, mask: Bool[Tensor, "z y x"] | None, spacing: Spacing
    ) -> Float[Tensor, "z y x"]:
        x = one_channel(image, "Watershed").detach().cpu().double()
        smooth = smoothed(held_inside(x, mask, spacing), spacing, self.sigma_voxels)
        if self.relief == "slope":
            return slope_size(smooth, spacing)
        return smooth if self.relief == "values" else -smooth

    def _split(self, image: Image, hints: Hints) -> Segmentation:
        spacing = orthogonal_spacing(image.grid, "Watershed")
        remarks: tuple[str, ...] = ()
        if hints.start is None:
            first = Otsu().apply(image, hints).labels
            remarks = ("no marks and no start: what is above Otsu's threshold was split",)
        else:
            first = hints.start
        inside = (first.data != 0).any(dim=0).cpu()
        mask = where_to_work(hints)
        inside = inside if mask is None else inside & mask.cpu()
        depth = self.depth_mm or finest_mm(image.grid)
        data = split_touching(inside, spacing, depth)
        return Segmentation(
            painted(data, image, {}),
            values={"objects": float(data.max()), "depth_mm": depth},
            remarks=remarks,
            settings=settings_of(self),
        )


def _cpu(mask: Bool[Tensor, "z y x"] | None) -> Bool[Tensor, "z y x"] | None:
    return None if mask is None else mask.cpu()


def _markers(image: Image, hints: Hints) -> tuple[Int[Tensor, "z y x"], int]:
    """Give the markers, and the value that stands for the background; 0 if none does."""
    if hints.marks is not None:
        return marks_of(hints.marks), 0
    markers = torch.zeros(image.grid.shape, dtype=torch.int64)
    outside = len(hints.seeds_mm) + 1 if hints.outside_mm else 0
    for at in seed_indices(image, hints.outside_mm):
        markers[at] = outside
    for number, at in enumerate(seed_indices(image, hints.seeds_mm), start=1):
        markers[at] = number
    return markers, outside
