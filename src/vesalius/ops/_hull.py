"""Convex hulls of masks and points, and the largest distance on them.

Only the ends of the rows of a mask can be corners of its hull, and of these only those that are
corners within every lattice plane; that is decided in integers, so it is exact. What is left, a
few thousand points however large the mask, goes to Qhull.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.errors import RegionError, ShapeError
from vesalius.ops._jit import kernel

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

# the surface of a voxel that stands alone: its centre and half a voxel along each axis, doubled
_OCTAHEDRON = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])

_WRAPPED = 1500  # above as many points Qhull is faster


@dataclass(frozen=True, slots=True, eq=False)
class Hull:
    """A convex polyhedron.

    Attributes:
        vertices: (n, 3) float64, its corners.
        normals: (m, 3) float64, unit normals of its faces, outwards; coplanar triangles merged.
        face_areas: (m,) float64, the area of each face.
        edges: (k, 4) int64, the two ends of each edge, by number of the vertex, and the two faces
            that meet there.
        volume: Enclosed volume.
        area: Area of the surface.
    """

    vertices: Float[Tensor, "n 3"]
    normals: Float[Tensor, "m 3"]
    face_areas: Float[Tensor, "m"]
    edges: Int[Tensor, "k 4"]
    volume: float
    area: float


def row_spans(mask: Bool[Tensor, "z y x"]) -> Int[Tensor, "2 z y"]:
    """Find the first and last voxel of each row along x; (-1, -1) where a row is empty."""
    inside = mask.detach().cpu().contiguous().numpy().view(np.uint8)
    return torch.from_numpy(_row_spans(inside))


def surface_corners(mask: Bool[Tensor, "z y x"]) -> Int[Tensor, "n 3"]:
    """List the points of the marching-cubes surface (iso 0.5) that can be corners of its hull.

    Args:
        mask: (z, y, x), True inside.

    Returns:
        Points (z, y, x) in half samples (the centre of voxel i is at 2 i); few, and exact.

    Raises:
        RegionError: The mask is empty.
    """
    spans = _row_spans(mask.detach().cpu().contiguous().numpy().view(np.uint8))
    z, y = np.nonzero(spans[0] >= 0)
    if len(z) == 0:
        raise RegionError("mask must have a voxel inside to have a hull, got an empty one")
    ends = [np.stack([z, y, spans[k, z, y]], axis=1) for k in (0, 1)]
    centres = _extreme(np.concatenate(ends).astype(np.int64) * 2)
    return torch.from_numpy(_extreme((centres[:, None] + _OCTAHEDRON).reshape(-1, 3)))


def convex_hull(points: Float[Tensor, "n 3"]) -> Hull:
    """Wrap points in their convex hull (Qhull).

    Args:
        points: (n, 3) floating point, not all in one plane.

    Returns:
        The hull, in the unit of the points.

    Raises:
        RegionError: All points lie in one plane.
    """
    from scipy.spatial import ConvexHull, QhullError

    spots = points.detach().to("cpu", torch.float64).numpy()
    centre = (spots.min(axis=0) + spots.max(axis=0)) / 2 if len(spots) else 0.0
    try:
        found = ConvexHull(spots - centre)
    except (QhullError, ValueError) as error:
        raise RegionError(
            f"points must not all lie in one plane to have a hull, got {len(spots)} that do"
        ) from error
    place = np.zeros(len(spots), dtype=np.int64)
    place[found.vertices] = np.arange(len(found.vertices))
    return _hull_of(spots[found.vertices], place[found.simplices])


def lattice_hull(points: Int[Tensor, "n 3"], scale: tuple[float, float, float]) -> Hull:
    """Wrap points of a lattice in their convex hull; exact, as all is decided in integers.

    Args:
        points: (n, 3) int64, each once, not all in one plane; numbers below 2^19.
        scale: Distance of two neighbours of the lattice along each axis.

    Returns:
        The hull around its own middle, in the unit of the scale. Of the points on an edge or a face
        some may be among its vertices.

    Raises:
        RegionError: All points lie in one plane.
    """
    spots = points.detach().cpu().contiguous().numpy()
    if len(spots) > _WRAPPED:
        return convex_hull(torch.from_numpy(spots * np.array(scale)))
    triangles = _wrap(spots)
    if len(triangles) == 0:
        raise RegionError(
            f"points must not all lie in one plane to have a hull, got {len(spots)} that do"
        )
    used = np.unique(triangles)
    place = np.zeros(len(spots), dtype=np.int64)
    place[used] = np.arange(len(used))
    low, size = _extent(spots)
    doubled = 2 * spots[used] - (2 * low + size - 1)
    return _hull_of(doubled * (np.array(scale) / 2), place[triangles])


def _hull_of(vertices: Array, triangles: Ints) -> Hull:
    normals, areas, volume = _measure_triangles(vertices, triangles)
    normals, face_areas, group = _merge(normals, areas)
    return Hull(
        torch.from_numpy(vertices),
        torch.from_numpy(normals),
        torch.from_numpy(face_areas),
        torch.from_numpy(_edges(triangles, group, len(vertices))),
        volume,
        float(areas.sum()),
    )


def largest_distance(points: Float[Tensor, "n d"]) -> float:
    """Find the largest distance between any two points; 0 for fewer than two.

    Args:
        points: (n, d) floating point; the corners of a hull are enough.

    Returns:
        The distance, in the unit of the points.
    """
    spots = points.detach().to("cpu", torch.float64).contiguous().numpy()
    if len(spots) < 2:
        return 0.0
    reach = np.linalg.norm(spots - (spots.min(axis=0) + spots.max(axis=0)) / 2, axis=1)
    order = np.argsort(-reach, kind="stable")
    return float(np.sqrt(_largest_square(spots[order], reach[order])))


def convex_polygon(points: Float[Tensor, "n 2"]) -> Float[Tensor, "m 2"]:
    """Give the corners of the convex hull of points in the plane, counter-clockwise.

    Args:
        points: (n, 2) floating point, at least one.

    Returns:
        The corners; two for points on a line, one for a single point.

    Raises:
        ShapeError: There is no point.
    """
    if len(points) == 0:
        raise ShapeError("points must hold at least one point to have a hull, got none")
    spots = points.detach().to("cpu", torch.float64).contiguous().numpy()
    return torch.from_numpy(_polygon(spots))


def _merge(normals: Array, areas: Array) -> tuple[Array, Array, Ints]:
    """Take triangles that face the same way for one face; give the face of each too."""
    key = np.rint(normals * 1e6).astype(np.int64) + (1 << 20)
    packed = key[:, 0] << 42 | key[:, 1] << 21 | key[:, 2]
    _, first, group = np.unique(packed, return_index=True, return_inverse=True)
    merged: Array = np.bincount(group, weights=areas).astype(np.float64)
    return normals[first].copy(), merged, group.astype(np.int64)


def _extreme(points: Ints) -> Ints:
    """Keep the points that are corners of the hull of each lattice plane they lie in."""
    for axis in (0, 1, 2):
        low, size = _extent(points)
        key = _keys(points, axis, low, size)
        key.sort()
        points = _corners_by_plane(_points_of(key, low, size), axis)
    return points


@kernel
@no_type_check
def _row_spans(mask):
    spans = np.full((2, mask.shape[0], mask.shape[1]), -1, np.int64)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            row = mask[z, y]
            for x in range(len(row)):
                if row[x]:
                    spans[0, z, y] = x
                    break
            if spans[0, z, y] >= 0:
                for x in range(len(row) - 1, -1, -1):
                    if row[x]:
                        spans[1, z, y] = x
                        break
    return spans


@kernel
@no_type_check
def _turn(points, i, j, k):
    """Twice the area of the triangle of three points; positive counter-clockwise."""
    # indices, not rows: a view of a row costs more than the arithmetic
    y, x = points[i, 0], points[i, 1]
    return (points[j, 0] - y) * (points[k, 1] - x) - (points[j, 1] - x) * (points[k, 0] - y)


@kernel
@no_type_check
def _chain(points, stack):
    """Andrew's monotone chain over sorted distinct points; collinear ones are dropped."""
    n, size = len(points), 0
    if n < 3:
        for i in range(n):
            stack[i] = i
        return n
    for i in range(n):
        while size > 1 and _turn(points, stack[size - 2], stack[size - 1], i) <= 0:
            size -= 1
        stack[size] = i
        size += 1
    lower = size
    for i in range(n - 2, -1, -1):
        while size > lower and _turn(points, stack[size - 2], stack[size - 1], i) <= 0:
            size -= 1
        stack[size] = i
        size += 1
    return size - 1


