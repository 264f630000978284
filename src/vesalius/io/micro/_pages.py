"""Pages of a TIFF file: one plane's samples, of the tiles or strips that a box touches."""
# SPDX-License-Identifier: Apache-2.0

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import ExtraError, FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Array
from vesalius.io._samples import STORED

JPEG = (6, 7, 34892, 33007)
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


def check_chain(name: str, tif: Any) -> None:
    """Check that the chain of pages ends where it says so, not where a copy broke off.

    Args:
        name: Name of the file, for the error.
        tif: An open ``tifffile.TiffFile``, which itself only stops at a link that leads nowhere.

    Raises:
        FormatError: There is no page, or the last one says that another follows.
    """
    count = len(tif.pages)
    if count == 0:
        raise FormatError(f"{name!r} must hold an image, it has no pages: copy it again")
    file, form = tif.filehandle, tif.tiff
    at = int(tif.pages[count - 1].offset)
    file.seek(at)
    (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(at + form.tagnosize + tags * form.tagsize)
    link = file.read(form.offsetsize)
    following = struct.unpack(form.offsetformat, link)[0] if len(link) == form.offsetsize else 0
    if following:
        raise FormatError(
            f"{name!r} must hold all its pages, after {count} the next should be at byte "
            f"{following} of {file.size} and is none: the file is truncated, copy it again"
        )


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
    if page.is_memmappable:
        whole = page.asarray(out="memmap").reshape(separate, length, width, contiguous)
        return _flat(np.array(whole[:, rows, columns]))
    shape = (separate, rows.stop - rows.start, columns.stop - columns.start, contiguous)
    out = np.full(shape, page.nodata, dtype=page.dtype)
    tables = page.jpegtables
    for index in _touched(page, rows, columns):
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
    return data


def _check_jpeg(name: str, data: bytes, most: tuple[int, int]) -> None:
    """Refuse a JPEG frame that is larger than its tile: its decoder would allocate it."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        mark = data[at + 1]
        if mark in FRAME_MARKS:
            high, wide = struct.unpack(">HH", data[at + 5 : at + 9])
            # an encoder may round up to whole blocks of at most 32 x 32
            if high > most[0] + 32 or wide > most[1] + 32:
                raise FormatError(
                    f"{name!r} must hold JPEG tiles of {most[1]} x {most[0]} samples, one is "
                    f"{wide} x {high}: a damaged or hostile file"
                )
            return
        if mark == 0xDA:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _paste(segment: Array, at: tuple[int, int, int], out: Array, origin: tuple[int, int]) -> None:
    """Copy the part of a segment (depth 1, y, x, samples) that lies in the box into it."""
    plane, top, left = at
    y0, x0 = top - origin[0], left - origin[1]
    y1 = min(y0 + segment.shape[1], out.shape[1])
    x1 = min(x0 + segment.shape[2], out.shape[2])
    ys, xs = max(y0, 0), max(x0, 0)
    if y1 > ys and x1 > xs:
        out[plane, ys:y1, xs:x1] = segment[0, ys - y0 : y1 - y0, xs - x0 : x1 - x0]
