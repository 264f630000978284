"""SLIC: split an image into compact pieces that follow its edges (superpixels, supervoxels)."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.ops._jit import kernel

Triple = tuple[float, float, float]


def slic(
    x: Float[Tensor, "c z y x"],
    *,
    spacing: Triple,
    size: float,
    compactness: float,
    steps: int,
    mask: Bool[Tensor, "mz my mx"],
) -> Int[Tensor, "z y x"]:
    """Cluster samples by place and value: k-means limited to the neighbourhood of each centre.

    The squared distance of a sample to a centre is (dI / compactness)^2 + (dr / size)^2. The
    centres start at the centroids of a lattice of boxes of edge ``size``; afterwards every piece
    is one connected part, and parts below a quarter of the usual size join their largest
    neighbour. The same input gives the same labels, always.

    Args:
        x: Samples; a channel is one dimension of the value. 2-D is z = 1.
        spacing: Distance of samples along (z, y, x), any length unit.
        size: Edge of a typical piece, same unit as ``spacing``.
        compactness: Difference of value that weighs as much as a distance of ``size``.
        steps: Rounds of k-means at most; 5 to 10 are usual. It stops when no centre moves.
        mask: True where samples are labelled.

    Returns:
        int32; 1 to the number of pieces inside the mask, 0 outside.

    Raises:
        ShapeError: The mask does not fit the samples.
        RegionError: The mask is empty.
        IntensityError: ``size`` or ``compactness`` is not positive, or a sample is not finite.

    References:
        Achanta et al. (2012), doi:10.1109/TPAMI.2012.120. Differs from it in: centres start at
        centroids of boxes clipped to the mask; the value distance is per channel, no Lab colours.
    """
    if tuple(mask.shape) != tuple(x.shape[1:]):
        raise ShapeError(f"mask must have shape {tuple(x.shape[1:])}, got {tuple(mask.shape)}")
    if not size > 0 or not compactness > 0:
        raise IntensityError(
            f"size and compactness must be positive, got {size} and {compactness}: "
            "size is a length, compactness a difference of value"
        )
    values = np.ascontiguousarray(x.detach().cpu().to(torch.float32).numpy())
    inside = np.ascontiguousarray(mask.cpu().numpy())
    _check(values, inside)
    labels = _cluster(values, inside, np.array(spacing) / size, compactness, steps)
    least = max(1, int(0.25 * size**3 / math.prod(_felt(spacing, x.shape[1:], size))))
    return torch.from_numpy(_connected(labels, least)).to(x.device)


def _felt(spacing: Triple, shape: torch.Size, size: float) -> Triple:
    """Spacing with ``size`` along axes of one sample, so that products count samples right."""
    z, y, x = (size if n == 1 else s for s, n in zip(spacing, shape, strict=True))
    return (z, y, x)


def _check(values: np.ndarray, inside: np.ndarray) -> None:
    if not inside.any():
        raise RegionError("mask must hold at least one sample, it is empty: nothing to cluster")
    if not np.isfinite(values[:, inside]).all():
        raise IntensityError("samples inside the mask must be finite: mask NaN and infinity out")


def _cluster(
    values: np.ndarray, inside: np.ndarray, pitch: np.ndarray, compactness: float, steps: int
) -> np.ndarray:
    """Label by k-means; ``pitch`` is the spacing in units of ``size``."""
    labels: np.ndarray
    labels, count = _start(inside, pitch)
    centres = np.zeros((count, 3 + len(values)))
    distance = np.empty(inside.shape, dtype=np.float32)
    moved = _update(values, labels, centres)
    for _ in range(steps):
        distance[...] = np.where(inside, np.float32(np.inf), np.float32(-1))
        _assign(values, labels, centres, distance, (pitch, 1 / compactness))
        moved = _update(values, labels, centres)
        if moved == 0:
            break
    return labels


@kernel
@no_type_check
def _start(inside, pitch):
    """Label by boxes of edge ``size``, numbered from 1 in order of first sample."""
    nz, ny, nx = inside.shape
    cells = np.empty(3, dtype=np.int64)
    for k in range(3):
        cells[k] = max(1, round(inside.shape[k] * pitch[k]))
    number = np.zeros((cells[0], cells[1], cells[2]), dtype=np.int32)
    labels = np.zeros(inside.shape, dtype=np.int32)
    count = 0
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                if inside[z, y, x]:
                    a, b, c = z * cells[0] // nz, y * cells[1] // ny, x * cells[2] // nx
                    if number[a, b, c] == 0:
                        count += 1
                        number[a, b, c] = count
                    labels[z, y, x] = number[a, b, c]
    return labels, count


@kernel
@no_type_check
def _update(values, labels, centres):
    """Move each centre to the mean of its samples; returns the largest move."""
    sums = np.zeros_like(centres)
    sizes = np.zeros(len(centres), dtype=np.int64)
    nz, ny, nx = labels.shape
    for z in range(nz):
        for y in range(ny):
            x = 0
            while x < nx:  # a row is a few runs of one label each
                k, first = labels[z, y, x], x
                while x < nx and labels[z, y, x] == k:
                    x += 1
                if k > 0:
                    n = x - first
                    sizes[k - 1] += n
                    sums[k - 1, 0] += n * z
                    sums[k - 1, 1] += n * y
                    sums[k - 1, 2] += n * (first + 0.5 * (n - 1))
                    for c in range(len(values)):
                        part = 0.0
                        for i in range(first, x):
                            part += values[c, z, y, i]
                        sums[k - 1, 3 + c] += part
    moved = 0.0
    for k in range(len(centres)):
        if sizes[k] > 0:
            for c in range(centres.shape[1]):
                mean = sums[k, c] / sizes[k]
                moved = max(moved, abs(mean - centres[k, c]))
                centres[k, c] = mean
    return moved


@kernel
@no_type_check
def _assign(values, labels, centres, distance, scale):
    """Give each sample to the nearest centre within one ``size`` along each axis.

    ``distance`` starts infinite, negative where there is no sample. The loops along a row have no
    branches, so that they run on several samples at once.
    """
    pitch, weight = scale
    low = np.empty(3, dtype=np.int64)
    high = np.empty(3, dtype=np.int64)
    along = np.empty(labels.shape[2], dtype=np.float32)
    total = np.empty(labels.shape[2], dtype=np.float32)
    flat, best, owner = values.ravel(), distance.ravel(), labels.ravel()
    size = labels.size
    for k in range(len(centres)):
        for j in range(3):
            low[j] = max(0, math.ceil(centres[k, j] - 1 / pitch[j]))
            high[j] = min(labels.shape[j], math.floor(centres[k, j] + 1 / pitch[j]) + 1)
        width = high[2] - low[2]
        for i in range(width):
            along[i] = ((low[2] + i - centres[k, 2]) * pitch[2]) ** 2
        for z in range(low[0], high[0]):
            fz = ((z - centres[k, 0]) * pitch[0]) ** 2
            for y in range(low[1], high[1]):
                fy = np.float32(fz + ((y - centres[k, 1]) * pitch[1]) ** 2)
                first = (z * labels.shape[1] + y) * labels.shape[2] + low[2]
                for i in range(width):
                    total[i] = fy + along[i]
                for c in range(len(values)):
                    row = flat[c * size + first : c * size + first + width]
                    _add_square(row, total, np.float32(centres[k, 3 + c]), np.float32(weight))
                here = slice(first, first + width)
                _claim(total, best[here], owner[here], np.int32(k + 1))


@kernel
@no_type_check
def _add_square(row, total, mean, weight):
    for i in range(len(row)):
        away = (row[i] - mean) * weight
        total[i] += away * away


@kernel
@no_type_check
def _claim(total, best, owner, label):
    """Give the samples of one piece of a row to a centre, where it is nearer than the last."""
    for i in range(len(best)):
        owner[i] = label if total[i] < best[i] else owner[i]
        best[i] = min(total[i], best[i])


@kernel
@no_type_check
def _connected(labels, least):
    """Split labels into connected parts, join the small ones, number from 1 in scan order."""
    parts, sizes = _split(labels)
    root = np.arange(len(sizes))
    best = np.zeros(len(sizes), dtype=np.int64)
    small = _members(parts, sizes, least)
    for _ in range(len(sizes)):  # each round joins at least one part, a few are enough
        if _join_once(parts, small, (sizes, root, best), least) == 0:
            break
    number = np.zeros(len(sizes), dtype=np.int32)
    count = 0
    for k in range(1, len(sizes)):  # parts are numbered in scan order, so joined ones are too
        r = _root(root, k)
        if number[r] == 0:
            count += 1
            number[r] = count
    for k in range(1, len(sizes)):
        root[k] = _root(root, k)
    table = number[root]
    table[0] = 0
    flat = parts.ravel()
    for i in range(len(flat)):
        flat[i] = table[flat[i]]
    return parts


@kernel
@no_type_check
def _split(labels):
    """Number the face-connected parts of equal label from 1; sizes[0] is 0."""
    nz, ny, nx = labels.shape
    parts = np.zeros(labels.shape, dtype=np.int32)
    root = np.empty(64, dtype=np.int32)
    count = 1
    for z in range(nz):
        for y in range(ny):
            x = 0
            while x < nx:  # a row is a few runs of one label each
                k, first, part, seen = labels[z, y, x], x, 0, 0
                while x < nx and labels[z, y, x] == k:
                    if k > 0 and y > 0 and labels[z, y - 1, x] == k and parts[z, y - 1, x] != seen:
                        seen = parts[z, y - 1, x]
                        part = _united(root, part, seen)
                    x += 1
                if k == 0:
                    continue
                if z > 0:
                    for i in range(first, x):
                        if labels[z - 1, y, i] == k and parts[z - 1, y, i] != part:
                            part = _united(root, part, parts[z - 1, y, i])
                if part == 0:
                    if count == len(root):
                        wider = np.empty(2 * count, dtype=np.int32)
                        wider[:count] = root
                        root = wider
                    root[count] = count
                    part = count
                    count += 1
                parts[z, y, first:x] = part
    number = np.zeros(count, dtype=np.int32)
    last = 0
    for k in range(1, count):  # the root of a part is its smallest number
        r = _root(root, k)
        if r == k:
            last += 1
            number[k] = last
        else:
            number[k] = number[r]
    sizes = np.zeros(last + 1, dtype=np.int64)
    flat = parts.ravel()
    for i in range(len(flat)):
        if flat[i] > 0:
            flat[i] = number[flat[i]]
            sizes[flat[i]] += 1
    return parts, sizes


@kernel
@no_type_check
def _united(root, a, b):
    """Make two provisional numbers one; 0 is none."""
    if a == 0 or a == b:
        return b
    a, b = _root(root, a), _root(root, b)
    low, high = min(a, b), max(a, b)
    root[high] = low
    return low


@kernel
@no_type_check
def _members(parts, sizes, least):
    """Give the flat indices of all samples in parts below ``least``."""
    flat = parts.ravel()
    total = 0
    for k in range(1, len(sizes)):
        if sizes[k] < least:
            total += sizes[k]
    out = np.empty(total, dtype=np.int64)
    count = 0
    for i in range(len(flat)):
        if flat[i] > 0 and sizes[flat[i]] < least:
            out[count] = i
            count += 1
    return out


@kernel
@no_type_check
def _step(i, way, at, shape):
    """Flat index of one of the six neighbours, or -1 outside."""
    z, y, x = at
    nz, ny, nx = shape
    if way == 0:
        return i - 1 if x > 0 else -1
    if way == 1:
        return i + 1 if x < nx - 1 else -1
    if way == 2:
        return i - nx if y > 0 else -1
    if way == 3:
        return i + nx if y < ny - 1 else -1
    if way == 4:
        return i - nx * ny if z > 0 else -1
    return i + nx * ny if z < nz - 1 else -1


@kernel
@no_type_check
def _join_once(parts, small, tables, least):
    """Join every part below ``least`` to its largest neighbour; returns how many were joined."""
    sizes, root, best = tables
    best[:] = 0
    nz, ny, nx = parts.shape
    flat = parts.ravel()
    for i in small:
        a = _root(root, flat[i])
        if sizes[a] >= least:
            continue
        at = (i // (nx * ny), (i // nx) % ny, i % nx)
        for way in range(6):
            n = _step(i, way, at, (nz, ny, nx))
            if n >= 0 and flat[n] != 0:
                b = _root(root, flat[n])
                if b != a and (best[a] == 0 or sizes[b] > sizes[best[a]]):
                    best[a] = b
    joined = 0
    for a in range(1, len(sizes)):
        if best[a] != 0 and root[a] == a and sizes[a] < least:
            b = _root(root, best[a])
            if b != a:
                root[a] = b
                sizes[b] += sizes[a]
                joined += 1
    return joined


@kernel
@no_type_check
def _root(root, a):
    while root[a] != a:
        root[a] = root[root[a]]
        a = root[a]
    return a
