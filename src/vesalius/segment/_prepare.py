"""Prepare: bring an image to the lattice and the scale of values that a network was trained on."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from itertools import permutations
from typing import final

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vesalius.core import Grid, Image, Labels, centred_grid, resample, resample_labels
from vesalius.errors import ConfigError, IntensityError, ShapeError
from vesalius.segment._plan import Normalisation, Plan

Triple = tuple[float, float, float]

SAME = 0.01
"""A spacing that differs by less than this part of itself is kept: resampling would only blur."""
FLAT = 1e-8
"""Least deviation that values are divided by."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An image as the network sees it.

    Attributes:
        data: Normalised, on ``grid``, float32.
        grid: The lattice; its axes run along S, P, L as nearly as those of the source allow.
        source: Grid of the image, onto which results go back.
    """

    data: Float[Tensor, "c z y x"]
    grid: Grid
    source: Grid


def prepare(image: Image, plan: Plan, *, zoom: float = 1.0) -> Prepared:
    """Normalise an image and bring it to the plan's lattice.

    Volumes are turned first, by whole axes, so that z runs to S, y to P, x to L: files of any
    orientation look alike. 2-D images (``Z == 1``) are not turned.

    Args:
        image: Finite; any number type, orthogonal grid.
        plan: Of the network.
        zoom: Samples of the lattice for one sample of the plan's spacing, in the plane and across:
            brings objects of another size to the diameter of the plan.

    Returns:
        Data, and what is needed to come back.

    Raises:
        ShapeError: Another number of channels, or of axes, than the plan's.
        IntensityError: NaN or infinite samples.
        ConfigError: ``zoom`` is not positive.
    """
    _check(image, plan, zoom)
    turned = upright(image)
    data = torch.cat(
        [normalised(c[None], n) for c, n in zip(turned.data, plan.normalisation, strict=True)]
    )
    grid = lattice(turned.grid, plan.spacing_mm, zoom=zoom)
    if grid is not turned.grid:
        data = resample(Image(data, turned.grid), grid, interpolation="cubic").data
    return Prepared(data.contiguous(), grid, image.grid)


def prepare_labels(labels: Labels, grid: Grid) -> Integer[Tensor, "z y x"]:
    """Bring labels to the lattice of a prepared image.

    Args:
        labels: One layer; -1 where the truth is not known.
        grid: Of :class:`Prepared`.

    Returns:
        int32; -1 outside of the labels' own grid.
    """
    # 0 is what lies outside when labels are resampled: -1 goes through as 0, and all else is + 1
    shifted = Labels(labels.data.to(torch.int32) + 1, labels.grid)
    classes = int(shifted.data.max()) <= MOST_ONEHOT
    own, order = labels.grid.spacing_mm, _turn(labels.grid)[0]
    flat = labels.grid.shape[0] == 1
    turned = own if flat else tuple(own[a] for a in order)
    same = all(_close(a, b) for a, b in zip(turned, grid.spacing_mm, strict=True))
    smooth = classes and not same
    found = resample_labels(shifted, grid, method="onehot" if smooth else "nearest")
    return found.data[0] - 1


MOST_ONEHOT = 64
"""Labels with more values (objects) are looked up: one indicator each would cost too much."""


def upright(image: Image) -> Image:
    """Turn a volume by whole axes so that z runs to S, y to P and x to L, as nearly as it can.

    Args:
        image: Any axes; 2-D images are given back as they are.

    Returns:
        The same samples at the same places in the world.
    """
    if image.grid.shape[0] == 1:
        return image
    order, flips = _turn(image.grid)
    if order == (0, 1, 2) and not flips:
        return image
    data = image.data.permute(0, *(1 + a for a in order)).flip([1 + a for a in flips])
    affine = image.grid.affine[:, [*order, 3]].clone()
    shape = tuple(image.grid.shape[a] for a in order)
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
        affine[:3, axis] *= -1
    z, y, x = shape
    return Image(data.contiguous(), Grid((z, y, x), affine), image.unit, image.channels)


def _turn(grid: Grid) -> tuple[tuple[int, ...], list[int]]:
    """Which old axis becomes z, y, x, and which of the new ones are turned round."""
    direction = grid.direction.tolist()  # [world][axis]
    worlds = (2, 1, 0)  # S for z, P for y, L for x
    order = max(
        permutations(range(3)),
        key=lambda p: sum(abs(direction[w][a]) for w, a in zip(worlds, p, strict=True)),
    )
    flips = [i for i, (w, a) in enumerate(zip(worlds, order, strict=True)) if direction[w][a] < 0]
    return order, flips


def across(grid: Grid) -> int:
    """Say which axis of an image becomes x when it is turned upright: the last one in 2-D.

    Args:
        grid: Of the image.
    """
    return 2 if grid.shape[0] == 1 else _turn(grid)[0][2]


def lattice(grid: Grid, spacing_mm: Triple, *, zoom: float = 1.0) -> Grid:
    """Give the lattice of a network for an upright image.

    Args:
        grid: Of the image.
        spacing_mm: Wanted, (z, y, x); 0 keeps the image's own.
        zoom: See :func:`prepare`.

    Returns:
        ``grid`` itself where nothing changes by more than 1 %.
    """
    own = grid.spacing_mm
    flat = grid.shape[0] == 1
    z, y, x = (
        o if (flat and axis == 0) else (s or o) / zoom
        for axis, (o, s) in enumerate(zip(own, spacing_mm, strict=True))
    )
    wanted = (z, y, x)
    if all(_close(a, b) for a, b in zip(own, wanted, strict=True)):
        return grid
    return centred_grid(grid, wanted)


def normalised(
    data: Float[Tensor, "*shape"] | Integer[Tensor, "*shape"], how: Normalisation
) -> Tensor:
    """Bring the values of one channel to the common scale.

    Args:
        data: Of one image; any shape, any number type.
        how: Scheme and its numbers.

    Returns:
        Same shape, float32.
    """
    x = data.to(torch.float32)
    if how.scheme == "clip and standardise":
        return (x.clamp(how.low, how.high) - how.mean) / max(how.sd, FLAT)
    if how.scheme == "standardise":
        used = x[x != 0] if how.nonzero and bool((x != 0).any()) else x
        mean, sd = used.double().mean(), used.double().std(correction=0)
        return ((x - float(mean)) / max(float(sd), FLAT)).to(torch.float32)
    if how.scheme == "percentiles":
        low, high = percentiles(x, (how.low, how.high))
        return (x - low) / max(high - low, FLAT)
    return x


def percentiles(x: Tensor, at: tuple[float, ...]) -> tuple[float, ...]:
    """Give percentiles of samples, exactly, whatever their number.

    Args:
        x: Any shape; not empty.
        at: Percent, 0 to 100.
    """
    import numpy as np

    found = np.percentile(x.detach().cpu().numpy(), at)
    return tuple(float(v) for v in found)


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=SAME)


def _check(image: Image, plan: Plan, zoom: float) -> None:
    if not (math.isfinite(zoom) and zoom > 0):
        raise ConfigError(f"zoom must be positive, got {zoom}")
    if image.data.shape[0] != len(plan.channels):
        raise ShapeError(
            f"the image must have the {len(plan.channels)} channels of the model "
            f"({', '.join(plan.channels)}), it has {image.data.shape[0]}: give those it was "
            "trained on, in that order (--channel picks one of several)"
        )
    if plan.dims == 3 and image.grid.shape[0] == 1:
        raise ShapeError(
            "the image must be a volume for a model of three axes, it has one slice: take a 2-D "
            "model"
        )
    if image.data.is_floating_point() and not bool(torch.isfinite(image.data).all()):
        bad = int((~torch.isfinite(image.data)).sum())
        raise IntensityError(
            f"an image must be finite, {bad} samples are NaN or infinite: replace them first "
            "(torch.nan_to_num), or crop them away"
        )
