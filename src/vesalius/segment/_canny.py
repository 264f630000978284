"""Canny's edges: where an image changes most, thin, linked over gaps, without the short ones."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError, RegionError
from vesalius.ops._components import Components, components
from vesalius.ops._edges import Slope, link, ridge, sobel
from vesalius.ops._filters import gaussian
from vesalius.ops._object_boxes import object_boxes
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
from vesalius.segment._segmentation import Curve, Segmentation

Triple = tuple[float, float, float]
Mask = NDArray[np.bool_]


@final
@dataclass(frozen=True, slots=True)
class Canny(Method):
    """Find edges: lines in a plane, surfaces in a volume; each connected edge is a label.

    The image is smoothed by a Gaussian, its gradient taken in the world, and a voxel is an edge
    where the gradient is greatest along its own direction. Edges weaker than ``low`` go, and those
    that do not hang together with one of ``high``. Then gaps are closed along the direction of the
    edge, and short edges dropped.

    Attributes:
        sigma_mm: Standard deviation of the Gaussian; edges closer together than that merge.
        low: Least gradient of an edge.
        high: Least gradient of its strongest voxel.
        scale: ``"quantile"``: thresholds are shares of the voxels, 0 to 1, that have less;
            ``"absolute"``: they are in the unit of the image for each mm.
        gap_mm: Longest gap that is closed; 0 for none.
        least_span_mm: Edges whose bounding box has a shorter diagonal go.

    References:
        Canny (1986), doi:10.1109/TPAMI.1986.4767851. Differs from it in: derivatives are Sobel's
        of the smoothed image; links over gaps are ours.
    """

    sigma_mm: float = 1.0
    low: float = 0.8
    high: float = 0.95
    scale: Literal["quantile", "absolute"] = "quantile"
    gap_mm: float = 0.0
    least_span_mm: float = 0.0

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        self._check()
        x = as_floats(one_channel(image, "Canny"))
        spacing = orthogonal_spacing(image.grid, "Canny")
        check_reach("sigma_mm", self.sigma_mm, image.grid)
        mask = where_to_work(hints)
        slope, inside = _slope(x, None if mask is None else mask.cpu(), self.sigma_mm, spacing)
        if not inside.any():
            raise RegionError("the mask must be thicker than two voxels to hold an edge, got less")
        low, high = self._limits(slope.size[inside])
        tops = ridge(slope, inside, spacing)
        edges = _strong(tops & (slope.size >= low), slope.size >= high)
        found = components(torch.from_numpy(edges), full=True)
        links = 0
        if self.gap_mm > 0:
            links = link(edges, found.numbers, slope, self.gap_mm, spacing)
            found = components(torch.from_numpy(edges & inside), full=True)
        numbers = _long(found, self.least_span_mm, spacing)
        if on_step is not None:
            on_step(Step("segment: Canny", 1, 1))
        count = int(numbers.max())
        values = {"low": low, "high": high, "edges": float(count), "links": float(links)}
        labels = Labels(torch.from_numpy(numbers)[None].to(image.device), image.grid)
        size = torch.from_numpy(slope.size)[None].to(image.device)
        maps = {"gradient": Image(size, image.grid, f"{image.unit}/mm")}
        curves = (_curve(slope.size[tops], (low, high), image.unit),)
        return Segmentation(labels, maps, curves, (), values, (), settings_of(self))

    def _check(self) -> None:
        lengths = (self.sigma_mm, self.gap_mm, self.least_span_mm)
        if not all(math.isfinite(v) and v >= 0 for v in lengths):
            raise ConfigError(
                f"sigma_mm, gap_mm and least_span_mm must be finite and at least 0, got {lengths}"
            )
        most = 1.0 if self.scale == "quantile" else math.inf
        if not 0 <= self.low <= self.high <= most:
            raise ConfigError(
                f"the limits of an edge must have 0 <= low <= high <= {most:g}, got {self.low:g} "
                f"and {self.high:g}"
            )

    def _limits(self, sizes: NDArray[np.float64]) -> tuple[float, float]:
        if self.scale == "absolute":
            return self.low, self.high
        low, high = np.quantile(sizes, (self.low, self.high))
        return float(low), float(high)


def _slope(x: Tensor, mask: Tensor | None, sigma_mm: float, spacing: Triple) -> tuple[Slope, Mask]:
    """Smooth by what lies inside the mask only, and differentiate where that is known around."""
    sigma = tuple(sigma_mm / mm if n > 1 else 0.0 for n, mm in zip(x.shape, spacing, strict=True))
    width = (sigma[0], sigma[1], sigma[2])
    if mask is None:
        return sobel(gaussian(x, width).numpy(), spacing), np.ones(tuple(x.shape), np.bool_)
    weight = mask.double()
    smooth = gaussian(x * weight, width) / gaussian(weight, width).clamp(min=1e-12)
    return sobel(smooth.numpy(), spacing), _within(mask.numpy())


def _within(mask: Mask) -> Mask:
    """Leave out the voxels that have a neighbour outside the mask."""
    from vesalius.ops._flat_morphology import box_rows, complement, dilate_rows

    values = torch.from_numpy(mask.astype(np.uint8))
    rows = box_rows((1.0, 1.0, 1.0), (mask.shape[0], mask.shape[1], mask.shape[2]))
    eroded = complement(dilate_rows(complement(values), rows))
    inside: Mask = eroded.numpy() != 0
    return inside


def _strong(weak: Mask, strong: Mask) -> Mask:
    found = components(torch.from_numpy(weak), full=True)
    keep = np.zeros(len(found.sizes) + 1, np.bool_)
    keep[np.unique(found.numbers[weak & strong])] = True
    keep[0] = False
    return keep[found.numbers]


def _long(found: Components, least_mm: float, spacing: Triple) -> NDArray[np.int32]:
    """Drop the edges of a short span and number the others anew."""
    objects = object_boxes(torch.from_numpy(found.numbers))
    sides = (objects.boxes[:, 1::2] - objects.boxes[:, ::2] - 1) * np.array(spacing)
    keep = np.sqrt((sides**2).sum(axis=1)) >= least_mm
    table = np.concatenate([[0], np.cumsum(keep) * keep]).astype(np.int32)
    return table[found.numbers]


def _curve(sizes: NDArray[np.float64], marks: tuple[float, float], unit: str) -> Curve:
    top = float(sizes.max()) if len(sizes) else 1.0
    counts, edges = np.histogram(sizes, bins=128, range=(0.0, top or 1.0))
    return Curve(
        "gradient where it is greatest along its direction",
        torch.from_numpy((edges[1:] + edges[:-1]) / 2),
        torch.from_numpy(counts.astype(np.float64)),
        f"gradient ({unit}/mm)",
        "voxels",
        marks,
    )
