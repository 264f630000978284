"""Needed: interpolate a volume only where a region, or its surroundings, will be looked at."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.ops._gather import _cubic_at
from vesalius.ops._jit import kernel
from vesalius.ops._spline import extend_coefficients, spline_coefficients

Triple = tuple[float, float, float]


def rows_near(mask: Bool[Tensor, "z y x"], radius: Triple) -> Int[Tensor, "z y 2"]:
    """Find, row by row, the span of samples within an ellipsoid around any sample of a mask.

    Args:
        mask: (z, y, x), True inside.
        radius: Semi-axes of the ellipsoid along (z, y, x), samples.

    Returns:
        (z, y, 2) int64: first sample and one past the last; both 0 where the row is not near.
        A span may hold samples further away, between two near ones.
    """
    inside = np.ascontiguousarray(mask.numpy())
    return torch.from_numpy(_rows_near(inside, np.maximum(np.array(radius), 1e-9)))


def whole_rows(shape: tuple[int, int, int]) -> Int[Tensor, "z y 2"]:
    """Give the spans of all samples of a lattice."""
    rows = torch.zeros((*shape[:2], 2), dtype=torch.int64)
    rows[..., 1] = shape[2]
    return rows


def linear_on_rows(
    volume: Float[Tensor, "z y x"],
    matrix: Float[Tensor, "4 4"],
    rows: Int[Tensor, "z2 y2 2"],
    width: int,
    *,
    limit: float = math.inf,
) -> Float[Tensor, "z2 y2 x2"]:
    """Interpolate linearly on the needed part of a lattice.

    Args:
        volume: (z, y, x) float32 or float64, contiguous; edge samples repeat without end.
        matrix: (4, 4) float64; lattice index ``(z, y, x, 1)`` to volume index.
        rows: Needed span of each row of the lattice, as ``rows_near`` gives it.
        width: Samples in a row of the lattice.
        limit: Where the sample before a position is larger in size it is taken as it is: of a
            distance, only what is small need be exact.

    Returns:
        (z2, y2, width), number type of ``volume``; 0 outside the spans.
    """
    out = np.zeros((*rows.shape[:2], width), dtype=volume.numpy().dtype)
    _linear_on_rows(volume.numpy(), matrix.numpy(), rows.numpy(), limit, out)
    return torch.from_numpy(out)


def spline_with_border(volume: Float[Tensor, "z y x"]) -> Float[Tensor, "z2 y2 x2"]:
    """Give the cubic B-spline coefficients of a volume whose edge samples repeat, for two more.

    Args:
        volume: (z, y, x) float32 or float64.

    Returns:
        Two samples more on every side, for ``cubic_on_rows``.
    """
    c = spline_coefficients(volume[None], extension="nearest")
    return extend_coefficients(c, ((2, 2),) * 3, extension="nearest")[0].contiguous()


def cubic_on_rows(
    coefficients: Float[Tensor, "z y x"],
    matrix: Float[Tensor, "4 4"],
    rows: Int[Tensor, "z2 y2 2"],
    width: int,
) -> Float[Tensor, "z2 y2 x2"]:
    """Interpolate by cubic B-splines on the needed part of a lattice.

    Args:
        coefficients: As ``spline_with_border`` gives them.
        matrix: As in ``linear_on_rows``; positions count from the samples without the border.
        rows: As in ``linear_on_rows``.
        width: Samples in a row of the lattice.

    Returns:
        (z2, y2, width), number type of ``coefficients``; 0 outside the spans. Positions outside
        the volume take the value at its edge.
    """
    c = coefficients.numpy()
    out = np.zeros((*rows.shape[:2], width), dtype=c.dtype)
    _cubic_on_rows(c, matrix.numpy(), rows.numpy(), out)
    return torch.from_numpy(out)


@kernel
@no_type_check
def _spans(mask):
    """First and one past the last sample of each row; both 0 where it is empty."""
    nz, ny, nx = mask.shape
    spans = np.zeros((nz, ny, 2), dtype=np.int64)
    for z in range(nz):
        for y in range(ny):
            first, last = 0, nx - 1
            while first < nx and not mask[z, y, first]:
                first += 1
            if first < nx:
                while not mask[z, y, last]:
                    last -= 1
                spans[z, y, 0], spans[z, y, 1] = first, last + 1
    return spans


@kernel
@no_type_check
def _rows_near(mask, radius):
    nz, ny, nx = mask.shape
    spans = _spans(mask)
    near = np.zeros((nz, ny, 2), dtype=np.int64)
    rz, ry = int(radius[0]), int(radius[1])
    for dz in range(-rz, rz + 1):
        for dy in range(-ry, ry + 1):
            rest = 1 - (dz / radius[0]) ** 2 - (dy / radius[1]) ** 2
            if rest < 0:
                continue
            reach = int(radius[2] * math.sqrt(rest))
            for z in range(max(0, -dz), min(nz, nz - dz)):
                for y in range(max(0, -dy), min(ny, ny - dy)):
                    if spans[z, y, 1] == 0:
                        continue
                    low = max(0, spans[z, y, 0] - reach)
                    high = min(nx, spans[z, y, 1] + reach)
                    span = near[z + dz, y + dy]
                    span[0] = low if span[1] == 0 else min(span[0], low)
                    span[1] = max(span[1], high)
    return near


@kernel
@no_type_check
def _clamped(x, n):
    """The sample before a position, the step to the next, and the fraction between them."""
    if not x > 0 or n == 1:
        return 0, 0, 0.0
    if x >= n - 1:
        return n - 1, 0, 0.0
    i = int(x)
    return i, 1, x - i


@kernel
@no_type_check
def _linear_on_rows(volume, matrix, rows, limit, out):
    nz, ny, nx = volume.shape
    flat = volume.ravel()
    one = volume.dtype.type(1)
    mz, my, mx = matrix[0, 2], matrix[1, 2], matrix[2, 2]
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            z = matrix[0, 0] * k + matrix[0, 1] * j + matrix[0, 3]
            y = matrix[1, 0] * k + matrix[1, 1] * j + matrix[1, 3]
            x = matrix[2, 0] * k + matrix[2, 1] * j + matrix[2, 3]
            target = out[k, j]
            for i in range(rows[k, j, 0], rows[k, j, 1]):
                iz, sz, fz = _clamped(z + mz * i, nz)
                iy, sy, fy = _clamped(y + my * i, ny)
                ix, sx, fx = _clamped(x + mx * i, nx)
                at = np.uint64((iz * ny + iy) * nx + ix)
                if abs(flat[at]) > limit:
                    target[i] = flat[at]
                    continue
                dz, dy, dx = np.uint64(sz * ny * nx), np.uint64(sy * nx), np.uint64(sx)
                gz, gy, gx = one * fz, one * fy, one * fx
                a = flat[at] + gx * (flat[at + dx] - flat[at])
                at += dy
                b = flat[at] + gx * (flat[at + dx] - flat[at])
                at += dz
                d = flat[at] + gx * (flat[at + dx] - flat[at])
                at -= dy
                c = flat[at] + gx * (flat[at + dx] - flat[at])
                a += gy * (b - a)
                c += gy * (d - c)
                target[i] = a + gz * (c - a)


@kernel
@no_type_check
def _inside(x, n):
    """The position, clamped to the samples inside the border of two, and counted with it."""
    if not x > 0:
        return 2.0
    return min(x, n - 5.0) + 2.0


@kernel
@no_type_check
def _cubic_on_rows(volume, matrix, rows, out):
    nz, ny, nx = volume.shape
    flat = volume.ravel()
    one = volume.dtype.type(1)
    mz, my, mx = matrix[0, 2], matrix[1, 2], matrix[2, 2]
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            z = matrix[0, 0] * k + matrix[0, 1] * j + matrix[0, 3]
            y = matrix[1, 0] * k + matrix[1, 1] * j + matrix[1, 3]
            x = matrix[2, 0] * k + matrix[2, 1] * j + matrix[2, 3]
            target = out[k, j]
            for i in range(rows[k, j, 0], rows[k, j, 1]):
                pz, py, px = (
                    _inside(z + mz * i, nz),
                    _inside(y + my * i, ny),
                    _inside(x + mx * i, nx),
                )
                iz, iy, ix = int(pz), int(py), int(px)
                at = ((iz - 1) * ny + iy - 1) * nx + ix - 1
                fz, fy, fx = one * (pz - iz), one * (py - iy), one * (px - ix)
                target[i] = _cubic_at(flat, at, ny * nx, nx, fz, fy, fx, one)
