"""Self-similarity context: what surrounds a sample, described without regard to contrast."""
# SPDX-License-Identifier: Apache-2.0

from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._band import Band, apply_band

Stack = Float[Tensor, "c z y x"]
Steps = tuple[int, int, int]
CHANNELS = 12
LEAST_NOISE = 1e-3  # noise of a sample, at least this part of the mean over the image


def mind_ssc(
    x: Stack, *, distance: Steps = (2, 2, 2), radius: Steps = (2, 2, 2)
) -> Float[Tensor, "twelve_c z y x"]:
    """Describe each sample by how much patches around it resemble one another.

    Of the six neighbours at ``distance`` along the axes, twelve pairs lie on different axes. Each
    pair's descriptor is exp(-(D - D_min) / V): D is the mean square difference of the box patches
    about the two, D_min the least of the twelve and V their mean. Rising and falling maps
    ``a x + b`` of the values change nothing.

    Args:
        x: (c, z, y, x), float32 or float64, finite; edge samples repeat outside.
        distance: Of the neighbours along (z, y, x), samples, at least 0; an axis of 1 sample has
            only itself.
        radius: Of the patches along (z, y, x), samples, at least 0.

    Returns:
        (12 c, z, y, x), above 0, at most 1: twelve for the first channel, then for the next.
        Where nothing varies all are 1. Differentiable.

    Raises:
        ConfigError: A distance or radius is negative.

    References:
        Heinrich et al. (2013), doi:10.1007/978-3-642-40811-3_24, eqs. (1) and (2); least and
        noise as in Heinrich et al. (2012), doi:10.1016/j.media.2012.05.008, eqs. (4) and (6).
        Differs in: box patches, and V is at least 0.001 of its mean over the image.
    """
    if min(*distance, *radius) < 0:
        raise ConfigError(
            f"distance and radius must be 0 samples or more, got {distance} and {radius}"
        )
    spans = zip(x.shape[1:], distance, radius, strict=True)
    reach = [(d, r) if n > 1 else (0, 0) for n, d, r in spans]
    return torch.cat([_describe(channel, reach) for channel in x])


def _describe(x: Tensor, reach: list[tuple[int, int]]) -> Tensor:
    margin = [d + r for d, r in reach]
    padded = _extend(x, margin)
    found: list[Tensor | None] = [None] * CHANNELS
    for k, (first, second) in enumerate(combinations(range(3), 2)):
        for j, sign in enumerate((1, -1)):
            # two pairs of neighbours have the same vector between them: one smoothing for both
            one, other = _step(first, 1, reach), _step(second, sign, reach)
            vector = [b - a for a, b in zip(one, other, strict=True)]
            patches = _patches((_moved(padded, vector) - padded).square(), reach)
            at = 4 * k + 2 * j
            found[at] = _crop(patches, one, margin, x.shape)
            found[at + 1] = _crop(patches, [-b for b in other], margin, x.shape)
    return _normalised(torch.stack([f for f in found if f is not None]))


def _step(axis: int, sign: int, reach: list[tuple[int, int]]) -> list[int]:
    return [sign * d if a == axis else 0 for a, (d, _) in enumerate(reach)]


def _normalised(distances: Tensor) -> Tensor:
    noise = distances.mean(0)
    least = LEAST_NOISE * noise.detach().mean()
    noise = torch.maximum(noise, least).clamp(min=torch.finfo(noise.dtype).tiny)
    return torch.exp((distances.amin(0) - distances) / noise)


def _extend(x: Tensor, margin: list[int]) -> Tensor:
    """Repeat the edges of (z, y, x) by ``margin`` samples at both ends of each axis."""
    for axis, width in enumerate(margin):
        if width:
            n = x.shape[axis]
            index = torch.arange(-width, n + width, device=x.device).clamp(0, n - 1)
            x = x.index_select(axis, index)
    return x


def _moved(x: Tensor, vector: list[int]) -> Tensor:
    """Give ``x(p + vector)``; what comes round from the other end lies in the margin unread."""
    return torch.roll(x, [-v for v in vector], dims=(0, 1, 2))


def _patches(x: Tensor, reach: list[tuple[int, int]]) -> Tensor:
    for axis, (_, r) in enumerate(reach):
        if r:
            n = x.shape[axis]
            index = np.clip(np.arange(n)[:, None] + np.arange(-r, r + 1), 0, n - 1)
            x = apply_band(x, Band(index, np.full(index.shape, 1 / (2 * r + 1)), n), axis=axis)
    return x


def _crop(x: Tensor, shift: list[int], margin: list[int], shape: torch.Size) -> Tensor:
    z, y, x_ = (slice(m + s, m + s + n) for m, s, n in zip(margin, shift, shape, strict=True))
    return x[z, y, x_]
