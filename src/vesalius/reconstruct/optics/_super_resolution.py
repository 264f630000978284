"""Super-resolution: one fine image from several coarse ones of known place."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch

from vesalius.core import Grid, Image, LinearOperator, stack
from vesalius.errors import ConfigError, GeometryError, IntensityError, ShapeError, UnitError
from vesalius.physics.optics import Blur, Downsample
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.solve import TV, Run, fista

Triple = tuple[float, float, float]


def super_resolve(
    images: tuple[Image, ...],
    *,
    like: Grid,
    sigma_mm: Triple = (0.0, 0.0, 0.0),
    weight: float = 1e-3,
    steps: int = 200,
) -> Reconstruction:
    """Find the fine image of which all coarse ones are blurred, shifted, averaged views.

    Minimises 1/2 sum |A_i x - y_i|^2 + weight TV(x). Where the grids of the images are shifted by
    parts of a voxel (by a stage, or as registration found) they add detail; one image alone is
    only sharpened by the prior.

    Args:
        images: (1, Z, Y, X) floating point, one unit; axes as those of ``like``, each voxel the
            mean of a whole number of fine ones.
        like: The fine grid; every coarse voxel away from its rim must lie in it.
        sigma_mm: Standard deviation of the optical blur along (z, y, x), mm, before the detector.
        weight: Strength of total variation, in the unit of the images.
        steps: Most steps.

    Returns:
        The image on ``like``, in the unit of the images.

    Raises:
        ConfigError: There is no image.
        ShapeError: An image has more than one channel.
        GeometryError: A grid is turned against ``like``, its voxels are not a whole number of fine
            ones, or its shape does not cover the same extent.
        UnitError: The images are not floating point, or differ in unit or number type.
        IntensityError: An image has NaN or infinity.

    References:
        Farsiu et al. (2004), doi:10.1109/TIP.2004.834669, eq. (3), the model of the views.
    """
    if not images:
        raise ConfigError("images must be at least one, got none")
    first = images[0]
    for image in images:
        if image.data.shape[0] != 1:
            raise ShapeError(
                f"images must have one channel, got {image.data.shape[0]}: one call for each"
            )
        if (image.unit, image.dtype) != (first.unit, first.dtype) or (
            image.dtype not in (torch.float32, torch.float64)
        ):
            raise UnitError(
                f"images must share one unit and be float32 or float64 alike, got '{image.unit}' "
                f"in {image.dtype} beside '{first.unit}' in {first.dtype}"
            )
        if not bool(torch.isfinite(image.data).all()):
            raise IntensityError("images must be finite, got NaN or infinity: crop what is missing")
    views = [_view(image.grid, like, sigma_mm) for image in images]
    flat = len(images) > 1
    y = torch.cat([i.data[0].flatten() for i in images]) if flat else first.data[0]
    op = stack(*views)
    # the start is the mean light: borders settle sooner than from 0
    start = torch.full(like.shape, float(y.mean()), dtype=y.dtype, device=y.device)
    prior = TV(tuple(s / min(like.spacing_mm) for s in like.spacing_mm), steps=30, tol=1e-4)
    solution = fista(op, y, prior, weight=weight, steps=steps, run=Run(start=start, tol=1e-5))
    return Reconstruction(
        Image(solution.x[None], like, first.unit),
        "super-resolution tv",
        residual=solution.residual,
        operator_norm=solution.operator_norm,
        weight=weight,
        remarks=(f"{len(images)} images", f"blur {sigma_mm} mm along (z, y, x)"),
    )


def _view(grid: Grid, like: Grid, sigma_mm: Triple) -> LinearOperator:
    """The operator from the fine grid to one coarse grid."""
    turned = float((grid.direction - like.direction).abs().max())
    ratios = [a / b for a, b in zip(grid.spacing_mm, like.spacing_mm, strict=True)]
    z, y, x = (round(r) for r in ratios)
    whole = all(abs(r / max(f, 1) - 1) < 1e-4 for r, f in zip(ratios, (z, y, x), strict=True))
    covered = tuple(n * f for n, f in zip(grid.shape, (z, y, x), strict=True))
    if turned > 1e-4 or not whole or covered != like.shape:
        raise GeometryError(
            f"a coarse grid must have the axes of the fine one and a whole number of its voxels "
            f"in each, {like.shape} in all, got voxels of {[round(r, 4) for r in ratios]} covering "
            f"{covered}: resample it first, or choose another grid"
        )
    # content moves against the grid: where the coarse voxels start, seen in fine samples
    corner = torch.tensor([(f - 1) / 2 for f in (z, y, x)], dtype=torch.float64)
    first = like.to_index(grid.to_world(torch.zeros(3, dtype=torch.float64))) - corner
    a, b, c = (-first).tolist()
    sigma = tuple(s / h for s, h in zip(sigma_mm, like.spacing_mm, strict=True))
    if not all(math.isfinite(s) and s >= 0 for s in sigma):
        raise GeometryError(f"sigma_mm must be finite and at least 0, got {sigma_mm}")
    blur = Blur(like.shape, (sigma[0], sigma[1], sigma[2]), (a, b, c))
    return Downsample(like.shape, (z, y, x)) @ blur
