"""The loops of interpolation on the CPU: one volume, many positions, no copies.

A position outside the array is first folded back: clamped to ``[low, high]`` or mirrored about
the edge samples. ``reach`` is how far beyond the edge samples a position may lie before it gets
``fill`` instead (infinite: never).
"""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np

from vesalius.ops._jit import kernel

NEAREST, LINEAR, CUBIC = 0, 1, 3
# an unsigned index needs no check for counting from the end: the loads become one
ONE, TWO, THREE = np.uint64(1), np.uint64(2), np.uint64(3)


@kernel
@no_type_check
def _fold(x, n, low, high, mirror):
    """Bring a coordinate into [low, high]; also a NaN ends inside."""
    if mirror and n > 1:
        period = 2.0 * (n - 1)
        x = abs(x) % period
        x = min(x, period - x)
    if not x >= low:
        return low
    return min(x, high)


@kernel
@no_type_check
def _linear_at(flat, at, stride_z, stride_y, stride_x, fz, fy, fx):
    at, stride_z = np.uint64(at), np.uint64(stride_z)
    stride_y, stride_x = np.uint64(stride_y), np.uint64(stride_x)
    a = flat[at] + fx * (flat[at + stride_x] - flat[at])
    at += stride_y
    b = flat[at] + fx * (flat[at + stride_x] - flat[at])
    at += stride_z
    d = flat[at] + fx * (flat[at + stride_x] - flat[at])
    at -= stride_y
    c = flat[at] + fx * (flat[at + stride_x] - flat[at])
    a += fy * (b - a)
    c += fy * (d - c)
    return a + fz * (c - a)


@kernel
@no_type_check
def _add_row(flat, at, w, s0, s1, s2, s3):
    a, b, c, d = flat[at], flat[at + ONE], flat[at + TWO], flat[at + THREE]
    return s0 + w * a, s1 + w * b, s2 + w * c, s3 + w * d


@kernel
@no_type_check
def _add_plane(flat, at, step, w, y0, y1, y2, y3, s0, s1, s2, s3):
    s0, s1, s2, s3 = _add_row(flat, at, w * y0, s0, s1, s2, s3)
    s0, s1, s2, s3 = _add_row(flat, at + step, w * y1, s0, s1, s2, s3)
    s0, s1, s2, s3 = _add_row(flat, at + TWO * step, w * y2, s0, s1, s2, s3)
    return _add_row(flat, at + THREE * step, w * y3, s0, s1, s2, s3)


@kernel
@no_type_check
def _weights(t, one):
    """The four cubic B-spline weights at fraction ``t``, in the number type of ``one``."""
    s = one - t
    sixth = one / (one + one + one + one + one + one)
    w0 = s * s * s * sixth
    w3 = t * t * t * sixth
    two_thirds = 4 * sixth
    half = 3 * sixth
    w1 = two_thirds - t * t * (one - half * t)
    w2 = two_thirds - s * s * (one - half * s)
    return w0, w1, w2, w3


@kernel
@no_type_check
def _cubic_at(flat, at, step, nx, fz, fy, fx, one):
    """Sum 4 x 4 x 4 coefficients; the four sums along x run side by side in one register."""
    at, step, nx = np.uint64(at), np.uint64(step), np.uint64(nx)
    z0, z1, z2, z3 = _weights(fz, one)
    y0, y1, y2, y3 = _weights(fy, one)
    x0, x1, x2, x3 = _weights(fx, one)
    s0 = s1 = s2 = s3 = one - one
    s0, s1, s2, s3 = _add_plane(flat, at, nx, z0, y0, y1, y2, y3, s0, s1, s2, s3)
    s0, s1, s2, s3 = _add_plane(flat, at + step, nx, z1, y0, y1, y2, y3, s0, s1, s2, s3)
    s0, s1, s2, s3 = _add_plane(flat, at + TWO * step, nx, z2, y0, y1, y2, y3, s0, s1, s2, s3)
    s0, s1, s2, s3 = _add_plane(flat, at + THREE * step, nx, z3, y0, y1, y2, y3, s0, s1, s2, s3)
    return (x0 * s0 + x1 * s1) + (x2 * s2 + x3 * s3)


