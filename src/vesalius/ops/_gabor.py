"""Gabor filters in the planes of a volume: modulus of the response, pooled over directions."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._convolve import Boundary, Samples, check_float, pad

Stack = Float[Tensor, "*batch z y x"]
Triple = tuple[float, float, float]

TAIL = 6.0  # standard deviations at which the envelope (1.5e-8 there) is cut
PART = 1 << 22  # samples transformed at once: bounds the memory


@dataclass(frozen=True, slots=True)
class Wave:
    """A plane wave under a Gaussian envelope, in one unit of length.

    exp(-(u^2 + gamma^2 v^2) / (2 sigma^2) + 2 pi i u / wavelength), where (u, v) is (x, y) turned
    by the angle: u = x cos + y sin, v = -x sin + y cos.

    Attributes:
        sigma: Standard deviation along the wave.
        wavelength: Distance of two crests.
        gamma: Standard deviation along the wave over that across it.
        angles: Directions of the wave, radians, from x towards y.

    Raises:
        ShapeError: A length is not positive or there is no angle.
    """

    sigma: float
    wavelength: float
    gamma: float
    angles: tuple[float, ...]

    def __post_init__(self) -> None:
        if min(self.sigma, self.wavelength, self.gamma) <= 0 or not self.angles:
            raise ShapeError(
                "sigma, wavelength and gamma must be positive and angles must not be empty, got "
                f"{self.sigma:g}, {self.wavelength:g}, {self.gamma:g} and {len(self.angles)} angles"
            )

    def radius(self, step: float) -> int:
        """Give the radius of the kernel along an axis whose samples are ``step`` apart."""
        return math.ceil(TAIL * self.sigma * max(1.0, 1.0 / self.gamma) / step)

    @property
    def distinct(self) -> tuple[float, ...]:
        """The angles of different modulus: a half turn gives the complex conjugate."""
        turned = {round(a % math.pi, 12) % round(math.pi, 12): a for a in self.angles}
        return tuple(turned.values())


def gabor_kernel(wave: Wave, angle: float, steps: tuple[float, float]) -> Complex[Tensor, "y x"]:
    """Sample a Gabor kernel; not normalised.

    Args:
        wave: The kernel.
        angle: Direction, radians.
        steps: Distance of samples along (y, x), in the unit of the wave.

    Returns:
        (2 ry + 1, 2 rx + 1) complex128.

    References:
        IBSI reference manual, chapter 2 (arXiv:2006.05470), Gabor kernels.
    """
    ry, rx = (wave.radius(step) for step in steps)
    y = torch.arange(-ry, ry + 1, dtype=torch.float64)[:, None] * steps[0]
    x = torch.arange(-rx, rx + 1, dtype=torch.float64) * steps[1]
    u = x * math.cos(angle) + y * math.sin(angle)
    v = -x * math.sin(angle) + y * math.cos(angle)
    envelope = torch.exp(-(u**2 + (wave.gamma * v) ** 2) / (2 * wave.sigma**2))
    return torch.polar(envelope, 2 * math.pi * u / wave.wavelength)


def gabor(
    x: Samples,
    wave: Wave,
    steps: Triple,
    *,
    boundary: Boundary = "mirror",
    pooling: Literal["mean", "max"] = "mean",
    orthogonal: bool = False,
) -> Stack:
    """Take the modulus of the Gabor response in each slice, pooled over the angles.

    Args:
        x: (*batch, z, y, x), floating point.
        wave: Lengths in the unit of ``steps``; all its angles are pooled.
        steps: Distance of samples along (z, y, x).
        boundary: What lies beyond the border.
        pooling: Mean or maximum over the angles (and planes).
        orthogonal: Filter the (y, x), (z, x) and (z, y) planes and pool over the three as well,
            instead of the (y, x) plane alone.

    Returns:
        Same shape, dtype, device and unit as ``x``.

    Raises:
        UnitError: ``x`` is not floating point.
    """
    check_float(x)
    turns = ((0, 1, 2), (1, 0, 2), (2, 0, 1)) if orthogonal else ((0, 1, 2),)
    total: Tensor | None = None
    for turn in turns:
        lead = x.ndim - 3
        order = [*range(lead), *(lead + axis for axis in turn)]
        back = [order.index(axis) for axis in range(x.ndim)]
        plane = (steps[turn[1]], steps[turn[2]])
        found = _by_slice(x.permute(order), wave, plane, boundary, pooling).permute(back)
        total = found if total is None else _pool(total, found, pooling)
    assert total is not None
    return total / len(turns) if pooling == "mean" else total


def _pool(first: Tensor, second: Tensor, pooling: Literal["mean", "max"]) -> Tensor:
    return first + second if pooling == "mean" else torch.maximum(first, second)


def _by_slice(
    x: Tensor,
    wave: Wave,
    steps: tuple[float, float],
    boundary: Boundary,
    pooling: Literal["mean", "max"],
) -> Tensor:
    rows, columns = x.shape[-2:]
    margin = (wave.radius(steps[0]), wave.radius(steps[1]))
    sizes = [_fast(n + 2 * m) for n, m in zip((rows, columns), margin, strict=True)]
    kernels = [_spectrum(wave, angle, steps, sizes).to(x.device) for angle in wave.distinct]
    flat = x.reshape(-1, rows, columns)
    chunk = max(1, PART // (sizes[0] * sizes[1]))
    pieces = []
    for part in torch.split(flat, chunk):
        wide = pad(part, (0, *margin), boundary)
        spectrum = torch.fft.fft2(wide, s=sizes)
        total: Tensor | None = None
        for kernel in kernels:
            found = torch.fft.ifft2(spectrum * kernel.to(spectrum.dtype))
            found = found[:, margin[0] : margin[0] + rows, margin[1] : margin[1] + columns].abs()
            total = found if total is None else _pool(total, found, pooling)
        assert total is not None
        pieces.append(total / len(kernels) if pooling == "mean" else total)
    return torch.cat(pieces).reshape(x.shape)


def _spectrum(
    wave: Wave, angle: float, steps: tuple[float, float], sizes: list[int]
) -> Complex[Tensor, "y x"]:
    kernel = gabor_kernel(wave, angle, steps)
    wide = torch.zeros(sizes, dtype=kernel.dtype)
    wide[: kernel.shape[0], : kernel.shape[1]] = kernel
    shift = (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2))
    spectrum: Tensor = torch.fft.fft2(torch.roll(wide, shift, (0, 1)))
    return spectrum


def _fast(n: int) -> int:
    from scipy.fft import next_fast_len

    size: int = next_fast_len(n)
    return size
