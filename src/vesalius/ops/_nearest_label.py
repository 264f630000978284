"""Distances between labels within a reach: what grows and what shrinks by a ball of any size."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray
from torch import Tensor

from vesalius.ops._flat_morphology import SLACK, Radii
from vesalius.ops._jit import kernel
from vesalius.ops._parts import in_parts

Labels = Integer[Tensor, "z y x"]

_FARTHEST = float(1 << 31)
"""Samples: no image is wider."""


def grown(labels: Labels, radii: Radii) -> NDArray[np.int32]:
    """Let each label take the background within an ellipsoid around it; the nearest one wins.

    Args:
        labels: (z, y, x) from 0 to 2^31 - 1; 0 is background.
        radii: Semi-axes along (z, y, x), samples.

    Returns:
        (z, y, x) int32; of two labels equally near the smaller wins.
    """
    found = np.ascontiguousarray(labels.detach().cpu().numpy()).astype(np.int32)
    steps, reach = _steps(radii)
    box = _box(found != 0, reach)
    part = np.ascontiguousarray(found[box])
    if part.size:
        square = np.empty(part.shape, np.float32)
        near, other = np.empty_like(part), np.empty_like(square)
        _nearest_in_row(part, steps[2], reach[2], square, near)
        for axis in (1, 0):
            _over_axis(axis, (square, near), (other, part), steps[axis], reach[axis])
            square, other, near, part = other, square, part, near
        found[box] = np.where(square <= 1 + SLACK, near, 0)
    return found


def shrunk(labels: Labels, radii: Radii) -> NDArray[np.bool_]:
    """Mark the voxels whose label fills the ellipsoid around them, as far as the image reaches.

    Args:
        labels: (z, y, x) integers.
        radii: Semi-axes along (z, y, x), samples.

    Returns:
        (z, y, x) True where all voxels within the ellipsoid have the voxel's own label.
    """
    values = np.ascontiguousarray(labels.detach().cpu().numpy())
    steps, reach = _steps(radii)
    square, other = np.empty(values.shape, np.float32), np.empty(values.shape, np.float32)
    _other_in_row(values, steps[2], reach[2], square)
    for axis in (1, 0):
        _other_over_axis(axis, (square, other, values), steps[axis], reach[axis])
        square, other = other, square
    inside: NDArray[np.bool_] = square > 1 + SLACK
    return inside


def _steps(radii: Radii) -> tuple[list[float], list[int]]:
    """Squares of a sample's length in radii, and how many samples lie within one."""
    steps = [1 / (r * r) if r > 0.5 else math.inf for r in radii]  # below one sample: unused
    return steps, [math.floor(min(r, _FARTHEST) * (1 + SLACK)) for r in radii]


def _box(mask: NDArray[np.bool_], reach: list[int]) -> tuple[slice, slice, slice]:
    """Bound what is not background, with room to grow."""
    found = []
    for axis, margin in enumerate(reach):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(mask.any(axis=others))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        found.append(slice(max(0, low - margin), min(mask.shape[axis], high + margin)))
    return found[0], found[1], found[2]


Pair = tuple[NDArray[np.float32], NDArray[np.int32]]


def _over_axis(axis: int, source: Pair, out: Pair, step: float, reach: int) -> None:
    measure = (axis, np.float32(step), reach)
    in_parts(
        lambda a, b: _nearest_over(*source, measure, *out, a, b),
        source[0].shape[axis],
        cost=source[0].size,
    )


def _other_over_axis(
    axis: int,
    fields: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.generic]],
    step: float,
    reach: int,
) -> None:
    square, to, values = fields
    measure = (axis, np.float32(step), reach)
    in_parts(
        lambda a, b: _other_over(square, values, measure, to, a, b),
        square.shape[axis],
        cost=square.size,
    )


@kernel
@no_type_check
def _nearest_in_row(labels, step, reach, square, near):
    nz, ny, nx = labels.shape
    for z in range(nz):
        for y in range(ny):
            row, to, best = labels[z, y], square[z, y], near[z, y]
            last = -reach - 1
            for x in range(nx):
                if row[x] != 0:
                    last = x
                seen = x - last <= reach and last >= 0
                to[x] = (
                    np.float32(step * (x - last) ** 2)
                    if seen and x > last
                    else np.float32(0.0 if seen else np.inf)
                )
                best[x] = row[last] if seen else 0
            last = nx + reach
            for x in range(nx - 1, -1, -1):
                if row[x] != 0:
                    last = x
                if last > x and last - x <= reach and last < nx:
                    far = np.float32(step * (last - x) ** 2)
                    if far < to[x] or (far == to[x] and row[last] < best[x]):
                        to[x] = far
                        best[x] = row[last]


@kernel
@no_type_check
def _place(axis, p, k):
    """Name the row p along an axis, k along the other."""
    return (p, k) if axis == 0 else (k, p)


@kernel
@no_type_check
def _nearest_over(square, near, measure, to, label_to, start, stop):
    """Look along the first axis for what is nearer in another line."""
    axis, step, reach = measure
    n, lines = square.shape[axis], square.shape[1 - axis]
    for p in range(start, stop):
        for k in range(lines):
            here = _place(axis, p, k)
            out, label = to[here], label_to[here]
            out[:] = square[here]
            label[:] = near[here]
            for q in range(max(0, p - reach), min(n, p + reach + 1)):
                if q != p:
                    there = _place(axis, q, k)
                    further = np.float32(step * np.float32((p - q) * (p - q)))
                    _take_nearer(square[there], near[there], further, out, label)


@kernel
@no_type_check
def _take_nearer(square, near, further, out, label):
    for i in range(len(out)):
        far = square[i] + further
        nearer = (far < out[i]) | ((far == out[i]) & (near[i] < label[i]))
        label[i] = near[i] if nearer else label[i]
        out[i] = far if nearer else out[i]


@kernel
@no_type_check
def _other_in_row(values, step, reach, square):
    nz, ny, nx = values.shape
    for z in range(nz):
        for y in range(ny):
            row, to = values[z, y], square[z, y]
            last = -reach - 1  # of another value
            for x in range(nx):
                if x > 0 and row[x] != row[x - 1]:
                    last = x - 1
                to[x] = (
                    np.float32(step * (x - last) ** 2) if x - last <= reach else np.float32(np.inf)
                )
            last = nx + reach
            for x in range(nx - 1, -1, -1):
                if x < nx - 1 and row[x] != row[x + 1]:
                    last = x + 1
                if last - x <= reach:
                    to[x] = min(to[x], np.float32(step * (last - x) ** 2))


@kernel
@no_type_check
def _other_over(square, values, measure, to, start, stop):
    axis, step, reach = measure
    n, lines = square.shape[axis], square.shape[1 - axis]
    for p in range(start, stop):
        for k in range(lines):
            here = _place(axis, p, k)
            out = to[here]
            out[:] = square[here]
            for q in range(max(0, p - reach), min(n, p + reach + 1)):
                if q != p:
                    there = _place(axis, q, k)
                    further = np.float32(step * np.float32((p - q) * (p - q)))
                    _take_other(square[there], values[there], values[here], further, out)


@kernel
@no_type_check
def _take_other(square, theirs, own, further, out):
    for i in range(len(out)):
        far = (square[i] if theirs[i] == own[i] else np.float32(0.0)) + further
        out[i] = far if far < out[i] else out[i]