@kernel
@no_type_check
def _inside(z, y, x, sizes, reach):
    """Whether a position is at most ``reach`` samples outside of the outermost samples."""
    return (
        z >= -reach
        and y >= -reach
        and x >= -reach
        and z <= sizes[0] - 1 + reach
        and y <= sizes[1] - 1 + reach
        and x <= sizes[2] - 1 + reach
    )


@kernel
@no_type_check
def _one(flat, base, shape, frame, z, y, x, order, mirror, one):
    """Interpolate at one position, wherever it is; see ``affine`` for ``frame``."""
    _, nz, ny, nx = shape
    z = _fold(z, frame[0, 0], frame[0, 1], frame[0, 2], mirror) + frame[0, 3]
    y = _fold(y, frame[1, 0], frame[1, 1], frame[1, 2], mirror) + frame[1, 3]
    x = _fold(x, frame[2, 0], frame[2, 1], frame[2, 2], mirror) + frame[2, 3]
    step = ny * nx
    if order == CUBIC:
        iz, iy, ix = int(z), int(y), int(x)
        at = base + (iz - 1) * step + (iy - 1) * nx + ix - 1
        return _cubic_at(flat, at, step, nx, one * (z - iz), one * (y - iy), one * (x - ix), one)
    iz = min(int(z), max(nz - 2, 0))
    iy = min(int(y), max(ny - 2, 0))
    ix = min(int(x), max(nx - 2, 0))
    at = base + iz * step + iy * nx + ix
    dz = step if nz > 1 else 0
    dy = nx if ny > 1 else 0
    dx = 1 if nx > 1 else 0
    return _linear_at(flat, at, dz, dy, dx, one * (z - iz), one * (y - iy), one * (x - ix))


@kernel
@no_type_check
def _span(base, slope, low, high, first, last):
    """Narrow [first, last) to the steps i with low <= base + slope * i <= high."""
    if abs(slope) < 1e-12:
        if low <= base <= high:
            return first, last
        return 0, 0
    a = (low - base) / slope
    b = (high - base) / slope
    # one step less on either side: rounding must never lead outside of the array
    first = max(first, math.ceil(max(min(a, b), -1.0)) + 1)
    last = min(last, math.floor(min(max(a, b), 1e9)))
    return first, max(first, last)


@kernel
@no_type_check
def _guarded(volume, base, frame, order, mirror, reach, fill, line, out, first, last):
    """Interpolate steps ``first`` to ``last`` of a line, any of which may lie outside."""
    flat = volume.ravel()
    one = volume.dtype.type(1)
    for i in range(first, last):
        z, y, x = line[0] + line[3] * i, line[1] + line[4] * i, line[2] + line[5] * i
        if _inside(z, y, x, frame[:, 0], reach):
            out[i] = _one(flat, base, volume.shape, frame, z, y, x, order, mirror, one)
        else:
            out[i] = fill


@kernel
@no_type_check
def _linear_line(volume, base, line, out, first, last):
    """Interpolate linearly steps of a line that all lie inside."""
    flat = volume.ravel()
    one = volume.dtype.type(1)
    _, nz, ny, nx = volume.shape
    step = ny * nx
    cap_z, cap_y, cap_x = max(nz - 2, 0), max(ny - 2, 0), max(nx - 2, 0)
    dz, dy, dx = step if nz > 1 else 0, nx if ny > 1 else 0, 1 if nx > 1 else 0
    z, y, x, mz, my, mx = line
    for i in range(first, last):
        pz, py, px = z + mz * i, y + my * i, x + mx * i
        iz, iy, ix = min(int(pz), cap_z), min(int(py), cap_y), min(int(px), cap_x)
        at = base + iz * step + iy * nx + ix
        fz, fy, fx = one * (pz - iz), one * (py - iy), one * (px - ix)
        out[i] = _linear_at(flat, at, dz, dy, dx, fz, fy, fx)


