"""Level: one scale of a registration, both images as samples of one lattice."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, Transform, centred_grid, resample

MARGIN_MM = 20.0  # how far beyond the fixed lattice the moving image is kept
MARGIN_PART = 4  # but by no more than a quarter of it: 20 mm are 200,000 pixels of a microscope
LEAST_MARGIN = 4  # samples


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Both images on one lattice, at one scale; a flow of zeros means the start transform.

    Attributes:
        grid: The lattice of the fixed image at this scale.
        fixed: (c, z, y, x), float32; smoothed and resampled, not yet features.
        moving: (c, z + 2a, y + 2b, x + 2c) on the same lattice grown by ``margin`` samples,
            pulled through the start transform.
        margin: (a, b, c), the ``offset`` of ``ops._warp.warp``.
        fixed_weight: (1, z, y, x), 0 to 1, or None.
        moving_weight: On the lattice of ``moving``; 0 where the moving image has no samples.
        channel_weights: One weight for each channel; sums to 1.
    """

    grid: Grid
    fixed: Float[Tensor, "c z y x"]
    moving: Float[Tensor, "c z2 y2 x2"]
    margin: tuple[int, int, int]
    fixed_weight: Float[Tensor, "1 z y x"] | None = None
    moving_weight: Float[Tensor, "1 z2 y2 x2"] | None = None
    channel_weights: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """Where the images count; weights of 0 to 1 on any grid, None for everywhere.

    Attributes:
        fixed: One channel, on a grid in the fixed world.
        moving: One channel, on a grid in the moving world.
    """

    fixed: Image | None = None
    moving: Image | None = None


def make_level(
    fixed: Image,
    moving: Image,
    spacing_mm: float,
    *,
    start: Transform,
    masks: Masks = Masks(),
    channel_weights: tuple[float, ...] = (1.0,),
) -> Level:
    """Bring both images to one scale on one lattice.

    Args:
        fixed: Floating point; orthogonal grid.
        moving: Floating point, same channels.
        spacing_mm: Wanted distance of samples; an axis that is coarser stays as it is.
        start: Fixed world to moving world; what the level begins from.
        masks: Where the images count.
        channel_weights: One for each channel.

    Returns:
        The level; images smoothed as ``resample`` does to the coarser spacing.
    """
    z, y, x = (max(s, spacing_mm) for s in fixed.grid.spacing_mm)
    grid = centred_grid(fixed.grid, (z, y, x)) if max(z, y, x) > 0 else fixed.grid
    a, b, c = (
        0 if n == 1 else min(math.ceil(MARGIN_MM / s), max(LEAST_MARGIN, n // MARGIN_PART))
        for n, s in zip(grid.shape, grid.spacing_mm, strict=True)
    )
    wide = _grown(grid, (a, b, c))
    seen = resample(_ones(moving), wide, transform=start, fill=0).data
    if masks.moving is not None:
        seen = seen * resample(masks.moving, wide, transform=start, fill=0).data
    return Level(
        grid=grid,
        fixed=resample(fixed, grid).data,
        moving=resample(moving, wide, transform=start).data,
        margin=(a, b, c),
        fixed_weight=None if masks.fixed is None else resample(masks.fixed, grid, fill=0).data,
        moving_weight=None if bool((seen > 0.999).all()) else seen,
        channel_weights=channel_weights,
    )


def _ones(image: Image) -> Image:
    return Image(torch.ones_like(image.data[:1]), image.grid)


def _grown(grid: Grid, margin: tuple[int, int, int]) -> Grid:
    affine = grid.affine.clone()
    affine[:3, 3] -= grid.affine[:3, :3] @ torch.tensor(margin, dtype=torch.float64)
    z, y, x = (n + 2 * m for n, m in zip(grid.shape, margin, strict=True))
    return Grid((z, y, x), affine)
