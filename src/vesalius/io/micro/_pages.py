"""Pages of a TIFF file: one plane's samples, of the tiles or strips that a box touches."""
# SPDX-License-Identifier: Apache-2.0

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import ExtraError, FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Array
from vesalius.io._samples import STORED

JPEG = (6, 7, 34892, 33007)
JPEG_2000 = (33003, 33004, 33005, 34712)
DEFLATE = (8, 32946)
OTHERS = (1, 2, 3, 4, 5, 32773, 34925, 50000, 34926)
"""None, CCITT, LZW, PackBits, LZMA, Zstandard: their decoders stop at the size they are given."""
SLACK = 1 << 16
FRAME_MARKS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a TIFF file, never a second file that it names; what goes wrong is a FormatError.

    Args:
        path: A file.

    Yields:
        A ``tifffile.TiffFile``.

    Raises:
        FormatError: It is not TIFF or is damaged.
        ExtraError: Its compression needs imagecodecs, which is absent.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path, is_ome=False, is_ndtiff=False, _multifile=False) as tif:
            yield tif
    except (FormatError, ExtraError):
        raise
    except Exception as error:  # tifffile raises whatever its parsers meet
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        reason = reason.replace(str(path), path.name)
        if "imagecodecs" in reason:
            raise ExtraError(
                f"imagecodecs must be installed to decompress {path.name!r}: "
                "pip install vesalius[micro]"
            ) from error
        raise FormatError(
            f"{path.name!r} must be a whole TIFF file, it is not: {reason}: "
            "check that the file is complete and that its suffix is right"
        ) from error


def stored_type(name: str, page: Any) -> "np.dtype[Any]":
    """Give the number type of a page; single bits become bytes.

    Raises:
        FormatError: It is none that can be read.
    """
    kind: np.dtype[Any] | None = None if page.dtype is None else np.dtype(page.dtype)
    if kind is not None and kind.kind == "b":
        return np.dtype(np.uint8)
    if kind is None or kind.str[1:] not in STORED:
        raise FormatError(
            f"{name!r} must hold real numbers of 8 to 64 bits, its pages are "
            f"{page.bitspersample}-bit of format {page.sampleformat}: convert it first"
        )
    return kind


def samples_of(page: Any) -> int:
    """Give the number of samples for each pixel of a page."""
    separate, _, _, _, contiguous = page.shaped
    return int(separate * contiguous)


def read_box(name: str, page: Any, rows: slice, columns: slice, budget: Budget) -> Array:
    """Read a box of one page.

    Args:
        name: Name of the file, for errors.
        page: A ``tifffile.TiffPage``.
        rows: Along y.
        columns: Along x.
        budget: Bounds one tile or strip, and how far it grows.

    Returns:
        (samples, y, x), of the page's number type.

    Raises:
        FormatError: The page has depth, a segment is truncated, or costs too much.
    """
    separate, depth, length, width, contiguous = page.shaped
    if depth != 1:
        raise FormatError(
            f"{name!r} must have flat pages, one is {depth} deep: save it as a stack of pages"
        )
    if int(page.compression) not in (*JPEG, *JPEG_2000, *DEFLATE, *OTHERS):
        raise FormatError(
            f"{name!r} must be compressed with a codec whose cost is known (deflate, LZW, "
            f"PackBits, LZMA, Zstandard, CCITT, JPEG, JPEG 2000), it uses number "
            f"{int(page.compression)}: convert it first"
        )
    if page.is_memmappable:
        whole = page.asarray(out="memmap").reshape(separate, length, width, contiguous)
        return _flat(np.array(whole[:, rows, columns]))
    shape = (separate, rows.stop - rows.start, columns.stop - columns.start, contiguous)
    touched = _touched(page, rows, columns)
    _check_together(name, page, touched, budget)
    out = np.full(shape, page.nodata, dtype=page.dtype)
    tables = page.jpegtables
    for index in touched:
        data = _stored(name, page, index, budget)
        options = {"jpegtables": tables} if page.compression in JPEG else {}
        segment, at, _ = page.decode(data, index, **options)
        if segment is not None:
            _paste(segment, (at[0], at[2], at[3]), out, (rows.start, columns.start))
    return _flat(out)


def _flat(box: Array) -> Array:
    """Bring (separate, y, x, contiguous) samples to (samples, y, x); bits to bytes."""
    s, y, x, c = box.shape
    flat = np.moveaxis(box, 3, 1).reshape(s * c, y, x)
    return flat.astype(np.uint8) if flat.dtype.kind == "b" else flat


def _segment_shape(page: Any) -> tuple[int, int]:
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    _, _, length, width, _ = page.shaped
    return min(int(page.rowsperstrip), int(length)), int(width)


