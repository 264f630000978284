"""Chunks of an HDF5 dataset, unpacked here so that none grows beyond what its header says."""
# SPDX-License-Identifier: Apache-2.0

import math
import zlib
from typing import Any

import numpy as np

from vesalius.io._budget import Budget
from vesalius.io._handle import Array

DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
SPARE = 1 << 12


def read_chunks(name: str, dataset: Any, box: tuple[slice, ...], budget: Budget) -> Array:
    """Read a box of a chunked dataset.

    The library would unpack a deflated chunk to whatever it holds, before anyone can look.

    Args:
        name: Name of the file, for errors.
        dataset: An open h5py dataset, chunked.
        box: The part of each axis, slowest first.
        budget: What it may cost.

    Returns:
        The box; chunks that were never written hold the fill value.

    Raises:
        FormatError: It would grow by more than the budget allows.
        ValueError: A chunk is damaged.
    """
    plist = dataset.id.get_create_plist()
    filters = [int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())]
    unpacked = math.prod(dataset.chunks) * dataset.dtype.itemsize
    wanted = [info for info in _stored(dataset) if _meets(info.chunk_offset, dataset.chunks, box)]
    if wanted:
        budget.check_size(name, dataset.chunks, dataset.dtype.itemsize)
        for info in wanted:
            budget.check_growth(name, unpacked, info.size)
            if info.size > 2 * unpacked + SPARE:
                raise ValueError(f"a chunk of {unpacked} bytes takes {info.size} in the file")
        budget.check_growth(name, unpacked * len(wanted), sum(info.size for info in wanted))
    if LZF in filters:
        return np.asarray(dataset[box])
    shape = [part.stop - part.start for part in box]
    out = np.full(shape, dataset.fillvalue, dataset.dtype)
    for info in wanted:
        mask, raw = dataset.id.read_direct_chunk(info.chunk_offset)
        active = [code for i, code in enumerate(filters) if not mask >> i & 1]
        data = _unpack(raw, active, unpacked, dataset.dtype.itemsize)
        chunk = np.frombuffer(data, dataset.dtype).reshape(dataset.chunks)
        _paste(chunk, info.chunk_offset, box, out)
    return out


def _stored(dataset: Any) -> list[Any]:
    found: list[Any] = []
    dataset.id.chunk_iter(lambda info: found.append(info))
    return found


def _meets(offset: tuple[int, ...], chunk: tuple[int, ...], box: tuple[slice, ...]) -> bool:
    return all(
        a < part.stop and part.start < a + n for a, n, part in zip(offset, chunk, box, strict=True)
    )


def _paste(chunk: Array, offset: tuple[int, ...], box: tuple[slice, ...], out: Array) -> None:
    here, there = [], []
    for a, n, part in zip(offset, chunk.shape, box, strict=True):
        first, last = max(a, part.start), min(a + n, part.stop)
        here.append(slice(first - a, last - a))
        there.append(slice(first - part.start, last - part.start))
    out[tuple(there)] = chunk[tuple(here)]


def _unpack(raw: bytes, filters: list[int], size: int, item: int) -> bytes:
    """Undo the filters, last first; the first three of the library's own (H5Z)."""
    data, sums = raw, 4 * filters.count(FLETCHER32)
    for code in reversed(filters):
        if code == FLETCHER32:
            data = _checked(data)
            sums -= 4
        elif code == DEFLATE:
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(data, size + sums + 1)
        elif code == SHUFFLE and item > 1:
            whole = len(data) // item * item
            planes = np.frombuffer(data[:whole], np.uint8).reshape(item, -1)
            data = planes.T.tobytes() + data[whole:]
    if len(data) != size:
        raise ValueError(f"{len(data)} of {size} bytes of a chunk are there")
    return data


def _checked(data: bytes) -> bytes:
    body, told = data[:-4], int.from_bytes(data[-4:], "little")
    if len(data) < 4 or fletcher32(body) != told:
        raise ValueError("the checksum of a chunk does not fit it")
    return body


def fletcher32(data: bytes) -> int:
    """Sum bytes as HDF5 does: 16-bit words, most significant byte first, modulo 65535.

    References:
        Fletcher (1982), doi:10.1109/TCOM.1982.1095369; an odd last byte is a word's upper half.
    """
    even = data + b"\0" * (len(data) % 2)
    words = np.frombuffer(even, ">u2").astype(np.uint64)
    n = len(words)
    low = int(words.sum()) % 65535
    weights = np.arange(n, 0, -1, dtype=np.uint64) % np.uint64(65535)
    high = int((words * weights % np.uint64(65535)).sum()) % 65535
    # the library folds its sums, so that a multiple of 65535 that is not 0 stays 65535
    low = 65535 if low == 0 and words.any() else low
    high = 65535 if high == 0 and words.any() else high
    return high << 16 | low
