"""Discretise: intensities to integer grey levels, in one pass over a block."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.errors import IntensityError
from vesalius.ops._jit import kernel

MAX_LEVELS = 2**31 - 1


def discretise(
    x: Float[Tensor, "z y x"],
    mask: Bool[Tensor, "z y x"],
    *,
    origin: float,
    width: float,
    count: int,
    bins: int = 1,
    pad: int = 0,
) -> Int[Tensor, "zp yp xp"]:
    """Number the bins of equal width from 1; 0 outside the mask.

    Level = floor(bins (x - origin) / width) + 1, held within 1 to ``count``: the upper edge of the
    last bin belongs to it.

    Args:
        x: Block of intensities, float64.
        mask: Voxels that get a level.
        origin: Lower edge of bin 1, unit of ``x``.
        width: Width of ``bins`` bins together, unit of ``x``; a range divided into bins is given
            whole, so that its inner edges are exact.
        count: Number of levels Ng.
        bins: How many bins share ``width``.
        pad: Width of a border of zeros to add on all six sides, voxels.

    Returns:
        int16, or int32 above 32767 levels; each axis ``2 * pad`` longer.

    Raises:
        IntensityError: ``width`` is not positive or there would be more than 2**31 - 1 levels.

    References:
        IBSI reference manual, doi:10.48550/arXiv.1612.07003, section 2.7.
    """
    if not width > 0 or not 1 <= count <= MAX_LEVELS:
        raise IntensityError(
            f"levels must have a positive width and number 1 to {MAX_LEVELS}, got width {width:g} "
            f"and {count} levels: choose a larger bin width"
        )
    dtype = torch.int16 if count <= 32767 else torch.int32
    z, y, x_ = x.shape
    shape = (z + 2 * pad, y + 2 * pad, x_ + 2 * pad)
    out = torch.zeros(shape, dtype=dtype, device=x.device)
    if x.device.type == "cpu":
        _fill(x.numpy(), mask.numpy(), origin, width, bins, count, pad, out.numpy())
        return out
    inner = out[pad : pad + z, pad : pad + y, pad : pad + x_]
    safe = torch.where(mask, x, torch.full_like(x, origin))
    level = torch.floor((safe - origin) * bins / width).clamp(0, count - 1) + 1
    inner.copy_(torch.where(mask, level, torch.zeros_like(level)).to(dtype))
    return out


def extremes(x: Float[Tensor, "z y x"], mask: Bool[Tensor, "z y x"]) -> tuple[float, float, bool]:
    """Find the extremes inside a mask, and whether all values there are whole numbers.

    Args:
        x: Block of intensities, float64, contiguous, finite inside the mask.
        mask: Voxels that count, contiguous, not empty.

    Returns:
        Smallest and largest value, and whether all are whole.
    """
    if x.device.type != "cpu":
        inside = x[mask]
        return float(inside.min()), float(inside.max()), bool((inside == inside.round()).all())
    low, high, whole = _extremes(x.numpy().reshape(-1), mask.numpy().reshape(-1))
    return float(low), float(high), bool(whole)


@kernel
@no_type_check
def _extremes(x, mask):
    low, high, whole = np.inf, -np.inf, True
    for i in range(len(x)):
        if mask[i]:
            low, high = min(low, x[i]), max(high, x[i])
            whole &= x[i] == np.rint(x[i])
    return low, high, whole


@kernel
@no_type_check
def _fill(x, mask, origin, width, bins, count, pad, out):
    for k in range(x.shape[0]):
        for j in range(x.shape[1]):
            for i in range(x.shape[2]):
                if mask[k, j, i]:
                    level = np.floor((x[k, j, i] - origin) * bins / width)
                    level = min(max(level, 0.0), count - 1.0)
                    out[k + pad, j + pad, i + pad] = np.int64(level) + 1
