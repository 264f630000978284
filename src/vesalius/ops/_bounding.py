"""The oriented box of least volume around a convex body."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from typing import no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._hull import Hull, _polygon
from vesalius.ops._jit import kernel

Array = npt.NDArray[np.float64]

_DESCENTS = 8  # how many of the start boxes are improved

# the 13 axes of the lattice: three edges, six face diagonals, four body diagonals of a cube
_LATTICE = np.array(
    [d for d in itertools.product((-1, 0, 1), repeat=3) if d > (0, 0, 0)], dtype=np.float64
)


def minimum_box(hull: Hull, *, starts: int = 48) -> Float[Tensor, "3"]:
    """Find the sides of the box of least volume that holds a convex body, in any direction.

    Each start direction is one side of a box whose other two come from the rectangle of least area
    around the shadow along it. The best of these boxes are then turned about each of their sides in
    turn until their volume no longer falls.

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
    vertices = np.ascontiguousarray(hull.vertices.numpy())
    vertices = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    sides = _search(vertices, _directions(hull, starts), _DESCENTS)
    return torch.from_numpy(np.sort(sides)[::-1].copy())


def _directions(hull: Hull, starts: int) -> Array:
    areas, normals = hull.face_areas.numpy(), hull.normals.numpy()
    upper = normals[:, 0] * 4 + normals[:, 1] * 2.1 + normals[:, 2] * 1.05 > 0
    ranked = np.sort(areas)[::-1]
    least = ranked[min(starts, len(ranked)) - 1] * (1 - 1e-6)
    chosen = normals[(areas >= least) & (upper | (len(areas) < starts))]
    found = np.concatenate([_LATTICE, chosen])
    return np.ascontiguousarray(found / np.linalg.norm(found, axis=1, keepdims=True))


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
def _search(vertices, directions, descents):
    volumes = np.empty(len(directions))
    for k in range(len(directions)):
        sides, _ = _box(vertices, directions[k])
        volumes[k] = sides[0] * sides[1] * sides[2]
    best = np.full(3, np.inf)
    for k in np.argsort(volumes)[:descents]:
        sides = _descend(vertices, directions[k])
        if best[0] == np.inf or _smaller(sides, best):
            best = sides
    return best


@kernel
@no_type_check
def _descend(vertices, direction):
    """Turn the box about one side after the other until its volume no longer falls."""
    sides, axes = _box(vertices, direction)
    better = True
    while better:
        better = False
        for side in (1, 2):
            other, turned = _box(vertices, axes[side])
            if other[0] * other[1] * other[2] < sides[0] * sides[1] * sides[2] * (1 - 1e-9):
                sides, axes, better = other, turned, True
                break
    return sides


@kernel
@no_type_check
def _box(vertices, direction):
    """Give the least box with one side along ``direction``: its sides and their axes."""
    axes = np.empty((3, 3))
    axes[0] = direction
    least = np.argmin(np.abs(direction))
    helper = np.zeros(3)
    helper[least] = 1.0
    u = np.cross(direction, helper)
    u /= np.sqrt((u * u).sum())
    v = np.cross(direction, u)
    shadow = np.empty((len(vertices), 2))
    low, high = np.inf, -np.inf
    for i in range(len(vertices)):
        z, y, x = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        shadow[i, 0] = z * u[0] + y * u[1] + x * u[2]
        shadow[i, 1] = z * v[0] + y * v[1] + x * v[2]
        at = z * direction[0] + y * direction[1] + x * direction[2]
        low, high = min(low, at), max(high, at)
    width, height, a, b = _rectangle(_polygon(shadow))
    axes[1] = a * u + b * v
    axes[2] = a * v - b * u
    return np.array([high - low, width, height]), axes


@kernel
@no_type_check
def _rectangle(polygon):
    """Give the rectangle of least area around a convex polygon: sides, direction of the first."""
    best = np.inf
    found = (0.0, 0.0, 1.0, 0.0)
    n = len(polygon)
    for i in range(n):
        a = polygon[(i + 1) % n, 0] - polygon[i, 0]
        b = polygon[(i + 1) % n, 1] - polygon[i, 1]
        length = np.sqrt(a * a + b * b)
        a, b = a / length, b / length
        # a side between two all but equal corners points anywhere: some points may lie below it
        left, right, bottom, top = np.inf, -np.inf, 0.0, 0.0
        for j in range(n):
            x = polygon[j, 0] * a + polygon[j, 1] * b
            y = (polygon[j, 1] - polygon[i, 1]) * a - (polygon[j, 0] - polygon[i, 0]) * b
            left, right = min(left, x), max(right, x)
            bottom, top = min(bottom, y), max(top, y)
        if (right - left) * (top - bottom) < best:
            best = (right - left) * (top - bottom)
            found = (right - left, top - bottom, a, b)
    return found
