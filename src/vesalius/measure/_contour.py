"""Contour: the outline of a region, pushed in and out by supervoxels and moved to a volume."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Image
from vesalius.graph import slic
from vesalius.ops._distance_field import signed_distance
from vesalius.ops._filters import gaussian
from vesalius.ops._jit import kernel

Triple = tuple[float, float, float]

PIECE_MM = 6.3
"""Edge of a supervoxel of 250 mm^3."""

_NEVER, _ALWAYS = 0.2, 0.9
"""A supervoxel with less, or more, of itself inside is never, or always, part of the region."""

_STEP = 1.0
"""The staircase of the voxels is smoothed by a Gaussian of so many voxels along each axis."""

_WIDTH = 3.0
"""Radius of the bump of a supervoxel, in units of its edge."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Supervoxels that a reader may or may not count to the region.

    Where one changes sides, the contour is pushed out or in by a smooth bump that holds its
    volume.

    Attributes:
        centre: (n, 3) centroids, samples (z, y, x).
        chance: (n,) how likely each is part of the region.
        size: (n,) voxels in dispute.
        push: (n,) height of the bump that holds one piece, mm.
        radius: (3,) radius of a bump, samples along (z, y, x).
    """

    centre: np.ndarray
    chance: np.ndarray
    size: np.ndarray
    push: np.ndarray
    radius: np.ndarray


def outline(mask: Tensor, spacing: Triple) -> Tensor:
    """Give the depth below the contour, mm, positive inside; smooth, and true to every voxel.

    The signed distance between voxel centres, smoothed so that it knows where a contour of steps
    is likely to run; its sign is that of the mask everywhere. Beyond the image nothing is known:
    the contour goes on as it is.
    """
    if bool(mask.all()):
        return torch.ones(mask.shape, dtype=torch.float32)
    flat = [n == 1 for n in mask.shape]
    felt = [1e6 * max(spacing) if one else s for one, s in zip(flat, spacing, strict=True)]
    depth = signed_distance(mask, (felt[0], felt[1], felt[2]))
    sigma = [0.0 if one else _STEP for one in flat]
    smooth = gaussian(depth, (sigma[0], sigma[1], sigma[2]), truncate=3.0)
    least = 1e-3 * min(spacing)
    true = torch.where(mask, smooth.clamp_min(least), smooth.clamp_max(-least))
    return true.to(torch.float32).contiguous()


def cut_pieces(block: Image, region: Tensor, depth: Tensor, sigma: float) -> Pieces:
    """Cut the surroundings of the contour into supervoxels, once for all perturbations."""
    spacing = block.grid.spacing_mm
    size = _piece_size(region, spacing)
    band = depth.abs() <= max(size, 1.5 * max(spacing))
    x = finite(block.data[0])
    near = x[band]
    ends = torch.tensor([0.01, 0.99], dtype=torch.float64)
    low, high = torch.quantile(near[:: max(1, len(near) // 100_000)], ends).tolist()
    labels = slic(
        x.clamp(low, high)[None].float(),
        spacing=spacing,
        size=size,
        compactness=max(0.1 * (high - low), sigma, 1e-12),
        steps=5,
        mask=band,
    )
    felt = [s for n, s in zip(region.shape, spacing, strict=True) if n > 1] or [size]
    radius = np.maximum(_WIDTH * size / np.array(spacing), 1.5)
    arrays = (labels.numpy(), region.numpy(), depth.numpy())
    return _pieces(*arrays, radius, 1.5 * max(felt))


def _piece_size(region: Tensor, spacing: Triple) -> float:
    """Edge of a supervoxel, mm: 250 mm^3, less in a small region, at least 8 voxels."""
    voxel = math.prod(spacing)
    diameter = math.cbrt(6 / math.pi * int(region.sum()) * voxel)
    return min(PIECE_MM, max(diameter / 4, math.cbrt(8 * voxel)))


def _pieces(
    labels: np.ndarray, mask: np.ndarray, depth: np.ndarray, radius: np.ndarray, layer: float
) -> Pieces:
    total, overlap, centre = _sums(labels, mask, depth, layer)
    share = overlap / total
    open_ = (share >= _NEVER) & (share < _ALWAYS)
    centre, total, share = centre[open_], total[open_], share[open_]
    # of a piece that lies mostly on one side only a part is in dispute; all of it at one half
    total = np.sqrt(2 * np.minimum(share, 1 - share)) * total
    # what a layer of 2 t around the contour holds, over 2 t, a contour moved by 1 mm holds too
    per_mm = _covered(depth, centre, radius, layer) / (2 * layer)
    push = total / np.maximum(per_mm, 0.25 * per_mm.max(initial=1e-9))
    return Pieces(centre, share, total, push, radius)


def pushed(
    depth: Tensor, pieces: Pieces | None, generator: torch.Generator
) -> tuple[Tensor, float]:
    """Redraw the contour; also say by how many voxels the region grows.

    A piece is in as often as it overlaps the region; the contour moves by how far that differs
    from what it holds on average, so that the mean contour is the drawn one.
    """
    if pieces is None:
        return depth, 0.0
    dice = torch.rand(len(pieces.chance), generator=generator, dtype=torch.float64).numpy()
    change = (dice < pieces.chance) - pieces.chance
    new = depth.clone()
    _add_bumps(new.numpy(), pieces.centre, change * pieces.push, pieces.radius)
    return new, float((change * pieces.size).sum())


def of_volume(depth: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Take the ``count`` deepest voxels; ties are broken by chance."""
    value = np.ascontiguousarray(depth.numpy()).ravel()
    count = max(1, min(count, value.size))
    new, near = _bracket(value, count)
    missing = count - int(np.count_nonzero(new))
    if missing < len(near):
        dice = torch.rand(len(near), generator=generator, dtype=torch.float64).numpy()
        near = near[np.argpartition(-value[near] - 1e-6 * dice, missing - 1)[:missing]]
    new[near] = True
    return torch.from_numpy(new.reshape(depth.shape))