@kernel
@no_type_check
def _cubic_line(volume, base, line, out, first, last):
    """Evaluate the spline at steps of a line that all lie inside."""
    flat = volume.ravel()
    one = volume.dtype.type(1)
    _, _, ny, nx = volume.shape
    step = ny * nx
    z, y, x, mz, my, mx = line
    for i in range(first, last):
        pz, py, px = z + mz * i, y + my * i, x + mx * i
        iz, iy, ix = int(pz), int(py), int(px)
        at = base + (iz - 1) * step + (iy - 1) * nx + ix - 1
        fz, fy, fx = one * (pz - iz), one * (py - iy), one * (px - ix)
        out[i] = _cubic_at(flat, at, step, nx, fz, fy, fx, one)


@kernel
@no_type_check
def _safe(line, frame, reach, width):
    """Find the steps of a line that can be read without any check."""
    first, last = 0, width
    for axis in range(3):
        low, high = frame[axis, 1], frame[axis, 2]
        if reach < 1e9:
            low, high = max(low, 0.0), min(high, frame[axis, 0] - 1.0)
        first, last = _span(line[axis], line[axis + 3], low, high, first, last)
    if first >= last:
        return width, width
    return first, last


@kernel
@no_type_check
def affine(volume, matrix, frame, order, mirror, reach, fill, out, start, stop):
    """Fill rows ``start`` to ``stop`` of ``out`` by interpolation at ``matrix @ (k, j, i, 1)``.

    Args:
        volume: (c, z, y, x) samples, or coefficients with samples added around.
        matrix: (4, 4) output index to input index.
        frame: (3, 4) for each axis: number of samples, lowest and highest position that can be
            read, samples added before the first one.
        order: 1 or 3.
        mirror: Whether positions outside are mirrored; else they are clamped.
        reach: See the head of this file.
        fill: Value beyond the reach.
        out: (c, z2, y2, x2).
        start: First row, counted over z2 * y2.
        stop: Row after the last.
    """
    size = volume[0].size
    width = out.shape[3]
    line = np.empty(6)
    line[3:] = matrix[:3, 2]
    for row in range(start, stop):
        k, j = row // out.shape[2], row % out.shape[2]
        line[:3] = matrix[:3, 0] * k + matrix[:3, 1] * j + matrix[:3, 3]
        first, last = _safe(line, frame, reach, width)
        for c in range(volume.shape[0]):
            base = c * size
            target = out[c, k, j]
            _guarded(volume, base, frame, order, mirror, reach, fill, line, target, 0, first)
            _guarded(volume, base, frame, order, mirror, reach, fill, line, target, last, width)
            moved = (
                line[0] + frame[0, 3],
                line[1] + frame[1, 3],
                line[2] + frame[2, 3],
                line[3],
                line[4],
                line[5],
            )
            if order == CUBIC:
                _cubic_line(volume, base, moved, target, first, last)
            else:
                _linear_line(volume, base, moved, target, first, last)


@kernel
@no_type_check
def bounds(at):
    """Give the lowest and the highest position (2, 3); NaN where any is NaN or infinite."""
    found = np.zeros((2, 3))
    if len(at) == 0:
        return found
    low_z = high_z = float(at[0, 0])
    low_y = high_y = float(at[0, 1])
    low_x = high_x = float(at[0, 2])
    odd = 0.0
    for i in range(len(at)):
        z, y, x = float(at[i, 0]), float(at[i, 1]), float(at[i, 2])
        odd += (z - z) + (y - y) + (x - x)  # 0 for a number, NaN for anything else
        low_z, high_z = min(low_z, z), max(high_z, z)
        low_y, high_y = min(low_y, y), max(high_y, y)
        low_x, high_x = min(low_x, x), max(high_x, x)
    found[0, 0], found[0, 1], found[0, 2] = low_z + odd, low_y + odd, low_x + odd
    found[1, 0], found[1, 1], found[1, 2] = high_z + odd, high_y + odd, high_x + odd
    return found


