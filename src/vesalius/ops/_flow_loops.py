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


@kernel
@no_type_check
def _lattice_row(matrix, linear, field, k, j, z, y, x):
    """Give the positions ``matrix @ (k, j, i, 1) + linear @ field[:, k, j, i]`` of a row."""
    row_0, row_1, row_2 = field[0, k, j], field[1, k, j], field[2, k, j]
    at_z = matrix[0, 0] * k + matrix[0, 1] * j + matrix[0, 3]
    at_y = matrix[1, 0] * k + matrix[1, 1] * j + matrix[1, 3]
    at_x = matrix[2, 0] * k + matrix[2, 1] * j + matrix[2, 3]
    zx, yx, xx = matrix[0, 2], matrix[1, 2], matrix[2, 2]
    a, b, c = linear[0, 0], linear[0, 1], linear[0, 2]
    d, e, f = linear[1, 0], linear[1, 1], linear[1, 2]
    g, h, m = linear[2, 0], linear[2, 1], linear[2, 2]
    for i in range(len(z)):
        p, q, r = row_0[i], row_1[i], row_2[i]
        z[i] = (at_z + zx * i) + (a * p + b * q + c * r)
        y[i] = (at_y + yx * i) + (d * p + e * q + f * r)
        x[i] = (at_x + xx * i) + (g * p + h * q + m * r)


@kernel
@no_type_check
def _clamp_row(p, n, stride, index, fraction):
    """Turn positions along one axis into fractions, and add the first neighbour to ``index``."""
    end, cap = float(n - 1), np.int32(max(n - 2, 0))
    step = np.int32(stride)
    for i in range(len(p)):
        a = p[i] if p[i] > 0.0 else 0.0
        a = a if a < end else end
        first = min(np.int32(a), cap)
        index[i] += first * step
        fraction[i] = (a - first) + (p[i] - p[i])


@kernel
@no_type_check
def pull_rows(image, matrix, linear, field, reach, fill, out, start, stop):
    """Fill rows of ``out`` with the image where a lattice is moved to by a field.

    Args:
        image: (c, z, y, x).
        matrix: (4, 4); index of ``out`` to index of the image.
        linear: (3, 3); vector of the field to samples of the image.
        field: (3, z2, y2, x2).
        reach: How far beyond the edge samples a position may lie, samples.
        fill: Value beyond the reach.
        out: (c, z2, y2, x2).
        start: First row.
        stop: Row after the last.
    """
    flat = image.ravel()
    channels, nz, ny, nx = image.shape
    size = nz * ny * nx
    dz, dy, dx = ny * nx if nz > 1 else 0, nx if ny > 1 else 0, 1 if nx > 1 else 0
    dz, dy, dx = np.uint64(dz), np.uint64(dy), np.uint64(dx)
    end_z, end_y, end_x = nz - 1 + reach, ny - 1 + reach, nx - 1 + reach
    width = field.shape[3]
    index = np.empty(width, np.int32)
    at, part = np.empty((3, width)), np.empty((3, width), image.dtype)
    for row in range(start, stop):
        k, j = row // field.shape[2], row % field.shape[2]
        z, y, x = at[0], at[1], at[2]
        _lattice_row(matrix, linear, field, k, j, z, y, x)
        index[:] = 0
        _clamp_row(z, nz, ny * nx, index, part[0])
        _clamp_row(y, ny, nx, index, part[1])
        _clamp_row(x, nx, 1, index, part[2])
        for channel in range(channels):
            target = out[channel, k, j]
            begin = np.uint64(channel * size)
            for i in range(width):
                first = begin + np.uint64(index[i])
                t = part[2, i]
                a = flat[first] + t * (flat[first + dx] - flat[first])
                b = flat[first + dy] + t * (flat[first + dy + dx] - flat[first + dy])
                first += dz
                c = flat[first] + t * (flat[first + dx] - flat[first])
                d = flat[first + dy] + t * (flat[first + dy + dx] - flat[first + dy])
                a += part[1, i] * (b - a)
                c += part[1, i] * (d - c)
                target[i] = a + part[0, i] * (c - a)
            if reach < 1e9:
                for i in range(width):
                    low = (z[i] < -reach) | (y[i] < -reach) | (x[i] < -reach)
                    if low | (z[i] > end_z) | (y[i] > end_y) | (x[i] > end_x):
                        target[i] = fill


