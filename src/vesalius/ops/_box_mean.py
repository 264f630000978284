"""Sums over boxes around each sample, by running sums: as fast for large boxes as for small."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._jit import kernel

Radii = tuple[int, int, int]


def box_sum(x: Float64[Tensor, "z y x"], radii: Radii) -> Float64[Tensor, "z y x"]:
    """Sum over the box around each sample; beyond the edges the samples are mirrored.

    Args:
        x: (z, y, x) float64.
        radii: Samples on each side along (z, y, x); an axis of one sample is left alone.

    Returns:
        The sums, same shape.

    Raises:
        ConfigError: A radius is negative.
    """
    if min(radii) < 0:
        raise ConfigError(f"radii of a box must be at least 0 samples, got {radii}")
    out = x.detach().cpu().contiguous().numpy()
    for axis, radius in enumerate(radii):
        n = out.shape[axis]
        if n == 1 or radius == 0:
            continue
        at = np.arange(-radius - 1, n + radius) % (2 * n)
        mirrored = np.minimum(at, 2 * n - 1 - at)
        before, after = out.shape[:axis], out.shape[axis + 1 :]
        lines = out.reshape(int(np.prod(before)), n, int(np.prod(after)))
        summed = np.empty_like(lines)
        _run(lines, mirrored, 2 * radius + 1, summed)
        out = summed.reshape(out.shape)
    return torch.from_numpy(out if out.base is not None or out.flags.owndata else out.copy())


@kernel
@no_type_check
def _run(lines, mirrored, width, out):
    total = np.empty(lines.shape[2])
    for k in range(lines.shape[0]):
        total[:] = 0.0
        for j in range(width):
            line = lines[k, mirrored[j]]
            for i in range(len(line)):
                total[i] += line[i]
        for p in range(lines.shape[1]):
            gone, come, to = lines[k, mirrored[p]], lines[k, mirrored[p + width]], out[k, p]
            for i in range(len(to)):
                total[i] += come[i] - gone[i]
                to[i] = total[i]
