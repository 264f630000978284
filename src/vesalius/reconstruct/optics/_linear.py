"""Wiener and Tikhonov: deconvolution that is linear in the image."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal

import torch
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import ConfigError
from vesalius.ops._convolve import pad
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.optics._edges import Edges, blurring, check_image
from vesalius.reconstruct.solve import tikhonov

Penalty = Literal["identity", "laplacian"]
Extension = Literal["mirror", "periodic"]


def wiener(
    image: Image,
    psf: Image,
    *,
    weight: float,
    penalty: Penalty = "laplacian",
    edges: Extension = "mirror",
) -> Reconstruction:
    """Deconvolve by one division of spectra: conj(H) Y / (|H|^2 + weight |L|^2).

    Fast, linear, and not held above 0; for many counts or a first look.

    Args:
        image: (C, Z, Y, X) floating point.
        psf: (1, z, y, x) of the same spacing, sum 1, origin at ``size // 2``.
        weight: Strength; with ``"identity"`` the power of noise over that of the object.
        penalty: L: ``"identity"`` for a white object, ``"laplacian"`` for a smooth one, the sum of
            second differences over the axes of more than one sample.
        edges: ``"mirror"`` folds the image at its border by the size of the PSF; ``"periodic"``
            takes the spectrum as it is.

    Returns:
        The object on the grid of the image, in its unit.

    Raises:
        ConfigError: ``weight`` is not positive.
        GeometryError: PSF and image differ in spacing.
        IntensityError: The image is not finite, or the PSF is not a distribution.
        UnitError: The image is not floating point.

    References:
        Hunt (1973), doi:10.1109/TC.1973.5009169, constrained least squares.
    """
    _check_weight(weight)
    check_image(image, psf, counts=False)
    a, b, c = psf.grid.shape
    margin = (a, b, c) if edges == "mirror" else (0, 0, 0)
    wide = pad(image.data, margin, "mirror") if edges == "mirror" else image.data
    shape = tuple(wide.shape[-3:])
    transfer = torch.fft.fftn(_centred(psf.data[0].double(), shape).to(image.device))
    power = transfer.abs().square() + weight * _penalty(penalty, shape).to(image.device)
    spectrum = torch.fft.fftn(wide.double(), dim=(-3, -2, -1))
    found = torch.fft.ifftn(spectrum * transfer.conj() / power, dim=(-3, -2, -1)).real
    kept = tuple(slice(m, m + n) for m, n in zip(margin, image.grid.shape, strict=True))
    data = found[..., *kept].to(image.dtype).contiguous()
    result = Image(data, image.grid, image.unit, image.channels)
    return Reconstruction(
        result, "wiener", weight=weight, remarks=(f"edges: {edges}", f"penalty: {penalty}")
    )


def tikhonov_deconvolution(
    image: Image, psf: Image, *, weight: float, edges: Edges = "open", steps: int = 100
) -> Reconstruction:
    """Deconvolve by least squares with a small object: 1/2 |A x - y|^2 + weight / 2 |x|^2.

    Args:
        image: (C, Z, Y, X) floating point.
        psf: (1, z, y, x) of the same spacing, sum 1, origin at ``size // 2``.
        weight: Strength.
        edges: ``"open"``: the object goes on beyond the field; ``"zero"``: it is dark there.
        steps: Most steps of conjugate gradients.

    Returns:
        The object on the grid of the image, in its unit.

    Raises:
        ConfigError: ``weight`` is not positive.
        GeometryError: PSF and image differ in spacing.
        IntensityError: The image is not finite, or the PSF is not a distribution.
        UnitError: The image is not floating point.
    """
    _check_weight(weight)
    check_image(image, psf, counts=False)
    blur, window = blurring(image, psf, edges)
    solution = tikhonov(blur, image.data, weight=weight, steps=steps)
    data = solution.x[..., *window].contiguous()
    return Reconstruction(
        Image(data, image.grid, image.unit, image.channels),
        "tikhonov",
        residual=solution.residual,
        weight=weight,
        remarks=(f"edges: {edges}",),
    )


def _check_weight(weight: float) -> None:
    if not 0 < weight < math.inf:
        raise ConfigError(
            f"weight must be positive and finite, got {weight:g}: a PSF has frequencies that "
            "nothing but a prior can hold"
        )


def _centred(kernel: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Put a kernel into an array so that its origin is at index 0, wrapped around."""
    wide = kernel.new_zeros(shape)
    index = [
        (torch.arange(k) - k // 2).remainder(n) for k, n in zip(kernel.shape, shape, strict=True)
    ]
    z, y, x = torch.meshgrid(*index, indexing="ij")
    # a kernel wider than a periodic image folds onto itself
    return wide.index_put((z, y, x), kernel, accumulate=True)


def _penalty(penalty: Penalty, shape: tuple[int, ...]) -> Tensor:
    """|L|^2 on the frequencies of an array."""
    total = torch.zeros(shape, dtype=torch.float64)
    if penalty == "identity":
        return total + 1
    for axis, n in enumerate(shape):
        if n > 1:
            angle = 2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64)
            total = total + (2 - 2 * angle.cos()).reshape([-1] + [1] * (2 - axis))
    return total.square()
