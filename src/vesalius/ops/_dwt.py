"""The orthonormal wavelet transform with decimation, periodic at the edges, and its inverse."""
# SPDX-License-Identifier: Apache-2.0

import torch
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._wavelets import Family, wavelet_taps


def wavelet(x: Tensor, family: Family, *, axes: tuple[int, ...], levels: int) -> Tensor:
    """Decompose; approximation first, details behind it, along every axis (Mallat's layout).

    Args:
        x: Any shape, floating point or complex.
        family: Orthogonal wavelet.
        axes: Negative axes to decompose; one is halved as often as it is even.
        levels: Most halvings.

    Returns:
        Same shape and dtype; the sum of squares is kept.

    Raises:
        ShapeError: No axis can be halved, or ``levels`` is below 1.

    References:
        Mallat (1989), doi:10.1109/34.192463, with periodic edges.
    """
    x = x.clone()
    for corner, halved in halvings(tuple(x.shape), axes, levels):
        part = x[corner]
        for axis in halved:
            part = _analyse(part, family, axis)
        x[corner] = part
    return x


def inverse_wavelet(c: Tensor, family: Family, *, axes: tuple[int, ...], levels: int) -> Tensor:
    """Invert :func:`wavelet`; also its adjoint.

    Args:
        c: Coefficients in the layout of :func:`wavelet`.
        family: Orthogonal wavelet.
        axes: As there.
        levels: As there.

    Returns:
        Same shape and dtype.

    Raises:
        ShapeError: No axis can be halved, or ``levels`` is below 1.
    """
    c = c.clone()
    for corner, halved in reversed(halvings(tuple(c.shape), axes, levels)):
        part = c[corner]
        for axis in reversed(halved):
            part = _synthesise(part, family, axis)
        c[corner] = part
    return c


def halvings(
    shape: tuple[int, ...], axes: tuple[int, ...], levels: int
) -> list[tuple[tuple[slice, ...], tuple[int, ...]]]:
    """Say which corner of the array each level works on, and along which axes.

    Args:
        shape: Of the array.
        axes: Negative axes.
        levels: Most halvings.

    Returns:
        For each level the corner that holds the approximation so far, and its even axes.

    Raises:
        ShapeError: No axis can be halved, or ``levels`` is below 1.
    """
    size = list(shape)
    found: list[tuple[tuple[slice, ...], tuple[int, ...]]] = []
    for _ in range(levels):
        even = tuple(axis for axis in axes if size[axis] % 2 == 0)
        if not even:
            break
        found.append((tuple(slice(0, n) for n in size), even))
        for axis in even:
            size[axis] //= 2
    if not found:
        raise ShapeError(
            f"a wavelet transform must halve an even axis at least once, got shape {shape}, axes "
            f"{axes} and {levels} levels: crop or pad to an even size"
        )
    return found


def _analyse(x: Tensor, family: Family, axis: int) -> Tensor:
    bands = []
    for band in ("L", "H"):
        total = torch.zeros_like(_even(x, axis))
        for m, tap in enumerate(wavelet_taps(family, band).values):
            total += tap * _even(x.roll(-m, dims=axis), axis)
        bands.append(total)
    return torch.cat(bands, dim=axis)


def _synthesise(c: Tensor, family: Family, axis: int) -> Tensor:
    half = c.shape[axis] // 2
    out = torch.zeros_like(c)
    for band, start in (("L", 0), ("H", half)):
        spread = torch.zeros_like(c)
        _even(spread, axis).copy_(c.narrow(axis, start, half))
        for m, tap in enumerate(wavelet_taps(family, "L" if band == "L" else "H").values):
            out += tap * spread.roll(m, dims=axis)
    return out


def _even(x: Tensor, axis: int) -> Tensor:
    every: Tensor = x.movedim(axis, -1)[..., ::2].movedim(-1, axis)
    return every
