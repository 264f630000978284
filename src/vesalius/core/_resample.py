"""Resample: bring an image or labels onto another grid, through a transform."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._grid import Grid, Triple
from vesalius.core._image import Image, Labels
from vesalius.core._transform import Composite, Linear, Transform
from vesalius.errors import GeometryError, IntensityError, UnitError
from vesalius.ops._filters import gaussian
from vesalius.ops._sampling import resample_affine, sample, sample_labels
from vesalius.ops._separable import Border, Interpolation

IDENTITY = Linear.identity()
SLAB = 1 << 22  # positions handled at once, so that their coordinates stay small
FWHM = math.sqrt(8 * math.log(2))  # full width at half maximum of a Gaussian of deviation 1


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
        function matching). Differs from it in: only the diagonal of the covariance is used, at
        the centre of the grid, so that the smoothing stays separable.
    """
    data = _checked(image, interpolation)
    if anti_alias and interpolation != "nearest":
        data = gaussian(data, anti_alias_sigma(image.grid, like, transform=transform))
    border: Border = "nearest" if fill is None else "extent"
    value = 0.0 if fill is None else fill
    matrix = _index_matrix(image.grid, like, transform)
    if matrix is not None:
        out = resample_affine(
            data,
            matrix,
            shape=like.shape,
            interpolation=interpolation,
            border=border,
            fill=value,
        )
    else:
        slabs = [
            sample(data, at, interpolation=interpolation, border=border, fill=value)
            for at in _index_points(image.grid, like, transform, image.device)
        ]
        out = torch.cat(slabs, dim=1)
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
    matrix = _index_matrix(labels.grid, like, transform) if method == "nearest" else None
    if matrix is not None:
        out = resample_affine(
            labels.data, matrix, shape=like.shape, interpolation="nearest", border="extent"
        )
        return Labels(out, like, labels.names)
    slabs = []
    for at in _index_points(labels.grid, like, transform, labels.device):
        if method == "onehot":
            slabs.append(sample_labels(labels.data, at))
        else:
            slabs.append(sample(labels.data, at, interpolation="nearest", border="extent"))
    return Labels(torch.cat(slabs, dim=1), like, labels.names)


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
    centre = like.to_world((torch.tensor(like.shape, dtype=torch.float64) - 1) / 2)
    derivative = transform.jacobian(centre[None])[0].detach().to("cpu", torch.float64)
    step = torch.linalg.inv(grid.affine[:3, :3]) @ derivative @ like.affine[:3, :3]
    excess = ((step @ step.T).diagonal() - 1).tolist()
    # below 1% wider voxels is rounding of a header, not downsampling
    z, y, x = (math.sqrt(e) / FWHM if e > 0.02 else 0.0 for e in excess)
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


def _linear_part(transform: Transform) -> Tensor | None:
    """Give the one matrix of a transform made of linear ones; None for any other."""
    if isinstance(transform, Linear):
        tracked = torch.is_grad_enabled() and transform.matrix.requires_grad
        return None if tracked else transform.matrix.detach().cpu()
    if not isinstance(transform, Composite):
        return None
    total = torch.eye(4, dtype=torch.float64)
    for part in transform.parts:
        matrix = _linear_part(part)
        if matrix is None:
            return None
        total = total @ matrix
    return total


def _index_matrix(grid: Grid, like: Grid, transform: Transform) -> Tensor | None:
    matrix = _linear_part(transform)
    if matrix is None:
        return None
    index: Tensor = torch.linalg.inv(grid.affine) @ matrix @ like.affine
    return index


def _index_points(
    grid: Grid, like: Grid, transform: Transform, device: torch.device
) -> Iterator[Float[Tensor, "z y x 3"]]:
    """Map the points of ``like``, some slices at a time, to indices of ``grid``."""
    nz, ny, nx = like.shape
    slab = max(1, SLAB // (ny * nx))
    for start in range(0, nz, slab):
        axes = (torch.arange(start, min(nz, start + slab)), torch.arange(ny), torch.arange(nx))
        index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).to(device, torch.float64)
        yield grid.to_index(transform(like.to_world(index)))
