"""ESPIRiT: coil maps from the fully sampled centre of k-space, as eigenvectors in each voxel."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Complex, Float, Shaped
from torch import Tensor

from vesalius.errors import RegionError, ShapeError
from vesalius.physics.mri._fourier import check_complex, check_finite

Shape = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Espirit:
    """Choices of the calibration.

    Attributes:
        centre: Samples of the fully sampled centre used, along each image axis at most.
        kernel: Samples of the k-space kernel, along each image axis at most.
        noise: Singular values of the calibration matrix below this part of the largest are noise.
        crop: Eigenvalue below which a voxel holds no signal. Maps fade smoothly to 0 over the
            eigenvalues from ``crop - soft`` to ``crop + soft``.
        soft: Half width of that fade; 0 cuts sharply.
    """

    centre: int = 24
    kernel: int = 6
    noise: float = 0.02
    crop: float = 0.8
    soft: float = 0.0


@final
@dataclass(frozen=True, slots=True, eq=False)
class CoilMaps:
    """Coil maps and how far they can be trusted.

    Attributes:
        maps: (coil, *image); the sum of squares over coils is 1 inside the body, 0 outside. Their
            phase is relative to the strongest mix of the coils; where that mix has a zero in the
            body, as of a ring of coils whose phase winds about it, the phase of maps and image
            winds about that voxel.
        eigenvalue: (*image); near 1 where one set of maps explains the calibration data, below
            where there is no signal, or where the field of view is smaller than the body.
    """

    maps: Complex[Tensor, "coil *image"]
    eigenvalue: Float[Tensor, "*image"]


def espirit(
    kspace: Shaped[Tensor, "coil *image"],
    *,
    mask: Bool[Tensor, "..."],
    options: Espirit | None = None,
) -> CoilMaps:
    """Estimate coil maps from the fully sampled centre of k-space.

    Args:
        kspace: (coil, *image), zero frequency at index ``n // 2``, 0 where not measured; whitened
            where the coils' noise is correlated (:func:`prewhiten`).
        mask: (*image), True where measured.
        options: Choices; the defaults are those of :class:`Espirit`.

    Returns:
        The maps and the largest eigenvalue in each voxel.

    Raises:
        UnitError: ``kspace`` is real.
        ShapeError: ``mask`` does not fit, or an option is out of range.
        IntensityError: The centre has NaN or infinity.
        RegionError: The centre is not fully sampled over at least the kernel, or is all 0.

    References:
        Uecker et al. (2014), doi:10.1002/mrm.24751, eq. (8) to (13) and the eigenvalue problem
        (16). Differs: the operator in each voxel is built from the lags of the kernels'
        correlation, by one small Fourier matrix for each axis; the fade at ``crop`` is a cubic.
    """
    options = options or Espirit()
    _check(options)
    calibration = centre_of(kspace, mask=mask, most=options.centre)
    check_finite(calibration, "the centre of k-space")
    window = tuple(min(options.kernel, n) for n in calibration.shape[1:])
    signal = _row_space(_windows(calibration, window), options.noise)
    lags = _correlation(signal.reshape(-1, kspace.shape[0], *window))
    value, vector = _eigen(lags, tuple(kspace.shape[1:]), math.prod(window), kspace.dtype)
    vector = _turn(vector, calibration)
    fade = _fade(value, options.crop, options.soft)
    return CoilMaps(vector * fade, value)


def centre_of(
    kspace: Shaped[Tensor, "coil *image"], *, mask: Bool[Tensor, "..."], most: int
) -> Complex[Tensor, "coil *centre"]:
    """Cut out the largest fully sampled box about the zero frequency.

    Args:
        kspace: (coil, *image).
        mask: (*image), True where measured.
        most: Samples along an axis at most.

    Returns:
        (coil, *centre), a view; every axis is of the same length, or whole where it is shorter.

    Raises:
        UnitError: ``kspace`` is real.
        ShapeError: ``mask`` does not have the shape of the image.
        RegionError: Fewer than 4 samples along an axis are fully sampled.
    """
    check_complex(kspace, "k-space")
    shape = tuple(kspace.shape[1:])
    if tuple(mask.shape) != shape:
        raise ShapeError(f"mask must have the shape of the image, {shape}, got {tuple(mask.shape)}")
    for size in range(most, 3, -1):
        box = tuple(
            slice(n // 2 - min(size, n) // 2, n // 2 - min(size, n) // 2 + min(size, n))
            for n in shape
        )
        if bool(mask[box].all()):
            return kspace[(slice(None), *box)]
    raise RegionError(
        "the centre of k-space must be fully sampled over at least 4 samples along each axis to "
        f"calibrate coils, it is not (sampled part of all: {float(mask.float().mean()):.3f}): "
        "measure a calibration region, or give maps from another scan"
    )


def _check(options: Espirit) -> None:
    if options.kernel < 2 or options.centre < max(4, options.kernel):
        raise ShapeError(
            f"kernel must be at least 2 and centre at least 4 and the kernel, got kernel "
            f"{options.kernel} and centre {options.centre}"
        )
    if not 0 < options.noise < 1 or not 0 <= options.crop < 1 or options.soft < 0:
        raise ShapeError(
            "noise must lie in (0, 1), crop in [0, 1) and soft be at least 0, got "
            f"{options.noise}, {options.crop} and {options.soft}"
        )


def _windows(calibration: Tensor, window: Shape) -> Tensor:
    """Give the calibration matrix: one row for each window, (window, coil * samples)."""
    view = calibration
    for axis, size in enumerate(window, start=1):
        view = view.unfold(axis, size, 1)
    axes = len(window)
    order = (*range(1, axes + 1), 0, *range(axes + 1, 2 * axes + 1))
    matrix: Tensor = view.permute(order).reshape(-1, calibration.shape[0] * math.prod(window))
    return matrix


def _row_space(matrix: Tensor, noise: float) -> Tensor:
    """Give an orthonormal basis of the rows above the noise, (rank, columns), complex128."""
    wide = matrix.to(torch.complex128)
    values, vectors = torch.linalg.eigh(wide.mH @ wide)
    if float(values[-1]) <= 0.0:
        raise RegionError("the centre of k-space must hold signal, got 0 everywhere")
    rows: Tensor = vectors[:, values > noise**2 * values[-1]].mH
    return rows


def _correlation(kernels: Tensor) -> Tensor:
    """Give sum_j V_j[a, d] conj(V_j[b, d + lag]), (coil, coil, *lags), lag 0 at index 0."""
    axes = tuple(range(2, kernels.ndim))
    size = [2 * n - 1 for n in kernels.shape[2:]]
    wide = torch.fft.ifftn(kernels, s=size, dim=axes, norm="forward")
    flat = wide.flatten(2).permute(2, 1, 0)  # (frequency, coil, kernel)
    spectrum = (flat @ flat.mH).permute(1, 2, 0).reshape(*kernels.shape[1:2] * 2, *size)
    lags: Tensor = torch.fft.ifftn(spectrum, dim=axes)
    return lags


def _eigen(lags: Tensor, shape: Shape, samples: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Give the largest eigenvalue and its vector in each voxel, one plane at a time."""
    field = (lags / samples).to(dtype)
    for axis in range(len(shape) - 1, 0, -1):
        field = _evaluate(field, axis + 2, shape[axis])
    wave = _waves(field.shape[2], shape[0], field)
    values, vectors = [], []
    for row in wave:
        plane = torch.tensordot(field, row, dims=([2], [0]))
        value, vector = torch.linalg.eigh(plane.movedim((0, 1), (-2, -1)))
        values.append(value[..., -1])
        vectors.append(vector[..., -1])
    return torch.stack(values), torch.stack(vectors).movedim(-1, 0)