@kernel
@no_type_check
def points(volume, at, frame, order, mirror, reach, fill, out, start, stop):
    """Fill ``out[:, start:stop]`` by interpolation at the positions ``at`` (n, 3); see affine."""
    flat = volume.ravel()
    one = volume.dtype.type(1)
    channels, nz, ny, nx = volume.shape
    step = ny * nx
    size = nz * step
    cap_z, cap_y, cap_x = max(nz - 2, 0), max(ny - 2, 0), max(nx - 2, 0)
    dz, dy, dx = step if nz > 1 else 0, nx if ny > 1 else 0, 1 if nx > 1 else 0
    add_z, add_y, add_x = frame[0, 3], frame[1, 3], frame[2, 3]
    last_z, last_y, last_x = frame[0, 0] - 1, frame[1, 0] - 1, frame[2, 0] - 1
    for i in range(start, stop):
        z, y, x = float(at[i, 0]), float(at[i, 1]), float(at[i, 2])
        if 0 <= z <= last_z and 0 <= y <= last_y and 0 <= x <= last_x:
            z, y, x = z + add_z, y + add_y, x + add_x
            if order == CUBIC:
                iz, iy, ix = int(z), int(y), int(x)
                first = (iz - 1) * step + (iy - 1) * nx + ix - 1
            else:
                iz, iy, ix = min(int(z), cap_z), min(int(y), cap_y), min(int(x), cap_x)
                first = iz * step + iy * nx + ix
            fz, fy, fx = one * (z - iz), one * (y - iy), one * (x - ix)
            for c in range(channels):
                begin = c * size + first
                if order == CUBIC:
                    out[c, i] = _cubic_at(flat, begin, step, nx, fz, fy, fx, one)
                else:
                    out[c, i] = _linear_at(flat, begin, dz, dy, dx, fz, fy, fx)
            continue
        inside = _inside(z, y, x, frame[:, 0], reach)
        for c in range(channels):
            if inside:
                out[c, i] = _one(flat, c * size, volume.shape, frame, z, y, x, order, mirror, one)
            else:
                out[c, i] = fill


@kernel
@no_type_check
def _round(z, y, x, frame, mirror):
    """Give the index of the sample nearest to a position; halves go up."""
    iz = math.floor(_fold(z, frame[0, 0], -0.5, frame[0, 0] - 0.5, mirror) + 0.5)
    iy = math.floor(_fold(y, frame[1, 0], -0.5, frame[1, 0] - 0.5, mirror) + 0.5)
    ix = math.floor(_fold(x, frame[2, 0], -0.5, frame[2, 0] - 0.5, mirror) + 0.5)
    iz = min(iz, int(frame[0, 0]) - 1)
    iy = min(iy, int(frame[1, 0]) - 1)
    return iz, iy, min(ix, int(frame[2, 0]) - 1)


@kernel
@no_type_check
def _nearest_edge(volume, line, frame, mirror, reach, fill, out, first, last):
    """Take the nearest samples at steps of a line, any of which may lie outside."""
    for i in range(first, last):
        z, y, x = line[0] + line[3] * i, line[1] + line[4] * i, line[2] + line[5] * i
        inside = _inside(z, y, x, frame[:, 0], reach)
        iz, iy, ix = _round(z, y, x, frame, mirror)
        for c in range(volume.shape[0]):
            out[c, i] = volume[c, iz, iy, ix] if inside else fill


