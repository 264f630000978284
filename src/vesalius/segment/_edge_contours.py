"""Contours that edges stop: geodesic active contours, and level sets that keep their distance."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._level_set import (
    Front,
    Geodesic,
    Regularised,
    edge_stop,
    geodesic_contour,
    regularised_contour,
    steepest_slope,
)
from vesalius.segment._contour_start import (
    energy_curve,
    listener,
    needed_region,
    painted,
    smoothed,
)
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    held_inside,
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Segmentation


@final
@dataclass(frozen=True, slots=True)
class GeodesicContour(Method):
    """Let a region grow or shrink until edges hold its contour; it may split and merge.

    For objects with an edge nearly all around, whatever values lie inside. Through a wide gap in
    the edge it leaks: more curvature, less balloon.

    Attributes:
        balloon: Speed where there is no edge: positive grows from inside, negative shrinks from
            outside, samples in a step.
        curvature: Weight of the smoothing by curvature.
        attraction: Weight of the pull onto edges.
        sigma_voxels: Smoothing before edges are sought, samples of the finest axis.
        edge_percentile: Slopes above this percentile count as edges: in a whole image edges are
            rare; in ``hints.mask`` close around one object take 60 to 70. Where other objects are
            brighter, such a mask is needed.
        steps: Largest number of steps.
        tol: Stops where the contour moved less than this on average in ten steps, samples, and
            nowhere by one and a half.
        radius_mm: Of the balls around the seeds; 0 takes an eighth of the image.

    References:
        Caselles, Kimmel and Sapiro (1997), doi:10.1023/A:1007979827043; see ``ops._level_set``.
    """

    balloon: float = 1.0
    curvature: float = 0.2
    attraction: float = 6.0
    sigma_voxels: float = 1.0
    edge_percentile: float = 90.0
    steps: int = 300
    tol: float = 0.02
    radius_mm: float = 0.0

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        flow = Geodesic(
            self.curvature, self.balloon, self.attraction, steps=self.steps, tol=self.tol
        )
        stop, spacing = _stop(image, hints, self)
        front = geodesic_contour(
            stop,
            needed_region(image, hints, self.radius_mm, "GeodesicContour"),
            spacing,
            flow=flow,
            mask=where_to_work(hints),
            on_step=listener("geodesic contour", on_step, self.steps),
        )
        return _result(self, image, front)


@final
@dataclass(frozen=True, slots=True)
class DistanceRegularised(Method):
    """Let a contour move to edges while the level set itself keeps a distance near it.

    Smoother than ``GeodesicContour`` and never redistanced; moves at most about a sample a step.

    Attributes:
        area: Positive grows from inside, negative shrinks from outside.
        length: Weight of the contour's length (half the area of a surface); larger is smoother.
        keep: Strength of the distance regularisation, at most 0.25.
        sigma_voxels: Smoothing before edges are sought, samples of the finest axis.
        edge_percentile: Slopes above this percentile count as edges: in a whole image edges are
            rare; in ``hints.mask`` close around one object take 60 to 70. Where other objects are
            brighter, such a mask is needed.
        steps: Largest number of steps.
        tol: Stops where the contour moved less than this on average in ten steps, samples, and
            nowhere by one and a half.
        radius_mm: Of the balls around the seeds; 0 takes an eighth of the image.

    References:
        Li, Xu, Gui and Fox (2010), doi:10.1109/TIP.2010.2069690; see ``ops._level_set``.
    """

    area: float = 3.0
    length: float = 5.0
    keep: float = 0.15
    sigma_voxels: float = 1.0
    edge_percentile: float = 90.0
    steps: int = 300
    tol: float = 0.02
    radius_mm: float = 0.0

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        # a ball bends in two directions where a disk bends in one
        bends = max(1, sum(n > 1 for n in image.grid.shape) - 1)
        length = self.length / bends
        flow = Regularised(self.keep, length, self.area, steps=self.steps, tol=self.tol)
        stop, spacing = _stop(image, hints, self)
        front = regularised_contour(
            stop,
            needed_region(image, hints, self.radius_mm, "DistanceRegularised"),
            spacing,
            flow=flow,
            mask=where_to_work(hints),
            on_step=listener("distance-regularised contour", on_step, self.steps),
        )
        return _result(self, image, front)


def _stop(
    image: Image, hints: Hints, method: GeodesicContour | DistanceRegularised
) -> tuple[Float[Tensor, "z y x"], tuple[float, float, float]]:
    """Make the edge stop: a half where the slope is at the percentile asked for."""
    what = type(method).__name__
    if not 0 < method.edge_percentile < 100 or not 0 <= method.sigma_voxels < float("inf"):
        raise ConfigError(
            "edge_percentile must lie between 0 and 100 and sigma_voxels not below 0, got "
            f"{method.edge_percentile} and {method.sigma_voxels}"
        )
    spacing = orthogonal_spacing(image.grid, what)
    mask = where_to_work(hints)
    x = held_inside(one_channel(image, what).detach().cpu().double(), mask, spacing)
    smooth = smoothed(x, spacing, method.sigma_voxels)
    slope = steepest_slope(smooth, spacing)
    counted = (slope if mask is None else slope[mask.cpu()]).numpy()
    contrast = float(np.percentile(counted, method.edge_percentile)) or float(counted.max())
    # smoothing a constant image leaves slopes of its rounding
    if contrast <= 0 or float(x.min()) == float(x.max()):
        raise IntensityError(f"{what} needs edges to stop at, the image is constant")
    return edge_stop(smooth, spacing, contrast).float(), spacing


def _result(
    method: GeodesicContour | DistanceRegularised, image: Image, front: Front
) -> Segmentation:
    inside = front.phi > 0
    remarks = []
    if not front.settled:
        remarks.append(f"the contour still moved after {method.steps} steps: allow more")
    if not bool(inside.any()):
        remarks.insert(0, "the contour vanished: start closer, or let it shrink less")
    values = {"steps": float(len(front.lengths)), "edge-weighted length": front.lengths[-1]}
    return Segmentation(
        painted(inside, image, {1: "object"}),
        curves=(energy_curve("Length weighted by edges", front.lengths, "length, samples"),),
        values=values,
        remarks=tuple(remarks),
        settings=settings_of(method),
    )
