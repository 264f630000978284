"""Features of a linear stage: an image as local correlation sees it, the same however it lies."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from torch import Tensor

from vesalius.core import Grid
from vesalius.ops._filters import gaussian
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._similarity import Similarity

FLAT = 3e-3  # variance of a window that counts as flat, of that of the image
THIN = 8  # samples; along an axis of fewer every window is cut, and none is left out for it


def window_mm(similarity: Similarity, grid: Grid) -> float:
    """Give the half width of the windows of a local correlation, mm; 0 for other similarities.

    Its radius counts samples of the fixed lattice: of their geometric mean distance, for the
    window must be round if it is to see the same in an image that is turned.
    """
    if not isinstance(similarity, LocalNcc):
        return 0.0
    steps = [s for s, n in zip(grid.spacing_mm, grid.shape, strict=True) if n > 1]
    return similarity.radius * math.prod(steps) ** (1 / max(1, len(steps)))


def locally_normalised(
    image: Tensor, grid: Grid, weight: Tensor | None, *, radius_mm: float
) -> Tensor:
    """Bring each Gaussian window of an image to mean 0 and variance 1.

    The Gaussian has the variance of a box of this half width. It is not stretched along with an
    image: an affine search by such images is off by up to a third of a sample in small volumes.

    Args:
        image: (c, z, y, x), variance near 1.
        grid: Where its samples are.
        weight: (1, z, y, x); samples of weight 0 are left out of the windows. None for all.
        radius_mm: Half width of the window.

    Returns:
        Same shape; flat windows stay near 0.
    """
    ones = torch.ones_like(image[:1]) if weight is None else weight.to(image.dtype)
    parts = torch.cat([ones, image * ones, image.square() * ones])
    smooth = gaussian(parts, _deviations(grid, radius_mm))
    count = smooth[:1].clamp_min(1e-6)
    mean, square = (smooth[1:] / count).chunk(2)
    return (image - mean) / ((square - mean.square()).clamp_min(0) + FLAT).sqrt()


def window_weight(
    grid: Grid, weight: Tensor | None, *, radius_mm: float, device: torch.device
) -> Tensor:
    """Say how much each normalised sample counts: less where its window is cut.

    Near a border, of the image or of a mask, what a window sees depends on where that is.

    Args:
        grid: Where the samples are.
        weight: (1, z, y, x), or None.
        radius_mm: Half width of the window.
        device: Where the result is kept.

    Returns:
        (1, z, y, x), float32: rises from 0 at the edge samples to 1 at ``radius_mm`` from them,
        times the weight, times the share of the window that the weight leaves. An axis of fewer
        than ``THIN`` samples has no border.
    """
    border = torch.ones(1, *grid.shape, device=device)
    for axis, (n, s) in enumerate(zip(grid.shape, grid.spacing_mm, strict=True)):
        if n >= THIN:
            index = torch.arange(n, dtype=torch.float32, device=device)
            ramp = (torch.minimum(index, n - 1 - index) * (s / radius_mm)).clamp(max=1)
            border = border * ramp.view([-1 if k == axis else 1 for k in range(3)])
    if weight is None:
        return border
    return border * weight * gaussian(weight, _deviations(grid, radius_mm)).square()


def _deviations(grid: Grid, radius_mm: float) -> tuple[float, float, float]:
    """Give the deviation, in samples, of a Gaussian of the variance of the box."""
    z, y, x = (
        math.sqrt(radius_mm / s * (radius_mm / s + 1) / 3) if n > 1 else 0.0
        for s, n in zip(grid.spacing_mm, grid.shape, strict=True)
    )
    return (z, y, x)
