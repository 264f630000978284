"""Negative log-likelihoods of the noise models, exact to the last constant, differentiable."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError
from vesalius.physics.noise._draw import check_looks, check_mean

Real = Float[Tensor, "..."]
_TINY = 1e-30


def gaussian_nll(measured: Real, mean: Real, *, sigma: float) -> Real:
    """Score Gaussian noise: (y - m)^2 / (2 sigma^2) + log(sigma sqrt(2 pi)).

    Args:
        measured: Samples y.
        mean: Expected samples m, same shape.
        sigma: Standard deviation, unit of the samples.

    Returns:
        One value for each sample.

    Raises:
        ShapeError: The shapes differ.
        IntensityError: ``sigma`` is not positive.
    """
    _check(measured, mean, sigma)
    return (measured - mean).square() / (2 * sigma**2) + math.log(sigma * math.sqrt(2 * math.pi))


def poisson_nll(counts: Real, mean: Real) -> Real:
    """Score Poisson counts: m - k log m + log k!, with 0 log 0 = 0.

    Args:
        counts: Counts k, at least 0.
        mean: Expected counts m, at least 0.

    Returns:
        One value for each count; infinite where counts came though none can.

    Raises:
        ShapeError: The shapes differ.
        IntensityError: A count or a mean is negative or not finite.
    """
    _check(counts, mean, 1.0)
    check_mean(counts)
    check_mean(mean)
    scored = mean - torch.xlogy(counts, mean.clamp_min(_TINY)) + torch.lgamma(counts + 1)
    return torch.where((mean == 0) & (counts > 0), math.inf, scored)


def mixed_nll(measured: Real, mean: Real, *, sigma: float) -> Real:
    """Score Poisson counts with Gaussian read-out noise, by the exact sum over the counts.

    ``p(y) = sum_k exp(-m) m^k / k! * exp(-(y - k)^2 / (2 tau)) / sqrt(2 pi tau)`` with tau the
    variance of the read-out, the term k = 0 as it is and k! by the gamma function.

    Args:
        measured: Samples y, counts; may be negative.
        mean: Expected counts m, at least 0. The gradient by it is ``1 - E[k | y] / m``.
        sigma: Standard deviation of the read-out, counts; tau is its square.

    Returns:
        One value for each sample. Terms further than 10 standard deviations and 20 counts from
        the largest are left out; they weigh less than 1e-20. Memory grows with
        ``min(sigma, sqrt(m))``: about 40 + 20 times that for each sample.

    Raises:
        ShapeError: The shapes differ.
        IntensityError: ``sigma`` is not positive, a mean is negative or not finite, or a sample
            is not finite.

    References:
        Snyder, Hammoud, White (1993), doi:10.1364/JOSAA.10.001014, eq. (4). Often printed with
        sqrt(2 pi) tau and Stirling's formula, which is biased at few counts.
    """
    _check(measured, mean, sigma)
    check_mean(mean)
    if not bool(torch.isfinite(measured).all()):
        raise IntensityError("measured samples must be finite, got NaN or infinity: mask them out")
    k = _likely_counts(measured.detach().double(), mean.detach().double(), sigma)
    y, m = measured.double()[..., None], mean.double()[..., None]
    term = (
        torch.xlogy(k, m.clamp_min(_TINY))
        - m
        - torch.lgamma(k.clamp_min(0) + 1)
        - (y - k).square() / (2 * sigma**2)
    )
    term = torch.where(k < 0, -math.inf, term)
    scored = math.log(sigma * math.sqrt(2 * math.pi)) - torch.logsumexp(term, dim=-1)
    return scored.to(mean.dtype)


def _likely_counts(y: Tensor, m: Tensor, sigma: float) -> Tensor:
    """Whole numbers around the largest term of the sum, (*shape, count); negative ones are void.

    The log of a term is concave in k; its slope log m - log k - (k - y) / tau is 0 at the largest.
    """
    tau = sigma**2
    low = torch.full_like(m, _TINY)
    high = torch.maximum(m, y).clamp_min(1.0) + 1.0
    m = m.clamp_min(_TINY)
    for _ in range(60):  # bisection: the slope falls steadily
        k = (low + high) / 2
        rising = m.log() - k.log() - (k - y) / tau > 0
        low, high = torch.where(rising, k, low), torch.where(rising, high, k)
    spread = float((1 / (1 / high.clamp_min(1.0) + 1 / tau)).max()) ** 0.5 if m.numel() else 0.0
    half = math.ceil(10 * spread) + 20
    return high.round()[..., None] + torch.arange(-half, half + 1, dtype=y.dtype, device=y.device)


def rician_nll(magnitude: Real, mean: Real, *, sigma: float) -> Real:
    """Score magnitudes of a signal with complex Gaussian noise.

    Args:
        magnitude: Measured magnitudes M, positive.
        mean: Magnitude A of the noiseless signal, at least 0.
        sigma: Standard deviation of each of the two parts.

    Returns:
        ``(M^2 + A^2) / (2 s^2) - log(M / s^2) - log I0(M A / s^2)`` for each sample.

    Raises:
        ShapeError: The shapes differ.
        IntensityError: ``sigma`` is not positive, or a value is negative or not finite.

    References:
        Gudbjartsson, Patz (1995), doi:10.1002/mrm.1910340618, eq. (1).
    """
    _check(magnitude, mean, sigma)
    check_mean(magnitude)
    check_mean(mean)
    tau = sigma**2
    z = magnitude * mean / tau
    # I0 grows like exp(z): the scaled function and the square are put together
    rest = (magnitude - mean).square() / (2 * tau)
    scored: Tensor = rest - (magnitude / tau).log() - torch.special.i0e(z).log()
    return scored


def speckle_nll(measured: Real, mean: Real, *, looks: int = 1) -> Real:
    """Score intensities with fully developed speckle (a gamma law of shape ``looks``).

    Args:
        measured: Measured intensities y, at least 0; positive for more than one look.
        mean: Expected intensities m, positive.
        looks: Independent patterns averaged.

    Returns:
        ``L y / m + L log(m / L) - (L - 1) log y + log Gamma(L)`` for each sample.

    Raises:
        ShapeError: The shapes differ.
        IntensityError: ``looks`` is below 1, or a value is negative or not finite.
    """
    _check(measured, mean, 1.0)
    check_looks(looks)
    check_mean(measured)
    check_mean(mean)
    ratio = looks * measured / mean + looks * (mean / looks).log()
    return (
        ratio - torch.xlogy(torch.full_like(measured, looks - 1.0), measured) + math.lgamma(looks)
    )


def _check(measured: Tensor, mean: Tensor, sigma: float) -> None:
    if measured.shape != mean.shape:
        raise ShapeError(
            f"measured and mean must have one shape, got {tuple(measured.shape)} and "
            f"{tuple(mean.shape)}: expand one of them"
        )
    if not 0 < sigma < math.inf:
        raise IntensityError(f"sigma must be positive to score noise, got {sigma:g}")
