"""Summits that stand out: maxima of a relief that rise a given height above every pass."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._jit import kernel


def h_maxima(
    height: Shaped[Tensor, "z y x"], h: float, mask: Bool[Tensor, "z2 y2 x2"] | None = None
) -> Int[Tensor, "z y x"]:
    """Number the summits from which one must go down by ``h`` or more to reach a higher one.

    Voxels that share a face, an edge or a corner are neighbours. Summits of one height with a
    shallower pass between them have one number.

    Args:
        height: (z, y, x) real; integers below 2^53 are exact.
        h: Smallest height above the highest pass, positive, in the unit of the height.
        mask: Where to look; everywhere if absent.

    Returns:
        (z, y, x) int32: summits from 1 on in raster order of their first voxel, else 0. Each
        connected part of the mask has at least one.

    Raises:
        ConfigError: ``h`` is not positive.
        ShapeError: The shapes differ.

    References:
        Soille (2003), Morphological Image Analysis, section 6.3.4; by the persistence of each
        maximum in a union of voxels in falling order, instead of a reconstruction.
    """
    if not 0 < h < np.inf:
        raise ConfigError(
            f"h must be a positive height, got {h}: a tiny one keeps all regional maxima"
        )
    if mask is not None and mask.shape != height.shape:
        raise ShapeError(
            f"mask must have the shape of the height {tuple(height.shape)}, got {tuple(mask.shape)}"
        )
    values = height.detach().cpu().numpy().astype(np.float64)
    inside = np.ones(values.shape, bool) if mask is None else mask.cpu().numpy()
    at = np.flatnonzero(inside)
    falling = at[np.argsort(-values.reshape(-1)[at], kind="stable")]
    summits = np.zeros(values.shape, np.int32)
    _climb(values.reshape(-1), falling, np.array(values.shape), float(h), summits.reshape(-1))
    return torch.from_numpy(summits).to(height.device)


@kernel
@no_type_check
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
@no_type_check
def _climb(values, falling, size, h, summits):
    """Add voxels from high to low; a hill is closed where it meets a higher one, h below its top.

    ``parent`` joins voxels into hills; its roots know their first voxel (``top``). ``twin`` joins
    first voxels of one summit; ``kept`` marks those that stand out.
    """
    n = len(values)
    parent = np.full(n, -1, np.int32)
    top = np.empty(n, np.int32)
    peak = np.full(n, -1, np.int32)
    twin = np.arange(n).astype(np.int32)
    kept = np.zeros(n, np.bool_)
    near = np.empty(26, np.int64)
    for i in falling:
        level = values[i]
        parent[i], top[i], peak[i] = i, i, i
        for k in range(_neighbours(i, size, near)):
            if parent[near[k]] < 0:
                continue
            a, b = _root(parent, near[k]), _root(parent, i)
            if a == b:
                continue
            if values[top[a]] > values[top[b]]:
                a, b = b, a
            # a is the lower hill
            one, two = _root(twin, top[a]), _root(twin, top[b])
            if values[one] - level >= h:
                kept[one] = True
            elif values[one] == values[two]:
                kept[two] |= kept[one]
                twin[one] = two
            parent[a] = b
        if values[top[_root(parent, i)]] > level:
            peak[i] = -1
        else:
            peak[i] = top[_root(parent, i)]
    for i in falling:
        if parent[i] == i:
            kept[_root(twin, top[i])] = True
    _count(peak, twin, kept, summits)


@kernel
@no_type_check
def _count(peak, twin, kept, summits):
    name = np.zeros(len(peak), np.int32)
    count = 0
    for i in range(len(peak)):
        if peak[i] < 0:
            continue
        root = _root(twin, peak[i])
        if not kept[root]:
            continue
        if name[root] == 0:
            count += 1
            name[root] = count
        summits[i] = name[root]


@kernel
@no_type_check
def _neighbours(i, size, near):
    """List the flat indices of the up to 26 neighbours inside the block; give their number."""
    nz, ny, nx = size[0], size[1], size[2]
    z, y, x = i // (ny * nx), i // nx % ny, i % nx
    count = 0
    for c in range(max(z - 1, 0), min(z + 2, nz)):
        for b in range(max(y - 1, 0), min(y + 2, ny)):
            for a in range(max(x - 1, 0), min(x + 2, nx)):
                j = (c * ny + b) * nx + a
                if j != i:
                    near[count] = j
                    count += 1
    return count
