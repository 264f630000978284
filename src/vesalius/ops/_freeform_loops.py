"""The loop of a free-form field with its slope on the CPU."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.ops._jit import kernel


@kernel
@no_type_check
def _fill(weight, slope, t):
    """Write the four cubic B-spline weights at fraction ``t``, and their derivatives."""
    s = 1.0 - t
    weight[0], weight[3] = s * s * s / 6.0, t * t * t / 6.0
    weight[1] = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t)
    weight[2] = 2.0 / 3.0 - s * s * (1.0 - 0.5 * s)
    slope[0], slope[3] = -0.5 * s * s, 0.5 * t * t
    slope[1], slope[2] = t * (1.5 * t - 2.0), s * (2.0 - 1.5 * s)


@kernel
@no_type_check
def slope_points(padded, at, frame, out, start, stop):
    """Fill ``out[:, :, start:stop]`` (c, 3, n) with the derivative of a spline at positions.

    Args:
        padded: (c, z, y, x); coefficients with those around them.
        at: (n, 3); positions (z, y, x) among the coefficients, samples.
        frame: (3, 4) for each axis: number of coefficients, lowest and highest position that can
            be read, coefficients added before the first one. Beyond, the derivative is 0.
        out: (c, 3, n).
        start: First position.
        stop: Position after the last.
    """
    weight, slope = np.empty((3, 4)), np.empty((3, 4))
    first = np.empty(3, np.int64)
    for p in range(start, stop):
        inside = True
        for axis in range(3):
            x = float(at[p, axis])
            flat = frame[axis, 0] == 1.0
            inside &= flat | ((x >= frame[axis, 1]) & (x <= frame[axis, 2]))
            x = 0.0 if flat else min(max(x, frame[axis, 1]), frame[axis, 2])
            x += frame[axis, 3]
            base = int(x) if x >= 1.0 else 1
            first[axis] = base - 1
            _fill(weight[axis], slope[axis], x - base)
            if flat:
                slope[axis] = 0.0
        for c in range(padded.shape[0]):
            sz = sy = sx = 0.0
            if inside:
                for a in range(4):
                    for b in range(4):
                        row = padded[c, first[0] + a, first[1] + b]
                        value = along = 0.0
                        for d in range(4):
                            q = row[first[2] + d]
                            value += weight[2, d] * q
                            along += slope[2, d] * q
                        sz += slope[0, a] * weight[1, b] * value
                        sy += weight[0, a] * slope[1, b] * value
                        sx += weight[0, a] * weight[1, b] * along
            out[c, 0, p], out[c, 1, p], out[c, 2, p] = sz, sy, sx
