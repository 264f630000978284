"""Isotropic band-pass wavelets, made in the frequency domain: Simoncelli and Shannon."""
# SPDX-License-Identifier: Apache-2.0

import math
from itertools import product
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._convolve import Samples, check_float

Stack = Float[Tensor, "*batch z y x"]
Isotropic = Literal["simoncelli", "shannon"]


def isotropic_wavelet(
    x: Samples,
    family: Isotropic,
    level: int,
    *,
    boundary: Literal["periodic", "mirror"] = "periodic",
    in_plane: bool = False,
) -> Stack:
    """Keep one octave of spatial frequencies, whatever their direction.

    Args:
        x: (*batch, z, y, x), floating point.
        family: ``simoncelli``: cos(pi/2 log2(2 f / f0)) from f0 / 4 to f0; ``shannon``: 1 from
            f0 / 2 to f0. f0 = 2^(1 - level), in units of the Nyquist frequency.
        level: From 1, the finest.
        boundary: ``periodic``, as the transform has it, or ``mirror``: the volume is continued by
            its mirror image along each axis first.
        in_plane: Filter each (y, x) slice by itself.

    Returns:
        Same shape, dtype, device and unit as ``x``.

    Raises:
        ShapeError: ``level`` is below 1.
        UnitError: ``x`` is not floating point.

    References:
        IBSI reference manual, chapter 2 (arXiv:2006.05470), non-separable wavelets. As in most of
        the software that made the reference maps, the frequencies run from -1 to 1 inclusive over
        n samples, so that an even n has none at 0. Differs from it in: the gain is the mean over
        the mirror images of that lattice, so that flipping the volume flips the response, and
        0 at frequency 0, so that a constant gives 0.
    """
    check_float(x)
    if level < 1:
        raise ShapeError(f"level must be at least 1, got {level}: level 1 is the finest")
    dims = (-2, -1) if in_plane else (-3, -2, -1)
    wide = x
    if boundary == "mirror":
        for dim in dims:
            wide = torch.cat((wide, wide.flip(dim)), dim=dim)
    sizes = [wide.shape[dim] for dim in dims]
    gain = transfer(sizes, family, level).to(x.device, x.dtype)
    spectrum = torch.fft.rfftn(wide, dim=dims) * gain
    out: Tensor = torch.fft.irfftn(spectrum, s=sizes, dim=dims)
    z, y, w = x.shape[-3:]
    return out[..., :z, :y, :w].contiguous()


def transfer(sizes: list[int], family: Isotropic, level: int) -> Float[Tensor, "*half"]:
    """Give the real, even gain at the frequencies of a real transform of these sizes."""
    axes = [_frequencies(n) for n in sizes]
    turned = [f[(-torch.arange(len(f))) % len(f)] for f in axes]
    images = list(product(*zip(axes, turned, strict=True)))
    gain = torch.zeros(sizes, dtype=torch.float64)
    for image in images:
        gain += _gain(_radius(image), family, level)
    gain.view(-1)[0] = 0.0
    return gain[..., : sizes[-1] // 2 + 1] / len(images)


def _frequencies(n: int) -> Tensor:
    half = max((n - 1) / 2, 0.5)
    centred: Tensor = torch.fft.ifftshift(
        (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) / half
    )
    return centred


def _radius(axes: tuple[Tensor, ...]) -> Tensor:
    total = torch.zeros((1,) * len(axes), dtype=torch.float64)
    for i, f in enumerate(axes):
        total = total + (f**2).reshape([-1 if j == i else 1 for j in range(len(axes))])
    return total.sqrt()


def _gain(radius: Tensor, family: Isotropic, level: int) -> Tensor:
    top = 2.0 ** (1 - level)
    if family == "shannon":
        return ((radius >= top / 2) & (radius <= top)).double()
    inside = (radius >= top / 4) & (radius <= top)
    octaves = torch.log2(2 * radius.clamp(min=1e-9) / top)
    return torch.where(inside, torch.cos(math.pi / 2 * octaves), 0.0)
