"""SENSE: an image from the k-space of many coils, with or without a prior."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Complex, Shaped
from torch import Tensor

from vesalius.core import Grid, Image, LinearOperator, Step
from vesalius.errors import ConfigError, ShapeError
from vesalius.physics.mri import Crop, KSpace, encode
from vesalius.physics.sparse import Wavelet
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.mri._spin import CycleSpin
from vesalius.reconstruct.solve import L1, TV, Run, Solution, fista, tikhonov

Prior = Literal["tikhonov", "wavelet", "tv"]

_LEVELS = 4
"""Halvings of the wavelet transform."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sense:
    """Choices of the reconstruction: 1/2 |A x - y|^2 + lambda R(x).

    Attributes:
        prior: R. ``"tikhonov"``: 1/2 |x|^2, solved by conjugate gradients; ``"wavelet"``: the sum
            of the moduli of Daubechies-2 wavelet coefficients, the coarsest left out; ``"tv"``:
            isotropic total variation.
        weight: Strength. Tikhonov: lambda itself, beside a norm of A of 1; 0 is plain SENSE. The
            others: lambda as a part of the largest value of A.H y, so that the unit of k-space
            does not matter.
        steps: Most iterations.
        tol: Relative change of the image at which it stops; 0 never does.

    Raises:
        ConfigError: ``weight`` is out of range.
    """

    prior: Prior = "wavelet"
    weight: float = 0.003
    steps: int = 30
    tol: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < 1:
            raise ConfigError(
                f"weight must be at least 0 and below 1, got {self.weight:g}: it is relative to "
                "the largest value of A.H y"
            )


def sense(
    kspace: KSpace,
    *,
    maps: Shaped[Tensor, "..."],
    options: Sense | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Reconstruction:
    """Reconstruct an image from undersampled k-space of several coils.

    Args:
        kspace: What was measured; whitened where the coils' noise is correlated.
        maps: Coil maps (:func:`espirit`), 0 outside the body.
        options: Choices; the defaults are those of :class:`Sense`.
        on_step: Called after every iteration.

    Returns:
        Image of two channels, ``"magnitude"`` in the unit of k-space and ``"phase"`` in radians
        (:func:`complex_of` joins them); residual at every step; lambda as it was used. Not
        identifiable where no prior was given and fewer samples than voxels were measured.

    Raises:
        ShapeError: ``maps`` does not fit k-space.
        UnitError: ``maps`` is real.
        IntensityError: ``maps`` has NaN or infinity.

    References:
        Pruessmann et al. (2001), doi:10.1002/mrm.1241, for conjugate gradients; Lustig, Donoho,
        Pauly (2007), doi:10.1002/mrm.21391, eq. (3) for the wavelet prior; FISTA in place of
        non-linear conjugate gradients, with cycle spinning (Coifman, Donoho 1995,
        doi:10.1007/978-1-4612-2544-7_9).
    """
    options = options or Sense()
    if tuple(maps.shape) != tuple(kspace.data.shape):
        raise ShapeError(
            f"maps must have the shape (coil, z, y, x) of k-space, {tuple(kspace.data.shape)}, "
            f"got {tuple(maps.shape)}: calibrate with as many coils as are reconstructed"
        )
    op = encode(maps, mask=kspace.mask)
    y = torch.where(kspace.mask, kspace.data, torch.zeros((), dtype=kspace.data.dtype))
    solution = _solve(op, y, kspace.grid, options, Run(tol=options.tol, on_step=on_step))
    voxels = int((maps.abs().sum(0) > 0).sum())
    known = int(kspace.mask.sum()) * maps.shape[0]
    return Reconstruction(
        image=image_of(solution.x, kspace.grid),
        method=f"sense, {options.prior}",
        residual=solution.residual,
        operator_norm=solution.operator_norm,
        identifiable=known >= voxels or options.weight > 0,
        weight=solution.weight,
        remarks=(f"{known} measured samples of {maps.shape[0]} coils for {voxels} voxels",),
    )


def _solve(op: LinearOperator, y: Tensor, grid: Grid, options: Sense, run: Run) -> Solution:
    if options.prior == "tikhonov":
        return tikhonov(op, y, weight=options.weight, steps=options.steps, run=run)
    weight = options.weight * float(op.H(y).abs().max())
    if options.prior == "wavelet":
        return _by_wavelets(op, y, weight, options.steps, run)
    least = min(grid.spacing_mm)
    dz, dy, dx = (s / least for s in grid.spacing_mm)
    prior = TV((dz, dy, dx), steps=20, tol=1e-3)
    return fista(op, y, prior, weight=weight, steps=options.steps, run=run)


def _by_wavelets(op: LinearOperator, y: Tensor, weight: float, steps: int, run: Run) -> Solution:
    """Solve on the next larger image whose sides can be halved often enough, and crop it."""
    most = 2**_LEVELS
    wide = tuple(-(-n // most) * most if n >= most else n for n in op.domain)
    axes = tuple(axis for axis in range(-len(wide), 0) if wide[axis] >= most)
    if not axes:
        raise ShapeError(
            f"the wavelet prior needs an axis of at least {most} samples, got {op.domain}: use "
            "the prior 'tv'"
        )
    crop = Crop(wide, op.domain)
    transform = Wavelet(wide, "db2", axes, _LEVELS)
    prior = CycleSpin(L1(transform, transform.details), wide, most)
    solution = fista(op @ crop, y, prior, weight=weight, steps=steps, run=run)
    return replace(solution, x=crop(solution.x))


def image_of(x: Shaped[Tensor, "z y x"], grid: Grid) -> Image:
    """Part a complex image into magnitude and phase.

    Args:
        x: (z, y, x), complex.
        grid: Where the samples are.

    Returns:
        Two channels, ``"magnitude"`` and ``"phase"`` (radians from -pi to pi); unit ``"1"``.
    """
    return Image(torch.stack((x.abs(), x.angle())), grid, "1", ("magnitude", "phase"))


def complex_of(image: Image) -> Complex[Tensor, "z y x"]:
    """Join magnitude and phase to complex samples again.

    Args:
        image: With the channels ``"magnitude"`` and ``"phase"``.

    Returns:
        (z, y, x), complex.

    Raises:
        ShapeError: The channels are others.
    """
    if image.channels != ("magnitude", "phase"):
        raise ShapeError(
            f"image must have the channels ('magnitude', 'phase'), got {image.channels}"
        )
    return torch.polar(image.data[0], image.data[1])
