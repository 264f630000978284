"""The value and the derivative of the linear interpolant of a volume, at any positions."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._flow_loops import slope_points
from vesalius.ops._threads import share

LEAST = 1 << 15  # positions worth a thread of their own

Taps = tuple[Tensor, Tensor, Tensor, Tensor]


class Slope(NamedTuple):
    """What the linear interpolant of a volume is, and how it changes, at some positions.

    Attributes:
        values: (c, *n).
        slope: (c, 3, *n); derivative by the position along (z, y, x), per sample.
    """

    values: Float[Tensor, "c *n"]
    slope: Float[Tensor, "c 3 *n"]


def linear_with_slope(
    volume: Float[Tensor, "c z y x"], index_points: Float[Tensor, "*n 3"]
) -> Slope:
    """Interpolate a volume linearly, with the exact derivative of the interpolant.

    Edge samples repeat outside: beyond them, and along an axis of one sample, the derivative is 0.
    On a sample, where the interpolant has a kink, it is the derivative of the cell that begins
    there.

    Args:
        volume: (c, z, y, x), float32 or float64.
        index_points: Positions (z, y, x) in samples.

    Returns:
        Values and slope, dtype and device of ``volume``; both differentiable, by torch. A position
        that is not finite gives NaN.
    """
    shape = index_points.shape[:-1]
    at = index_points.reshape(-1, 3).to(volume.device)
    tracked = torch.is_grad_enabled() and (volume.requires_grad or at.requires_grad)
    if tracked or volume.device.type != "cpu":
        values, slope = _by_torch(volume, at)
    else:
        values, slope = _by_loops(volume, at)
    channels = volume.shape[0]
    return Slope(values.reshape(channels, *shape), slope.reshape(channels, 3, *shape))


def _by_loops(volume: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    values = volume.new_empty((volume.shape[0], len(at)))
    slope = volume.new_empty((volume.shape[0], 3, len(at)))
    source, where = volume.detach().contiguous().numpy(), at.detach().contiguous().numpy()
    out, along = values.numpy(), slope.numpy()
    share(lambda a, b: slope_points(source, where, out, along, a, b), len(at), least=LEAST)
    return values, slope


def _by_torch(volume: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    z, y, x = (_taps(at[:, a], volume.shape[a + 1], volume) for a in range(3))
    flat = volume.flatten(1)
    _, _, ny, nx = volume.shape

    def row(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        start = (first * ny + second) * nx
        left, right = flat[:, start + x[0]], flat[:, start + x[1]]
        return left + x[2] * (right - left), x[3] * (right - left)

    a, ax = row(z[0], y[0])
    b, bx = row(z[0], y[1])
    c, cx = row(z[1], y[0])
    d, dx = row(z[1], y[1])
    low, high = a + y[2] * (b - a), c + y[2] * (d - c)
    slope_x = (1 - z[2]) * (ax + y[2] * (bx - ax)) + z[2] * (cx + y[2] * (dx - cx))
    slope_y = y[3] * ((b - a) + z[2] * ((d - c) - (b - a)))
    values = low + z[2] * (high - low)
    slope = torch.stack([z[3] * (high - low), slope_y, slope_x], dim=1)
    return values, slope


def _taps(position: Tensor, n: int, like: Tensor) -> Taps:
    """Give both samples, the fraction between them, and whether it moves with the position."""
    inside = position.clamp(0, n - 1)
    first = inside.detach().nan_to_num(0).floor().clamp(max=max(n - 2, 0))
    index = first.long()
    moves = ((position >= 0) & (position <= n - 1)).to(like.dtype)
    # position - position is 0 for a number, NaN for anything else
    fraction = (inside - first + (position - position)).to(like.dtype)
    return index, (index + 1).clamp(max=n - 1), fraction, moves
