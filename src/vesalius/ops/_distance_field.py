"""Exact Euclidean distance to a mask, and a smooth signed distance to its surface."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import RegionError
from vesalius.ops._jit import kernel

Spacing = tuple[float, float, float]
Array = npt.NDArray[np.float64]

# smoothing of the staircase, in voxels: enough for a ball of 8 voxels to be round within 0.2 %
SIGMA_VOXELS = 1.5
# room for the smoothed surface and the kernel around the mask, voxels
MARGIN = 9


def distance_to(mask: Bool[Tensor, "z y x"], spacing: Spacing) -> Float[Tensor, "z y x"]:
    """Measure the distance of each voxel centre to the nearest voxel centre inside a mask.

    Args:
        mask: (z, y, x), True inside.
        spacing: Size of a voxel along (z, y, x).

    Returns:
        (z, y, x) float64 in the unit of the spacing; 0 inside, exact everywhere.

    Raises:
        RegionError: The mask is empty.

    References:
        Felzenszwalb and Huttenlocher (2012), doi:10.4086/toc.2012.v008a019.
    """
    inside = mask.detach().cpu().numpy()
    if not inside.any():
        raise RegionError("mask must have a voxel inside to be far from, got an empty one")
    field = np.where(inside, 0.0, np.inf)
    for axis, step in enumerate(spacing):
        lines = np.ascontiguousarray(np.moveaxis(field, axis, -1))
        _lower_envelope(lines.reshape(-1, lines.shape[-1]), step * step)
        field = np.moveaxis(lines, -1, axis)
    return torch.from_numpy(np.sqrt(np.ascontiguousarray(field)))


def signed_distance(mask: Bool[Tensor, "z y x"], spacing: Spacing) -> Float[Tensor, "z y x"]:
    """Measure the distance to the other side: positive inside a mask, negative outside.

    Args:
        mask: (z, y, x); beyond the block counts as outside, but gives no distance.
        spacing: Size of a voxel along (z, y, x).

    Returns:
        (z, y, x) float64 in the unit of the spacing, between voxel centres: at least one spacing
        in size everywhere.

    Raises:
        RegionError: The mask is empty or fills the block.
    """
    return distance_to(~mask, spacing) - distance_to(mask, spacing)


def smooth_signed_distance(
    mask: Bool[Tensor, "z y x"], spacing: Spacing, *, refine: bool = False
) -> Float[Tensor, "z2 y2 x2"]:
    """Make a signed distance without the staircase of the voxels.

    The signed distance of a mask crosses 0 halfway between voxels, just as the mask does, and so
    has the mask's staircase. A Gaussian of ``SIGMA_VOXELS`` takes it away; it also moves curved
    surfaces, which a level other than 0 can undo.

    Args:
        mask: (z, y, x), True inside.
        spacing: Size of a voxel along (z, y, x).
        refine: Whether to sample at half the spacing (cubic interpolation).

    Returns:
        Float64 samples; ``MARGIN`` voxels are added around the block, then each axis of n becomes
        2 n - 1 if refined.

    Raises:
        RegionError: The mask is empty.
    """
    from scipy.ndimage import gaussian_filter

    padded = torch.nn.functional.pad(mask, (MARGIN,) * 6)
    field = signed_distance(padded, spacing).numpy()
    smooth: Array = gaussian_filter(field, SIGMA_VOXELS, mode="nearest")
    if refine:
        for axis in range(3):
            smooth = _halved(smooth, axis)
    return torch.from_numpy(np.ascontiguousarray(smooth))


def _halved(field: Array, axis: int) -> Array:
    """Put a sample between each two by the cubic through four."""
    lines = np.moveaxis(field, axis, 0)
    framed = np.concatenate([lines[:1], lines, lines[-1:]])
    fine = np.empty((2 * len(lines) - 1, *lines.shape[1:]))
    fine[::2] = lines
    fine[1::2] = (9 * (framed[1:-2] + framed[2:-1]) - (framed[:-3] + framed[3:])) / 16
    return np.moveaxis(fine, 0, axis)


@kernel
@no_type_check
def _lower_envelope(lines, square_step):
    """Replace each line f by the minimum over q of f(q) + step^2 (p - q)^2."""
    n = lines.shape[1]
    seat = np.empty(n, np.int64)
    border = np.empty(n + 1)
    result = np.empty(n)
    for k in range(len(lines)):
        line = lines[k]
        top = -1
        for q in range(n):
            if line[q] == np.inf:
                continue
            while top >= 0:
                p = seat[top]
                cross = (line[q] - line[p]) / square_step + (q * q - p * p)
                cross /= 2 * (q - p)
                if cross > border[top]:
                    break
                top -= 1
            top += 1
            seat[top] = q
            border[top] = cross if top > 0 else -np.inf
        if top < 0:
            continue
        border[top + 1] = np.inf
        at = 0
        for p in range(n):
            while border[at + 1] < p:
                at += 1
            result[p] = line[seat[at]] + square_step * (p - seat[at]) * (p - seat[at])
        line[:] = result