@kernel
@no_type_check
def _extent(points):
    low, high = points[0].copy(), points[0].copy()
    for i in range(len(points)):
        for k in range(3):
            low[k], high[k] = min(low[k], points[i, k]), max(high[k], points[i, k])
    return low, high - low + 1


@kernel
@no_type_check
def _keys(points, axis, low, size):
    """Number the points by plane along ``axis``, then along the two axes after it."""
    a, b, c = axis, (axis + 1) % 3, (axis + 2) % 3
    keys = np.empty(len(points), np.int64)
    for i in range(len(points)):
        along = (points[i, a] - low[a]) * size[b] + points[i, b] - low[b]
        keys[i] = (along * size[c] + points[i, c] - low[c]) * 3 + axis
    return keys


@kernel
@no_type_check
def _points_of(keys, low, size):
    """Turn sorted keys back into points, each once, with the axis of the planes first."""
    axis = keys[0] % 3
    a, b, c = axis, (axis + 1) % 3, (axis + 2) % 3
    points, n = np.empty((len(keys), 3), np.int64), 0
    for i in range(len(keys)):
        if i > 0 and keys[i] == keys[i - 1]:
            continue
        key = keys[i] // 3
        points[n, 0] = key // (size[b] * size[c]) + low[a]
        points[n, 1] = key // size[c] % size[b] + low[b]
        points[n, 2] = key % size[c] + low[c]
        n += 1
    return points[:n]


