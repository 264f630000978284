"""Follow a flow from each sample of a mask to where it ends: the end names the object."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import prange
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._jit import kernel, parallel_kernel
from vesalius.ops._packed_flow import UNIT, PackedFlow, packed

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
    """Move the samples of a mask along a flow, by Euler steps of at most one finest sample.

    The flow is read by linear interpolation, is 0 outside the mask and repeats its last samples
    beyond the volume. Where a step turns back on the one before (the end is being circled), it is
    halved; a sample whose step is below 0.03 is at rest and costs nothing more.

    Args:
        flow: (3, z, y, x), components along (z, y, x) in the unit of the spacing, about 1 long
            (longer ones are cut to 1); 2-D is ``z == 1`` and its first component is not read.
        mask: (z, y, x), the foreground.
        spacing: Size of a sample along (z, y, x), any common unit.
        steps: Most steps of a sample.

    Returns:
        (n, 3) float64 end positions in samples, for the True samples in array order.

    Raises:
        ShapeError: Flow and mask have different shapes.
        ConfigError: A spacing is not positive, or ``steps`` is below 1.

    References:
        Stringer et al. (2021), doi:10.1038/s41592-020-01018-x, Methods, "Gradient tracking".
        Differs from it in: steps are halved at reversals and end at rest; spacing.
    """
    return follow_packed(packed(flow, mask), mask, spacing=spacing, steps=steps)


def follow_packed(
    flow: PackedFlow,
    mask: Bool[Tensor, "z y x"],
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    steps: int = 200,
) -> Float[Tensor, "n 3"]:
    """Move the samples of a mask along a packed flow; see :func:`follow`.

    Args:
        flow: From ``packed``.
        mask: (z, y, x), samples to move.
        spacing: Size of a sample along (z, y, x), any common unit.
        steps: Most steps of a sample.

    Returns:
        (n, 3) float64 end positions in samples.

    Raises:
        ConfigError: A spacing is not positive, or ``steps`` is below 1.
    """
    if steps < 1 or not all(0 < s < float("inf") for s in spacing):
        raise ConfigError(
            f"steps must be at least 1 and spacing positive and finite, got {steps} and {spacing}"
        )
    rates = (min(spacing) / np.array(spacing) / UNIT).astype(np.float32)
    ends = np.argwhere(mask.detach().cpu().numpy()).astype(np.float64)
    if flow.shape[0] == 1:
        _follow_in_plane(flow, ends, rates, steps)
    else:
        _follow_in_space(flow, ends, rates, steps)
    return torch.from_numpy(ends)


@kernel
@no_type_check
def _cell(place, n):
    """Give the sample before a place, the one after it, and the fraction between them."""
    i = min(int(place), max(n - 2, 0))
    return i, min(i + 1, n - 1), place - i


@kernel
@no_type_check
def _kept(place, n):
    """Keep a place within the volume."""
    return min(max(place, 0.0), n - 1.0)


@kernel
@no_type_check
def _read_in_plane(flow, y, x):
    """Interpolate a flow at a place between four samples."""
    iy, jy, fy = _cell(y, flow.shape[1])
    ix, jx, fx = _cell(x, flow.shape[2])
    a, b, c, d = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
    p, q, r, s = flow[0, iy, ix], flow[0, iy, jx], flow[0, jy, ix], flow[0, jy, jx]
    return (
        a * p[1] + b * q[1] + c * r[1] + d * s[1],
        a * p[2] + b * q[2] + c * r[2] + d * s[2],
    )


@kernel
@no_type_check
def _read_in_space(flow, z, y, x):
    """Interpolate a flow at a place between eight samples."""
    iz, jz, fz = _cell(z, flow.shape[0])
    iy, jy, fy = _cell(y, flow.shape[1])
    ix, jx, fx = _cell(x, flow.shape[2])
    gz = gy = gx = 0.0
    for k, w in ((iz, 1 - fz), (jz, fz)):
        a, b = w * (1 - fy), w * fy
        a0, a1, b0, b1 = a * (1 - fx), a * fx, b * (1 - fx), b * fx
        p, q, r, s = flow[k, iy, ix], flow[k, iy, jx], flow[k, jy, ix], flow[k, jy, jx]
        gz += a0 * p[0] + a1 * q[0] + b0 * r[0] + b1 * s[0]
        gy += a0 * p[1] + a1 * q[1] + b0 * r[1] + b1 * s[1]
        gx += a0 * p[2] + a1 * q[2] + b0 * r[2] + b1 * s[2]
    return gz, gy, gx


@parallel_kernel
@no_type_check
def _follow_in_plane(flow, ends, rates, steps):
    """Move each place (z, y, x) to where the flow of a plane takes it."""
    _, ny, nx, _ = flow.shape
    rest, count = _SETTLED**2, len(ends)
    for task in prange((count + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min((task + 1) * _CHUNK, count)):
            y, x = ends[i, 1], ends[i, 2]
            last_y = last_x = 0.0
            size = 1.0
            for _ in range(steps):
                gy, gx = _read_in_plane(flow, y, x)
                gy, gx = gy * rates[1], gx * rates[2]
                if gy * last_y + gx * last_x < 0:
                    size *= 0.5
                last_y, last_x = gy, gx
                gy, gx = gy * size, gx * size
                y, x = _kept(y + gy, ny), _kept(x + gx, nx)
                if gy * gy + gx * gx < rest:
                    break
            ends[i, 1], ends[i, 2] = y, x


@parallel_kernel
@no_type_check
def _follow_in_space(flow, ends, rates, steps):
    """Move each place (z, y, x) to where the flow of a volume takes it."""
    nz, ny, nx, _ = flow.shape
    rest, count = _SETTLED**2, len(ends)
    for task in prange((count + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min((task + 1) * _CHUNK, count)):
            z, y, x = ends[i, 0], ends[i, 1], ends[i, 2]
            last_z = last_y = last_x = 0.0
            size = 1.0
            for _ in range(steps):
                gz, gy, gx = _read_in_space(flow, z, y, x)
                gz, gy, gx = gz * rates[0], gy * rates[1], gx * rates[2]
                if gz * last_z + gy * last_y + gx * last_x < 0:
                    size *= 0.5
                last_z, last_y, last_x = gz, gy, gx
                gz, gy, gx = gz * size, gy * size, gx * size
                z, y, x = _kept(z + gz, nz), _kept(y + gy, ny), _kept(x + gx, nx)
                if gz * gz + gy * gy + gx * gx < rest:
                    break
            ends[i, 0], ends[i, 1], ends[i, 2] = z, y, x
