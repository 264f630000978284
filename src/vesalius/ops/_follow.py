"""Follow a flow from each sample of a mask to where it ends: the end names the object."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import prange
from torch import Tensor

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._jit import kernel, parallel_kernel

Spacing = tuple[float, float, float]

_SETTLED = 0.03
"""A sample has come to rest when its next step is shorter than this, in finest samples."""
_CHUNK = 1024
"""Samples that one task follows."""


def follow(
    flow: Float[Tensor, "c z2 y2 x2"],
    mask: Bool[Tensor, "z y x"],
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    steps: int = 200,
) -> Float[Tensor, "n 3"]:
    """Move the samples of a mask along a flow, by Euler steps of one finest sample.

    The flow is read by linear interpolation, is 0 outside the mask and repeats its last samples
    beyond the volume. Where a step turns back on the one before (the end is being circled), it is
    halved; a sample whose step is below 0.03 is at rest and costs nothing more.

    Args:
        flow: (3, z, y, x), components along (z, y, x) in the unit of the spacing, about 1 long;
            2-D is ``z == 1`` and its first component is not read.
        mask: (z, y, x), the foreground.
        spacing: Size of a sample along (z, y, x), any common unit.
        steps: Most steps of a sample.

    Returns:
        (n, 3) float32 end positions in samples, for the True samples in array order.

    Raises:
        ShapeError: Flow and mask have different shapes.
        ConfigError: A spacing is not positive, or ``steps`` is below 1.

    References:
        Stringer et al. (2021), doi:10.1038/s41592-020-01018-x, Methods, "Gradient tracking".
        Differs from it in: steps are halved at reversals and end at rest; spacing.
    """
    if tuple(flow.shape) != (3, *mask.shape):
        raise ShapeError(
            f"flow must have shape (3, *mask) = {(3, *mask.shape)}, got {tuple(flow.shape)}"
        )
    if steps < 1 or not all(0 < s < float("inf") for s in spacing):
        raise ConfigError(
            f"steps must be at least 1 and spacing positive and finite, got {steps} and {spacing}"
        )
    field = np.ascontiguousarray(flow.detach().cpu().numpy(), dtype=np.float32)
    inside = np.ascontiguousarray(mask.detach().cpu().numpy())
    rates = (min(spacing) / np.array(spacing)).astype(np.float32)
    vectors = _interleaved(field, inside, rates)
    places = np.argwhere(inside).astype(np.float32)
    if inside.shape[0] == 1:
        _follow_in_plane(vectors, places, steps)
    else:
        _follow_in_space(vectors, places, steps)
    return torch.from_numpy(places)


@kernel
@no_type_check
def _interleaved(field, inside, rates):
    """Put the components of each sample side by side, in samples per step, 0 outside the mask."""
    nz, ny, nx = inside.shape
    vectors = np.zeros((nz, ny, nx, 3), np.float32)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                if inside[z, y, x]:
                    for c in range(3):
                        vectors[z, y, x, c] = field[c, z, y, x] * rates[c]
    return vectors


@kernel
@no_type_check
def _read_in_plane(vectors, y, x):
    """Interpolate a flow at a place between four samples."""
    _, ny, nx, _ = vectors.shape
    iy, ix = min(int(y), max(ny - 2, 0)), min(int(x), max(nx - 2, 0))
    jy, jx = min(iy + 1, ny - 1), min(ix + 1, nx - 1)
    fy, fx = y - np.float32(iy), x - np.float32(ix)
    ey, ex = np.float32(1) - fy, np.float32(1) - fx
    a, b, c, d = ey * ex, ey * fx, fy * ex, fy * fx
    p, q, r, s = vectors[0, iy, ix], vectors[0, iy, jx], vectors[0, jy, ix], vectors[0, jy, jx]
    return (
        a * p[1] + b * q[1] + c * r[1] + d * s[1],
        a * p[2] + b * q[2] + c * r[2] + d * s[2],
    )


@kernel
@no_type_check
def _read_in_space(vectors, z, y, x):
    """Interpolate a flow at a place between eight samples."""
    nz, ny, nx, _ = vectors.shape
    iz, iy, ix = min(int(z), nz - 2), min(int(y), max(ny - 2, 0)), min(int(x), max(nx - 2, 0))
    jy, jx = min(iy + 1, ny - 1), min(ix + 1, nx - 1)
    fz, fy, fx = z - np.float32(iz), y - np.float32(iy), x - np.float32(ix)
    gz = gy = gx = np.float32(0)
    for k in range(2):
        w = fz if k == 1 else np.float32(1) - fz
        a, b = w * (np.float32(1) - fy), w * fy
        a0, a1, b0, b1 = a * (np.float32(1) - fx), a * fx, b * (np.float32(1) - fx), b * fx
        p, q = vectors[iz + k, iy, ix], vectors[iz + k, iy, jx]
        r, s = vectors[iz + k, jy, ix], vectors[iz + k, jy, jx]
        gz += a0 * p[0] + a1 * q[0] + b0 * r[0] + b1 * s[0]
        gy += a0 * p[1] + a1 * q[1] + b0 * r[1] + b1 * s[1]
        gx += a0 * p[2] + a1 * q[2] + b0 * r[2] + b1 * s[2]
    return gz, gy, gx


@parallel_kernel
@no_type_check
def _follow_in_plane(vectors, places, steps):
    """Move each place (z, y, x) to where the flow of a plane takes it."""
    end_y, end_x = np.float32(vectors.shape[1] - 1), np.float32(vectors.shape[2] - 1)
    rest = np.float32(_SETTLED**2)
    count = len(places)
    for task in prange((count + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min((task + 1) * _CHUNK, count)):
            y, x = places[i, 1], places[i, 2]
            last_y = last_x = np.float32(0)
            size = np.float32(1)
            for _ in range(steps):
                gy, gx = _read_in_plane(vectors, y, x)
                if gy * last_y + gx * last_x < 0:
                    size *= np.float32(0.5)
                last_y, last_x = gy, gx
                gy, gx = gy * size, gx * size
                y = min(max(y + gy, np.float32(0)), end_y)
                x = min(max(x + gx, np.float32(0)), end_x)
                if gy * gy + gx * gx < rest:
                    break
            places[i, 1], places[i, 2] = y, x


@parallel_kernel
@no_type_check
def _follow_in_space(vectors, places, steps):
    """Move each place (z, y, x) to where the flow of a volume takes it."""
    end_z = np.float32(vectors.shape[0] - 1)
    end_y, end_x = np.float32(vectors.shape[1] - 1), np.float32(vectors.shape[2] - 1)
    rest = np.float32(_SETTLED**2)
    count = len(places)
    for task in prange((count + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min((task + 1) * _CHUNK, count)):
            z, y, x = places[i, 0], places[i, 1], places[i, 2]
            last_z = last_y = last_x = np.float32(0)
            size = np.float32(1)
            for _ in range(steps):
                gz, gy, gx = _read_in_space(vectors, z, y, x)
                if gz * last_z + gy * last_y + gx * last_x < 0:
                    size *= np.float32(0.5)
                last_z, last_y, last_x = gz, gy, gx
                gz, gy, gx = gz * size, gy * size, gx * size
                z = min(max(z + gz, np.float32(0)), end_z)
                y = min(max(y + gy, np.float32(0)), end_y)
                x = min(max(x + gx, np.float32(0)), end_x)
                if gz * gz + gy * gy + gx * gx < rest:
                    break
            places[i, 0], places[i, 1], places[i, 2] = z, y, x
