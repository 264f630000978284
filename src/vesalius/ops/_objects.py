"""Many objects of one label image in one pass each: moments, borders, hulls, touching pairs.

Everything here takes ranks 0 (background) to n; whoever calls maps label values to ranks.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
import numpy.typing as npt

from vesalius.ops._jit import kernel

Array = npt.NDArray[Any]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Lattices:
    """Where each of n objects lies, in samples.

    Attributes:
        count: (n,) samples.
        low: (n, 3) first sample along (z, y, x).
        high: (n, 3) one past the last.
        centre: (n, 3) mean position.
        covariance: (n, 3, 3) of the positions, divided by the count; in units of the spacing.
    """

    count: Array
    low: Array
    high: Array
    centre: Array
    covariance: Array


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """What one channel is inside each of n objects.

    Attributes:
        low: (n,) smallest sample.
        high: (n,) largest.
        total: (n,) sum.
        squares: (n,) sum of squared deviations from the mean.
        centre: (n, 3) mean position weighted by the samples; NaN where they add up to 0.
    """

    low: Array
    high: Array
    total: Array
    squares: Array
    centre: Array


@dataclass(frozen=True, slots=True, eq=False)
class Hulls:
    """The convex hull of the pixels of each of n flat objects, in samples.

    Attributes:
        count: (n,) pixels whose centre lies in the hull of the middles of all pixel edges.
        feret: (n,) largest distance across the pixels of the hull, in units of the spacing.
    """

    count: Array
    feret: Array


def lattices(ranks: Array, n: int, spacing: Spacing) -> Lattices:
    """Count samples, and sum positions and their products about the centre.

    Args:
        ranks: (z, y, x) int32, 0 to n.
        n: Number of objects; each must have a sample.
        spacing: Of the covariance.

    Returns:
        The moments.
    """
    count, low, high, sums = _first_sums(ranks, n)
    centre = sums / count[:, None]
    scatter = _second_sums(ranks, centre)
    step = np.asarray(spacing)
    covariance = scatter / count[:, None, None] * step[:, None] * step[None, :]
    return Lattices(count, low, high, centre, covariance)


def levels(values: Array, ranks: Array, count: Array) -> Levels:
    """Sum one channel over each object.

    Args:
        values: (z, y, x), any real type.
        ranks: (z, y, x) int32, 0 to n.
        count: (n,) samples of each object.

    Returns:
        Extremes, sums and weighted centres, float64.
    """
    low, high, total, places = _level_sums(values, ranks, len(count))
    squares = _square_sums(values, ranks, total / count)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.where(total[:, None] != 0, places / total[:, None], np.nan)
    return Levels(low, high, total, squares, centre)


def perimeters(ranks: Array, n: int) -> Array:
    """Estimate the perimeter of flat objects from the neighbours of their border pixels.

    Benkrid & Crookes (2000), "Design and FPGA implementation of a perimeter estimator": pixels of
    the 4-connected border count 1, sqrt 2 or (1 + sqrt 2) / 2 by how they follow each other.

    Args:
        ranks: (1, y, x) int32.
        n: Number of objects.

    Returns:
        (n,) in pixels.
    """
    found: Array = _perimeters(ranks[0], _borders(ranks[0]), n)
    return found


def euler_numbers(ranks: Array, n: int) -> Array:
    """Count pieces less holes of flat objects, 8-connected (bit quads, Gray 1971).

    Args:
        ranks: (1, y, x) int32.
        n: Number of objects.

    Returns:
        (n,) integers.
    """
    found: Array = _euler(ranks[0], n)
    return found


def hulls(ranks: Array, found: Lattices, spacing: Spacing) -> Hulls:
    """Wrap the pixels of each flat object.

    Args:
        ranks: (1, y, x) int32.
        found: Boxes of the objects.
        spacing: Of the diameter.

    Returns:
        Pixels in the hull, and the largest distance across them.
    """
    return Hulls(*_hulls(ranks[0], found.low, found.high, spacing[1], spacing[2]))


def touching(ranks: Array) -> Array:
    """List the pairs of objects that touch by a face, an edge or a corner.

    Args:
        ranks: (z, y, x) int32.

    Returns:
        (m, 2) ranks, the smaller first, each pair once.
    """
    pairs = _pairs(ranks)
    if not len(pairs):
        return np.zeros((0, 2), np.int64)
    found: Array = np.unique(pairs, axis=0)
    return found


@kernel
@no_type_check
def _first_sums(ranks, n):
    count = np.zeros(n, np.int64)
    low = np.full((n, 3), 1 << 60, np.int64)
    high = np.zeros((n, 3), np.int64)
    sums = np.zeros((n, 3))
    for z in range(ranks.shape[0]):
        for y in range(ranks.shape[1]):
            for x in range(ranks.shape[2]):
                k = ranks[z, y, x] - 1
                if k < 0:
                    continue
                count[k] += 1
                sums[k, 0] += z
                sums[k, 1] += y
                sums[k, 2] += x
                low[k, 0] = min(low[k, 0], z)
                low[k, 1] = min(low[k, 1], y)
                low[k, 2] = min(low[k, 2], x)
                high[k, 0] = max(high[k, 0], z + 1)
                high[k, 1] = max(high[k, 1], y + 1)
                high[k, 2] = max(high[k, 2], x + 1)
    return count, low, high, sums


@kernel
@no_type_check
def _second_sums(ranks, centre):
    scatter = np.zeros((len(centre), 3, 3))
    for z in range(ranks.shape[0]):
        for y in range(ranks.shape[1]):
            for x in range(ranks.shape[2]):
                k = ranks[z, y, x] - 1
                if k < 0:
                    continue
                d = (z - centre[k, 0], y - centre[k, 1], x - centre[k, 2])
                for i in range(3):
                    for j in range(3):
                        scatter[k, i, j] += d[i] * d[j]
    return scatter


@kernel
@no_type_check
def _level_sums(values, ranks, n):
    low = np.full(n, np.inf)
    high = np.full(n, -np.inf)
    total = np.zeros(n)
    places = np.zeros((n, 3))
    for z in range(ranks.shape[0]):
        for y in range(ranks.shape[1]):
            for x in range(ranks.shape[2]):
                k = ranks[z, y, x] - 1
                if k < 0:
                    continue
                v = np.float64(values[z, y, x])
                low[k] = min(low[k], v)
                high[k] = max(high[k], v)
                total[k] += v
                places[k, 0] += v * z
                places[k, 1] += v * y
                places[k, 2] += v * x
    return low, high, total, places


@kernel
@no_type_check
def _square_sums(values, ranks, mean):
    squares = np.zeros(len(mean))
    for z in range(ranks.shape[0]):
        for y in range(ranks.shape[1]):
            for x in range(ranks.shape[2]):
                k = ranks[z, y, x] - 1
                if k >= 0:
                    d = np.float64(values[z, y, x]) - mean[k]
                    squares[k] += d * d
    return squares


@kernel
@no_type_check
def _borders(ranks):
    rows, columns = ranks.shape
    border = np.zeros((rows, columns), np.uint8)
    for y in range(rows):
        for x in range(columns):
            k = ranks[y, x]
            if k == 0:
                continue
            inner = (
                y > 0
                and x > 0
                and y < rows - 1
                and x < columns - 1
                and ranks[y - 1, x] == k
                and ranks[y + 1, x] == k
                and ranks[y, x - 1] == k
                and ranks[y, x + 1] == k
            )
            border[y, x] = not inner
    return border


@kernel
@no_type_check
def _perimeters(ranks, border, n):
    rows, columns = ranks.shape
    root = np.sqrt(2.0)
    found = np.zeros(n)
    for y in range(rows):
        for x in range(columns):
            if border[y, x] == 0:
                continue
            k = ranks[y, x]
            code = 1
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    j, i = y + dy, x + dx
                    if (dy == 0 and dx == 0) or j < 0 or i < 0 or j >= rows or i >= columns:
                        continue
                    if border[j, i] and ranks[j, i] == k:
                        code += 2 if dy == 0 or dx == 0 else 10
            if code == 5 or code == 7 or code == 15 or code == 17 or code == 25 or code == 27:
                found[k - 1] += 1.0
            elif code == 21 or code == 33:
                found[k - 1] += root
            elif code == 13 or code == 23:
                found[k - 1] += (1.0 + root) / 2.0
    return found


@kernel
@no_type_check
def _euler(ranks, n):
    """Sum quads of each object: those with one pixel, with three, with two on a diagonal."""
    rows, columns = ranks.shape
    quads = np.zeros(n, np.int64)
    four = np.zeros(4, ranks.dtype)
    for y in range(-1, rows):
        for x in range(-1, columns):
            for s in range(4):
                j, i = y + s // 2, x + s % 2
                outside = j < 0 or i < 0 or j >= rows or i >= columns
                four[s] = 0 if outside else ranks[j, i]
            for s in range(4):
                k = four[s]
                again = False
                for t in range(s):
                    again = again or four[t] == k
                if k == 0 or again:
                    continue
                same = 0
                for t in range(4):
                    same += four[t] == k
                if same == 1:
                    quads[k - 1] += 1
                elif same == 3:
                    quads[k - 1] -= 1
                elif (same == 2 and s == 0 and four[3] == k) or (
                    same == 2 and s == 1 and four[2] == k
                ):
                    quads[k - 1] -= 2
    return quads // 4


@kernel
@no_type_check
def _hulls(ranks, low, high, dy, dx):
    n = len(low)
    count = np.zeros(n, np.int64)
    feret = np.zeros(n)
    for k in range(n):
        top, bottom = low[k, 1], high[k, 1]
        first = np.full(bottom - top, -1, np.int64)
        last = np.full(bottom - top, -1, np.int64)
        for y in range(top, bottom):
            for x in range(low[k, 2], high[k, 2]):
                if ranks[y, x] == k + 1:
                    if first[y - top] < 0:
                        first[y - top] = x
                    last[y - top] = x
        corners = _wrap(_edges(first, last))
        for r in range(bottom - top):
            a, b = _cross(corners, 2.0 * r)
            # half samples to samples; a centre on the hull itself is in it
            first[r] = np.int64(np.ceil(a / 2.0 - 1e-9))
            last[r] = np.int64(np.floor(b / 2.0 + 1e-9))
            count[k] += last[r] - first[r] + 1
        around = _wrap(_edges(first, last))
        for i in range(len(around)):
            for j in range(i):
                p = (around[i, 0] - around[j, 0]) * 0.5 * dy
                q = (around[i, 1] - around[j, 1]) * 0.5 * dx
                feret[k] = max(feret[k], np.sqrt(p * p + q * q))
    return count, feret


@kernel
@no_type_check
def _edges(first, last):
    """List the middles of the outer edges of the end pixels of each row, in half samples."""
    points = np.zeros((6 * len(first), 2), np.int64)
    m = 0
    for r in range(len(first)):
        if first[r] < 0:
            continue
        for x in (first[r], last[r]):
            points[m] = np.array((2 * r - 1, 2 * x))
            points[m + 1] = np.array((2 * r + 1, 2 * x))
            m += 2
        points[m] = np.array((2 * r, 2 * first[r] - 1))
        points[m + 1] = np.array((2 * r, 2 * last[r] + 1))
        m += 2
    return points[:m]


@kernel
@no_type_check
def _wrap(points):
    """Find the corners of the convex hull of points (Andrew 1979), exact in integers."""
    width = points[:, 1].max() - points[:, 1].min() + 1
    start = points[:, 1].min()
    order = np.argsort(points[:, 0] * width + (points[:, 1] - start))
    n = len(points)
    hull = np.zeros((2 * n + 2, 2), np.int64)
    m = 0
    for side in range(2):
        floor = m + 1
        for s in range(n):
            p = points[order[s] if side == 0 else order[n - 1 - s]]
            while m > floor and _turn(hull[m - 2], hull[m - 1], p) <= 0:
                m -= 1
            hull[m] = p
            m += 1
        m -= 1
    return hull[:m]


@kernel
@no_type_check
def _turn(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@kernel
@no_type_check
def _cross(corners, y):
    """Find where a row enters and leaves a convex polygon."""
    low, high = np.inf, -np.inf
    n = len(corners)
    for i in range(n):
        y0, x0 = corners[i, 0], corners[i, 1]
        y1, x1 = corners[(i + 1) % n, 0], corners[(i + 1) % n, 1]
        if (y0 - y) * (y1 - y) > 0:
            continue
        if y0 == y1:
            low, high = min(low, x0, x1), max(high, x0, x1)
        else:
            x = x0 + (x1 - x0) * (y - y0) / (y1 - y0)
            low, high = min(low, x), max(high, x)
    return low, high


@kernel
@no_type_check
def _pairs(ranks):
    """List neighbours of different rank over half of the 26 directions, with repeats."""
    depth, rows, columns = ranks.shape
    found = np.zeros((1024, 2), np.int64)
    m = 0
    for z in range(depth):
        for y in range(rows):
            for x in range(columns):
                k = ranks[z, y, x]
                if k == 0:
                    continue
                for way in range(14, 27):
                    c, b, a = z + way // 9 - 1, y + (way // 3) % 3 - 1, x + way % 3 - 1
                    if b < 0 or a < 0 or c >= depth or b >= rows or a >= columns:
                        continue
                    other = ranks[c, b, a]
                    if other == 0 or other == k:
                        continue
                    if m == len(found):
                        found = np.concatenate((found, np.zeros_like(found)))
                    found[m, 0], found[m, 1] = min(k, other), max(k, other)
                    m += 1
    return found[:m]