def _touched(page: Any, rows: slice, columns: slice) -> list[int]:
    """List the tiles or strips that a box touches, by their index in the page."""
    separate, _, length, width, _ = page.shaped
    high, wide = _segment_shape(page)
    down, across = -(-length // high), -(-width // wide)
    return [
        (plane * down + row) * across + column
        for plane in range(separate)
        for row in range(rows.start // high, -(-rows.stop // high))
        for column in range(columns.start // wide, -(-columns.stop // wide))
    ]


def _check_together(name: str, page: Any, indices: list[int], budget: Budget) -> None:
    """Refuse segments that grow too far, before the room for them is set aside."""
    counts = [int(page.databytecounts[k]) for k in indices if k < len(page.databytecounts)]
    there = [n for n in counts if n > 0]
    one = math.prod(_segment_shape(page)) * int(page.shaped[4]) * np.dtype(page.dtype).itemsize
    budget.check_growth(name, one * len(there), sum(there))


def _stored(name: str, page: Any, index: int, budget: Budget) -> bytes | None:
    """Fetch one segment as stored; None where the file left it out (a sparse file)."""
    if index >= len(page.dataoffsets) or index >= len(page.databytecounts):
        raise FormatError(
            f"{name!r} must list all its tiles or strips, number {index} is not there: "
            "the file is damaged, copy it again"
        )
    offset, count = int(page.dataoffsets[index]), int(page.databytecounts[index])
    if offset == 0 or count == 0:
        return None
    high, wide = _segment_shape(page)
    samples = page.shaped[4]
    needed = budget.check_size(name, (high, wide, samples), np.dtype(page.dtype).itemsize)
    file = page.parent.filehandle
    if offset + count > file.size:
        raise FormatError(
            f"{name!r} must hold all samples, a tile or strip ends at byte {offset + count} and "
            f"the file at {file.size}: the file is truncated, copy it again"
        )
    budget.check_growth(name, needed, count)
    file.seek(offset)
    data: bytes = file.read(count)
    if page.compression in JPEG:
        _check_jpeg(name, data, (high, wide))
    elif page.compression in JPEG_2000:
        _check_jpeg_2000(name, data, (high, wide))
    elif page.compression in DEFLATE and find_spec("imagecodecs") is None:
        check_deflate(name, data, needed)
    return data


def _check_jpeg(name: str, data: bytes, most: tuple[int, int]) -> None:
    """Refuse a JPEG frame that is larger than its tile: its decoder would allocate it."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        mark = data[at + 1]
        if mark in FRAME_MARKS:
            high, wide = struct.unpack(">HH", data[at + 5 : at + 9])
            _check_frame(name, (high, wide), most)
            return
        if mark == 0xDA:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _check_jpeg_2000(name: str, data: bytes, most: tuple[int, int]) -> None:
    """Likewise for JPEG 2000, by its SIZ marker (ISO/IEC 15444-1, A.5.1)."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at >= 0 and len(data) >= at + 24:
        wide, high, left, top = struct.unpack(">4I", data[at + 8 : at + 24])
        _check_frame(name, (high - top, wide - left), most)


def _check_frame(name: str, frame: tuple[int, int], most: tuple[int, int]) -> None:
    # an encoder may round up to whole blocks of at most 32 x 32
    if frame[0] > most[0] + 32 or frame[1] > most[1] + 32:
        raise FormatError(
            f"{name!r} must hold JPEG tiles of {most[1]} x {most[0]} samples, one is "
            f"{frame[1]} x {frame[0]}: a damaged or hostile file"
        )


def check_deflate(name: str, data: bytes, needed: int) -> None:
    """Refuse a deflated segment that unpacks to more than it should.

    imagecodecs stops at the size it is given; Python's own zlib, which stands in where it is not
    installed, does not.

    Raises:
        FormatError: It does.
    """
    try:
        unpacked = len(zlib.decompressobj().decompress(data, needed + SLACK))
    except zlib.error:
        return  # the decoder will say so
    if unpacked == needed + SLACK:
        raise FormatError(
            f"{name!r} must hold tiles or strips of {needed} bytes, one unpacks to more: "
            "a damaged or hostile file"
        )


def _paste(segment: Array, at: tuple[int, int, int], out: Array, origin: tuple[int, int]) -> None:
    """Copy the part of a segment (depth 1, y, x, samples) that lies in the box into it."""
    plane, top, left = at
    y0, x0 = top - origin[0], left - origin[1]
    y1 = min(y0 + segment.shape[1], out.shape[1])
    x1 = min(x0 + segment.shape[2], out.shape[2])
    ys, xs = max(y0, 0), max(x0, 0)
    if y1 > ys and x1 > xs:
        out[plane, ys:y1, xs:x1] = segment[0, ys - y0 : y1 - y0, xs - x0 : x1 - x0]
