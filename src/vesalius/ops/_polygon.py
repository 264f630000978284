"""Filling polygons on a plane lattice: by the centre of each pixel, or by the area it shares."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import GeometryError, ShapeError
from vesalius.ops._jit import kernel

Policy = Literal["centre", "area"]
"""What makes a pixel belong: its centre lies inside, or at least half of its area does."""

_SAME = 1e-9
_FAR = 1e12
_LISTED = 1 << 26
_WORK = 1 << 26


def fill_polygons(
    points: Float[Tensor, "n 2"],
    starts: Int[Tensor, " k"],
    shape: tuple[int, int],
    policy: Policy = "centre",
) -> Bool[Tensor, "y x"]:
    """Fill closed polygons by the even-odd rule: what an odd number of them encloses is inside.

    A hole is a polygon inside another; a key-hole (a hole joined to the outer boundary by an edge
    that is walked there and back) is filled alike. The boundary is half-open: a centre that lies
    exactly on it belongs to the polygon at larger y, or at equal y at larger x. So polygons that
    share an edge neither overlap nor leave a gap.

    Args:
        points: (n, 2) float64 vertices (y, x), samples; pixel centres lie at whole numbers. The
            polygons follow each other; the last vertex of each is joined to its first.
        starts: (k,) index of the first vertex of each polygon, ascending, beginning with 0.
        shape: Number of pixels along (y, x). Polygons may leave it.
        policy: ``"centre"``; or ``"area"``: more than half of the pixel's area lies inside, its
            centre deciding where it is half. The area is exact, crossing edges included.

    Returns:
        (y, x), True inside, on the CPU.

    Raises:
        ShapeError: The starts do not fit the points.
        GeometryError: A vertex is not finite or absurdly far away, or edges cross so often that
            their areas would take seconds.
    """
    edges = _checked_edges(points, starts)
    inside = np.zeros(shape, np.uint8)
    _fill_centres(edges, inside)
    if policy == "area":
        order = np.argsort(edges[:, 0], kind="stable")
        if not _fill_areas(edges[order], inside):
            raise GeometryError(
                "polygons must cross less often for policy='area', "
                f"{len(edges)} edges on {shape[0]} x {shape[1]} pixels do so too often: "
                "use policy='centre', or simplify them"
            )
    return torch.from_numpy(inside.view(np.bool_))


def inside_polygons(
    at: Float[Tensor, "m 2"], points: Float[Tensor, "n 2"], starts: Int[Tensor, " k"]
) -> Bool[Tensor, " m"]:
    """Say which points of a plane lie inside polygons, by the rule of ``fill_polygons``.

    Args:
        at: (m, 2) float64 (y, x).
        points: See ``fill_polygons``.
        starts: See ``fill_polygons``.

    Returns:
        (m,), on the CPU.

    Raises:
        ShapeError: The starts do not fit the points.
        GeometryError: A vertex is not finite or absurdly far away.
    """
    edges = _checked_edges(points, starts)
    where = at.detach().cpu().double().contiguous().numpy()
    if not len(edges) or not len(where):
        return torch.zeros(len(where), dtype=torch.bool)
    return torch.from_numpy(_test(where, edges, *_bins(edges)))


def _checked_edges(points: Tensor, starts: Tensor) -> NDArray[np.float64]:
    first = starts.cpu().numpy().astype(np.int64)
    n = len(points)
    if len(first) and (first[0] != 0 or (np.diff(first) < 0).any() or first[-1] > n):
        raise ShapeError(
            f"starts must ascend from 0 to at most {n}, the number of points, "
            f"got {first.tolist()[:8]}: give the first vertex of each polygon"
        )
    if n and not float(points.abs().max()) <= _FAR:
        raise GeometryError(
            f"points must be finite and within {_FAR:g} samples, the farthest is at "
            f"{float(points.abs().max()):g}: check the file they are from"
        )
    plain = points.detach().cpu().double().contiguous().numpy()
    edges: NDArray[np.float64] = _edges(plain, np.append(first, n))
    return edges


@kernel
@no_type_check
def _edges(points, starts):
    """List edges as (low y, its x, high y, its x), level ones left out.

    The end with the smaller y comes first, whichever way the polygon runs, so that two polygons
    that share an edge compute the same crossings.
    """
    out = np.empty((len(points), 4))
    n = 0
    for k in range(len(starts) - 1):
        for i in range(starts[k], starts[k + 1]):
            j = i + 1 if i + 1 < starts[k + 1] else starts[k]
            a, b = points[i], points[j]
            if a[0] == b[0]:
                continue
            low, high = (a, b) if a[0] < b[0] else (b, a)
            out[n, 0], out[n, 1], out[n, 2], out[n, 3] = low[0], low[1], high[0], high[1]
            n += 1
    return out[:n]


@kernel
@no_type_check
def _bins(edges):
    """Sort edges into bands of equal height: the edges of band b are listed[ends[b]:ends[b + 1]].

    Gives the list, its ends, the lowest height and the height of a band.
    """
    n = len(edges)
    low, high = edges[0, 0], edges[0, 2]
    for e in range(n):
        low, high = min(low, edges[e, 0]), max(high, edges[e, 2])
    bands = max(1, min(n, 256, _LISTED // n))
    size = (high - low) / bands
    ends = np.zeros(bands + 1, np.int64)
    first, last = np.empty(n, np.int64), np.empty(n, np.int64)
    for e in range(n):
        # one band more on each side: rounding must not lose an edge
        first[e] = max(0, int((edges[e, 0] - low) / size) - 1)
        last[e] = min(bands - 1, int((edges[e, 2] - low) / size) + 1)
        for b in range(first[e], last[e] + 1):
            ends[b + 1] += 1
    for b in range(bands):
        ends[b + 1] += ends[b]
    listed, at = np.empty(ends[bands], np.int64), ends.copy()
    for e in range(n):
        for b in range(first[e], last[e] + 1):
            listed[at[b]] = e
            at[b] += 1
    return listed, ends, low, size


@kernel
@no_type_check
def _test(where, edges, listed, ends, low, size):
    inside = np.zeros(len(where), np.bool_)
    bands = len(ends) - 1
    for i in range(len(where)):
        y, x = where[i, 0], where[i, 1]
        if not low <= y <= low + size * bands:
            continue
        band = min(bands - 1, int((y - low) / size))
        odd = False
        for k in range(ends[band], ends[band + 1]):
            e = edges[listed[k]]
            if e[0] <= y < e[2]:
                odd ^= x >= e[1] + (y - e[0]) / (e[2] - e[0]) * (e[3] - e[1])
        inside[i] = odd
    return inside


@kernel
@no_type_check
def _fill_centres(edges, inside):
    rows, columns = inside.shape
    for e in range(len(edges)):
        low, x_low, high, x_high = edges[e]
        first = max(0.0, np.ceil(low))
        last = min(float(rows), np.ceil(high))
        for y in range(int(first), int(last)):
            x = np.ceil(x_low + (y - low) / (high - low) * (x_high - x_low))
            if x < columns:
                inside[y, int(max(x, 0.0))] ^= 1
    for y in range(rows):
        odd = np.uint8(0)
        for x in range(columns):
            odd = np.uint8(odd ^ inside[y, x])
            inside[y, x] = odd


@kernel
@no_type_check
def _fill_areas(edges, inside):
    """Replace the centres' answer by that of the areas; edges in ascending order of low y.

    Gives whether that took no more than the bound on work.
    """
    rows, columns = inside.shape
    cover, jump = np.empty(columns), np.empty(columns)
    active = np.empty(len(edges), np.int64)
    n, next_edge, left = 0, 0, _WORK
    for y in range(rows):
        top, bottom = y - 0.5, y + 0.5
        while next_edge < len(edges) and edges[next_edge, 0] < bottom:
            active[n] = next_edge
            n, next_edge = n + 1, next_edge + 1
        kept = 0
        for i in range(n):
            if edges[active[i], 2] > top:
                active[kept] = active[i]
                kept += 1
        n = kept
        cover[:], jump[:] = 0.0, 0.0
        if n > 0:
            left = _cover_row(edges[active[:n]], top, bottom, cover, jump, left)
            if left < 0:
                return False
        full = 0.0
        for x in range(columns):
            full += jump[x]
            share = cover[x] + full
            if abs(share - 0.5) > _SAME:
                inside[y, x] = share > 0.5
    return True


@kernel
@no_type_check
def _cover_row(edges, top, bottom, cover, jump, left):
    """Add up the area inside each pixel of a row, in bands in which no two edges cross.

    Gives what is left of the bound on work, negative where that was not enough.
    """
    found, left = _crossings(edges, top, bottom, left)
    if left < 0:
        return left
    cuts = _cuts(edges, top, bottom, found)
    n = len(edges)
    active, near = np.empty(n, np.int64), 0
    middle, ends = np.empty(n), np.empty((n, 2))
    next_edge = 0
    for k in range(len(cuts) - 1):
        a, b = cuts[k], cuts[k + 1]
        while next_edge < n and edges[next_edge, 0] <= a:
            active[near] = next_edge
            near, next_edge = near + 1, next_edge + 1
        left -= near
        if left < 0:
            return left
        count = 0
        for i in range(near):
            e = active[i]
            if edges[e, 2] >= b:
                active[count] = e
                ends[count, 0], ends[count, 1] = _at(edges[e], a), _at(edges[e], b)
                middle[count] = ends[count, 0] + ends[count, 1]
                count += 1
        near = count
        order = np.argsort(middle[:count])
        for rank in range(count):
            sign = 1.0 if rank % 2 == 0 else -1.0
            _cover_right(ends[order[rank]], sign * (b - a), cover, jump)
    return left


@kernel
@no_type_check
def _cuts(edges, top, bottom, found):
    """List, ascending, the heights in a row at which an edge ends or two edges cross."""
    for i in range(len(edges)):
        if top < edges[i, 0] < bottom:
            found.append(edges[i, 0])
        if top < edges[i, 2] < bottom:
            found.append(edges[i, 2])
    found.append(top)
    found.append(bottom)
    return np.unique(np.array(found))


@kernel
@no_type_check
def _crossings(edges, top, bottom, left):
    """List the heights in a row at which two edges cross; sweep along x, so that few are tried."""
    n = len(edges)
    spans = np.empty((n, 2))
    for i in range(n):
        a = _at(edges[i], max(top, edges[i, 0]))
        b = _at(edges[i], min(bottom, edges[i, 2]))
        spans[i, 0], spans[i, 1] = min(a, b), max(a, b)
    active, near = np.empty(n, np.int64), 0
    found = [top]
    for i in np.argsort(spans[:, 0]):
        slope = (edges[i, 3] - edges[i, 1]) / (edges[i, 2] - edges[i, 0])
        left -= near
        if left < 0:
            return found, left
        kept = 0
        for k in range(near):
            j = active[k]
            if spans[j, 1] < spans[i, 0]:
                continue
            active[kept] = j
            kept += 1
            other = (edges[j, 3] - edges[j, 1]) / (edges[j, 2] - edges[j, 0])
            if slope == other:
                continue
            at = edges[i, 1] - slope * edges[i, 0] - (edges[j, 1] - other * edges[j, 0])
            y = at / (other - slope)
            low = max(top, edges[i, 0], edges[j, 0])
            if low < y < min(bottom, edges[i, 2], edges[j, 2]):
                found.append(y)
        active[kept] = i
        near = kept + 1
    return found, left


@kernel
@no_type_check
def _at(edge, y):
    """Where an edge is at a height."""
    return edge[1] + (y - edge[0]) / (edge[2] - edge[0]) * (edge[3] - edge[1])


@kernel
@no_type_check
def _cover_right(ends, height, cover, jump):
    """Add to each pixel the share of it that lies right of an edge across a band.

    From the first pixel on that lies right of it as a whole, the share is told once, as a jump.
    """
    low, high = min(ends[0], ends[1]), max(ends[0], ends[1])
    columns = len(cover)
    first = int(min(max(np.floor(low + 0.5), 0.0), columns))
    for x in range(first, columns):
        right, left = x + 0.5 - low, x + 0.5 - high
        if left >= 1.0:
            jump[x] += height
            return
        if right - left < _SAME:
            cover[x] += height * min(max(0.5 * (left + right), 0.0), 1.0)
        else:
            cover[x] += height * (_ramp(right) - _ramp(left)) / (right - left)


@kernel
@no_type_check
def _ramp(u):
    """The integral of a ramp that rises from 0 to 1 on the way from 0 to 1."""
    if u <= 0.0:
        return 0.0
    return u * u / 2 if u < 1.0 else u - 0.5
