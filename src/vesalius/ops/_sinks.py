"""Sinks: where followed samples gather, found in a histogram of whole samples."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._jit import kernel

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True)
class SinkRules:
    """What counts as one sink.

    Attributes:
        apart: Two sinks are at least this far apart, in finest samples.
        reach: A sink reaches at most this far from its peak, in finest samples.
        least: Samples that must end at a peak.
        few: A place where at most so many end does not belong to a sink by itself.

    Raises:
        ConfigError: A number is out of range.
    """

    apart: int = 2
    reach: int = 5
    least: int = 8
    few: int = 1

    def __post_init__(self) -> None:
        if min(self.apart, self.least) < 1 or self.reach < 0 or self.few < 0:
            raise ConfigError(
                "apart and least must be at least 1, reach and few not negative, got "
                f"{self.apart}, {self.least}, {self.reach} and {self.few}"
            )


def ends_to_bins(ends: Float[Tensor, "n 3"], shape: Shape) -> Int64[Tensor, " n"]:
    """Round end positions to samples, as flat indices into a volume.

    Args:
        ends: Positions in samples (z, y, x), inside the volume.
        shape: Of the volume.

    Raises:
        ShapeError: A position lies outside.
    """
    near = ends.round().long()
    limit = torch.tensor(shape, device=ends.device)
    if bool(((near < 0) | (near >= limit)).any()):
        raise ShapeError(f"ends must lie inside the volume of shape {shape}, some are outside")
    return (near[:, 0] * shape[1] + near[:, 1]) * shape[2] + near[:, 2]


def sinks(
    bins: Int64[Tensor, " n"],
    shape: Shape,
    *,
    spacing: Spacing = (1.0, 1.0, 1.0),
    rules: SinkRules = SinkRules(),
) -> Int32[Tensor, " n"]:
    """Give each followed sample the number of the sink that it ended in.

    Peaks of the histogram are taken from the highest; each grows over touching places where more
    than a few samples end, within its reach. Numbers are ordered by the place of the peak in the
    array, so they do not depend on the order or the tiles in which samples were followed.

    Args:
        bins: Flat index of the sample at which each one ended, from :func:`ends_to_bins`.
        shape: Of the volume.
        spacing: Size of a sample along (z, y, x), any common unit.
        rules: What counts as one sink.

    Returns:
        Numbers from 1; 0 for samples that ended in no sink.

    References:
        Stringer et al. (2021), doi:10.1038/s41592-020-01018-x, Methods, "Gradient tracking".
        Differs from it in: growth from the highest peak first, by touching places; spacing.
    """
    flat = np.ascontiguousarray(bins.detach().cpu().numpy())
    counts = np.bincount(flat, minlength=shape[0] * shape[1] * shape[2]).astype(np.int32)
    volume = counts.reshape(shape)
    apart, reach = _windows(shape, spacing, rules.apart), _windows(shape, spacing, rules.reach)
    peaks = _peaks(volume, apart, rules.least)
    order = np.argsort(-counts[peaks], kind="stable")
    numbers = _grow(volume, peaks[order], reach, rules.few)
    used = numbers.ravel()[peaks]
    first = np.zeros(len(peaks) + 1, np.int32)
    # a peak swallowed by a higher one has that one's number
    own = np.zeros(len(peaks), bool)
    own[order] = used[order] == np.arange(1, len(peaks) + 1)
    first[used[own]] = np.arange(1, int(own.sum()) + 1)
    return torch.from_numpy(first[numbers.ravel()[flat]])


def _windows(shape: Shape, spacing: Spacing, radius: int) -> Shape:
    """Turn a radius in finest samples into one along each axis; 0 along an axis of one sample."""
    finest = min(s for s, n in zip(spacing, shape, strict=True) if n > 1 or max(shape) == 1)
    z, y, x = (
        0 if n == 1 else max(min(radius, 1), round(radius * finest / s))
        for s, n in zip(spacing, shape, strict=True)
    )
    return z, y, x


@kernel
@no_type_check
def _peaks(counts, apart, least):
    """List the flat places that no place near them outdoes, the first of equals."""
    nz, ny, nx = counts.shape
    found = []
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                here = counts[z, y, x]
                if here < least:
                    continue
                best = True
                for k in range(max(z - apart[0], 0), min(z + apart[0] + 1, nz)):
                    for j in range(max(y - apart[1], 0), min(y + apart[1] + 1, ny)):
                        for i in range(max(x - apart[2], 0), min(x + apart[2] + 1, nx)):
                            there = counts[k, j, i]
                            before = (k * ny + j) * nx + i < (z * ny + y) * nx + x
                            if there > here or (there == here and before):
                                best = False
                if best:
                    found.append((z * ny + y) * nx + x)
    out = np.empty(len(found), np.int64)
    for i in range(len(found)):
        out[i] = found[i]
    return out


@kernel
@no_type_check
def _grow(counts, peaks, reach, few):
    """Grow each peak over touching places where more than ``few`` samples end."""
    nz, ny, nx = counts.shape
    numbers = np.zeros(counts.shape, np.int32)
    room = (2 * reach[0] + 1) * (2 * reach[1] + 1) * (2 * reach[2] + 1)
    queue = np.empty((room, 3), np.int64)
    for p in range(len(peaks)):
        cz, rest = peaks[p] // (ny * nx), peaks[p] % (ny * nx)
        cy, cx = rest // nx, rest % nx
        if numbers[cz, cy, cx] > 0:
            continue
        numbers[cz, cy, cx] = p + 1
        queue[0, 0], queue[0, 1], queue[0, 2] = cz, cy, cx
        head, tail = 0, 1
        while head < tail:
            z, y, x = queue[head, 0], queue[head, 1], queue[head, 2]
            head += 1
            for k in range(max(z - 1, cz - reach[0], 0), min(z + 2, cz + reach[0] + 1, nz)):
                for j in range(max(y - 1, cy - reach[1], 0), min(y + 2, cy + reach[1] + 1, ny)):
                    for i in range(max(x - 1, cx - reach[2], 0), min(x + 2, cx + reach[2] + 1, nx)):
                        if numbers[k, j, i] == 0 and counts[k, j, i] > few:
                            numbers[k, j, i] = p + 1
                            queue[tail, 0], queue[tail, 1], queue[tail, 2] = k, j, i
                            tail += 1
    return numbers
