"""Tidy objects: one piece each, no holes, none too small."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Int32, Integer
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._jit import kernel
from vesalius.ops._object_boxes import object_boxes


def tidy_objects(
    labels: Integer[Tensor, "z y x"], *, least_size: int = 1
) -> Int32[Tensor, "z y x"]:
    """Keep the largest piece of each object, fill its holes, drop small objects, number anew.

    Pieces hang together by faces; a hole is background that no path by faces leads out of, within
    the object's box. Another object inside a hole stays.

    Args:
        labels: An object per value; 0 and negative values are no objects.
        least_size: Objects of fewer samples, holes counted, are dropped.

    Returns:
        Objects from 1 on, in the order of their old values.

    Raises:
        ConfigError: ``least_size`` is below 1.
    """
    if least_size < 1:
        raise ConfigError(f"least_size must be at least 1, got {least_size}")
    objects = object_boxes(labels)
    numbers = objects.numbers.copy()
    sizes = _tidy(numbers, objects.boxes, objects.sizes)
    kept = sizes >= least_size
    table = np.concatenate([[0], np.cumsum(kept) * kept]).astype(np.int32)
    return torch.from_numpy(table[numbers])


def dropped(labels: Int32[Tensor, "z y x"], bad: np.ndarray) -> Int32[Tensor, "z y x"]:
    """Drop the objects marked bad from labels numbered 1 to n, and number the others anew.

    Args:
        labels: Numbered without gaps.
        bad: One flag for each object.
    """
    table = np.concatenate([[0], np.cumsum(~bad) * ~bad]).astype(np.int32)
    return torch.from_numpy(table[labels.cpu().numpy()])


@kernel
@no_type_check
def _tidy(numbers, boxes, sizes):
    """Clean every object in place; gives the new sizes."""
    after = np.zeros(len(sizes), np.int64)
    over = 0 if numbers.shape[0] == 1 else 1  # a plane has no way round above or below
    for k in range(len(sizes)):
        box = boxes[k]
        nz, ny, nx = box[1] - box[0], box[3] - box[2], box[5] - box[4]
        # 0 outside the object, 1 in it; the frame of one is outside
        part = np.zeros((nz + 2 * over, ny + 2, nx + 2), np.uint8)
        for z in range(nz):
            for y in range(ny):
                for x in range(nx):
                    if numbers[z + box[0], y + box[2], x + box[4]] == k + 1:
                        part[z + over, y + 1, x + 1] = 1
        stack = np.empty(part.size, np.int64)
        _keep_largest(part, stack)
        _flood(part, stack, (0, 0, 0), 0, 3)  # 3: outside, reached from the frame
        for z in range(nz):
            for y in range(ny):
                for x in range(nx):
                    state = part[z + over, y + 1, x + 1]
                    here = numbers[z + box[0], y + box[2], x + box[4]]
                    if state != 3 and (here == 0 or here == k + 1):
                        numbers[z + box[0], y + box[2], x + box[4]] = k + 1
                        after[k] += 1
                    elif here == k + 1:
                        numbers[z + box[0], y + box[2], x + box[4]] = 0
    return after


@kernel
@no_type_check
def _keep_largest(part, stack):
    """Turn all but the largest piece of 1 into 0; the piece that is kept becomes 4."""
    nz, ny, nx = part.shape
    best, at = 0, (0, 0, 0)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                if part[z, y, x] == 1:
                    found = _flood(part, stack, (z, y, x), 1, 2)
                    if found > best:
                        best, at = found, (z, y, x)
    _flood(part, stack, at, 2, 4)
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                if part[z, y, x] == 2:
                    part[z, y, x] = 0


@kernel
@no_type_check
def _flood(part, stack, start, old, new):
    """Replace ``old`` by ``new`` from a start, by faces, within the box; counts the samples."""
    nz, ny, nx = part.shape
    sy, sz = nx, ny * nx
    flat = part.ravel()
    first = start[0] * sz + start[1] * sy + start[2]
    flat[first] = new
    stack[0] = first
    top, count = 1, 0
    while top > 0:
        top -= 1
        p = stack[top]
        count += 1
        z, y, x = p // sz, (p % sz) // sy, p % sy
        for d in range(6):
            step = sz if d < 2 else (sy if d < 4 else 1)
            place, size = (z, nz) if d < 2 else ((y, ny) if d < 4 else (x, nx))
            if d % 2 == 0:
                if place == 0:
                    continue
                q = p - step
            else:
                if place == size - 1:
                    continue
                q = p + step
            if flat[q] == old:
                flat[q] = new
                stack[top] = q
                top += 1
    return count
