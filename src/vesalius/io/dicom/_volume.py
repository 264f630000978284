"""The volume: reads the samples of an arrangement of slices, only those that are asked for."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Array, Window
from vesalius.io.dicom._header import EXPLICIT, IMPLICIT
from vesalius.io.dicom._pixels import Packed, clean, read_frames
from vesalius.io.dicom._slice import Slice

INTEGERS = (np.int16, np.int32, np.int64)
SMALLEST, LARGEST = 1e-30, 1e30
"""Steps between values that a float of 32 bits can hold."""
MANY, READERS = 1 << 24, 4
"""Bytes of a volume from which on so many threads read its files."""
AT_ONCE = 1 << 26
"""Bytes of frames of one file that are decoded together."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Slices in their places.

    Attributes:
        frames: For each frame its slices along z.
        nodes: Where lattice nodes lie between slices; empty where they are slices.
        dtype: Number type of the samples.
        budget: What reading may cost.
    """

    frames: tuple[tuple[Slice, ...], ...]
    nodes: Array
    dtype: "np.dtype[Any]"
    budget: Budget

    def load(self, window: Window) -> Array:
        """Read a window: (t, c, z, y, x)."""
        first = self.frames[0][0]
        shape = (len(self.frames), first.size[2], *window.shape)
        self.budget.check_size(first.path.name, shape, self.dtype.itemsize)
        volume = np.empty(shape, self.dtype)
        if len(self.nodes):
            for t, row in enumerate(self.frames):
                self._interpolate(volume[t], row, window)
            return volume
        start = window.start[0]
        jobs = [
            (row[start + k], volume[t, :, k])
            for t, row in enumerate(self.frames)
            for k in range(window.shape[0])
        ]
        fill(jobs, window, self.budget)
        return volume

    def _interpolate(self, volume: Array, row: tuple[Slice, ...], window: Window) -> None:
        """Fill (c, z, y, x) between slices; two slices are held at a time."""
        held: dict[int, Array] = {}
        start = window.start[0]
        for k, node in enumerate(self.nodes[start : start + window.shape[0]].tolist()):
            low, weight = int(node), node - int(node)
            needed = (low, low + 1) if weight > 0 else (low,)
            held = {n: held[n] for n in needed if n in held}
            for n in needed:
                if n not in held:
                    held[n] = np.empty((volume.shape[0], *window.shape[1:]), self.dtype)
                    fill([(row[n], held[n])], window, self.budget)
            volume[:, k] = held[low]
            if weight > 0:
                volume[:, k] *= 1 - weight
                volume[:, k] += weight * held[low + 1]


def sample_type(slices: Iterable[Slice], resampled: bool) -> "np.dtype[Any]":
    """Give the smallest number type that tells all rescaled values apart.

    Floats where they are interpolated, no whole numbers, or beyond 64 bits.

    Args:
        slices: The slices.
        resampled: Whether values are interpolated.
    """
    packs = list(slices)
    bits = max(64 if s.packed.floats and s.packed.bits_allocated > 32 else 0 for s in packs)
    wide = bits or max(0 if one.packed.floats else one.packed.bits_stored for one in packs)
    low = min(one.bounds[0] for one in packs)
    high = max(one.bounds[1] for one in packs)
    if resampled or not all(one.is_whole or one.table is not None for one in packs):
        single = wide <= 16 and all(_fits_single(one) for one in packs)
        return np.dtype(np.float32 if single else np.float64)
    if low >= 0 and high <= 255:
        return np.dtype(np.uint8)
    fits = [t for t in INTEGERS if np.iinfo(t).min <= low and high <= np.iinfo(t).max]
    return np.dtype(fits[0] if fits else np.float64)


def _fits_single(one: Slice) -> bool:
    """Whether floats of 32 bits tell the values of a slice apart."""
    if one.packed.floats or one.table is not None:
        return True
    step = abs(one.slope)
    return SMALLEST < step < LARGEST and max(map(abs, one.bounds)) <= step * 2.0**24


def fill(jobs: list[tuple[Slice, Array]], window: Window, budget: Budget) -> None:
    """Read slices into their places; each file is decoded once.

    Args:
        jobs: Slices, each with the (c, y, x) part of the volume that it fills.
        window: What part of each slice (y, x) is wanted.
        budget: What decoding may cost.

    Raises:
        FormatError: Samples are absent, truncated, or packed in a way that cannot be undone.
    """
    packed_jobs: dict[int, list[tuple[Slice, Array]]] = {}
    plain: list[tuple[Slice, Array]] = []
    for one, part in jobs:
        if _is_plain(one):
            plain.append((one, part))
        else:
            packed_jobs.setdefault(id(one.packed), []).append((one, part))
    _read_all(plain, window)
    _, rows, columns = window.slices
    for group in packed_jobs.values():
        frames = _decoded(group[0][0].packed, {one.frame for one, _ in group}, budget)
        wanted: dict[int, list[tuple[Slice, Array]]] = {}
        for job in group:
            wanted.setdefault(job[0].frame, []).append(job)
        for number, frame in frames:
            for one, part in wanted[number]:
                tile = frame
                if one.box is not None:
                    y, x, height, width = one.box
                    tile = frame[y : y + height, x : x + width]
                part[:] = rescaled(np.moveaxis(tile[rows, columns], -1, 0), one, part.dtype)


def rescaled(stored: Array, one: Slice, dtype: "np.dtype[Any]") -> Array:
    """Apply the modality rescale or lookup table of a slice (PS3.3 C.11.1).

    Args:
        stored: Stored values, any shape.
        one: The slice.
        dtype: Type of the result; ``sample_type`` gives one that holds it.

    Returns:
        Rescaled values; outside a table its ends hold.
    """
    if one.table is not None:
        index = np.clip(stored.astype(np.int64) - one.first, 0, len(one.table) - 1)
        stored = one.table[index]
        if one.slope == 1 and one.intercept == 0:
            return stored.astype(dtype)
    if dtype.kind == "f":
        values = stored.astype(np.float64)
        if one.slope != 1:
            values *= one.slope
        if one.intercept != 0:
            values += one.intercept
        return values.astype(dtype)
    # whole numbers may wrap on the way: the result fits, and that is what comes out
    values = stored.astype(dtype)
    if one.slope != 1:
        values *= dtype.type(int(one.slope))
    if one.intercept != 0:
        values += dtype.type(int(one.intercept))
    return values


def _is_plain(one: Slice) -> bool:
    packed = one.packed
    return (
        packed.offset >= 0
        and one.box is None
        and packed.syntax in (IMPLICIT, EXPLICIT)
        and packed.samples == 1
        and packed.photometric in ("MONOCHROME1", "MONOCHROME2")
        and packed.bits_allocated in (8, 16, 32)
        and not packed.floats
    )


def _read_all(jobs: list[tuple[Slice, Array]], window: Window) -> None:
    """Read uncompressed slices; of large series several at once, while the disk answers."""
    if sum(part.nbytes for _, part in jobs) < MANY:
        for one, part in jobs:
            _read_plain(one, part, window)
        return
    with ThreadPoolExecutor(READERS) as pool:
        # list() brings the first error here
        list(pool.map(lambda job: _read_plain(job[0], job[1], window), jobs))


def _read_plain(one: Slice, part: Array, window: Window) -> None:
    """Read rows of an uncompressed slice straight into their place."""
    packed = one.packed
    stored = packed.stored.newbyteorder("<")
    (_, y, x), (_, rows, columns) = window.start, window.shape
    straight = columns == packed.columns and part.dtype.itemsize == stored.itemsize
    straight = straight and part.flags.c_contiguous and part.dtype.kind in "iu"
    raw = part[0].view(stored) if straight else np.empty((rows, packed.columns), stored)
    start = packed.offset + (one.frame * packed.rows + y) * packed.columns * stored.itemsize
    try:
        with packed.path.open("rb", buffering=0) as file:
            file.seek(start)
            got = file.readinto(raw.data.cast("B"))
    except OSError as error:
        raise FormatError(
            f"{packed.path.name!r} must still be where it was opened, the system says: "
            f"{error.strerror}: open the series again"
        ) from error
    if got != raw.nbytes:
        raise FormatError(
            f"{packed.path.name!r} must hold all samples that its header promises, it ends at "
            f"byte {start + (got or 0)}: the file is truncated or damaged, copy it again"
        )
    clean(raw, packed, packed.high_bit, packed.bits_stored)
    if not straight:
        part[0] = rescaled(raw[:, x : x + columns], one, part.dtype)
    elif one.table is not None:
        part[0] = rescaled(raw, one, part.dtype)
    else:
        if one.slope != 1:
            part *= part.dtype.type(int(one.slope))
        if one.intercept != 0:
            part += part.dtype.type(int(one.intercept))


def _decoded(packed: Packed, wanted: set[int], budget: Budget) -> Iterator[tuple[int, Array]]:
    """Decode the wanted frames of a file, runs of neighbours together."""
    size = packed.rows * packed.columns * packed.channels * packed.dtype.itemsize
    longest = max(1, AT_ONCE // max(size, 1))
    ordered = sorted(wanted)
    while ordered:
        count = 1
        while count < min(longest, len(ordered)) and ordered[count] == ordered[0] + count:
            count += 1
        frames = read_frames(packed, ordered[0], count, budget)
        yield from zip(ordered[:count], frames, strict=True)
        ordered = ordered[count:]