@kernel
@no_type_check
def affine_nearest(volume, matrix, frame, mirror, reach, fill, out, start, stop):
    """Fill rows of ``out`` with the nearest samples of ``volume``; see ``affine``."""
    flat = volume.ravel()
    channels, _, ny, nx = volume.shape
    step, size = ny * nx, volume[0].size
    width = out.shape[3]
    line = np.empty(6)
    line[3:] = matrix[:3, 2]
    for row in range(start, stop):
        k, j = row // out.shape[2], row % out.shape[2]
        line[:3] = matrix[:3, 0] * k + matrix[:3, 1] * j + matrix[:3, 3]
        first, last = _safe(line, frame, reach, width)
        target = out[:, k, j]
        _nearest_edge(volume, line, frame, mirror, reach, fill, target, 0, first)
        _nearest_edge(volume, line, frame, mirror, reach, fill, target, last, width)
        z, y, x = line[0] + 0.5, line[1] + 0.5, line[2] + 0.5
        mz, my, mx = line[3], line[4], line[5]
        for c in range(channels):
            for i in range(first, last):
                at = int(z + mz * i) * step + int(y + my * i) * nx + int(x + mx * i)
                target[c, i] = flat[np.uint64(c * size + at)]


@kernel
@no_type_check
def aligned_nearest(volume, iz, iy, ix, out, start, stop):
    """Fill rows of ``out`` with ``volume[:, iz[k], iy[j], ix[i]]``."""
    for row in range(start, stop):
        k, j = row // out.shape[2], row % out.shape[2]
        for c in range(volume.shape[0]):
            source, target = volume[c, iz[k], iy[j]], out[c, k, j]
            for i in range(len(ix)):
                target[i] = source[np.uint64(ix[i])]


@kernel
@no_type_check
def points_nearest(volume, at, frame, mirror, reach, fill, out, start, stop):
    """Fill ``out[:, start:stop]`` with the samples nearest to ``at`` (n, 3); see ``affine``."""
    sizes = frame[:, 0]
    for i in range(start, stop):
        z, y, x = float(at[i, 0]), float(at[i, 1]), float(at[i, 2])
        inside = _inside(z, y, x, sizes, reach)
        iz, iy, ix = _round(z, y, x, frame, mirror)
        for c in range(volume.shape[0]):
            out[c, i] = volume[c, iz, iy, ix] if inside else fill


@kernel
@no_type_check
def points_vote(labels, at, reach, fill, out, start, stop):
    """Give each position the label with the largest share of the linear weights around it.

    A tie goes to the smaller label. Positions are clamped within ``reach``; beyond it is ``fill``.
    """
    _, nz, ny, nx = labels.shape
    value = np.empty(8, dtype=labels.dtype)
    share = np.empty(8, dtype=np.float64)
    sizes = (float(nz), float(ny), float(nx))
    for i in range(start, stop):
        z, y, x = float(at[i, 0]), float(at[i, 1]), float(at[i, 2])
        inside = _inside(z, y, x, sizes, reach)
        z = _fold(z, nz, 0.0, nz - 1.0, False)
        y = _fold(y, ny, 0.0, ny - 1.0, False)
        x = _fold(x, nx, 0.0, nx - 1.0, False)
        iz, iy, ix = int(z), int(y), int(x)
        for c in range(labels.shape[0]):
            if not inside:
                out[c, i] = fill
                continue
            found = 0
            for corner in range(8):
                a, b, d = corner >> 2, (corner >> 1) & 1, corner & 1
                wz = z - iz if a else 1 - (z - iz)
                wy = y - iy if b else 1 - (y - iy)
                wx = x - ix if d else 1 - (x - ix)
                label = labels[c, min(iz + a, nz - 1), min(iy + b, ny - 1), min(ix + d, nx - 1)]
                at_label = 0
                while at_label < found and value[at_label] != label:
                    at_label += 1
                if at_label == found:
                    value[found] = label
                    share[found] = 0.0
                    found += 1
                share[at_label] += wz * wy * wx
            best = 0
            for other in range(1, found):
                more = share[other] - share[best]
                if more > 1e-12 or (more > -1e-12 and value[other] < value[best]):
                    best = other
            out[c, i] = value[best]
