"""The orthonormal discrete cosine transform along chosen axes, and its inverse."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from torch import Tensor


def dct(x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    """Transform by the orthonormal DCT-II along each axis.

    Args:
        x: Any shape, floating point or complex.
        axes: The axes, negative or not.

    Returns:
        Same shape and dtype; equal to SciPy's ``dctn(x, norm="ortho")``. Keeps the sum of squares.

    References:
        Makhoul (1980), doi:10.1109/TASSP.1980.1163351: one FFT of the same length.
    """
    for axis in axes:
        x = _along(x, axis, inverse=False)
    return x


def idct(x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    """Invert :func:`dct`; also its adjoint.

    Args:
        x: Any shape, floating point or complex.
        axes: The axes.

    Returns:
        Same shape and dtype.
    """
    for axis in axes:
        x = _along(x, axis, inverse=True)
    return x


def _along(x: Tensor, axis: int, *, inverse: bool) -> Tensor:
    if x.is_complex():
        parts = _along(x.real, axis, inverse=inverse), _along(x.imag, axis, inverse=inverse)
        return torch.complex(*parts)
    last = x.movedim(axis, -1)
    done = _inverse_last(last) if inverse else _forward_last(last)
    return done.movedim(-1, axis)


def _forward_last(x: Tensor) -> Tensor:
    n = x.shape[-1]
    folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1)
    spectrum = torch.fft.fft(folded, dim=-1) * _turn(x, -1.0)
    scaled = spectrum.real * math.sqrt(2.0 / n)
    return torch.cat([scaled[..., :1] * math.sqrt(0.5), scaled[..., 1:]], dim=-1)


def _inverse_last(c: Tensor) -> Tensor:
    n = c.shape[-1]
    c = torch.cat([c[..., :1] * math.sqrt(2.0), c[..., 1:]], dim=-1) * math.sqrt(n / 2.0)
    mirrored = torch.cat([torch.zeros_like(c[..., :1]), c[..., 1:].flip(-1)], dim=-1)
    folded = torch.fft.ifft(torch.complex(c, -mirrored) * _turn(c, 1.0), dim=-1).real
    half = (n + 1) // 2
    out = torch.empty_like(c)
    out[..., ::2], out[..., 1::2] = folded[..., :half], folded[..., half:].flip(-1)
    return out


def _turn(x: Tensor, sign: float) -> Tensor:
    n = x.shape[-1]
    angle = torch.arange(n, dtype=torch.float64, device=x.device) * (sign * math.pi / (2 * n))
    kind = torch.complex64 if x.dtype == torch.float32 else torch.complex128
    return torch.polar(torch.ones_like(angle), angle).to(kind)
