"""Star distances: from each sample of an object to its border along rays, and how deep it lies."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._jit import kernel
from vesalius.ops._object_boxes import object_boxes

_SAME = 1e-9
"""Crossings of lines and of columns that are as near as this are one corner."""


def ray_directions(rays: int) -> Float[Tensor, "rays 2"]:
    """Give unit vectors (y, x) at even angles; the first points along x, the next ones turn to y.

    Args:
        rays: How many; even, so that every mirror image of a ray is one, too.

    Returns:
        float64.

    Raises:
        ConfigError: The number is odd, or below 4.
    """
    if rays < 4 or rays % 2:
        raise ConfigError(f"rays must be an even number of at least 4, got {rays}")
    angle = 2 * math.pi * torch.arange(rays, dtype=torch.float64) / rays
    return torch.stack([angle.sin(), angle.cos()], dim=1)


def star_distances(codes: Integer[Tensor, "y x"], rays: int) -> Float[Tensor, "rays y x"]:
    """Measure how far each ray runs from the centre of a sample until it leaves the object.

    An object is the union of the squares of its samples; distances are exact. A ray may pass a
    corner where two samples of the object touch.

    Args:
        codes: 0 where it is not known what there is, 1 for outside, from 2 on an object each.
        rays: See :func:`ray_directions`.

    Returns:
        float32, samples; 0 outside objects. Negative where the ray ends at the border of the
        array or at what is not known: the object reaches at least as far as the absolute value.

    Raises:
        ConfigError: The number of rays is odd, or below 4.

    References:
        Schmidt et al. (2018), doi:10.1007/978-3-030-00934-2_30, section 2. Differs from it in:
        exact crossings; rays that leave the image say so.
    """
    directions = ray_directions(rays).numpy()
    # a frame of what is not known: every ray stops within it
    framed = np.pad(codes.detach().cpu().numpy().astype(np.int64, copy=False), 1)
    steps, lengths = _paths(directions, framed.shape[0] + framed.shape[1], framed.shape[1])
    out = np.zeros((rays, *codes.shape), np.float32)
    _march(framed, steps, lengths, out)
    return torch.from_numpy(out)


def edge_shares(labels: Integer[Tensor, "y x"]) -> Float[Tensor, "y x"]:
    """Divide the distance of each sample to the next one that is not in its object by the largest.

    Args:
        labels: An object per value; 0 and negative values are no objects.

    Returns:
        float32, 0 outside objects, above 0 to 1 in them. The border of the array is no edge.

    References:
        Schmidt et al. (2018), doi:10.1007/978-3-030-00934-2_30, section 2 (object probabilities).
    """
    objects = object_boxes(labels[None])
    distance = np.zeros(tuple(labels.shape), np.float32)
    _depths(objects.numbers[0], len(objects.sizes), distance)
    return torch.from_numpy(distance)


def _paths(
    directions: npt.NDArray[np.float64], count: int, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """List the squares that each ray enters after its own: flat offsets, and where it enters."""
    at = np.arange(count) + 0.5
    steps = np.zeros((len(directions), count), np.int64)
    lengths = np.zeros((len(directions), count))
    for k, (dy, dx) in enumerate(directions):
        with np.errstate(divide="ignore"):
            ty = at / abs(dy) if abs(dy) > _SAME else np.full(count, np.inf)
            tx = at / abs(dx) if abs(dx) > _SAME else np.full(count, np.inf)
        _merge(ty, tx, (int(np.sign(dy)) * width, int(np.sign(dx))), steps[k], lengths[k])
    return steps, lengths


@kernel
@no_type_check
def _merge(ty, tx, step, steps, lengths):
    """Walk the crossings in order; where a line and a column are crossed at once, go across."""
    i = j = place = 0
    for n in range(len(steps)):
        far = min(ty[i], tx[j])
        if ty[i] <= far + _SAME:
            place += step[0]
            i += 1
        if tx[j] <= far + _SAME:
            place += step[1]
            j += 1
        steps[n], lengths[n] = place, far
        if i == len(ty) or j == len(tx):
            break  # far beyond any border


@kernel
@no_type_check
def _march(framed, steps, lengths, out):
    """Follow every ray of every sample of an object through the framed codes."""
    rays, ny, nx = out.shape
    flat = framed.ravel()
    for y in range(ny):
        row = (y + 1) * framed.shape[1] + 1
        for k in range(rays):
            path, length = steps[k], lengths[k]
            for x in range(nx):
                code = flat[row + x]
                if code < 2:
                    continue
                n = 0
                while flat[row + x + path[n]] == code:
                    n += 1
                known = flat[row + x + path[n]] != 0
                out[k, y, x] = length[n] if known else -length[n]


@kernel
@no_type_check
def _depths(numbers, count, out):
    """Fill the share of each sample: its distance by the largest of its object."""
    ny, nx = numbers.shape
    away = _along_rows(numbers)
    deepest = np.zeros(count + 1, np.float32)
    for y in range(ny):
        for x in range(nx):
            k = numbers[y, x]
            if k == 0:
                continue
            best = away[y, x] * away[y, x]
            for side in (-1, 1):
                n = 1
                while n * n < best and 0 <= y + side * n < ny:
                    there = y + side * n
                    beside = away[there, x] if numbers[there, x] == k else 0
                    best = min(best, n * n + beside * beside)
                    n += 1
            out[y, x] = np.sqrt(best)
            deepest[k] = max(deepest[k], out[y, x])
    for y in range(ny):
        for x in range(nx):
            if numbers[y, x] > 0:
                out[y, x] /= deepest[numbers[y, x]]


@kernel
@no_type_check
def _along_rows(numbers):
    """Count the samples to the nearest one of the row that is of another object."""
    ny, nx = numbers.shape
    away = np.empty((ny, nx), np.int64)
    far = ny + nx  # beyond the border nothing ends
    for y in range(ny):
        run = far
        for x in range(nx):
            run = 1 if x > 0 and numbers[y, x] != numbers[y, x - 1] else min(run + 1, far)
            away[y, x] = run
        run = far
        for x in range(nx - 1, -1, -1):
            run = 1 if x < nx - 1 and numbers[y, x] != numbers[y, x + 1] else min(run + 1, far)
            away[y, x] = min(away[y, x], run)
    return away
