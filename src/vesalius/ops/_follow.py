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
    return follow_rows(flow, mask, (0, mask.shape[row_axis(mask.shape)]), spacing, steps)


def follow_rows(
    flow: Float[Tensor, "c z2 y2 x2"],
    mask: Bool[Tensor, "z y x"],
    rows: tuple[int, int],
    spacing: Spacing = (1.0, 1.0, 1.0),
    steps: int = 200,
) -> Float[Tensor, "n 3"]:
    """Do the same for some rows of a volume (slices, or lines where there is one slice).

    A sample goes at most ``steps`` finest samples, so rows of a window that has that many more on
    each side end exactly where they end in the whole volume: displacements are kept, not places.

    Args:
        flow: Of the window.
        mask: Of the window.
        rows: First row and the one after the last, along :func:`row_axis`.
        spacing: Size of a sample along (z, y, x).
        steps: Most steps of a sample.

    Returns:
        End positions in samples of the window.

    Raises:
        ShapeError: Flow and mask have different shapes.
        ConfigError: A spacing is not positive, or ``steps`` is below 1.
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
    axis = row_axis(mask.shape)
    offset = np.zeros(3, np.int64)
    offset[axis] = rows[0]
    part = inside[rows[0] : rows[1]] if axis == 0 else inside[:, rows[0] : rows[1]]
    starts = np.argwhere(part) + offset
    moves = np.zeros((len(starts), 3), np.float32)
    if inside.shape[0] == 1:
        _follow_in_plane(vectors, starts, moves, steps)
    else:
        _follow_in_space(vectors, starts, moves, steps)
    return torch.from_numpy(starts + moves.astype(np.float64))


def row_axis(shape: tuple[int, ...]) -> int:
    """Give the axis along which a volume (z, y, x) is handled row by row: z, or y of a plane."""
    return 1 if shape[0] == 1 else 0


@kernel
@no_type_check
def _interleaved(field, inside, rates):
    """Put the components of each sample side by side, in samples per step, 0 outside the mask."""
    nz, ny, nx = inside.shape
    vectors = np.zeros((nz, ny, nx, 3), np.float32)
    one = np.float32(1)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                if inside[z, y, x]:
                    a, b, c = field[0, z, y, x], field[1, z, y, x], field[2, z, y, x]
                    if nz == 1:
                        a = np.float32(0)
                    square = a * a + b * b + c * c
                    cut = one / np.sqrt(square) if square > one else one
                    vectors[z, y, x, 0] = a * cut * rates[0]
                    vectors[z, y, x, 1] = b * cut * rates[1]
                    vectors[z, y, x, 2] = c * cut * rates[2]
    return vectors


@kernel
@no_type_check
def _cell(start, move, n):
    """Give the sample before a place, the one after it, and the fraction between them."""
    whole = np.int64(np.floor(move))
    i = start + whole
    if i >= n - 1:
        return n - 1, n - 1, np.float32(0)
    return i, i + 1, np.float32(move - np.float32(whole))


@kernel
@no_type_check
def _kept(move, start, n):
    """Keep a place within the volume."""
    return min(max(move, np.float32(-start)), np.float32(n - 1 - start))


@kernel
@no_type_check
def _read_in_plane(vectors, start, y, x):
    """Interpolate a flow at a displacement (y, x) from a start, between four samples."""
    iy, jy, fy = _cell(start[1], y, vectors.shape[1])
    ix, jx, fx = _cell(start[2], x, vectors.shape[2])
    ey, ex = np.float32(1) - fy, np.float32(1) - fx
    a, b, c, d = ey * ex, ey * fx, fy * ex, fy * fx
    p, q, r, s = vectors[0, iy, ix], vectors[0, iy, jx], vectors[0, jy, ix], vectors[0, jy, jx]
    return (
        a * p[1] + b * q[1] + c * r[1] + d * s[1],
        a * p[2] + b * q[2] + c * r[2] + d * s[2],
    )


@kernel
@no_type_check
def _read_in_space(vectors, start, z, y, x):
    """Interpolate a flow at a displacement (z, y, x) from a start, between eight samples."""
    iz, jz, fz = _cell(start[0], z, vectors.shape[0])
    iy, jy, fy = _cell(start[1], y, vectors.shape[1])
    ix, jx, fx = _cell(start[2], x, vectors.shape[2])
    gz = gy = gx = np.float32(0)
    for k, w in ((iz, np.float32(1) - fz), (jz, fz)):
        a, b = w * (np.float32(1) - fy), w * fy
        a0, a1, b0, b1 = a * (np.float32(1) - fx), a * fx, b * (np.float32(1) - fx), b * fx
        p, q = vectors[k, iy, ix], vectors[k, iy, jx]
        r, s = vectors[k, jy, ix], vectors[k, jy, jx]
        gz += a0 * p[0] + a1 * q[0] + b0 * r[0] + b1 * s[0]
        gy += a0 * p[1] + a1 * q[1] + b0 * r[1] + b1 * s[1]
        gx += a0 * p[2] + a1 * q[2] + b0 * r[2] + b1 * s[2]
    return gz, gy, gx


@parallel_kernel
@no_type_check
def _follow_in_plane(vectors, starts, moves, steps):
    """Find how far the flow of a plane moves each start (z, y, x)."""
    _, ny, nx, _ = vectors.shape
    rest = np.float32(_SETTLED**2)
    count = len(starts)
    for task in prange((count + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min((task + 1) * _CHUNK, count)):
            start = starts[i]
            y = x = last_y = last_x = np.float32(0)
            size = np.float32(1)
            for _ in range(steps):
                gy, gx = _read_in_plane(vectors, start, y, x)
                if gy * last_y + gx * last_x < 0:
                    size *= np.float32(0.5)
                last_y, last_x = gy, gx
                gy, gx = gy * size, gx * size
                y, x = _kept(y + gy, start[1], ny), _kept(x + gx, start[2], nx)
                if gy * gy + gx * gx < rest:
                    break
            moves[i, 1], moves[i, 2] = y, x


@parallel_kernel
@no_type_check
def _follow_in_space(vectors, starts, moves, steps):
    """Find how far the flow of a volume moves each start (z, y, x)."""
    nz, ny, nx, _ = vectors.shape
    rest = np.float32(_SETTLED**2)
    count = len(starts)
    for task in prange((count + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min((task + 1) * _CHUNK, count)):
            start = starts[i]
            z = y = x = last_z = last_y = last_x = np.float32(0)
            size = np.float32(1)
            for _ in range(steps):
                gz, gy, gx = _read_in_space(vectors, start, z, y, x)
                if gz * last_z + gy * last_y + gx * last_x < 0:
                    size *= np.float32(0.5)
                last_z, last_y, last_x = gz, gy, gx
                gz, gy, gx = gz * size, gy * size, gx * size
                z, y = _kept(z + gz, start[0], nz), _kept(y + gy, start[1], ny)
                x = _kept(x + gx, start[2], nx)
                if gz * gz + gy * gy + gx * gx < rest:
                    break
            moves[i, 0], moves[i, 1], moves[i, 2] = z, y, x