@kernel
@no_type_check
def _corners_by_plane(points, axis):
    keep = np.zeros(len(points), np.bool_)
    stack = np.empty(2 * len(points) + 2, np.int64)
    start = 0
    for stop in range(1, len(points) + 1):
        if stop == len(points) or points[stop, 0] != points[start, 0]:
            size = _chain(points[start:stop, 1:], stack)
            for i in range(size):
                keep[start + stack[i]] = True
            start = stop
    kept = points[keep]
    back = np.empty_like(kept)
    for k in range(3):
        back[:, (axis + k) % 3] = kept[:, k]
    return back


@kernel
@no_type_check
def _measure_triangles(points, triangles):
    """Give unit normals outwards, areas, and the volume; 0 lies inside, or on the surface."""
    normals, areas, volume = np.empty((len(triangles), 3)), np.empty(len(triangles)), 0.0
    inner = np.zeros(3)
    for i in range(len(points)):
        for k in range(3):
            inner[k] += points[i, k] / len(points)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        z, y, x = _cross(points, a, b, c)
        length = np.sqrt(z * z + y * y + x * x)
        height = (points[a, 0] - inner[0]) * z + (points[a, 1] - inner[1]) * y
        height += (points[a, 2] - inner[2]) * x
        volume += abs(height) / 6
        length = length if height > 0 else -length
        areas[t] = abs(length) / 2
        normals[t, 0], normals[t, 1], normals[t, 2] = z / length, y / length, x / length
    return normals, areas, volume


@kernel
@no_type_check
def _edges(triangles, group, n):
    """List the edges where two faces meet, each once."""
    face = np.full((n, n), -1, np.int32)
    edges, found = np.empty((3 * len(triangles), 4), np.int64), 0
    for t in range(len(triangles)):
        for k in range(3):
            a, b = triangles[t, k], triangles[t, (k + 1) % 3]
            low, high = min(a, b), max(a, b)
            other = face[low, high]
            if other < 0:
                face[low, high] = group[t]
            elif other != group[t]:
                edges[found, 0], edges[found, 1] = low, high
                edges[found, 2], edges[found, 3] = other, group[t]
                found += 1
    return edges[:found].copy()


@kernel
@no_type_check
def _cross(points, a, b, c):
    """Normal of the triangle of three points, as long as twice its area."""
    z, y, x = points[a, 0], points[a, 1], points[a, 2]
    uz, uy, ux = points[b, 0] - z, points[b, 1] - y, points[b, 2] - x
    vz, vy, vx = points[c, 0] - z, points[c, 1] - y, points[c, 2] - x
    return uy * vx - ux * vy, ux * vz - uz * vx, uz * vy - uy * vz


@kernel
@no_type_check
def _wrap(points):
    """Give the triangles of the hull of integer points, adding one point after the other."""
    n = len(points)
    faces, planes = np.empty((2 * n + 8, 3), np.int64), np.empty((2 * n + 8, 4), np.int64)
    owner = np.empty((n, n), np.int32)  # the face on the left of a directed edge
    seen, rim = np.zeros(2 * n + 8, np.bool_), np.empty((6 * n, 2), np.int64)
    first = _tetrahedron(points)
    if first[3] < 0:
        return faces[:0]
    for k in range(4):
        a, b, c = first[(k + 1) % 4], first[(k + 2) % 4], first[(k + 3) % 4]
        z, y, x = _cross(points, a, b, c)
        within = z * (points[first[k], 0] - points[a, 0])
        within += y * (points[first[k], 1] - points[a, 1])
        within += x * (points[first[k], 2] - points[a, 2])
        _put_face(points, (faces, planes, owner), k, (a, b, c) if within < 0 else (a, c, b))
    size = 4
    for p in range(n):
        visible = 0
        for f in range(size):
            seen[f] = _height(planes, f, points, p) > 0
            visible += seen[f]
        if visible > 0:
            size = _add_point(points, (faces, planes, owner), (seen, rim), size, p)
    return faces[:size].copy()


