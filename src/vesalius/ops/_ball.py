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
from vesalius.ops._jit import kernel


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
    if not inside.any():
        raise RegionError("mask must have a voxel inside to have a peak, got an empty one")
    halves = _ball_rows(radius)
    box = _reach(inside, halves)
    samples, inside = np.ascontiguousarray(samples[box]), np.ascontiguousarray(inside[box])
    exists = np.isfinite(samples)
    samples = samples if exists.all() else np.where(exists, samples, 0.0)
    sums = _ball_sums(_framed(samples, halves), halves)
    full = bool(exists.all()) and not _touches(inside, halves)
    one = np.full((1, 1, 1), float((2 * halves + 1)[halves >= 0].sum()))
    counts = one if full else _ball_sums(_framed(exists.astype(np.float64), halves), halves)
    local, everywhere = _highest(samples, inside, sums, counts)
    return Peaks(float(local), float(everywhere))


def _ball_rows(radius: tuple[float, float, float]) -> npt.NDArray[np.int64]:
    """Give the half length of the row at each (dz, dy); -1 where there is none."""
    rz, ry, rx = radius
    # a voxel exactly on the sphere belongs to it, whatever the rounding of the radius
    z, y = (np.arange(-int(r + 1e-9), int(r + 1e-9) + 1) / r for r in (rz, ry))
    left = 1 - (z**2)[:, None] - (y**2)[None, :]
    length = np.sqrt(np.maximum(left, 0)) * rx
    return np.where(left >= -1e-9, np.floor(length + 1e-9), -1).astype(np.int64)


def _reach(
    inside: npt.NDArray[np.bool_], halves: npt.NDArray[np.int64]
) -> tuple[slice, slice, slice]:
    """Box of the mask grown by the ball, as far as the block goes."""
    reach = (halves.shape[0] // 2, halves.shape[1] // 2, int(halves.max()))
    box = []
    for axis in range(3):
        flat = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(0, flat[0] - reach[axis]), flat[-1] + reach[axis] + 1))
    return box[0], box[1], box[2]


def _touches(inside: npt.NDArray[np.bool_], halves: npt.NDArray[np.int64]) -> bool:
    """Whether a ball around some voxel of the mask leaves the block."""
    reach = (halves.shape[0] // 2, halves.shape[1] // 2, int(halves.max()))
    core = tuple(slice(r, n - r) for r, n in zip(reach, inside.shape, strict=True))
    return int(np.count_nonzero(inside)) != int(np.count_nonzero(inside[core]))


def _framed(
    samples: npt.NDArray[np.float64], halves: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    rz, ry, rx = halves.shape[0] // 2, halves.shape[1] // 2, int(halves.max())
    nz, ny, nx = samples.shape
    framed = np.zeros((nz + 2 * rz, ny + 2 * ry, nx + 2 * rx))
    framed[rz : rz + nz, ry : ry + ny, rx : rx + nx] = samples
    return framed


@kernel
@no_type_check
def _ball_sums(framed, halves):
    """Sum over the ball around each sample inside the frame."""
    rz, ry, rx = halves.shape[0] // 2, halves.shape[1] // 2, halves.max()
    nz, ny, nx = framed.shape[0] - 2 * rz, framed.shape[1] - 2 * ry, framed.shape[2] - 2 * rx
    sums = np.zeros((nz, ny, nx))
    runs = np.empty((rx + 1, framed.shape[1], nx))
    line = np.empty(nx)
    for z in range(framed.shape[0]):
        for y in range(framed.shape[1]):
            source = framed[z, y]
            runs[0, y] = source[rx : rx + nx]
            for h in range(1, rx + 1):
                _add_pair(runs[h - 1, y], source[rx - h :], source[rx + h :], runs[h, y])
        for dz in range(rz + 1):
            above, below = z - rz - dz, z - rz + dz
            if not (0 <= above < nz or 0 <= below < nz):
                continue
            for y in range(ny):
                _slice_sum(runs, halves[rz + dz], y, line)
                if 0 <= above < nz:
                    _add(line, sums[above, y])
                if dz > 0 and 0 <= below < nz:
                    _add(line, sums[below, y])
    return sums


@kernel
@no_type_check
def _slice_sum(runs, halves, y, line):
    ry = len(halves) // 2
    line[:] = runs[halves[ry], y + ry]
    for dy in range(1, ry + 1):
        h = halves[ry + dy]
        if h >= 0:
            _add_pair(line, runs[h, y + ry - dy], runs[h, y + ry + dy], line)


@kernel
@no_type_check
def _add_pair(base, one, other, out):
    for x in range(len(out)):
        out[x] = base[x] + (one[x] + other[x])


@kernel
@no_type_check
def _add(line, out):
    for x in range(len(out)):
        out[x] += line[x]


@kernel
@no_type_check
def _highest(values, inside, sums, counts):
    one = counts.size == 1
    local, everywhere, brightest = -np.inf, -np.inf, -np.inf
    for z in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                if not inside[z, y, x]:
                    continue
                mean = sums[z, y, x] / (counts[0, 0, 0] if one else counts[z, y, x])
                everywhere = max(everywhere, mean)
                value = values[z, y, x]
                if value > brightest:
                    brightest, local = value, mean
                elif value == brightest:
                    local = max(local, mean)
    return local, everywhere
