"""Learned shapes: pairs of made-up images with a known deformation, to train without data."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.ops._warp import exponential, warp
from vesalius.register._learned_plan import Shapes

Size = tuple[int, int, int]


@final
@dataclass(frozen=True, slots=True, eq=False)
class ShapePair:
    """A made-up pair.

    Attributes:
        fixed: (c, z, y, x), brightness.
        moving: Likewise.
        fixed_parts: (structure, z, y, x), memberships of 0 to 1.
        moving_parts: Likewise.
        velocity: (3, z, y, x), samples; its exponential lays moving on fixed, exactly.
    """

    fixed: Float[Tensor, "c z y x"]
    moving: Float[Tensor, "c z y x"]
    fixed_parts: Float[Tensor, "k z y x"]
    moving_parts: Float[Tensor, "k z y x"]
    velocity: Float[Tensor, "3 z y x"]


def draw_pair(shapes: Shapes, *, dims: int, channels: int, generator: torch.Generator) -> ShapePair:
    """Make two images of the same structures, each seen through half of one velocity.

    A map of structures is where each of several fields of smooth noise is the largest. Seen
    through exp(v / 2) it is the fixed one, through exp(-v / 2) the moving one, so that exp(v)
    leads from fixed to moving. Each image gets its brightness, a bias field and noise.

    Args:
        shapes: How they look.
        dims: 2 or 3.
        channels: Of each image.
        generator: Where all chance comes from.

    Returns:
        The pair.

    References:
        Hoffmann et al. (2022), doi:10.1109/TMI.2021.3116879, section III.A. Differs from it in:
        one velocity, split in two, so that the truth is known.
    """
    side = shapes.side
    size = (side if dims == 3 else 1, side, side)
    parts = _structures(shapes, size, generator)
    velocity = _velocity(shapes, size, generator)
    ahead = warp(parts, exponential(velocity / 2))
    back = warp(parts, exponential(-velocity / 2))
    first = _brightness(shapes, channels, generator)
    second = first if shapes.contrast == "same" else _brightness(shapes, channels, generator)
    return ShapePair(
        _seen(ahead, first, shapes, generator),
        _seen(back, second, shapes, generator),
        ahead,
        back,
        velocity,
    )


def _structures(shapes: Shapes, size: Size, generator: torch.Generator) -> Tensor:
    """Draw memberships; cells of two sizes, so that there are large and small blobs."""
    cell = _between(shapes.side / 4, shapes.side / 1.5, generator)
    noise = _smooth(shapes.structures, size, cell, generator)
    noise = noise + 0.3 * _smooth(shapes.structures, size, cell / 2, generator)
    most = noise.argmax(dim=0)
    return nn.functional.one_hot(most, shapes.structures).movedim(-1, 0).float()


def _velocity(shapes: Shapes, size: Size, generator: torch.Generator) -> Tensor:
    coarse = _between(shapes.side / 3, shapes.side / 1.5, generator)
    field = _smooth(3, size, coarse, generator)
    field = field + 0.5 * _smooth(3, size, coarse / 3, generator)
    if size[0] == 1:
        field[0] = 0.0
    reach = shapes.reach * _between(0.1, 1.0, generator)
    return field * (reach / float(field.square().mean().sqrt().clamp_min(1e-6)))


def _brightness(shapes: Shapes, channels: int, generator: torch.Generator) -> Tensor:
    """Draw the brightness of each structure in each channel; the first one is dark."""
    drawn = torch.rand(channels, shapes.structures, generator=generator)
    drawn[:, 0] = 0.0
    return drawn


def _seen(
    parts: Tensor, brightness: Tensor, shapes: Shapes, generator: torch.Generator
) -> Float[Tensor, "c z y x"]:
    size = (parts.shape[1], parts.shape[2], parts.shape[3])
    image = torch.einsum("ck,kzyx->czyx", brightness, parts)
    bias = (0.1 * _smooth(1, size, shapes.side / 2, generator)).exp()
    gamma = _between(0.9, 1.1, generator)
    sigma = _between(0.0, shapes.noise, generator)
    noise = sigma * torch.randn(image.shape, generator=generator)
    return (image.clamp(min=0) ** gamma * bias + noise).clamp(min=0)


def _smooth(count: int, size: Size, cell: float, generator: torch.Generator) -> Tensor:
    """Draw white noise on a coarse lattice and interpolate it twice: no creases at its knots."""
    knots = [1 if n == 1 else max(2, round(n / cell) + 1) for n in size]
    half = [1 if n == 1 else max(k, (n + 1) // 2) for n, k in zip(size, knots, strict=True)]
    noise = torch.randn((1, count, *knots), generator=generator)
    noise = nn.functional.interpolate(noise, size=half, mode="trilinear", align_corners=True)
    return nn.functional.interpolate(noise, size=size, mode="trilinear", align_corners=True)[0]


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