@kernel
@no_type_check
def _add_point(points, hull, work, size, p):
    """Replace the faces that a point sees by those between it and their rim."""
    faces, _, owner = hull
    seen, rim = work
    edges = 0
    for f in range(size):
        if seen[f]:
            for k in range(3):
                a, b = faces[f, k], faces[f, (k + 1) % 3]
                if not seen[owner[b, a]]:
                    rim[edges, 0], rim[edges, 1] = a, b
                    edges += 1
    f = 0
    while f < size:
        if not seen[f]:
            f += 1
            continue
        size -= 1
        if f < size:
            _put_face(points, hull, f, (faces[size, 0], faces[size, 1], faces[size, 2]))
            seen[f] = seen[size]
    for k in range(edges):
        _put_face(points, hull, size, (rim[k, 0], rim[k, 1], p))
        size += 1
    return size


@kernel
@no_type_check
def _put_face(points, hull, f, corners):
    faces, planes, owner = hull
    a, b, c = corners
    z, y, x = _cross(points, a, b, c)
    faces[f, 0], faces[f, 1], faces[f, 2] = a, b, c
    planes[f, 0], planes[f, 1], planes[f, 2] = z, y, x
    planes[f, 3] = z * points[a, 0] + y * points[a, 1] + x * points[a, 2]
    owner[a, b], owner[b, c], owner[c, a] = f, f, f


@kernel
@no_type_check
def _height(planes, f, points, p):
    """Positive where a point lies outside of a face."""
    along = planes[f, 0] * points[p, 0] + planes[f, 1] * points[p, 1]
    return along + planes[f, 2] * points[p, 2] - planes[f, 3]


@kernel
@no_type_check
def _tetrahedron(points):
    """Choose four points that are not in one plane, each far from those before; -1 if none."""
    first = np.full(4, -1, np.int64)
    first[0] = 0
    for k in range(1, 4):
        far = 0
        for i in range(len(points)):
            z, y, x = points[0, 0], points[0, 1], points[0, 2]
            z, y, x = points[i, 0] - z, points[i, 1] - y, points[i, 2] - x
            reach = abs(z) + abs(y) + abs(x)
            if k == 2:
                z, y, x = _cross(points, 0, first[1], i)
                reach = abs(z) + abs(y) + abs(x)
            elif k == 3:
                a, b, c = _cross(points, 0, first[1], first[2])
                reach = abs(z * a + y * b + x * c)
            if reach > far:
                far, first[k] = reach, i
        if far == 0:
            first[3] = -1
            break
    return first


@kernel
@no_type_check
def _largest_square(points, reach):
    best = 0.0
    for i in range(len(points)):
        if 4 * reach[i] * reach[i] * (1 + 1e-12) < best:
            break
        for j in range(i + 1, len(points)):
            far = reach[i] + reach[j]
            if far * far * (1 + 1e-12) < best:
                break
            square = 0.0
            for k in range(points.shape[1]):
                square += (points[i, k] - points[j, k]) ** 2
            if square > best:
                best = square
    return best


@kernel
@no_type_check
def _polygon(points):
    kept = _drop_inner(points)
    order = np.argsort(kept[:, 0])
    spots = kept[order]
    # equal first coordinates must be in order of the second: insertion sort of short runs
    for i in range(1, len(spots)):
        j = i
        while j > 0 and spots[j - 1, 0] == spots[j, 0] and spots[j - 1, 1] > spots[j, 1]:
            for k in range(2):
                spots[j - 1, k], spots[j, k] = spots[j, k], spots[j - 1, k]
            j -= 1
    n = 1
    for i in range(1, len(spots)):
        if spots[i, 0] != spots[n - 1, 0] or spots[i, 1] != spots[n - 1, 1]:
            spots[n, 0], spots[n, 1] = spots[i, 0], spots[i, 1]
            n += 1
    stack = np.empty(2 * n + 2, np.int64)
    size = _chain(spots[:n], stack)
    return spots[stack[:size]]


@kernel
@no_type_check
def _drop_inner(points):
    """Drop points well inside the polygon of the extremes along sixteen directions."""
    n = len(points)
    if n < 64:
        return points.copy()
    ends = np.empty((16, 2))
    for k in range(8):
        u, v = np.cos(k * np.pi / 8), np.sin(k * np.pi / 8)
        low, high = 0, 0
        low_at, high_at = np.inf, -np.inf
        for i in range(n):
            at = u * points[i, 0] + v * points[i, 1]
            if at > high_at:
                high, high_at = i, at
            if at < low_at:
                low, low_at = i, at
        for axis in range(2):
            ends[k, axis], ends[k + 8, axis] = points[high, axis], points[low, axis]
    size = np.abs(ends).max()
    inner = np.ones(n, np.bool_)
    for k in range(16):
        y, x = ends[k, 0], ends[k, 1]
        along_y, along_x = ends[(k + 1) % 16, 0] - y, ends[(k + 1) % 16, 1] - x
        if along_y != 0 or along_x != 0:
            for i in range(n):
                turn = along_y * (points[i, 1] - x) - along_x * (points[i, 0] - y)
                inner[i] &= turn > 1e-9 * size * size
    return points[~inner]
