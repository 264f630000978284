"""Flat morphology: the greatest and the least value under a footprint, row by row; geodesic too."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._jit import kernel
from vesalius.ops._parts import in_parts

Radii = tuple[float, float, float]
Values = Shaped[Tensor, "z y x"]
Halves = NDArray[np.int64]

SLACK = 5e-7
"""A voxel this much farther than the radius, relative, still counts: rounding, not geometry."""


def ellipsoid_rows(radii: Radii, shape: tuple[int, int, int]) -> Halves:
    """Describe an ellipsoid of voxels by the half width of each of its rows.

    Args:
        radii: Semi-axes along (z, y, x), samples, at least 0.
        shape: Of the image: rows that no voxel of it can see are left out, whatever the radii.

    Returns:
        (2 rz + 1, 2 ry + 1) samples on each side along x; -1 where there is no row.
    """
    squares = []
    for radius, size in zip(radii[:2], shape[:2], strict=True):
        reach = math.floor(min(radius * (1 + SLACK), size))
        squares.append((np.arange(-reach, reach + 1) / radius) ** 2 if reach else np.zeros(1))
    left = 1 + SLACK - (squares[0][:, None] + squares[1])
    wide = np.minimum(radii[2] * np.sqrt(np.maximum(left, 0.0)), shape[2])
    return np.where(left >= 0, np.floor(wide), -1).astype(np.int64)


def box_rows(radii: Radii, shape: tuple[int, int, int]) -> Halves:
    """Describe a box of voxels as ``ellipsoid_rows`` does.

    Args:
        radii: Half of the sides along (z, y, x), samples, at least 0.
        shape: Of the image.

    Returns:
        (2 rz + 1, 2 ry + 1) half widths.
    """
    rz, ry, rx = (math.floor(min(r * (1 + SLACK), n)) for r, n in zip(radii, shape, strict=True))
    return np.full((2 * rz + 1, 2 * ry + 1), rx, np.int64)


def dilate_rows(x: Values, halves: Halves) -> Values:
    """Take the greatest value under a footprint made of rows; outside the image is nothing.

    Args:
        x: (z, y, x), any real number type.
        halves: From ``ellipsoid_rows`` or ``box_rows``.

    Returns:
        Same shape and number type, exact.
    """
    source = _plain(x)
    out = np.empty_like(source)
    in_parts(
        lambda a, b: _dilate_rows(source, halves, out, a, b),
        len(source) * source.shape[1],
        cost=source.size,
    )
    return torch.from_numpy(out)


def dilate_offsets(x: Values, offsets: NDArray[np.int64]) -> Values:
    """Take the greatest value at any of the offsets from each voxel; outside is nothing.

    Args:
        x: (z, y, x), any real number type.
        offsets: (n, 3) along (z, y, x), at least one.

    Returns:
        Same shape and number type, exact. A voxel that sees nothing keeps the lowest value.

    Raises:
        ShapeError: There is no offset.
    """
    if offsets.ndim != 2 or offsets.shape[1:] != (3,) or len(offsets) == 0:
        raise ShapeError(f"offsets must be (n, 3) with n of at least 1, got {offsets.shape}")
    source = _plain(x)
    out = np.full_like(source, lowest(source.dtype))
    _dilate_offsets(source, offsets, out)
    return torch.from_numpy(out)


def complement(x: Values) -> Values:
    """Turn the order of values around without loss, so that dilation becomes erosion."""
    source = _plain(x)
    return torch.from_numpy((np.invert if source.dtype.kind in "iu" else np.negative)(source))


def reconstruct(
    marker: Values, mask: Shaped[Tensor, "z2 y2 x2"], *, full: bool
) -> Shaped[Tensor, "z2 y2 x2"]:
    """Spread a marker under a mask: dilate it step by step, never above the mask, until it rests.

    Args:
        marker: (z, y, x).
        mask: Same shape and number type; the marker is cut to it.
        full: Whether edges and corners connect; otherwise faces only.

    Returns:
        Same shape and number type: peaks of the mask that the marker does not reach are cut off.

    Raises:
        ShapeError: Shapes or number types differ.

    References:
        Vincent (1993), doi:10.1109/83.217222, section IV: the hybrid algorithm.
    """
    if marker.shape != mask.shape or marker.dtype != mask.dtype:
        raise ShapeError(
            "marker and mask must have one shape and number type, got "
            f"{tuple(marker.shape)} {marker.dtype} and {tuple(mask.shape)} {mask.dtype}"
        )
    limit = _plain(mask)
    low = lowest(limit.dtype)
    roof = np.pad(limit, 1, constant_values=low)
    out = np.pad(np.minimum(_plain(marker), limit), 1, constant_values=low)
    steps = [
        (z, y, x)
        for z in (-1, 0, 1)
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
        if (z, y, x) < (0, 0, 0) and (full or abs(z) + abs(y) + abs(x) == 1)
    ]
    _, ny, nx = roof.shape
    before = np.array([(z * ny + y) * nx + x for z, y, x in steps], np.int64)
    _reconstruct(out.reshape(-1), roof.reshape(-1), before, (ny + 1) * nx + 1)
    return torch.from_numpy(out[1:-1, 1:-1, 1:-1].copy())


def lowest(dtype: "np.dtype[np.generic]") -> float | int:
    """Give the least number of a type."""
    if dtype.kind in "iu":
        return int(np.iinfo(np.dtype(dtype).name).min)
    return -math.inf


def _plain(x: Tensor) -> NDArray[np.generic]:
    if x.dtype in (torch.float16, torch.bfloat16):
        raise ConfigError(
            f"grey morphology takes integers, float32 or float64, got {x.dtype}: convert with "
            "image.map(lambda x: x.float())"
        )
    plain: NDArray[np.generic] = x.detach().cpu().contiguous().numpy()
    return plain.view(np.uint8) if plain.dtype == np.bool_ else plain


@kernel
@no_type_check
def _dilate_rows(source, halves, out, start, stop):
    """Fill the rows start to stop of all slices, counted through."""
    nz, ny, nx = source.shape
    rz, ry = halves.shape[0] // 2, halves.shape[1] // 2
    wide = np.empty((ny, nx), source.dtype)
    for z in range(start // ny, (stop - 1) // ny + 1):
        first, last = max(start - z * ny, 0), min(stop - z * ny, ny)
        out[z, first:last] = source[z, first:last]
        top, bottom = max(first - ry, 0), min(last + ry, ny)
        for dz in range(max(-rz, -z), min(rz, nz - 1 - z) + 1):
            # rows of one width are served together: the running maximum only has to grow
            for half in range(halves[dz + rz].max() + 1):
                for y in range(top, bottom):
                    _widen(source[z + dz, y], wide[y], half)
                for dy in range(-ry, ry + 1):
                    if halves[dz + rz, dy + ry] == half:
                        for y in range(max(first, -dy), min(last, ny - dy)):
                            _raise(wide[y + dy], out[z, y])


@kernel
@no_type_check
def _raise(row, out):
    for i in range(len(out)):
        out[i] = row[i] if row[i] > out[i] else out[i]


@kernel
@no_type_check
def _widen(row, wide, half):
    """Make the running maximum of one sample less on each side one wider."""
    n = len(row)
    if half == 0:
        wide[:] = row
        return
    if half < n:
        _raise(row[half:], wide[: n - half])
        _raise(row[: n - half], wide[half:])


@kernel
@no_type_check
def _dilate_offsets(source, offsets, out):
    nz, ny, nx = source.shape
    for z in range(nz):
        for y in range(ny):
            to = out[z, y]
            for k in range(len(offsets)):
                a, b, c = z + offsets[k, 0], y + offsets[k, 1], offsets[k, 2]
                if a < 0 or a >= nz or b < 0 or b >= ny or abs(c) >= nx:
                    continue
                row = source[a, b]
                if c >= 0:
                    _raise(row[c:], to[: nx - c])
                else:
                    _raise(row[: nx + c], to[-c:])


@kernel
@no_type_check
def _reconstruct(out, roof, before, edge):
    """Sweep forward and back, then let a queue carry on where the sweeps could not."""
    n = len(out)
    queue, waiting = np.empty(n, np.int64), np.zeros(n, np.bool_)
    head, tail, held = 0, 0, 0
    for p in range(edge, n - edge):
        value = out[p]
        for k in range(len(before)):
            value = max(value, out[p + before[k]])
        out[p] = min(value, roof[p])
    for p in range(n - edge - 1, edge - 1, -1):
        value = out[p]
        for k in range(len(before)):
            value = max(value, out[p - before[k]])
        out[p] = min(value, roof[p])
        for k in range(len(before)):
            q = p - before[k]
            if out[q] < out[p] and out[q] < roof[q]:
                queue[tail] = p
                waiting[p] = True
                tail, held = tail + 1, held + 1
                break
    tail = tail % n
    while held > 0:
        p = queue[head]
        head, held = (head + 1) % n, held - 1
        waiting[p] = False
        for k in range(2 * len(before)):
            q = p + before[k] if k < len(before) else p - before[k - len(before)]
            if out[q] < out[p] and out[q] < roof[q]:
                out[q] = min(out[p], roof[q])
                if not waiting[q]:
                    waiting[q] = True
                    queue[tail] = q
                    tail, held = (tail + 1) % n, held + 1
    return held
