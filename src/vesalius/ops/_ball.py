"""Means over balls of voxels: the local and the global intensity peak.

A ball is a stack of rows. Sums over rows of each length come first, then sums over the rows of each
slice of the ball, then over slices, each step adding the two mirror images at once.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import RegionError
from vesalius.ops._hull import _row_spans
from vesalius.ops._jit import kernel

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_STRIP = 24  # rows summed together
_MOST = 4096  # candidates summed one by one


@dataclass(frozen=True, slots=True)
class Peaks:
    """Highest means over a ball.

    Attributes:
        local: With its centre at the brightest voxel of the mask (the highest mean if several tie).
        everywhere: With its centre at any voxel of the mask.
    """

    local: float
    everywhere: float


def ball_peaks(
    values: Float[Tensor, "z y x"],
    mask: Bool[Tensor, "z y x"],
    radius: tuple[float, float, float],
) -> Peaks:
    """Find the highest mean over a ball that is centred in a mask and may reach out of it.

    Args:
        values: (z, y, x) floating point, finite inside the mask. Samples that are not finite, and
            what lies beyond the block, count as absent: the mean is over what exists.
        mask: (z, y, x), True where a centre may lie.
        radius: Radius of the ball along (z, y, x), samples; a voxel counts where its centre is
            at most that far.

    Returns:
        The two peaks, unit of ``values``.

    Raises:
        RegionError: The mask is empty.
    """
    samples = values.detach().to("cpu", torch.float64).contiguous().numpy()
    inside = mask.detach().cpu().contiguous().numpy()
    spans = _row_spans(inside.view(np.uint8))
    if not (spans[0] >= 0).any():
        raise RegionError("mask must have a voxel inside to have a peak, got an empty one")
    halves = _ball_rows(radius)
    box, rows = _box_and_rows(spans)
    screened = _screened_peaks(samples, inside, (box, rows), halves)
    if screened is not None:
        return screened
    counts = _sums(np.isfinite(samples).astype(np.float64), (box, rows), halves)
    sums = _sums(samples, (box, rows), halves)
    local, everywhere = _highest(samples, inside, box, sums, counts)
    return Peaks(float(local), float(everywhere))


def _screened_peaks(
    samples: Array, inside: npt.NDArray[np.bool_], where: tuple[Ints, Ints], halves: Ints
) -> Peaks | None:
    """Look for the peaks in single precision, then sum the few that may be it in double.

    Gives None where that does not do: samples that are not finite, or too many that are alike.
    """
    low, high = _range(samples.reshape(-1))
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    middle = (low + high) / 2
    sums = _sums(samples, where, halves, middle=middle, single=True)
    # at most 64 roundings lie between a sample and its mean
    slack = 64 * float(np.finfo(np.float32).eps) * (high - low) / 2
    counts = _counts_in_block(halves, samples.shape, where[0])
    spots, found, brightest = _candidates(samples, inside, where[0], (sums, *counts), 2 * slack)
    if found < 0 or brightest < 0:
        return None
    near = _exact_means(samples, spots[0, :found], halves).max()
    bright = _exact_means(samples, spots[1, :brightest], halves).max()
    return Peaks(float(bright), float(near))


def _sums(
    samples: Array,
    where: tuple[Ints, Ints],
    halves: Ints,
    *,
    middle: float = 0.0,
    single: bool = False,
) -> npt.NDArray[np.floating]:
    """Sum (sample - middle) over the ball around each voxel of the box."""
    box, rows = where
    nz, ny, nx = (box[:, 1] - box[:, 0]).tolist()
    ry, rx = halves.shape[1] // 2, int(halves.max())
    kind = np.float32 if single else np.float64
    sums = np.zeros((nz, ny * nx), kind)
    framed = np.zeros((ny + 2 * ry, nx + 2 * rx), kind)
    runs = np.empty((rx + 1, (ny + 2 * ry) * nx), kind)
    _ball_sums(samples, middle, box, rows, halves, (sums, framed, runs, np.empty(ny * nx, kind)))
    return sums.reshape(nz, ny, nx)


def _ball_rows(radius: tuple[float, float, float]) -> Ints:
    """Give the half length of the row at each (dz, dy); -1 where there is none."""
    rz, ry, rx = radius
    # a voxel exactly on the sphere belongs to it, whatever the rounding of the radius
    z, y = (np.arange(-int(r + 1e-9), int(r + 1e-9) + 1) / r for r in (rz, ry))
    left = 1 - (z**2)[:, None] - (y**2)[None, :]
    length = np.sqrt(np.maximum(left, 0)) * rx
    return np.where(left >= -1e-9, np.floor(length + 1e-9), -1).astype(np.int64)


def _box_and_rows(spans: Ints) -> tuple[Ints, Ints]:
    """Give the bounding box, (first, end) along z, y, x, and that along y in each slice."""
    filled = spans[0] >= 0
    z, y = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    x = (spans[0][filled].min(), spans[1].max() + 1)
    box = np.array([[z[0], z[-1] + 1], [y[0], y[-1] + 1], x], dtype=np.int64)
    here = filled[z[0] : z[-1] + 1, y[0] : y[-1] + 1]
    first, end = here.argmax(axis=1), here.shape[1] - here[:, ::-1].argmax(axis=1)
    return box, np.stack([first, np.where(here.any(axis=1), end, first)], axis=1).astype(np.int64)


def _counts_in_block(
    halves: Ints, shape: tuple[int, ...], box: Ints
) -> tuple[npt.NDArray[np.float32], Ints]:
    """Count the voxels of a ball that lie in the block, by how much of it each axis cuts off.

    Gives the counts, (kinds of z, of y, of x), and the kind of each place of the box along an axis:
    few places near the border differ, so that few counts are summed.
    """
    reach = (halves.shape[0] // 2, halves.shape[1] // 2, int(halves.max()))
    ends, kinds = [], np.zeros((3, int((box[:, 1] - box[:, 0]).max())), np.int64)
    for axis in range(3):
        at = np.arange(box[axis, 0], box[axis, 1])
        low = np.minimum(at, reach[axis])
        high = np.minimum(shape[axis] - 1 - at, reach[axis])
        # places along an axis only move inwards, then outwards: equal ones are neighbours
        first = np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))
        kinds[axis, : len(at)] = np.cumsum(first) - 1
        ends.append(np.stack([low[first], high[first]], axis=1))
    return _count_cut(halves, ends[0], ends[1], ends[2]), kinds


@kernel
@no_type_check
def _range(samples):
    """Give the extremes; not finite where a sample is not."""
    low, high, odd = np.inf, -np.inf, 0.0
    for value in samples:
        low, high = min(low, value), max(high, value)
        odd += value - value
    return low + odd, high + odd


@kernel
@no_type_check
def _count_cut(halves, ends_z, ends_y, ends_x):
    rz, ry = halves.shape[0] // 2, halves.shape[1] // 2
    counts = np.zeros((len(ends_z), len(ends_y), len(ends_x)), np.float32)
    for i in range(len(ends_z)):
        for j in range(len(ends_y)):
            for k in range(len(ends_x)):
                for dz in range(-ends_z[i, 0], ends_z[i, 1] + 1):
                    for dy in range(-ends_y[j, 0], ends_y[j, 1] + 1):
                        h = halves[dz + rz, dy + ry]
                        if h >= 0:
                            counts[i, j, k] += min(h, ends_x[k, 0]) + min(h, ends_x[k, 1]) + 1
    return counts


@kernel
@no_type_check
def _ball_sums(values, middle, box, rows, halves, work):
    sums, framed, runs, part = work
    rz, ry, rx = halves.shape[0] // 2, halves.shape[1] // 2, halves.max()
    nz, ny, nx = box[0, 1] - box[0, 0], box[1, 1] - box[1, 0], box[2, 1] - box[2, 0]
    for source in range(max(0, box[0, 0] - rz), min(values.shape[0], box[0, 1] + rz)):
        _frame(values[source], middle, box[1, 0] - ry, box[2, 0] - rx, framed)
        _row_sums(framed, nx, runs)
        z = source - box[0, 0]
        for dz in range(rz + 1):
            first, end = ny, 0
            for target in (z - dz, z + dz):
                if 0 <= target < nz and rows[target, 1] > rows[target, 0]:
                    first, end = min(first, rows[target, 0]), max(end, rows[target, 1])
            # a few rows at a time, so that the partial sums stay in the nearest cache
            for y in range(first, end, _STRIP):
                start, stop = y * nx, min(y + _STRIP, end) * nx
                _slice_sums(runs, halves[rz + dz], nx, start, stop, part)
                if 0 <= z - dz < nz:
                    _add(part, sums[z - dz, start:stop])
                if dz > 0 and 0 <= z + dz < nz:
                    _add(part, sums[z + dz, start:stop])


@kernel
@no_type_check
def _frame(plane, middle, y0, x0, framed):
    """Copy a part of a slice; 0 beyond its border and where it is not finite."""
    framed[:] = 0.0
    for y in range(max(0, -y0), min(framed.shape[0], plane.shape[0] - y0)):
        for x in range(max(0, -x0), min(framed.shape[1], plane.shape[1] - x0)):
            value = plane[y + y0, x + x0]
            framed[y, x] = value - middle if np.isfinite(value) else 0.0


@kernel
@no_type_check
def _row_sums(framed, nx, runs):
    """Sum 2 h + 1 samples along x, for each half length h."""
    rx = len(runs) - 1
    for y in range(framed.shape[0]):
        row = framed[y]
        runs[0, y * nx : (y + 1) * nx] = row[rx : rx + nx]
        for h in range(1, rx + 1):
            shorter, longer = runs[h - 1, y * nx : (y + 1) * nx], runs[h, y * nx : (y + 1) * nx]
            _add_pair(shorter, row[rx - h : rx - h + nx], row[rx + h : rx + h + nx], longer)


@kernel
@no_type_check
def _slice_sums(runs, halves, nx, start, stop, part):
    """Sum the rows of one slice of the ball."""
    ry = len(halves) // 2
    first, end = start + ry * nx, stop + ry * nx
    line = part[: stop - start]
    line[:] = runs[halves[ry], first:end]
    for dy in range(1, ry + 1):
        h, away = halves[ry + dy], dy * nx
        if h >= 0:
            one, other = runs[h, first - away : end - away], runs[h, first + away : end + away]
            _add_two(one, other, line)


# slices, not offsets: an index that might be negative keeps a loop from being vectorised
@kernel
@no_type_check
def _add_pair(base, one, other, out):
    for i in range(len(out)):
        out[i] = base[i] + (one[i] + other[i])


# on its own, since a loop whose input is also its output is not vectorised
@kernel
@no_type_check
def _add_two(one, other, out):
    for i in range(len(out)):
        out[i] += one[i] + other[i]


@kernel
@no_type_check
def _add(part, out):
    for i in range(len(out)):
        out[i] += part[i]


@kernel
@no_type_check
def _candidates(values, inside, box, found_sums, slack):
    """List where the mean may be the highest, and where the value is; -1 of too many."""
    sums, counts, kinds = found_sums
    spots = np.empty((2, _MOST, 3), np.int64)
    top, brightest, found, bright = -np.inf, -np.inf, 0, 0
    for z in range(sums.shape[0]):
        for y in range(sums.shape[1]):
            for x in range(sums.shape[2]):
                if not inside[z + box[0, 0], y + box[1, 0], x + box[2, 0]]:
                    continue
                voxels = counts[kinds[0, z], kinds[1, y], kinds[2, x]]
                mean = np.float64(sums[z, y, x] / voxels)
                if mean >= top - slack and found >= 0:
                    if mean > top + slack:
                        found = 0
                    top = max(top, mean)
                    found = _note(spots[0], found, z + box[0, 0], y + box[1, 0], x + box[2, 0])
                value = values[z + box[0, 0], y + box[1, 0], x + box[2, 0]]
                if value >= brightest and bright >= 0:
                    if value > brightest:
                        brightest, bright = value, 0
                    bright = _note(spots[1], bright, z + box[0, 0], y + box[1, 0], x + box[2, 0])
    return spots, found, bright


@kernel
@no_type_check
def _note(spots, n, z, y, x):
    if n == len(spots):
        return -1
    spots[n, 0], spots[n, 1], spots[n, 2] = z, y, x
    return n + 1


@kernel
@no_type_check
def _exact_means(values, spots, halves):
    rz, ry = halves.shape[0] // 2, halves.shape[1] // 2
    nz, ny, nx = values.shape
    means = np.zeros(len(spots))
    for i in range(len(spots)):
        z, y, x = spots[i, 0], spots[i, 1], spots[i, 2]
        total, count = 0.0, 0
        for dz in range(max(-rz, -z), min(rz, nz - 1 - z) + 1):
            for dy in range(max(-ry, -y), min(ry, ny - 1 - y) + 1):
                h = halves[dz + rz, dy + ry]
                for dx in range(max(-h, -x), min(h, nx - 1 - x) + 1):
                    total += values[z + dz, y + dy, x + dx]
                    count += 1
        means[i] = total / count
    return means


@kernel
@no_type_check
def _highest(values, inside, box, sums, counts):
    z0, y0, x0 = box[0, 0], box[1, 0], box[2, 0]
    local, everywhere, brightest = -np.inf, -np.inf, -np.inf
    for z in range(sums.shape[0]):
        for y in range(sums.shape[1]):
            for x in range(sums.shape[2]):
                if not inside[z + z0, y + y0, x + x0]:
                    continue
                mean = sums[z, y, x] / counts[z, y, x]
                everywhere = max(everywhere, mean)
                value = values[z + z0, y + y0, x + x0]
                if value > brightest:
                    brightest, local = value, mean
                elif value == brightest:
                    local = max(local, mean)
    return local, everywhere
