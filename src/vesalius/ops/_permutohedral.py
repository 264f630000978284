"""Gaussian filtering of scattered points in few dimensions, on the permutohedral lattice."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Any, final, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import IntensityError
from vesalius.ops._jit import kernel

Points = Float[Tensor, "n d"]

_FAR = 1 << 28
"""Lattice coordinates stay below this, so that whole numbers of 32 bits hold them."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class PermutohedralLattice:
    """Where points lie among the vertices of the lattice; made by :func:`permutohedral`.

    Attributes:
        corner: Vertex number of the corners of the simplex that each point lies in.
        share: Barycentric weight of each corner; rows add up to 1.
        beside: Number of the two neighbours of each vertex along each direction; 0 where none.
        vertices: How many there are; number 0 is none.
    """

    corner: Any  # (n, d + 1) int32 array
    share: Any  # (n, d + 1) float32 array
    beside: Any  # (d + 1, vertices + 1, 2) int32 array
    vertices: int

    def blur(self, values: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Sum the values of all points, weighted by exp(-distance^2 / 2), up to one factor.

        The factor is the same for all points: divide by the blur of ones for a mean. The kernel
        is a B-spline-like one, within a few percent of the Gaussian's peak.

        Args:
            values: One row per point.

        Returns:
            Same shape and dtype; the work is done in float32.
        """
        rows = np.ascontiguousarray(values.detach().cpu().float().numpy())
        out = _blur(rows, self.corner, self.share, self.beside)
        return torch.from_numpy(out).to(values)


def permutohedral(x: Points) -> PermutohedralLattice:
    """Place points on the lattice.

    Args:
        x: Positions, in standard deviations of the Gaussian along each axis.

    Returns:
        The lattice; it filters any number of values at these points.

    Raises:
        IntensityError: A position is not finite, or farther than 2^28 deviations from the origin.

    References:
        Adams, Baek & Davis (2010), doi:10.1111/j.1467-8659.2009.01645.x.
    """
    points = np.ascontiguousarray(x.detach().cpu().double().numpy())
    if not np.isfinite(points).all() or (points.size and np.abs(points).max() * 8 > _FAR):
        raise IntensityError(
            "positions must be finite and below 2^25 standard deviations: scale them first"
        )
    n, d = points.shape
    slots = 1 << max(4, math.ceil(math.log2(2 * n * (d + 1) + 1)))
    corner, share, keys, table = _place(points, slots)
    return PermutohedralLattice(corner, share, _neighbours(keys, table), len(keys) - 1)


@kernel
@no_type_check
def _slot(key, keys, table):
    """Find where a key stands in the table, or the free place where it belongs."""
    mixed = np.uint64(1469598103934665603)
    for c in range(len(key)):
        mixed = (mixed ^ np.uint64(key[c])) * np.uint64(1099511628211)
    mixed ^= mixed >> np.uint64(29)
    at = np.int64(mixed & np.uint64(len(table) - 1))
    while table[at] != 0:
        same = True
        for c in range(len(key)):
            if keys[table[at], c] != key[c]:
                same = False
                break
        if same:
            break
        at = (at + 1) & (len(table) - 1)
    return at


@kernel
@no_type_check
def _place(x, slots):
    """Find the simplex of each point; number the vertices from 1 as they come."""
    n, d = x.shape
    corner = np.empty((n, d + 1), dtype=np.int32)
    share = np.empty((n, d + 1), dtype=np.float32)
    keys = np.zeros((64, d), dtype=np.int32)
    table = np.zeros(slots, dtype=np.int32)
    count = 0
    high, base, rank = np.empty(d + 1), np.empty(d + 1), np.empty(d + 1, dtype=np.int64)
    weight, key = np.empty(d + 2), np.empty(d, dtype=np.int32)
    for i in range(n):
        _elevate(x[i], high)
        _round(high, base, rank)
        weight[:] = 0.0
        for j in range(d + 1):
            part = (high[j] - base[j]) / (d + 1)
            weight[d - rank[j]] += part
            weight[d + 1 - rank[j]] -= part
        weight[0] += 1.0 + weight[d + 1]
        for k in range(d + 1):
            for j in range(d):
                key[j] = int(base[j]) + (k if rank[j] <= d - k else k - (d + 1))
            at = _slot(key, keys, table)
            if table[at] == 0:
                count += 1
                if count == len(keys):
                    wider = np.zeros((2 * count, d), dtype=np.int32)
                    wider[:count] = keys
                    keys = wider
                keys[count] = key
                table[at] = count
            corner[i, k] = table[at]
            share[i, k] = weight[k]
    return corner, share, keys[: count + 1].copy(), table


@kernel
@no_type_check
def _elevate(x, high):
    """Put a point into the plane of d + 1 coordinates that add up to 0, so that sigma is 1."""
    d = len(x)
    total = 0.0
    for j in range(d, 0, -1):
        along = x[j - 1] * math.sqrt(2.0 / 3.0) * (d + 1) / math.sqrt(j * (j + 1.0))
        high[j] = total - j * along
        total += along
    high[0] = total


@kernel
@no_type_check
def _round(high, base, rank):
    """Find the nearest point of remainder 0, and the order of the differences to it."""
    d = len(high) - 1
    excess = 0
    for j in range(d + 1):
        multiple = math.floor(high[j] / (d + 1) + 0.5)
        base[j] = multiple * (d + 1)
        excess += int(multiple)
        rank[j] = 0
    for j in range(d + 1):
        for k in range(j + 1, d + 1):
            if high[j] - base[j] < high[k] - base[k]:
                rank[j] += 1
            else:
                rank[k] += 1
    for j in range(d + 1):
        rank[j] += excess
        if rank[j] < 0:
            rank[j] += d + 1
            base[j] += d + 1
        elif rank[j] > d:
            rank[j] -= d + 1
            base[j] -= d + 1


@kernel
@no_type_check
def _neighbours(keys, table):
    count, d = keys.shape
    beside = np.zeros((d + 1, count, 2), dtype=np.int32)
    key = np.empty(d, dtype=np.int32)
    for axis in range(d + 1):
        for i in range(1, count):
            for side in range(2):
                sign = 1 if side == 1 else -1
                for j in range(d):
                    key[j] = keys[i, j] + sign
                if axis < d:
                    key[axis] = keys[i, axis] - sign * d
                beside[axis, i, side] = table[_slot(key, keys, table)]
    return beside


@kernel
@no_type_check
def _blur(values, corner, share, beside):
    """Splat onto the vertices, blur (1 2 1) / 4 along each direction, slice at the points."""
    n, k = values.shape
    sides, count = corner.shape[1], beside.shape[1]
    old = np.zeros((count, k), dtype=np.float32)
    new = np.zeros((count, k), dtype=np.float32)
    for i in range(n):
        for s in range(sides):
            for c in range(k):
                old[corner[i, s], c] += share[i, s] * values[i, c]
    for axis in range(sides):
        for i in range(1, count):
            a, b = beside[axis, i, 0], beside[axis, i, 1]
            for c in range(k):  # vertex 0 is none and stays 0
                new[i, c] = np.float32(0.5) * old[i, c] + np.float32(0.25) * (old[a, c] + old[b, c])
        old, new = new, old
    out = np.zeros((n, k), dtype=np.float32)
    for i in range(n):
        for s in range(sides):
            for c in range(k):
                out[i, c] += share[i, s] * old[corner[i, s], c]
    return out
