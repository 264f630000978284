"""Four regions by two level sets, row by row: one step of both, sums over the regions."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np

from vesalius.ops._chan_vese_loops import row
from vesalius.ops._jit import kernel


@kernel
@no_type_check
def step(old, new, image, free, flow, means):
    """Make one semi-implicit step of both level sets, the second with the first already moved.

    Blocks ``old`` and ``new`` are (2, z, y, x), framed. A phase is twice the sign of the first
    level set plus that of the second. Gives (4, 3) count, sum and sum of squares of each phase,
    and the square of the change, weighted as in ``_chan_vese_loops.step``.
    """
    nz, ny, nx = image.shape
    total, change = np.zeros((4, 3)), 0.0
    push = np.empty(nx, np.float32)
    for z in range(nz):
        for y in range(ny):
            weight = free[z, y] if len(free) > 0 else free.reshape(-1)
            values = image[z, y]
            _push(values, old[1, z + 1, y + 1], means, 2, push)
            row(old[0], new[0], push, z, y, flow)
            _hold(old[0, z + 1, y + 1], new[0, z + 1, y + 1], weight)
            _push(values, new[0, z + 1, y + 1], means, 1, push)
            row(old[1], new[1], push, z, y, flow)
            _hold(old[1, z + 1, y + 1], new[1, z + 1, y + 1], weight)
            for k in range(2):
                change += _changed(old[k, z + 1, y + 1], new[k, z + 1, y + 1])
            _sums(new[0, z + 1, y + 1], new[1, z + 1, y + 1], values, weight, total)
    return total, change


@kernel
@no_type_check
def sums(phi, image, free):
    """Give (4, 3) count, sum and sum of squares of each phase."""
    total = np.zeros((4, 3))
    for z in range(image.shape[0]):
        for y in range(image.shape[1]):
            weight = free[z, y] if len(free) > 0 else free.reshape(-1)
            _sums(phi[0, z + 1, y + 1], phi[1, z + 1, y + 1], image[z, y], weight, total)
    return total


@kernel
@no_type_check
def _push(values, other, means, stride, push):
    """Say how much nearer each value is to the mean on the positive side of one level set.

    Of the phases, the first level set parts (0, 2) and (1, 3) (stride 2, by the sign of the
    other), the second one (0, 1) and (2, 3) (stride 1).
    """
    lift = 3 - stride
    for x in range(len(values)):
        base = lift if other[x + 1] > 0 else 0
        u, v = values[x] - means[base + stride], values[x] - means[base]
        push[x] = v * v - u * u


@kernel
@no_type_check
def _hold(old, new, weight):
    for x in range(len(weight)):
        new[x + 1] = new[x + 1] * weight[x] + old[x + 1] * (np.float32(1) - weight[x])


@kernel
@no_type_check
def _changed(old, new):
    total = np.float32(0)
    for x in range(1, len(old) - 1):
        d = (new[x] - old[x]) / (np.float32(1) + new[x] * new[x])
        total += d * d
    return total


@kernel
@no_type_check
def _sums(one, two, values, weight, total):
    for x in range(len(values)):
        k = (2 if one[x + 1] > 0 else 0) + (1 if two[x + 1] > 0 else 0)
        w = weight[x] if len(weight) > 0 else np.float32(1)
        total[k, 0] += w
        total[k, 1] += w * values[x]
        total[k, 2] += w * values[x] * values[x]
