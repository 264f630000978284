"""The loops of flows on the CPU: warp, its slope, composition; row by row, in two passes.

The first pass turns a row of displacements into the index of the first of eight neighbours and
three fractions, without a branch, so that it runs in vectors. The second reads the neighbours.
Positions are clamped to the volume, which repeats its edge; one that is not finite makes NaN.
"""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.ops._jit import kernel


@kernel
@no_type_check
def place_row(flow, k, j, sizes, offset, index, fz, fy, fx):
    """Give the first neighbour and the fractions of each sample of row (k, j) of a flow.

    Positions are worked out in float64, whatever the flow: an integer beside a float32 makes one.
    """
    one = flow.dtype.type(1)
    zero = one - one
    nz, ny, nx = sizes
    end_z, end_y, end_x = one * (nz - 1), one * (ny - 1), one * (nx - 1)
    cap_z, cap_y, cap_x = (
        np.int32(max(nz - 2, 0)),
        np.int32(max(ny - 2, 0)),
        np.int32(max(nx - 2, 0)),
    )
    wide, step = np.int32(nx), np.int32(ny * nx)
    base_z, base_y = one * (k + offset[0]), one * (j + offset[1])
    row_z, row_y, row_x = flow[0, k, j], flow[1, k, j], flow[2, k, j]
    for i in range(row_z.shape[0]):
        z, y, x = base_z + row_z[i], base_y + row_y[i], one * np.int32(i + offset[2]) + row_x[i]
        a, b, c = z if z > zero else zero, y if y > zero else zero, x if x > zero else zero
        a, b, c = a if a < end_z else end_z, b if b < end_y else end_y, c if c < end_x else end_x
        iz, iy, ix = min(np.int32(a), cap_z), min(np.int32(b), cap_y), min(np.int32(c), cap_x)
        index[i] = iz * step + iy * wide + ix
        # z - z is 0 for a number, NaN for anything else
        fz[i], fy[i], fx[i] = (a - iz) + (z - z), (b - iy) + (y - y), (c - ix) + (x - x)


@kernel
@no_type_check
def warp_rows(image, flow, offset, out, start, stop):
    """Fill rows ``start`` to ``stop`` (of z2 * y2) of ``out`` with the warped image.

    Args:
        image: (c, z, y, x).
        flow: (3, z2, y2, x2), same dtype.
        offset: (z, y, x) of the image's sample under the flow's first one.
        out: (c, z2, y2, x2).
        start: First row.
        stop: Row after the last.
    """
    flat = image.ravel()
    channels, nz, ny, nx = image.shape
    sizes, size = (nz, ny, nx), nz * ny * nx
    dz, dy, dx = ny * nx if nz > 1 else 0, nx if ny > 1 else 0, 1 if nx > 1 else 0
    dz, dy, dx = np.uint64(dz), np.uint64(dy), np.uint64(dx)
    width = flow.shape[3]
    index = np.empty(width, np.int32)
    fz, fy, fx = (
        np.empty(width, flow.dtype),
        np.empty(width, flow.dtype),
        np.empty(width, flow.dtype),
    )
    for row in range(start, stop):
        k, j = row // flow.shape[2], row % flow.shape[2]
        place_row(flow, k, j, sizes, offset, index, fz, fy, fx)
        for channel in range(channels):
            target = out[channel, k, j]
            begin = np.uint64(channel * size)
            for i in range(width):
                at = begin + np.uint64(index[i])
                x = fx[i]
                a = flat[at] + x * (flat[at + dx] - flat[at])
                b = flat[at + dy] + x * (flat[at + dy + dx] - flat[at + dy])
                at += dz
                c = flat[at] + x * (flat[at + dx] - flat[at])
                d = flat[at + dy] + x * (flat[at + dy + dx] - flat[at + dy])
                a += fy[i] * (b - a)
                c += fy[i] * (d - c)
                target[i] = a + fz[i] * (c - a)


@kernel
@no_type_check
def slope_rows(image, flow, offset, out, slope, start, stop):
    """Fill rows of ``out`` as ``warp_rows`` does, and of ``slope`` (c, 3, z2, y2, x2).

    The slope along an axis is 0 where the position was clamped to the volume along it.
    """
    flat = image.ravel()
    channels, nz, ny, nx = image.shape
    sizes, size = (nz, ny, nx), nz * ny * nx
    dz, dy, dx = ny * nx if nz > 1 else 0, nx if ny > 1 else 0, 1 if nx > 1 else 0
    dz, dy, dx = np.uint64(dz), np.uint64(dy), np.uint64(dx)
    width = flow.shape[3]
    index = np.empty(width, np.int32)
    part = np.empty((6, width), flow.dtype)
    for row in range(start, stop):
        k, j = row // flow.shape[2], row % flow.shape[2]
        place_row(flow, k, j, sizes, offset, index, part[0], part[1], part[2])
        _moves_row(flow, k, j, sizes, offset, part[3], part[4], part[5])
        for channel in range(channels):
            target, along = out[channel, k, j], slope[channel, :, k, j]
            begin = np.uint64(channel * size)
            for i in range(width):
                at = begin + np.uint64(index[i])
                z, y, x = part[0, i], part[1, i], part[2, i]
                a, b = flat[at], flat[at + dy]
                da, db = flat[at + dx] - a, flat[at + dy + dx] - b
                at += dz
                c, d = flat[at], flat[at + dy]
                dc, dd = flat[at + dx] - c, flat[at + dy + dx] - d
                a, b, c, d = a + x * da, b + x * db, c + x * dc, d + x * dd
                da, dc = da + y * (db - da), dc + y * (dd - dc)
                b, d = b - a, d - c
                a, c = a + y * b, c + y * d
                target[i] = a + z * (c - a)
                along[0, i] = part[3, i] * (c - a)
                along[1, i] = part[4, i] * (b + z * (d - b))
                along[2, i] = part[5, i] * (da + z * (dc - da))


