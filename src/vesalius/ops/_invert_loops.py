"""The loop that inverts a flow on the CPU: a damped Newton search at each sample.

The linear interpolant of a flow has kinks, so that a Newton step may lead away; it is then halved,
and where that does not help a step of the fixed point ``-flow`` is taken instead.
"""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.ops._jit import kernel

HALVINGS = 5


@kernel
@no_type_check
def _clamped(x, n):
    """Give the first neighbour, the fraction, and 1 if the position is between edge samples."""
    last = n - 1.0
    inside = x if x > 0.0 else 0.0
    inside = inside if inside < last else last
    first = min(int(inside), max(n - 2, 0))
    return first, inside - first, 1.0 if 0.0 <= x <= last else 0.0


@kernel
@no_type_check
def _look(flow, c, at_z, at_y, at_x):
    """Give one component of a flow and its slope along (z, y, x) at a place, see ``_clamped``."""
    (iz, fz, mz), (iy, fy, my), (ix, fx, mx) = at_z, at_y, at_x
    _, nz, ny, nx = flow.shape
    jz, jy, jx = min(iz + 1, nz - 1), min(iy + 1, ny - 1), min(ix + 1, nx - 1)
    a, b = flow[c, iz, iy, ix], flow[c, iz, jy, ix]
    e, f = flow[c, jz, iy, ix], flow[c, jz, jy, ix]
    da, db = flow[c, iz, iy, jx] - a, flow[c, iz, jy, jx] - b
    de, df = flow[c, jz, iy, jx] - e, flow[c, jz, jy, jx] - f
    a, b, e, f = a + fx * da, b + fx * db, e + fx * de, f + fx * df
    da, de = da + fy * (db - da), de + fy * (df - de)
    b, f = b - a, f - e
    a, e = a + fy * b, e + fy * f
    return a + fz * (e - a), mz * (e - a), my * (b + fz * (f - b)), mx * (da + fz * (de - da))


@kernel
@no_type_check
def _missed(flow, z, y, x, wz, wy, wx):
    """Give how far ``(z, y, x) + w`` misses (z, y, x) once it is moved."""
    _, nz, ny, nx = flow.shape
    at_z, at_y, at_x = _clamped(z + wz, nz), _clamped(y + wy, ny), _clamped(x + wx, nx)
    rz = wz + _look(flow, 0, at_z, at_y, at_x)[0]
    ry = wy + _look(flow, 1, at_z, at_y, at_x)[0]
    return rz, ry, wx + _look(flow, 2, at_z, at_y, at_x)[0]


@kernel
@no_type_check
def _newton(flow, z, y, x, rz, ry, rx):
    """Solve ``(1 + slope) step = r`` at (z, y, x); ``r`` itself where that cannot be solved."""
    _, nz, ny, nx = flow.shape
    at_z, at_y, at_x = _clamped(z, nz), _clamped(y, ny), _clamped(x, nx)
    _, a, b, c = _look(flow, 0, at_z, at_y, at_x)
    _, d, e, f = _look(flow, 1, at_z, at_y, at_x)
    _, g, h, i = _look(flow, 2, at_z, at_y, at_x)
    a, e, i = a + 1.0, e + 1.0, i + 1.0
    p, q, s = e * i - f * h, c * h - b * i, b * f - c * e
    det = a * p + d * q + g * s
    if not abs(det) > 1e-6:
        return rz, ry, rx
    one = 1.0 / det
    sz = one * (p * rz + q * ry + s * rx)
    sy = one * ((f * g - d * i) * rz + (a * i - c * g) * ry + (c * d - a * f) * rx)
    sx = one * ((d * h - e * g) * rz + (b * g - a * h) * ry + (a * e - b * d) * rx)
    return sz, sy, sx


@kernel
@no_type_check
def _search(flow, z, y, x, wz, wy, wx, tol, steps):
    """Improve a guess ``w`` until it misses by at most ``tol``; give the best and its miss."""
    rz, ry, rx = _missed(flow, z, y, x, wz, wy, wx)
    size = rz * rz + ry * ry + rx * rx
    best, bz, by, bx = size, wz, wy, wx
    for _ in range(steps):
        if not best > tol * tol:
            break
        sz, sy, sx = _newton(flow, z + wz, y + wy, x + wx, rz, ry, rx)
        t, found = 1.0, False
        for _ in range(HALVINGS):
            tz, ty, tx = wz - t * sz, wy - t * sy, wx - t * sx
            qz, qy, qx = _missed(flow, z, y, x, tz, ty, tx)
            now = qz * qz + qy * qy + qx * qx
            if now < size:
                found = True
                break
            t *= 0.5
        if not found:
            tz, ty, tx = wz - rz, wy - ry, wx - rx
            qz, qy, qx = _missed(flow, z, y, x, tz, ty, tx)
            now = qz * qz + qy * qy + qx * qx
        wz, wy, wx, rz, ry, rx, size = tz, ty, tx, qz, qy, qx, now
        if size < best:
            best, bz, by, bx = size, wz, wy, wx
    return best, bz, by, bx


@kernel
@no_type_check
def invert_rows(flow, tol, steps, out, residual, start, stop):
    """Fill rows ``start`` to ``stop`` of an inverse and of how far it misses.

    Each row begins from ``-flow``; along it the search begins where the last sample's ended.

    Args:
        flow: (3, z, y, x), finite.
        tol: Distance that is near enough, samples.
        steps: Most steps at a sample.
        out: (3, z, y, x).
        residual: (z, y, x).
        start: First row.
        stop: Row after the last.
    """
    _, _, ny, nx = flow.shape
    tol = float(tol)
    for row in range(start, stop):
        k, j = row // ny, row % ny
        wz, wy, wx = -float(flow[0, k, j, 0]), -float(flow[1, k, j, 0]), -float(flow[2, k, j, 0])
        for i in range(nx):
            z, y, x = float(k), float(j), float(i)
            best, wz, wy, wx = _search(flow, z, y, x, wz, wy, wx, tol, steps)
            if best > tol * tol:  # perhaps the neighbour's place was a bad one to begin at
                az, ay, ax = -flow[0, k, j, i], -flow[1, k, j, i], -flow[2, k, j, i]
                again, az, ay, ax = _search(
                    flow, z, y, x, float(az), float(ay), float(ax), tol, steps
                )
                if again < best:
                    best, wz, wy, wx = again, az, ay, ax
            out[0, k, j, i], out[1, k, j, i], out[2, k, j, i] = wz, wy, wx
            residual[k, j, i] = np.sqrt(best)
