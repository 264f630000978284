"""Regions without edges, row by row: one step of the level set of Chan and Vese, its length."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
from numpy.typing import NDArray

from vesalius.ops._jit import kernel

Field = NDArray[np.float32]


class Flow(NamedTuple):
    """How a contour flows.

    Attributes:
        weight: Of the contour's length, where the values have unit spread.
        inside: Weight of the spread inside.
        outside: Weight of the spread outside.
        time_step: Of one step.
        width: Of the smoothed delta function, in units of the level set.
        ratio: Smallest spacing divided by the spacing along (z, y, x); 0 for an axis left out.
    """

    weight: float
    inside: float
    outside: float
    time_step: float
    width: float
    ratio: tuple[float, float, float]


@kernel
@no_type_check
def frame(phi):
    """Repeat the outermost samples into the frame of one sample around a block, in place."""
    nz, ny, nx = phi.shape
    for z in range(1, nz - 1):
        for y in range(1, ny - 1):
            phi[z, y, 0] = phi[z, y, 1]
            phi[z, y, nx - 1] = phi[z, y, nx - 2]
        phi[z, 0] = phi[z, 1]
        phi[z, ny - 1] = phi[z, ny - 2]
    phi[0] = phi[1]
    phi[nz - 1] = phi[nz - 2]


@kernel
@no_type_check
def step(old, new, image, free, flow, means):
    """Make one semi-implicit step of two phases; blocks old and new are framed, image is not.

    Gives the sums over the inside: count, values, squares; and the square of the change, weighted
    by the smoothed delta function, so that a level set that only grows steeper has come to rest.
    """
    nz, ny, nx = image.shape
    total = np.zeros(5)
    columns = np.zeros((5, nx), np.float32)
    push = np.empty(nx, np.float32)
    for z in range(nz):
        columns[:] = 0
        for y in range(ny):
            _part(image[z, y], push, flow, means)
            row(old, new, push, z, y, flow)
            if len(free) > 0:
                _hold(old[z + 1, y + 1], new[z + 1, y + 1], free[z, y])
                _sums(old[z + 1, y + 1], new[z + 1, y + 1], image[z, y], free[z, y], columns)
            else:
                _sums_all(old[z + 1, y + 1], new[z + 1, y + 1], image[z, y], columns)
        for k in range(5):
            for x in range(nx):
                total[k] += columns[k, x]
    return total


@kernel
@no_type_check
def _part(values, push, flow, means):
    """Say how much nearer each value is to the mean inside than to that outside."""
    lin, lout = np.float32(flow[1]), np.float32(flow[2])
    c1, c2 = np.float32(means[0]), np.float32(means[1])
    for x in range(len(values)):
        u, v = values[x] - c1, values[x] - c2
        push[x] = lout * v * v - lin * u * u


@kernel
@no_type_check
def row(old, new, push, z, y, flow):
    """Make one semi-implicit step of one row, driven by its length and a push."""
    if flow[5][0] > 0:
        _row3(old, new, push, z, y, flow)
    else:
        _row2(old, new, push, z, y, flow)


@kernel
@no_type_check
def _row2(old, new, push, z, y, flow):
    weight, _, _, time_step, width, ratio = flow
    ry, rx = np.float32(ratio[1]), np.float32(ratio[2])
    wy, wx = np.float32(weight) * ry * ry, np.float32(weight) * rx * rx
    w2, gain = np.float32(width * width), np.float32(time_step * width / np.pi)
    tiny, half, one = np.float32(1e-8), np.float32(0.5), np.float32(1)
    here, up, down = old[z + 1, y + 1], old[z + 1, y], old[z + 1, y + 2]
    out = new[z + 1, y + 1]
    for x in range(len(push)):
        p, left, right = here[x + 1], here[x], here[x + 2]
        above, below = up[x + 1], down[x + 1]
        gx = half * rx * (right - left)
        gy = half * ry * (below - above)
        gx = gx * gx + tiny
        gy = gy * gy + tiny
        d = rx * (right - p)
        a = wx / np.sqrt(d * d + gy)
        d = rx * (p - left)
        b = wx / np.sqrt(d * d + gy)
        d = ry * (below - p)
        c = wy / np.sqrt(d * d + gx)
        d = ry * (p - above)
        e = wy / np.sqrt(d * d + gx)
        delta = gain / (w2 + p * p)
        force = push[x] + a * right + b * left + c * below + e * above
        out[x + 1] = (p + delta * force) / (one + delta * (a + b + c + e))


@kernel
@no_type_check
def _row3(old, new, push, z, y, flow):
    weight, _, _, time_step, width, ratio = flow
    rz, ry, rx = np.float32(ratio[0]), np.float32(ratio[1]), np.float32(ratio[2])
    wz, wy, wx = (
        np.float32(weight) * rz * rz,
        np.float32(weight) * ry * ry,
        np.float32(weight) * rx * rx,
    )
    w2, gain = np.float32(width * width), np.float32(time_step * width / np.pi)
    tiny, half, one = np.float32(1e-8), np.float32(0.5), np.float32(1)
    here, up, down = old[z + 1, y + 1], old[z + 1, y], old[z + 1, y + 2]
    before, behind = old[z, y + 1], old[z + 2, y + 1]
    out = new[z + 1, y + 1]
    for x in range(len(push)):
        p, left, right = here[x + 1], here[x], here[x + 2]
        above, below = up[x + 1], down[x + 1]
        near, far = before[x + 1], behind[x + 1]
        gx = half * rx * (right - left)
        gy = half * ry * (below - above)
        gz = half * rz * (far - near)
        gx = gx * gx + tiny
        gy = gy * gy + tiny
        gz = gz * gz + tiny
        d = rx * (right - p)
        a = wx / np.sqrt(d * d + gy + gz)
        d = rx * (p - left)
        b = wx / np.sqrt(d * d + gy + gz)
        d = ry * (below - p)
        c = wy / np.sqrt(d * d + gx + gz)
        d = ry * (p - above)
        e = wy / np.sqrt(d * d + gx + gz)
        d = rz * (far - p)
        f = wz / np.sqrt(d * d + gx + gy)
        d = rz * (p - near)
        g = wz / np.sqrt(d * d + gx + gy)
        delta = gain / (w2 + p * p)
        force = push[x] + a * right + b * left + c * below + e * above + f * far + g * near
        out[x + 1] = (p + delta * force) / (one + delta * (a + b + c + e + f + g))


@kernel
@no_type_check
def length(phi, flow):
    """Measure the contour: the sum of the smoothed delta function times the slope."""
    nz, ny, nx = phi.shape[0] - 2, phi.shape[1] - 2, phi.shape[2] - 2
    total = 0.0
    column = np.zeros(nx, np.float32)
    half, width = np.float32(0.5), np.float32(flow[4])
    rz, ry, rx = np.float32(flow[5][0]), np.float32(flow[5][1]), np.float32(flow[5][2])
    gain, w2 = width / np.float32(np.pi), width * width
    for z in range(1, nz + 1):
        column[:] = 0
        for y in range(1, ny + 1):
            here, up, down = phi[z, y], phi[z, y - 1], phi[z, y + 1]
            near, far = phi[z - 1, y], phi[z + 1, y]
            for x in range(nx):
                gx = half * rx * (here[x + 2] - here[x])
                gy = half * ry * (down[x + 1] - up[x + 1])
                gz = half * rz * (far[x + 1] - near[x + 1])
                p = here[x + 1]
                column[x] += gain * np.sqrt(gx * gx + gy * gy + gz * gz) / (w2 + p * p)
        for x in range(nx):
            total += column[x]
    return total


@kernel
@no_type_check
def _hold(old, new, free):
    for x in range(len(free)):
        new[x + 1] = new[x + 1] * free[x] + old[x + 1] * (np.float32(1) - free[x])


@kernel
@no_type_check
def _sums_all(old, new, row, columns):
    one = np.float32(1)
    for x in range(len(row)):
        inside = np.float32(1) if new[x + 1] > 0 else np.float32(0)
        value = row[x]
        change = (new[x + 1] - old[x + 1]) / (one + new[x + 1] * new[x + 1])
        columns[0, x] += inside
        columns[1, x] += inside * value
        columns[2, x] += inside * value * value
        columns[3, x] += change * change


@kernel
@no_type_check
def _sums(old, new, row, free, columns):
    one = np.float32(1)
    for x in range(len(row)):
        inside = free[x] if new[x + 1] > 0 else np.float32(0)
        value = row[x]
        change = (new[x + 1] - old[x + 1]) / (one + new[x + 1] * new[x + 1])
        columns[0, x] += inside
        columns[1, x] += inside * value
        columns[2, x] += inside * value * value
        columns[3, x] += change * change
