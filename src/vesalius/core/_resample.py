"""Resample: bring an image or labels onto another grid, through a transform."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._grid import Grid, Triple
from vesalius.core._image import Image, Labels
from vesalius.core._lattice import Mapped, mapped
from vesalius.core._transform import Linear, Transform
from vesalius.errors import GeometryError, IntensityError, UnitError
from vesalius.ops._filters import gaussian
from vesalius.ops._pull import pull
from vesalius.ops._sampling import resample_affine, sample, sample_labels
from vesalius.ops._separable import Border, Interpolation

IDENTITY = Linear.identity()
FWHM = math.sqrt(8 * math.log(2))  # full width at half maximum of a Gaussian of deviation 1

NOTHING = 0.1  # of a variance: its Gaussian has neighbours below 1e-12, which no float32 shows


@final
@dataclass(frozen=True, slots=True)
class Outside:
    """What lies outside of an image, and its value."""

    border: Border
    fill: float


def resample(
    image: Image,
    like: Grid,
    *,
    transform: Transform = IDENTITY,
    interpolation: Interpolation = "linear",
    anti_alias: bool = True,
    fill: float | None = None,
) -> Image:
    """Bring an image onto another grid: every point of ``like`` is mapped and looked up.

    Where the new samples are further apart than the image's own, the image is smoothed first by
    a Gaussian of variance ``(step^2 - 1) / (8 ln 2)`` along each of its axes, with ``step`` the
    distance of the new samples along that axis in samples of the image: the narrowest blur
    that turns a voxel-wide response into one as wide as the new voxel. Nothing is smoothed along
    an axis that is not downsampled, nor for ``"nearest"``.

    Args:
        image: The moving image.
        like: The wanted grid, in the fixed world.
        transform: Fixed world to moving world, mm.
        interpolation: ``"linear"``; ``"cubic"``, the cubic B-spline through the samples; or
            ``"nearest"``.
        anti_alias: Whether to smooth where the image is downsampled.
        fill: Value where ``like`` leaves the voxels of the image; None repeats the edge samples.

    Returns:
        An image on ``like``; number type, device, unit and channels of ``image``. Differentiable
        by the samples and by the parameters of the transform.

    Raises:
        UnitError: The samples are integers and the interpolation is not ``"nearest"``, or the
            fill value does not fit their number type.
        IntensityError: Cubic interpolation of samples that are not finite.

    Example:
        >>> image = Image(torch.rand(1, 8, 8, 8), Grid.from_spacing((8, 8, 8), (2, 1, 1)))
        >>> resample(image, Grid.from_spacing((15, 8, 8))).grid.spacing_mm
        (1.0, 1.0, 1.0)

    References:
        Cardoso et al. (2015), doi:10.1007/978-3-319-24571-3_81 (scale factor point spread
        function matching). Differs from it in: only the diagonal of the covariance of the mean
        derivative over the grid is used, so that the smoothing stays separable.
    """
    data = _checked(image, interpolation)
    if anti_alias and interpolation != "nearest":
        data = gaussian(data, anti_alias_sigma(image.grid, like, transform=transform))
    rule = Outside("nearest" if fill is None else "extent", 0.0 if fill is None else fill)
    at = mapped(transform, like, device=image.device)
    out = _looked_up(data, image.grid, at, interpolation, rule)
    return Image(out, like, image.unit, image.channels)


def resample_labels(
    labels: Labels,
    like: Grid,
    *,
    transform: Transform = IDENTITY,
    method: Literal["nearest", "onehot"] = "nearest",
) -> Labels:
    """Bring labels onto another grid; values are picked, never averaged.

    Args:
        labels: The moving labels.
        like: The wanted grid, in the fixed world.
        transform: Fixed world to moving world, mm.
        method: ``"nearest"`` takes the label of the nearest voxel. ``"onehot"`` interpolates the
            indicator of every label (background too) linearly and takes the largest: smoother
            outlines; ties go to the smaller label.

    Returns:
        Labels on ``like``, same number type and names; 0 where ``like`` leaves the voxels.
    """
    at = mapped(transform, like, device=labels.device)
    if method == "nearest":
        out = _looked_up(labels.data, labels.grid, at, "nearest", Outside("extent", 0.0))
    else:
        slabs = [sample_labels(labels.data, p) for p in _slabs(labels.grid, at, labels.device)]
        out = torch.cat(slabs, dim=1)
    return Labels(out, like, labels.names)


def centred_grid(grid: Grid, spacing_mm: Triple) -> Grid:
    """Make the interpolation grid of the IBSI: another spacing about the same centre.

    Args:
        grid: The original grid; may be oblique.
        spacing_mm: The new spacing along its (z, y, x), mm.

    Returns:
        A grid of ``ceil(n * s / s')`` samples along each axis, with the centre and the directions
        of ``grid``. The z axis of a 2-D grid (one sample) is kept as it is.

    Raises:
        GeometryError: A spacing is not positive.

    Example:
        >>> centred_grid(Grid.from_spacing((10, 10, 10), (3, 1, 1)), (2, 2, 2)).shape
        (15, 5, 5)

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, section 2.4 (interpolation).
    """
    if not all(math.isfinite(s) and s > 0 for s in spacing_mm):
        raise GeometryError(f"spacing_mm must be positive, got {spacing_mm}: give mm per voxel")
    old = grid.spacing_mm
    new = (old[0] if grid.shape[0] == 1 else spacing_mm[0], spacing_mm[1], spacing_mm[2])
    # 1e-6 of a voxel: 10 * 0.3 / 0.1 is 30 samples, not the 31 of its rounding error
    z, y, x = (
        max(1, math.ceil(n * s / t - 1e-6)) for n, s, t in zip(grid.shape, old, new, strict=True)
    )
    affine = grid.affine.clone()
    affine[:3, :3] = grid.direction * torch.tensor(new, dtype=torch.float64)
    half_old = (torch.tensor(grid.shape, dtype=torch.float64) - 1) / 2
    half_new = (torch.tensor((z, y, x), dtype=torch.float64) - 1) / 2
    affine[:3, 3] += grid.affine[:3, :3] @ half_old - affine[:3, :3] @ half_new
    return Grid((z, y, x), affine)


def anti_alias_sigma(grid: Grid, like: Grid, *, transform: Transform = IDENTITY) -> Triple:
    """Say how far an image must be smoothed before it is resampled; see ``resample``.

    Args:
        grid: The grid of the image.
        like: The wanted grid.
        transform: Fixed world to moving world, mm.

    Returns:
        Standard deviation along (z, y, x) of the image, samples; 0 where it is not downsampled.
    """
    # the mean over 4 x 4 x 4 places: one alone may lie where a deformation happens to stretch
    axes = [(torch.arange(4, dtype=torch.float64) + 0.5) / 4 * (n - 1) for n in like.shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    derivative = transform.jacobian(like.to_world(places)).detach().to("cpu", torch.float64).mean(0)
    step = torch.linalg.inv(grid.affine[:3, :3]) @ derivative @ like.affine[:3, :3]
    excess = ((step @ step.T).diagonal() - 1).tolist()
    z, y, x = (math.sqrt(e) / FWHM if e > NOTHING else 0.0 for e in excess)
    return (z, y, x)


def _checked(image: Image, interpolation: Interpolation) -> Tensor:
    if interpolation == "nearest":
        return image.data
    if not image.data.is_floating_point():
        raise UnitError(
            f"{interpolation} interpolation needs floating-point samples, got {image.dtype}: "
            "convert with image.map(lambda x: x.float()), or use interpolation='nearest'"
        )
    if interpolation == "cubic" and not bool(torch.isfinite(image.data).all()):
        raise IntensityError(
            "cubic interpolation needs finite samples, got NaN or infinity, which would spread "
            "over the whole image: replace them first, or use interpolation='linear'"
        )
    return image.data


def _looked_up(
    data: Tensor, grid: Grid, at: Mapped, interpolation: Interpolation, outside: Outside
) -> Tensor:
    """Give the samples at the voxels of a grid that a transform has moved."""
    border, fill = outside.border, outside.fill
    if at.field is None and not at.matrix.requires_grad:
        return resample_affine(
            data,
            torch.linalg.inv(grid.affine) @ at.matrix,
            shape=at.shape,
            interpolation=interpolation,
            border=border,
            fill=fill,
        )
    if at.field is not None and interpolation == "linear":
        moved = Mapped(at.matrix, at.field.to(data.device), at.shape)
        return pull(data, moved.places(grid), border=border, fill=fill)
    slabs = [
        sample(data, index, interpolation=interpolation, border=border, fill=fill)
        for index in _slabs(grid, at, data.device)
    ]
    return torch.cat(slabs, dim=1)


def _slabs(grid: Grid, at: Mapped, device: torch.device) -> Iterator[Float[Tensor, "z y x 3"]]:
    """Give the indices of ``grid`` that moved voxels have, some slices at a time."""
    field = torch.zeros((1, 1, 1, 1)).expand(3, *at.shape) if at.field is None else at.field
    yield from Mapped(at.matrix, field.to(device), at.shape).places(grid).slabs()
