"""The oriented box of least volume around a convex body."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from typing import no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._hull import Hull
from vesalius.ops._jit import kernel

Array = npt.NDArray[np.float64]

_NEAR = 1.02  # boxes up to this much larger than the least are improved

# the 13 axes of the lattice: three edges, six face diagonals, four body diagonals of a cube
_LATTICE = np.array(
    [d for d in itertools.product((-1, 0, 1), repeat=3) if d > (0, 0, 0)], dtype=np.float64
)
_LATTICE /= np.linalg.norm(_LATTICE, axis=1, keepdims=True)


def minimum_box(hull: Hull, *, starts: int = 48) -> Float[Tensor, "3"]:
    """Find the sides of the box of least volume that holds a convex body, in any direction.

    Each start direction is one side of a box whose other two come from the rectangle of least area
    around the shadow along it, one side of which lies on an edge of the shadow. The least of these
    boxes, and all that are hardly larger, are then turned about each of their sides in turn until
    their volume no longer falls. No choice depends on how the body is turned or flipped.

    Args:
        hull: The body.
        starts: How many of the largest faces give a start direction, besides the 13 axes of the
            lattice; equally large faces are all taken.

    Returns:
        (3,) float64 lengths of the sides, longest first, in the unit of the hull.

    References:
        Chan and Tan (2001), doi:10.1016/S0010-4485(00)00065-6. Differs from it in: starts from
        faces and lattice axes, not from principal axes, which have no direction for a round body.
    """
    vertices = hull.vertices.numpy()
    vertices = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    faces = (hull.normals.numpy(), hull.face_areas.numpy(), hull.edges.numpy())
    sides = _search((vertices, *faces), _directions(hull, starts), _NEAR)
    return torch.from_numpy(np.sort(sides)[::-1].copy())


def _directions(hull: Hull, starts: int) -> Array:
    areas, normals = hull.face_areas.numpy(), hull.normals.numpy()
    if len(areas) > starts:
        normals = normals[areas >= np.partition(areas, -starts)[-starts] * (1 - 1e-6)]
    return np.concatenate([_LATTICE, normals])


@kernel
@no_type_check
def _smaller(new, old):
    """Less volume, or as much and less surface."""
    a, b = new[0] * new[1] * new[2], old[0] * old[1] * old[2]
    if abs(a - b) > 1e-9 * b:
        return a < b
    area = new[0] * new[1] + new[1] * new[2] + new[2] * new[0]
    return area < (old[0] * old[1] + old[1] * old[2] + old[2] * old[0]) * (1 - 1e-9)


@kernel
@no_type_check
def _search(body, directions, near):
    bounds = np.empty(len(directions))
    volumes = np.full(len(directions), np.inf)
    for k in range(len(directions)):
        bounds[k] = _bound(body, directions[k])
    least = np.inf
    for _ in range(len(directions)):
        k = np.argmin(bounds)
        if bounds[k] > least * near:
            break
        bounds[k] = np.inf
        sides, _ = _box(body, directions[k], least * near)
        volumes[k] = sides[0] * sides[1] * sides[2]
        least = min(least, volumes[k])
    best, along = np.full(3, np.inf), directions[0]
    for k in range(len(directions)):
        if volumes[k] <= least * near:
            sides, direction = _descend(body, directions[k], 1e-6)
            if best[0] == np.inf or _smaller(sides, best):
                best, along = sides, direction
    return _descend(body, along, 2e-14)[0]


@kernel
@no_type_check
def _bound(body, direction):
    """Height along a direction times the area of the shadow: no box with that side is less."""
    vertices, normals, areas, _ = body
    low, high = _reach(vertices, direction)
    shadow = 0.0
    for f in range(len(areas)):
        shadow += areas[f] * abs(_along(normals, f, direction))
    return (high - low) * shadow / 2


@kernel
@no_type_check
def _along(points, i, direction):
    return points[i, 0] * direction[0] + points[i, 1] * direction[1] + points[i, 2] * direction[2]


@kernel
@no_type_check
def _reach(points, direction):
    low, high = np.inf, -np.inf
    for i in range(len(points)):
        at = _along(points, i, direction)
        low, high = min(low, at), max(high, at)
    return low, high


@kernel
@no_type_check
def _descend(body, direction, gain):
    """Turn the box about one side and the other until its volume falls by less than a share."""
    sides, axes = _box(body, direction, np.inf)
    better = True
    while better:
        better = False
        held = axes
        for side in (1, 2):
            volume = sides[0] * sides[1] * sides[2]
            other, turned = _box(body, held[side], volume)
            if other[0] * other[1] * other[2] < volume * (1 - gain):
                sides, axes, better = other, turned, True
    return sides, axes[0]


@kernel
@no_type_check
def _box(body, direction, limit):
    """Give the least box with one side along a direction: its sides and their axes.

    The sides are infinite where no box is smaller than ``limit``.
    """
    axes = np.zeros((3, 3))
    axes[0] = direction
    least = np.argmin(np.abs(direction))
    one, other = (least + 1) % 3, (least + 2) % 3
    length = np.sqrt(direction[one] ** 2 + direction[other] ** 2)
    u, v = np.zeros(3), np.zeros(3)
    u[one], u[other] = -direction[other] / length, direction[one] / length
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        v[k] = direction[i] * u[j] - direction[j] * u[i]
    low, high = _reach(body[0], direction)
    width, height, a, b = _rectangle(_outline(body, direction, u, v), limit / (high - low))
    for k in range(3):
        axes[1, k] = a * u[k] + b * v[k]
        axes[2, k] = a * v[k] - b * u[k]
    return np.array([high - low, width, height]), axes


@kernel
@no_type_check
def _outline(body, direction, u, v):
    """Give the edges of the shadow along a direction: both ends of each, in the plane of u, v.

    They are the shadows of the edges between a face that is seen and one that is not.
    """
    vertices, normals, _, edges = body
    seen = np.empty(len(normals), np.bool_)
    for f in range(len(normals)):
        seen[f] = _along(normals, f, direction) > 1e-9
    shadow, n = np.empty((len(edges), 4)), 0
    for e in range(len(edges)):
        if seen[edges[e, 2]] != seen[edges[e, 3]]:
            for k in range(2):
                shadow[n, 2 * k] = _along(vertices, edges[e, k], u)
                shadow[n, 2 * k + 1] = _along(vertices, edges[e, k], v)
            n += 1
    return shadow[:n]


@kernel
@no_type_check
def _rectangle(outline, limit):
    """Give the rectangle of least area around a shadow: sides, direction of the first."""
    least, round_ = limit, np.inf
    found = (np.inf, np.inf, 1.0, 0.0)
    for i in range(len(outline)):
        a, b = outline[i, 2] - outline[i, 0], outline[i, 3] - outline[i, 1]
        length = np.sqrt(a * a + b * b)
        if length < 1e-9 * (abs(outline[i, 0]) + abs(outline[i, 1])):
            continue  # an edge along the direction has a point for a shadow
        a, b = a / length, b / length
        left, right, bottom, top = np.inf, -np.inf, np.inf, -np.inf
        for j in range(len(outline)):
            for k in (0, 2):
                x = outline[j, k] * a + outline[j, k + 1] * b
                y = outline[j, k + 1] * a - outline[j, k] * b
                left, right = min(left, x), max(right, x)
                bottom, top = min(bottom, y), max(top, y)
            if (right - left) * (top - bottom) > least * (1 + 1e-9):
                break
        width, height = right - left, top - bottom
        area = width * height
        # of equally large ones the rounder, which is the same one however the body is turned
        if area < least * (1 - 1e-9) or (area < least * (1 + 1e-9) and width + height < round_):
            least, round_ = area, width + height
            found = (width, height, a, b)
    return found
