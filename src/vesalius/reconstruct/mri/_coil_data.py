"""Coil data before and after reconstruction: whiten, compress, combine."""
# SPDX-License-Identifier: Apache-2.0

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError
from vesalius.physics.mri._fourier import check_complex, check_finite


def noise_covariance(noise: Shaped[Tensor, "coil *samples"]) -> Complex[Tensor, "coil coil"]:
    """Estimate how the noise of the coils varies together, from a scan without excitation.

    Args:
        noise: (coil, *samples), at least twice as many samples as coils; its mean is taken off.

    Returns:
        E[n n^H], Hermitian, in squared units of the noise.

    Raises:
        UnitError: ``noise`` is real.
        ShapeError: There are fewer samples than twice the coils.
        IntensityError: ``noise`` has NaN or infinity.

    References:
        Pruessmann et al. (2001), doi:10.1002/mrm.1241, appendix on the noise matrix.
    """
    _check(noise, "noise")
    flat = noise.flatten(1)
    coils, samples = flat.shape
    if samples < 2 * coils:
        raise ShapeError(
            f"noise must have at least twice as many samples as coils to be measured, got "
            f"{samples} samples of {coils} coils"
        )
    flat = flat - flat.mean(1, keepdim=True)
    return flat @ flat.mH / (samples - 1)


def prewhiten(
    data: Shaped[Tensor, "coil *samples"], *, covariance: Shaped[Tensor, "..."]
) -> Complex[Tensor, "coil *samples"]:
    """Mix the coils so that their noise is independent and of variance E|n|^2 = 1.

    Args:
        data: (coil, *samples), k-space or images.
        covariance: Of the noise (:func:`noise_covariance`).

    Returns:
        Same shape and dtype: the inverse of the Cholesky factor of ``covariance`` times ``data``,
        in units of the noise.

    Raises:
        UnitError: ``data`` is real.
        ShapeError: ``covariance`` is not a square of the number of coils.
        IntensityError: ``covariance`` is not Hermitian and positive definite, or ``data`` has NaN
            or infinity.

    References:
        Kellman, McVeigh (2005), doi:10.1002/mrm.20713, "noise pre-whitening".
    """
    _check(data, "coil data")
    coils = data.shape[0]
    if tuple(covariance.shape) != (coils, coils):
        raise ShapeError(
            f"covariance must have the shape ({coils}, {coils}) of the coils, got "
            f"{tuple(covariance.shape)}"
        )
    wide = covariance.to(torch.complex128)
    factor, failed = torch.linalg.cholesky_ex(wide)
    turned = float((wide - wide.mH).abs().max()) > 1e-3 * float(wide.abs().max())
    if int(failed) or turned or not bool(torch.isfinite(torch.view_as_real(factor)).all()):
        raise IntensityError(
            "covariance must be Hermitian and positive definite, it is not: measure more noise, or "
            "drop a dead or doubled coil"
        )
    flat = data.flatten(1).to(torch.complex128)
    white: Tensor = torch.linalg.solve_triangular(factor, flat, upper=False)
    return white.to(data.dtype).reshape(data.shape)


def compress(
    data: Shaped[Tensor, "coil *samples"], *, coils: int
) -> Complex[Tensor, "virtual *samples"]:
    """Mix many coils to few virtual ones that keep the most signal.

    Args:
        data: (coil, *samples), 0 where not measured; whitened, so that signal and not noise is
            kept.
        coils: Virtual coils to keep, from the strongest.

    Returns:
        (coils, *samples). The mix is unitary: white noise stays white.

    Raises:
        UnitError: ``data`` is real.
        ShapeError: ``coils`` is below 1 or above the coils there are.
        IntensityError: ``data`` has NaN or infinity.

    References:
        Huang et al. (2008), doi:10.1016/j.mri.2007.04.010; Zhang et al. (2013),
        doi:10.1002/mrm.24267 (SVD; no geometric alignment).
    """
    _check(data, "coil data")
    if not 1 <= coils <= data.shape[0]:
        raise ShapeError(f"coils must lie from 1 to {data.shape[0]}, got {coils}")
    flat = data.flatten(1).to(torch.complex128)
    _, vectors = torch.linalg.eigh(flat @ flat.mH)
    mix = vectors[:, -coils:].flip(1).mH
    mixed: Tensor = (mix @ flat).to(data.dtype).reshape(coils, *data.shape[1:])
    return mixed


def root_sum_of_squares(images: Shaped[Tensor, "coil *image"]) -> Float[Tensor, "*image"]:
    """Combine coil images to a magnitude without knowing the coils.

    Args:
        images: (coil, *image).

    Returns:
        (*image), never negative; noise is biased upwards where signal is low.

    References:
        Roemer et al. (1990), doi:10.1002/mrm.1910160203, eq. (29).
    """
    size: Tensor = torch.linalg.vector_norm(images, dim=0)
    return size


def adaptive_combine(
    images: Shaped[Tensor, "coil *image"], *, radius: int = 3
) -> Complex[Tensor, "*image"]:
    """Combine coil images by weights from their correlation around each voxel.

    Args:
        images: (coil, *image), whitened.
        radius: Of the box in which the correlation is summed, voxels.

    Returns:
        (*image), complex; its phase is that of the coil with the most energy.

    Raises:
        UnitError: ``images`` is real.
        ShapeError: ``radius`` is negative.
        IntensityError: ``images`` has NaN or infinity.

    References:
        Walsh, Gmitro, Marcellin (2000),
        doi:10.1002/(SICI)1522-2594(200005)43:5<682::AID-MRM10>3.0.CO;2-G, eq. (14) with white
        noise.
    """
    _check(images, "coil images")
    if radius < 0:
        raise ShapeError(f"radius must be at least 0, got {radius}")
    product = images[:, None] * images[None].conj()
    for axis in range(2, product.ndim):
        product = _box(product, axis, radius)
    _, vectors = torch.linalg.eigh(product.movedim((0, 1), (-2, -1)))
    weight = vectors[..., -1].movedim(-1, 0)
    strongest = int((images.abs() ** 2).flatten(1).sum(1).argmax())
    turn = torch.polar(torch.ones_like(weight[0].real), -weight[strongest].angle())
    combined: Tensor = (images * (weight * turn).conj()).sum(0)
    return combined


def _check(data: Tensor, name: str) -> None:
    check_complex(data, name)
    if data.ndim < 2 or not data.numel():
        raise ShapeError(f"{name} must have shape (coil, *samples), got {tuple(data.shape)}")
    check_finite(data, name)


def _box(x: Tensor, axis: int, radius: int) -> Tensor:
    """Sum over a box along one axis, 0 outside."""
    n = x.shape[axis]
    total = x.cumsum(axis)
    at = torch.arange(n, device=x.device)
    upper = total.index_select(axis, (at + radius).clamp_max(n - 1))
    lower = total.index_select(axis, (at - radius - 1).clamp_min(0))
    shape = [1] * x.ndim
    shape[axis] = n
    return upper - lower * (at > radius).reshape(shape)