@kernel
@no_type_check
def _moves_row(flow, k, j, sizes, offset, mz, my, mx):
    """Give 1 where a position lies between the edge samples along an axis, 0 elsewhere."""
    one = flow.dtype.type(1)
    zero = one - one
    nz, ny, nx = sizes
    end_z, end_y, end_x = one * (nz - 1), one * (ny - 1), one * (nx - 1)
    base_z, base_y = one * (k + offset[0]), one * (j + offset[1])
    row_z, row_y, row_x = flow[0, k, j], flow[1, k, j], flow[2, k, j]
    for i in range(row_z.shape[0]):
        z, y, x = base_z + row_z[i], base_y + row_y[i], one * np.int32(i + offset[2]) + row_x[i]
        mz[i] = one if (z >= zero) & (z <= end_z) else zero
        my[i] = one if (y >= zero) & (y <= end_y) else zero
        mx[i] = one if (x >= zero) & (x <= end_x) else zero


@kernel
@no_type_check
def compose_rows(outer, inner, out, start, stop):
    """Fill rows of ``out`` with ``inner[i] + outer(i + inner[i])``, all (3, z, y, x)."""
    flat = outer.ravel()
    _, nz, ny, nx = outer.shape
    sizes = (nz, ny, nx)
    size = np.uint64(nz * ny * nx)
    dz, dy, dx = ny * nx if nz > 1 else 0, nx if ny > 1 else 0, 1 if nx > 1 else 0
    dz, dy, dx = np.uint64(dz), np.uint64(dy), np.uint64(dx)
    width = inner.shape[3]
    index = np.empty(width, np.int32)
    part = np.empty((3, width), inner.dtype)
    for row in range(start, stop):
        k, j = row // inner.shape[2], row % inner.shape[2]
        place_row(inner, k, j, sizes, (0, 0, 0), index, part[0], part[1], part[2])
        for channel in range(3):
            target, source = out[channel, k, j], inner[channel, k, j]
            begin = np.uint64(channel) * size
            for i in range(width):
                at = begin + np.uint64(index[i])
                x = part[2, i]
                a = flat[at] + x * (flat[at + dx] - flat[at])
                b = flat[at + dy] + x * (flat[at + dy + dx] - flat[at + dy])
                at += dz
                c = flat[at] + x * (flat[at + dx] - flat[at])
                d = flat[at + dy] + x * (flat[at + dy + dx] - flat[at + dy])
                a += part[1, i] * (b - a)
                c += part[1, i] * (d - c)
                target[i] = source[i] + (a + part[0, i] * (c - a))


@kernel
@no_type_check
def splat_channels(gradient, flow, offset, out, start, stop):
    """Add to channels of ``out`` what the adjoint of the warp by a flow makes of ``gradient``.

    Args:
        gradient: (c, z2, y2, x2), by the warped samples.
        flow: (3, z2, y2, x2).
        offset: As in ``warp_rows``.
        out: (c, z, y, x), by the samples of the image; added to.
        start: First channel; two threads must not share one.
        stop: Channel after the last.
    """
    _, nz, ny, nx = out.shape
    one = out.dtype.type(1)
    sizes, size = (nz, ny, nx), nz * ny * nx
    dz, dy, dx = ny * nx if nz > 1 else 0, nx if ny > 1 else 0, 1 if nx > 1 else 0
    _, depth, height, width = flow.shape
    index = np.empty(width, np.int32)
    part = np.empty((3, width), flow.dtype)
    flat = out.ravel()
    for row in range(depth * height):
        k, j = row // height, row % height
        place_row(flow, k, j, sizes, offset, index, part[0], part[1], part[2])
        for channel in range(start, stop):
            source = gradient[channel, k, j]
            for i in range(width):
                at = channel * size + index[i]
                z, y, x = part[0, i], part[1, i], part[2, i]
                high = z * source[i]
                low = source[i] - high
                low_y, high_y = y * low, y * high
                low, high = low - low_y, high - high_y
                flat[at] += (one - x) * low
                flat[at + dx] += x * low
                flat[at + dy] += (one - x) * low_y
                flat[at + dy + dx] += x * low_y
                at += dz
                flat[at] += (one - x) * high
                flat[at + dx] += x * high
                flat[at + dy] += (one - x) * high_y
                flat[at + dy + dx] += x * high_y