@kernel
@no_type_check
def _clamped(p, n):
    """Give the first neighbour, the fraction, and 1 if a position is between edge samples."""
    end = n - 1.0
    inside = p if p > 0.0 else 0.0
    inside = inside if inside < end else end
    first = min(int(inside), max(n - 2, 0))
    return first, (inside - first) + (p - p), 1.0 if 0.0 <= p <= end else 0.0


@kernel
@no_type_check
def slope_points(image, at, out, slope, start, stop):
    """Fill ``out`` (c, n) and ``slope`` (c, 3, n) at positions ``at`` (n, 3); see slope_rows."""
    flat = image.ravel()
    channels, nz, ny, nx = image.shape
    size = nz * ny * nx
    dz, dy, dx = ny * nx if nz > 1 else 0, nx if ny > 1 else 0, 1 if nx > 1 else 0
    dz, dy, dx = np.uint64(dz), np.uint64(dy), np.uint64(dx)
    for p in range(start, stop):
        iz, z, mz = _clamped(float(at[p, 0]), nz)
        iy, y, my = _clamped(float(at[p, 1]), ny)
        ix, x, mx = _clamped(float(at[p, 2]), nx)
        for channel in range(channels):
            first = np.uint64(channel * size + (iz * ny + iy) * nx + ix)
            a, b = flat[first], flat[first + dy]
            da, db = flat[first + dx] - a, flat[first + dy + dx] - b
            first += dz
            c, d = flat[first], flat[first + dy]
            dc, dd = flat[first + dx] - c, flat[first + dy + dx] - d
            e, f, g, h = a + x * da, b + x * db, c + x * dc, d + x * dd
            low, high = da + y * (db - da), dc + y * (dd - dc)
            f, h = f - e, h - g
            e, g = e + y * f, g + y * h
            out[channel, p] = e + z * (g - e)
            slope[channel, 0, p] = mz * (g - e)
            slope[channel, 1, p] = my * (f + z * (h - f))
            slope[channel, 2, p] = mx * (low + z * (high - low))


@kernel
@no_type_check
def back_rows(image, flow, offset, gradient, out, start, stop):
    """Fill rows of ``out`` (3, z2, y2, x2) with the gradient of a warp by its flow.

    It is ``sum_c gradient[c] * slope[c]`` with the slope of ``slope_rows``, which is not stored.
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
            by_z, by_y, by_x = out[0, k, j], out[1, k, j], out[2, k, j]
            source = gradient[channel, k, j]
            begin = np.uint64(channel * size)
            for i in range(width):
                at = begin + np.uint64(index[i])
                z, y, x, g = part[0, i], part[1, i], part[2, i], source[i]
                a, b = flat[at], flat[at + dy]
                da, db = flat[at + dx] - a, flat[at + dy + dx] - b
                at += dz
                c, d = flat[at], flat[at + dy]
                dc, dd = flat[at + dx] - c, flat[at + dy + dx] - d
                a, b, c, d = a + x * da, b + x * db, c + x * dc, d + x * dd
                da, dc = da + y * (db - da), dc + y * (dd - dc)
                b, d = b - a, d - c
                a, c = a + y * b, c + y * d
                p, q, r = g * (c - a), g * (b + z * (d - b)), g * (da + z * (dc - da))
                if channel == 0:
                    by_z[i], by_y[i], by_x[i] = part[3, i] * p, part[4, i] * q, part[5, i] * r
                else:
                    by_z[i] += part[3, i] * p
                    by_y[i] += part[4, i] * q
                    by_x[i] += part[5, i] * r
