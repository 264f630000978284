"""Dead leaves: endless images of overlapping shapes, for training where no real image may be."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError

Images = Float[Tensor, "image y x"]

_SOFT = 0.5
"""Part of the images that are blurred, as scanners do; by a Gaussian of up to 1.2 samples."""


def dead_leaves(
    count: int, *, shape: tuple[int, int], leaves: int = 80, generator: torch.Generator
) -> Images:
    """Draw images of ellipses and rectangles that fall on each other like leaves.

    Sizes follow a power law, so that the image looks alike at every scale, as natural ones do.
    A leaf is even, a ramp, a sinusoidal stripe pattern or smooth random speckle. Edges are one
    sample wide; half of the images are blurred further.

    Args:
        count: Number of images.
        shape: Samples (y, x) of each.
        leaves: Shapes that fall on one image; more makes smaller visible parts.
        generator: Source of all random numbers; the same one gives the same images.

    Returns:
        (image, y, x) float32, roughly in [0, 1].

    Raises:
        ConfigError: ``count``, ``leaves`` or a size is below 1.

    References:
        Lee, Mumford, Huang (2001), doi:10.1023/A:1011109015675. Differs in: size density
        r^-2, not r^-3, so that large leaves stay in sight; two shapes; a texture inside each; a
        finite number of leaves.
    """
    if min(count, leaves, *shape) < 1:
        raise ConfigError(
            f"count, leaves and shape must be at least 1, got {count}, {leaves} and {shape}"
        )
    ys = torch.arange(shape[0], dtype=torch.float32)[:, None]
    xs = torch.arange(shape[1], dtype=torch.float32)
    image = _uniform(count, generator).expand(count, *shape).clone()
    for _ in range(leaves):
        cover, along = _leaf(count, shape, (ys, xs), generator)
        image += cover * (_texture(count, shape, along, generator) - image)
    return _blurred(image, generator)


def _leaf(
    count: int, shape: tuple[int, int], at: tuple[Tensor, Tensor], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """How much of each sample one leaf covers, and the distance along its long axis."""
    least, most = 2.0, max(3.0, 0.5 * min(shape))
    u = _uniform(count, generator)
    # density r^-2 between the two limits, by inverting its distribution
    radius = 1.0 / (1.0 / most + u * (1.0 / least - 1.0 / most))
    aspect = 0.35 + 0.65 * _uniform(count, generator)
    turn = math.pi * _uniform(count, generator)
    y = at[0] - shape[0] * _uniform(count, generator)
    x = at[1] - shape[1] * _uniform(count, generator)
    p = x * turn.cos() + y * turn.sin()
    q = (y * turn.cos() - x * turn.sin()) / aspect
    round_one = _uniform(count, generator) < 0.6
    far = torch.where(round_one, torch.hypot(p, q), torch.maximum(p.abs(), q.abs()))
    return ((radius - far) * aspect + 0.5).clamp(0.0, 1.0), p


def _texture(
    count: int, shape: tuple[int, int], along: Tensor, generator: torch.Generator
) -> Tensor:
    """Values inside a leaf: even for half of them, else a ramp, stripes or speckle."""
    level = _uniform(count, generator)
    kind = _uniform(count, generator)
    size = 0.02 + 0.18 * _uniform(count, generator) ** 2
    wave = 3.0 + 13.0 * _uniform(count, generator)
    ramp = level + size * along / (0.2 * max(shape))
    stripes = level + size * (2 * math.pi * along / wave).sin()
    grain = torch.randn(count, 1, -(-shape[0] // 2), -(-shape[1] // 2), generator=generator)
    speckle = torch.nn.functional.interpolate(grain, size=shape, mode="bilinear")[:, 0]
    value = torch.where(kind < 0.7, ramp, torch.where(kind < 0.85, stripes, level + size * speckle))
    return torch.where(kind < 0.5, level, value)


def _blurred(image: Tensor, generator: torch.Generator) -> Tensor:
    """Blur half of the images, each by its own width."""
    count = image.shape[0]
    sigma = (1.2 * _uniform(count, generator)).clamp_min(1e-3)
    sigma = torch.where(_uniform(count, generator) < _SOFT, sigma, 1e-3)
    taps = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (taps / sigma[:, 0]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True))[:, None, None]
    padded = torch.nn.functional.pad(image[None], (3, 3, 3, 3), mode="replicate")
    rows = torch.nn.functional.conv2d(padded, kernel, groups=count)
    out: Tensor = torch.nn.functional.conv2d(rows, kernel.transpose(2, 3), groups=count)[0]
    return out


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    """One number in [0, 1) for each image, (image, 1, 1)."""
    return torch.rand(count, 1, 1, generator=generator)
