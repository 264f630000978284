"""Chan and Vese's contour without edges: two regions of nearly constant value."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Image
from vesalius.ops._chan_vese import Evolution, chan_vese, checkerboard
from vesalius.segment._contour_start import energy_curve, first_region, listener, painted
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Segmentation


@final
@dataclass(frozen=True, slots=True)
class ChanVese(Method):
    """Part an image into two regions of nearly constant value with a short contour between.

    Needs no edges: noisy and blurred objects are found, and holes and parts far from the start.
    Not where the ground varies as much as the object: normalise first, or take
    ``GeodesicContour``.

    Attributes:
        weight: Of the contour's length, in samples of the finest axis, for values of unit
            spread; larger is smoother.
        inside: Weight of the spread inside.
        outside: Weight of the spread outside.
        steps: Largest number of steps.
        tol: Stops where the level set changes by less near the contour.
        time_step: Of one step; larger is faster and coarser.
        first: Where there are neither ``hints.start`` nor seeds: values above the mean, or a
            checkerboard.
        object: Which region is label 1 then; with a start it is the one that started inside.
        radius_mm: Of the balls around the seeds; 0 takes an eighth of the image.

    References:
        Chan and Vese (2001), doi:10.1109/83.902291; see ``ops._chan_vese`` for deviations.
    """

    weight: float = 0.2
    inside: float = 1.0
    outside: float = 1.0
    steps: int = 100
    tol: float = 1e-3
    time_step: float = 1.0
    first: Literal["mean", "checkerboard"] = "mean"
    object: Literal["bright", "dark"] = "bright"
    radius_mm: float = 0.0

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        x = one_channel(image, "ChanVese")
        spacing = orthogonal_spacing(image.grid, "ChanVese")
        region = first_region(image, hints, self.radius_mm)
        mask = where_to_work(hints)
        evolution = Evolution(
            self.weight, self.inside, self.outside, self.time_step, 1.0, self.steps, self.tol
        )
        found = chan_vese(
            x,
            self._start(x, mask) if region is None else 2.0 * region.float() - 1.0,
            spacing,
            evolution=evolution,
            mask=mask,
            on_step=listener("contour without edges", on_step, self.steps),
        )
        inside = found.phi > 0
        turned = region is None and (found.means[0] > found.means[1]) != (self.object == "bright")
        means = found.means[::-1] if turned else found.means
        values = {"mean inside": means[0], "mean outside": means[1]}
        values |= {"energy": found.energies[-1], "steps": float(len(found.energies))}
        late = f"the contour still moved after {self.steps} steps: allow more"
        return Segmentation(
            painted(~inside if turned else inside, image, {1: "object"}),
            curves=(energy_curve("Contour without edges", found.energies, "energy per voxel"),),
            values=values,
            remarks=() if found.settled else (late,),
            settings=settings_of(self),
        )

    def _start(self, x: Tensor, mask: Tensor | None) -> Float[Tensor, "z y x"]:
        if self.first == "checkerboard":
            return checkerboard((x.shape[0], x.shape[1], x.shape[2]))
        values = x.detach().cpu().double()
        counted = values if mask is None else values[mask.cpu()]
        return torch.where(values > counted.mean(), 1.0, -1.0)