def _waves(lags: int, n: int, like: Tensor) -> Tensor:
    """exp(-2 pi i lag x / n), (n, lags); the lags are in the order of an FFT."""
    lag = torch.fft.fftfreq(lags, 1 / lags, dtype=torch.float64)
    x = torch.arange(n, dtype=torch.float64) - n // 2
    angle = -2 * math.pi / n * x[:, None] * lag
    return torch.polar(torch.ones_like(angle), angle).to(like)


def _evaluate(field: Tensor, axis: int, n: int) -> Tensor:
    wave = _waves(field.shape[axis], n, field)
    moved: Tensor = torch.tensordot(field, wave, dims=([axis], [1])).movedim(-1, axis)
    return moved


def _turn(maps: Tensor, calibration: Tensor) -> Tensor:
    """Turn the phase of the maps so that the strongest mix of the coils is real and positive."""
    flat = calibration.flatten(1)
    _, vectors = torch.linalg.eigh(flat @ flat.mH)
    mix = torch.tensordot(vectors[:, -1].conj(), maps, dims=([0], [0]))
    return maps * torch.polar(torch.ones_like(mix.real), -mix.angle())


def _fade(value: Tensor, crop: float, soft: float) -> Tensor:
    if soft == 0.0:
        return (value >= crop).to(value.dtype)
    t = ((value - crop) / (2 * soft) + 0.5).clamp(0, 1)
    return t * t * (3 - 2 * t)
