"""Learned network: from two images on one lattice to a stationary velocity."""
# SPDX-License-Identifier: Apache-2.0

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.ops._filters import gaussian
from vesalius.register._level import Level
from vesalius.register._similarity import Samples

Flow = Float[Tensor, "3 z y x"]
MODES = {2: "bilinear", 3: "trilinear"}
FORCES = 3  # scales at which the network is shown the force of demons, each half the last
SIGMA = 1.5  # of the Gaussian that forces are smoothed with, samples of their scale
FLOOR = 1e-3  # of the square of a slope: flat places push little
GAIN = 20.0  # a force is some hundredths of a sample; a network wants numbers near 1
MOST = 1 << 20  # samples that a quantile is taken of


def level_velocity(network: nn.Module, level: Level, *, dims: int) -> Flow:
    """Ask the network about a level.

    Args:
        network: See ``velocity``.
        level: Both images on one lattice.
        dims: 2 or 3.

    Returns:
        (3, z, y, x), samples of the lattice per unit of time.
    """
    a, b, c = level.margin
    z, y, x = level.grid.shape
    moving = level.moving[:, a : a + z, b : b + y, c : c + x]
    return velocity(network, level.fixed, moving, dims=dims)


def velocity(network: nn.Module, fixed: Samples, moving: Samples, *, dims: int) -> Flow:
    """Ask the network for the velocity whose exponential lays moving on fixed.

    The network answers at half resolution; the answer is interpolated. Borders are replicated to
    an even size and cut off again.

    Args:
        network: From what ``shown`` gives to (1, dims, *space).
        fixed: (c, z, y, x), any unit and range; z is 1 for ``dims`` 2.
        moving: On the same lattice.
        dims: 2 or 3.

    Returns:
        (3, z, y, x), samples of the lattice per unit of time; differentiable by the weights.
    """
    size = fixed.shape[1:]
    pair = torch.cat([normalised(fixed), normalised(moving)])[None].float()
    coarse = network(shown(pair if dims == 3 else pair[:, :, 0]))
    fine = 2.0 * nn.functional.interpolate(coarse, scale_factor=2, mode=MODES[dims])
    found: Tensor = (
        fine[0] if dims == 3 else nn.functional.pad(fine, (0, 0, 0, 0, 1, 0))[0, :, None]
    )
    return found[:, : size[0], : size[1], : size[2]]


def shown(pair: Float[Tensor, "1 two_c *space"]) -> Float[Tensor, "1 seen *half"]:
    """Give what the network sees: every second sample as a channel of its own, and forces.

    Args:
        pair: Channels of the fixed, then of the moving image, in 0 to about 1.

    Returns:
        (1, ``inputs(...)``, *half).
    """
    folded = fold(pair)
    cells = folded.reshape(len(folded), -1, pair.shape[1], *folded.shape[2:])
    mean = cells.mean(dim=1)
    parts = [folded - 0.5]
    dims = pair.ndim - 2
    for step in range(FORCES):
        found = force(*_shrunk(mean, 2**step).chunk(2, dim=1))
        found = gaussian(found, (SIGMA if dims == 3 else 0.0, SIGMA, SIGMA))
        parts.append(nn.functional.interpolate(GAIN * found, mean.shape[2:], mode=MODES[dims]))
    return torch.cat(parts, dim=1)


def _shrunk(mean: Tensor, factor: int) -> Tensor:
    """Average blocks; an image smaller than a block stays as it is."""
    if min(mean.shape[2:]) < factor:
        return mean
    size = [n // factor for n in mean.shape[2:]]
    return nn.functional.interpolate(mean, size, mode="area")


def inputs(dims: int, channels: int) -> int:
    """Give the number of channels that the network sees.

    Args:
        dims: 2 or 3.
        channels: Of each image.
    """
    cells: int = 2**dims
    return 2 * channels * cells + FORCES * dims * channels


def force(
    fixed: Float[Tensor, "1 c *space"], moving: Float[Tensor, "1 c *space"]
) -> Float[Tensor, "1 c_dims *space"]:
    """Give the force of symmetric demons along each axis, at most half a sample each.

    Products of images, which a network of few layers learns slowly, and which say where to go.

    Args:
        fixed: In 0 to about 1.
        moving: Likewise.
    """
    apart = fixed - moving
    middle = 0.5 * (fixed + moving)
    slopes = [_slope(middle, axis) for axis in range(2, middle.ndim)]
    square = torch.stack([s * s for s in slopes]).sum(0)
    return torch.cat([apart * s / (square + apart * apart + FLOOR) for s in slopes], dim=1)


def _slope(image: Tensor, axis: int) -> Tensor:
    """Take central differences; the border is repeated."""
    n = image.shape[axis]
    index = torch.arange(n, device=image.device)
    ahead = image.index_select(axis, (index + 1).clamp_max(n - 1))
    return 0.5 * (ahead - image.index_select(axis, (index - 1).clamp_min(0)))


def normalised(image: Samples) -> Samples:
    """Bring each channel to 0 at its least and 1 at its 99th percentile; constants become 0."""
    flat = image.flatten(1)
    least = flat.amin(1, keepdim=True)
    thin = flat[:, :: 1 + flat.shape[1] // MOST]
    top = torch.quantile(thin, 0.99, dim=1, keepdim=True) - least
    # a bright spot smaller than a hundredth of the image must not divide by nothing
    span = torch.where(top > 0, top, flat.amax(1, keepdim=True) - least)
    return ((flat - least) / torch.where(span > 0, span, 1)).view_as(image)


def fold(
    pair: Float[Tensor, "batch c *space"],
) -> Float[Tensor, "batch folded *half"]:
    """Make each of the 2^dims samples of a cell a channel; replicate borders to an even size."""
    odd = [n % 2 for n in reversed(pair.shape[2:])]
    even = nn.functional.pad(pair, [p for o in odd for p in (0, o)], mode="replicate")
    cells = product(range(2), repeat=pair.ndim - 2)
    parts = [even[_every_second(cell)] for cell in cells]
    return torch.cat(parts, dim=1)


def _every_second(cell: tuple[int, ...]) -> tuple[slice, ...]:
    whole = slice(None)
    return (whole, whole, *(slice(k, None, 2) for k in cell))
