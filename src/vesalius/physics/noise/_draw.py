"""Noise that is drawn: Gaussian, Poisson, both at once, complex, Rician and speckle."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Shaped
from torch import Tensor

from vesalius.errors import IntensityError, UnitError

Samples = Shaped[Tensor, "*shape"]


def gaussian(x: Samples, sigma: float, *, generator: torch.Generator) -> Samples:
    """Add white Gaussian noise; complex samples get it in each of the two parts.

    Args:
        x: Floating point or complex samples, any shape.
        sigma: Standard deviation (of each part), unit of ``x``.
        generator: Source of the noise.

    Returns:
        Noisy samples; the gradient by ``x`` is 1.

    Raises:
        UnitError: The samples are integers.
        IntensityError: ``sigma`` is negative or not finite.
    """
    _check_float(x)
    check_sigma(sigma)
    return x + sigma * _normal(x, generator)


def poisson(mean: Samples, *, generator: torch.Generator) -> Samples:
    """Draw counts around their mean.

    Args:
        mean: Expected counts, floating point, at least 0.
        generator: Source of the noise.

    Returns:
        Whole numbers in the dtype of ``mean``; no gradient.

    Raises:
        UnitError: ``mean`` holds integers.
        IntensityError: A mean is negative or not finite, or so large that the dtype cannot hold
            every whole number (2^24 for float32): counts would overflow silently.
    """
    _check_float(mean)
    if mean.is_complex():
        raise UnitError(f"expected counts must be real, got {mean.dtype}")
    check_mean(mean)
    most = float(mean.max()) if mean.numel() else 0.0
    limit = 2 / torch.finfo(mean.dtype).eps
    if most + 10 * math.sqrt(most) > limit:
        raise IntensityError(
            f"expected counts must stay below {limit:.0f} so that {mean.dtype} holds each whole "
            f"number, got {most:.4g}: use mean.double()"
        )
    wide = mean.detach().to(generator.device, torch.float64)
    return torch.poisson(wide, generator=generator).to(mean.device, mean.dtype)


def mixed(mean: Samples, sigma: float, *, generator: torch.Generator) -> Samples:
    """Draw Poisson counts and add Gaussian read-out noise.

    Args:
        mean: Expected counts, floating point, at least 0.
        sigma: Standard deviation of the read-out, counts.
        generator: Source of the noise.

    Returns:
        Counts with noise; some may be negative.

    Raises:
        UnitError: ``mean`` holds integers.
        IntensityError: As for :func:`poisson` and :func:`gaussian`.
    """
    return gaussian(poisson(mean, generator=generator), sigma, generator=generator)


def rician(x: Samples, sigma: float, *, generator: torch.Generator) -> Samples:
    """Take the magnitude of samples with complex Gaussian noise, as a magnitude MR image has it.

    Args:
        x: Noiseless signal, floating point or complex.
        sigma: Standard deviation of each of the two parts, unit of ``x``.
        generator: Source of the noise.

    Returns:
        Magnitudes, real. Without signal their mean is ``sigma sqrt(pi / 2)``, not 0.

    Raises:
        UnitError: The samples are integers.
        IntensityError: ``sigma`` is negative or not finite.
    """
    _check_float(x)
    check_sigma(sigma)
    if x.is_complex():
        return gaussian(x, sigma, generator=generator).abs()
    first = x + sigma * _normal(x, generator)
    return torch.hypot(first, sigma * _normal(x, generator))


def speckle(intensity: Samples, *, looks: int = 1, generator: torch.Generator) -> Samples:
    """Multiply intensities by fully developed speckle of mean 1, as ultrasound and OCT have it.

    Args:
        intensity: Noiseless intensity (power, not amplitude), floating point, at least 0.
        looks: Independent speckle patterns averaged; the relative spread is ``looks ** -0.5``.
        generator: Source of the noise.

    Returns:
        Intensities; the amplitude is their square root (Rayleigh for one look).

    Raises:
        UnitError: The samples are integers.
        IntensityError: An intensity is negative or not finite, or ``looks`` is below 1.

    References:
        Goodman (2007), Speckle Phenomena in Optics, eq. (3-15) and (4-26).
    """
    _check_float(intensity)
    check_mean(intensity)
    check_looks(looks)
    total = torch.zeros_like(intensity)
    for _ in range(looks):
        total += _normal(intensity, generator).square() + _normal(intensity, generator).square()
    return intensity * total / (2 * looks)


def check_sigma(sigma: float) -> None:
    """Refuse a standard deviation below 0, NaN or infinite."""
    if not 0 <= sigma < math.inf:
        raise IntensityError(f"sigma must be at least 0 and finite, got {sigma:g}")


def check_mean(mean: Tensor) -> None:
    """Refuse expected values below 0, NaN or infinite."""
    if not bool((mean >= 0).all() & torch.isfinite(mean).all()):
        raise IntensityError(
            "expected values must be at least 0 and finite, got a negative one, NaN or infinity: "
            "clamp or correct them first"
        )


def check_looks(looks: int) -> None:
    """Refuse fewer than one look."""
    if looks < 1:
        raise IntensityError(f"looks must be at least 1, got {looks}")


def _check_float(x: Tensor) -> None:
    if not (x.is_floating_point() or x.is_complex()):
        raise UnitError(f"samples must be floating point, got {x.dtype}: cast with x.float()")


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers like ``x``; for complex ones each part is standard normal."""
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device)
    return (noise * math.sqrt(2.0) if x.is_complex() else noise).to(x.device)