def finite(x: Tensor) -> Tensor:
    """Samples with NaN and infinity (outside the region they are legal) set to the median."""
    good = torch.isfinite(x)
    return x if bool(good.all()) else torch.where(good, x, x[good].median())


def _sums(
    labels: np.ndarray, mask: np.ndarray, depth: np.ndarray, layer: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Size, overlap with the mask and centroid of every piece; piece 0 is left out."""
    at = np.nonzero(labels)
    which = labels[at] - 1
    total = np.bincount(which).astype(np.float64)
    overlap = np.bincount(which, weights=mask[at])
    close = (np.abs(depth[at]) <= layer).astype(np.float64)
    weight = np.bincount(which, weights=close)
    centre = [np.bincount(which, weights=close * axis) / np.maximum(weight, 1) for axis in at]
    return total, overlap, np.stack(centre, axis=1)


@kernel
@no_type_check
def _box(centre, radius, shape):
    box = np.empty((3, 2), dtype=np.int64)
    for axis in range(3):
        box[axis, 0] = max(0, math.ceil(centre[axis] - radius[axis]))
        box[axis, 1] = min(shape[axis], math.floor(centre[axis] + radius[axis]) + 1)
    return box


@kernel
@no_type_check
def _add_bump(row, height, middle, scale, rest):
    """Add one line of a bump; all numbers are of the same type, so that lanes run together."""
    for x in range(len(row)):
        r = (np.float32(x) - middle) * scale
        q = rest - r * r
        row[x] += height * q * q


@kernel
@no_type_check
def _add_bumps(depth, centres, heights, radius):
    """Add a bump h (1 - r^2)^2 around each centre, r in units of the radius."""
    one = depth.dtype.type(1)
    scale = one / depth.dtype.type(radius[2])
    for k in range(len(centres)):
        box = _box(centres[k], radius, depth.shape)
        height, middle = one * heights[k], one * centres[k, 2]
        for z in range(box[0, 0], box[0, 1]):
            rz = 1 - ((z - centres[k, 0]) / radius[0]) ** 2
            for y in range(box[1, 0], box[1, 1]):
                ry = rz - ((y - centres[k, 1]) / radius[1]) ** 2
                if ry <= 0:
                    continue
                reach = radius[2] * math.sqrt(ry)
                first = max(0, math.ceil(centres[k, 2] - reach))
                last = min(depth.shape[2], math.floor(centres[k, 2] + reach) + 1)
                _add_bump(depth[z, y, first:last], height, middle - first, scale, one * ry)


@kernel
@no_type_check
def _covered(depth, centres, radius, layer):
    """Sum each bump of height 1 over the voxels within ``layer`` of the contour."""
    sums = np.zeros(len(centres))
    for k in range(len(centres)):
        box = _box(centres[k], radius, depth.shape)
        for z in range(box[0, 0], box[0, 1]):
            rz = 1 - ((z - centres[k, 0]) / radius[0]) ** 2
            for y in range(box[1, 0], box[1, 1]):
                ry = rz - ((y - centres[k, 1]) / radius[1]) ** 2
                for x in range(box[2, 0], box[2, 1]):
                    rest = max(0.0, ry - ((x - centres[k, 2]) / radius[2]) ** 2)
                    if abs(depth[z, y, x]) <= layer:
                        sums[k] += rest * rest
    return sums


@kernel
@no_type_check
def _bracket(value, count):
    """Mark the values in bins above the ``count``-th largest, and list those in its own bin."""
    low, high = value[0], value[0]
    for i in range(len(value)):
        low, high = min(low, value[i]), max(high, value[i])
    bins = 4096
    scale = value.dtype.type((bins - 1) / (high - low) if high > low else 0.0)
    which = np.empty(len(value), dtype=np.int16)
    found = np.zeros(bins, dtype=np.int64)
    for i in range(len(value)):
        which[i] = int((value[i] - low) * scale)
        found[which[i]] += 1
    above, k = 0, bins - 1
    while above + found[k] < count:
        above += found[k]
        k -= 1
    new = np.zeros(len(value), dtype=np.bool_)
    near = np.empty(found[k], dtype=np.int64)
    n = 0
    for i in range(len(value)):
        new[i] = which[i] > k
        if which[i] == k:
            near[n] = i
            n += 1
    return new, near
