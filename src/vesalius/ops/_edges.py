"""Edges: slope of a volume, its maxima across the edge, and links over gaps along the edge."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple, no_type_check

import numpy as np
from numpy.typing import NDArray

from vesalius.ops._jit import kernel

Floats = NDArray[np.float64]
Spacing = tuple[float, float, float]


class Slope(NamedTuple):
    """The gradient of a volume.

    Attributes:
        parts: (3, z, y, x) derivative along (z, y, x), per unit of the spacing.
        size: (z, y, x) length of it.
    """

    parts: Floats
    size: Floats


def sobel(x: Floats, spacing: Spacing) -> Slope:
    """Take central differences, averaged with weights 1, 2, 1 across; edges are repeated.

    Args:
        x: (z, y, x).
        spacing: Size of a sample along (z, y, x).

    Returns:
        The gradient; 0 along an axis of one sample.
    """
    parts = np.zeros((3, *x.shape))
    axes = [axis for axis in range(3) if x.shape[axis] > 1]
    for along in axes:
        part = x
        for axis in axes:
            before, here, after = _around(part, axis)
            if axis == along:
                part = (after - before) / (2 * spacing[axis])
            else:
                part = (before + 2 * here + after) / 4
        parts[along] = part
    return Slope(parts, np.sqrt((parts * parts).sum(axis=0)))


def _around(x: Floats, axis: int) -> tuple[Floats, Floats, Floats]:
    n = x.shape[axis]
    at = np.arange(n)
    before, after = (
        np.take(x, np.maximum(at - 1, 0), axis),
        np.take(x, np.minimum(at + 1, n - 1), axis),
    )
    return before, x, after


def ridge(slope: Slope, inside: NDArray[np.bool_], spacing: Spacing) -> NDArray[np.bool_]:
    """Mark where the slope is steepest along its own direction.

    The size is interpolated where the line of the gradient leaves the box of neighbours on both
    sides: linearly in a plane, bilinearly in a volume.

    Args:
        slope: From ``sobel``.
        inside: Where to look; voxels whose neighbours leave the image are never marked.
        spacing: Size of a sample along (z, y, x).

    Returns:
        (z, y, x) True on ridges one voxel thick; of two equal neighbours the later one stays.

    References:
        Canny (1986), doi:10.1109/TPAMI.1986.4767851, section V; in n dimensions, and in the world:
        where spacing differs by axis, the gradient is not the direction of an index.
    """
    out = np.zeros(inside.shape, np.bool_)
    steps = np.array(spacing, np.float64)
    _ridge(slope.parts, slope.size, inside, steps, out)
    return out


def link(
    edges: NDArray[np.bool_], chains: NDArray[np.int32], slope: Slope, gap: float, spacing: Spacing
) -> int:
    """Close gaps: draw a line from where an edge ends to the next edge along its direction.

    A voxel is an end where the edge around it lies on one side only. The next edge voxel within
    ``gap`` is taken that lies ahead (within 45 degrees), along the edge (at 60 degrees or more from
    the gradient), with a gradient within 60 degrees of that at the end.

    Args:
        edges: (z, y, x), changed in place.
        chains: Number of the connected edge of each voxel, 0 for none.
        slope: Of the image.
        gap: Longest line, in the unit of the spacing.
        spacing: Size of a sample along (z, y, x).

    Returns:
        Number of lines drawn.
    """
    spots = np.argwhere(edges).astype(np.int64)
    reach = np.array([math.floor(gap / mm) for mm in spacing], np.int64)
    steps = np.array(spacing, np.float64)
    ends = _ends(edges, chains, spots, steps)
    lines = _lines((edges, slope.parts, slope.size), spots, ends, (reach, gap), steps)
    for first, last in lines.reshape(-1, 2, 3):
        count = int(np.abs(last - first).max()) + 1
        line = np.rint(np.linspace(first, last, count)).astype(np.int64)
        edges[tuple(line.T)] = True
    return len(lines)


@kernel
@no_type_check
def _ridge(parts, size, inside, spacing, out):
    nz, ny, nx = size.shape
    step = np.empty(3)
    edge = (1 if nz > 1 else 0, 1 if ny > 1 else 0, 1 if nx > 1 else 0)
    for z in range(edge[0], nz - edge[0]):
        for y in range(edge[1], ny - edge[1]):
            for x in range(edge[2], nx - edge[2]):
                here = size[z, y, x]
                if here == 0 or not inside[z, y, x]:
                    continue
                most = 0.0
                for a in range(3):
                    step[a] = parts[a, z, y, x] / spacing[a]
                    most = max(most, abs(step[a]))
                for a in range(3):
                    step[a] /= most
                ahead = _at(size, z + step[0], y + step[1], x + step[2])
                behind = _at(size, z - step[0], y - step[1], x - step[2])
                # rounding of the interpolation must not let both of two equal neighbours go
                slack = 1e-12 * here
                out[z, y, x] = here > ahead + slack and here >= behind - slack


@kernel
@no_type_check
def _at(size, z, y, x):
    """Interpolate linearly; the position lies inside."""
    nz, ny, nx = size.shape
    a, b, c = int(np.floor(z)), int(np.floor(y)), int(np.floor(x))
    u, v, w = z - a, y - b, x - c
    total = 0.0
    for i in range(2):
        p = (1 - u) if i == 0 else u
        if p < 1e-9:
            continue
        for j in range(2):
            q = (1 - v) if j == 0 else v
            if q < 1e-9:
                continue
            for k in range(2):
                r = (1 - w) if k == 0 else w
                if r >= 1e-9:
                    total += (
                        p * q * r * size[min(a + i, nz - 1), min(b + j, ny - 1), min(c + k, nx - 1)]
                    )
    return total


@kernel
@no_type_check
def _ends(edges, chains, spots, spacing):
    """Give for each edge voxel the direction out of its edge; 0 where it goes on on both sides."""
    nz, ny, nx = edges.shape
    out = np.zeros((len(spots), 3))
    for s in range(len(spots)):
        z, y, x = spots[s, 0], spots[s, 1], spots[s, 2]
        total, count, longest = np.zeros(3), 0, 0.0
        for a in range(max(z - 3, 0), min(z + 4, nz)):
            for b in range(max(y - 3, 0), min(y + 4, ny)):
                for c in range(max(x - 3, 0), min(x + 4, nx)):
                    if chains[a, b, c] == chains[z, y, x]:
                        to = (spacing[0] * (a - z), spacing[1] * (b - y), spacing[2] * (c - x))
                        for k in range(3):
                            total[k] -= to[k]
                        far = np.sqrt(to[0] ** 2 + to[1] ** 2 + to[2] ** 2)
                        longest = max(longest, far)
                        count += 1
        total /= count
        one_sided = np.sqrt((total * total).sum())
        if longest > 0 and one_sided > 0.3 * longest:
            out[s] = total / one_sided
    return out


@kernel
@no_type_check
def _lines(scene, spots, ends, reach_gap, spacing):
    edges, parts, size = scene
    reach, gap = reach_gap
    nz, ny, nx = edges.shape
    lines = np.empty((len(spots), 6), np.int64)
    drawn = 0
    to = np.empty(3)
    for s in range(len(spots)):
        end = ends[s]
        if (end * end).sum() == 0:
            continue
        z, y, x = spots[s, 0], spots[s, 1], spots[s, 2]
        best = np.inf
        for a in range(max(z - reach[0], 0), min(z + reach[0] + 1, nz)):
            for b in range(max(y - reach[1], 0), min(y + reach[1] + 1, ny)):
                for c in range(max(x - reach[2], 0), min(x + reach[2] + 1, nx)):
                    near = max(abs(a - z), abs(b - y), abs(c - x)) <= 1
                    if near or not edges[a, b, c] or size[a, b, c] == 0:
                        continue
                    to[0], to[1], to[2] = a - z, b - y, c - x
                    to *= spacing
                    far = np.sqrt((to * to).sum())
                    if far > gap or far >= best or (to * end).sum() < 0.7 * far:
                        continue
                    across, alike = 0.0, 0.0
                    for k in range(3):
                        across += parts[k, z, y, x] * to[k]
                        alike += parts[k, z, y, x] * parts[k, a, b, c]
                    if abs(across) > 0.5 * far * size[z, y, x]:
                        continue
                    if alike < 0.5 * size[z, y, x] * size[a, b, c]:
                        continue
                    best = far
                    lines[drawn] = (z, y, x, a, b, c)
        if best < np.inf:
            drawn += 1
    return lines[:drawn].copy()
