"""Body: read the samples behind a header, or a box of them; never more than was promised."""
# SPDX-License-Identifier: Apache-2.0

import bz2
import math
import os
import re
import zlib
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from vesalius.errors import FormatError
from vesalius.io._budget import Budget

Array = npt.NDArray[Any]
Codec = Literal["raw", "zlib", "bzip2", "text"]
Box = tuple[slice, ...]
CHUNK = 1 << 20
LONGEST = 64
SPAN = 1 << 22
SPARE = 1 << 26
ZLIB_OR_GZIP = 47


@dataclass(frozen=True, slots=True)
class Body:
    """Where the samples are and how they are kept.

    Attributes:
        path: The file.
        stored: Number type in the file, with its byte order.
        count: Number of samples.
        start: First byte in the file; negative means that the samples end the file.
        skip: Bytes to pass over after unpacking.
        codec: How they are packed; ``"zlib"`` stands for gzip too.
    """

    path: Path
    stored: "np.dtype[Any]"
    count: int
    start: int = 0
    skip: int = 0
    codec: Codec = "raw"


def read_body(body: Body) -> Array:
    """Read samples, and the checksum behind them where the packing has one.

    Args:
        body: Where they are.

    Returns:
        (count,) of type ``body.stored``, writable.

    Raises:
        FormatError: There are fewer samples, or the packing is damaged.
    """
    needed = body.count * body.stored.itemsize + body.skip
    name = body.path.name
    try:
        with body.path.open("rb") as file:
            _seek(file, body.start, needed)
            if body.codec == "text":
                return _text(_words(file, body.count), body.stored, body.count)
            packed = body.codec != "raw"
            data = _unpack(file, needed, body.codec) if packed else bytearray(file.read(needed))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(name, error) from error
    if len(data) < needed:
        raise _damaged(name, EOFError(f"{len(data)} of {needed} bytes are there"))
    return np.frombuffer(data, body.stored, offset=body.skip)


def read_box(body: Body, sizes: tuple[int, ...], box: Box) -> Array:
    """Read a box of samples that are not packed; what lies around it is not touched.

    Args:
        body: Where all of them are.
        sizes: Number of samples along each axis, fastest first.
        box: First and one past the last index along each axis, fastest first.

    Returns:
        The box, slowest axis first, of type ``body.stored``.

    Raises:
        FormatError: The file ends before the box does.
    """
    shape, part = sizes[::-1], box[::-1]
    wide = [one.stop - one.start for one in part]
    step = [body.stored.itemsize * math.prod(shape[k + 1 :]) for k in range(len(shape))]
    # the slowest axis along which the box and what lies within are one piece, or a short one
    exact = [wide[k + 1 :] == list(shape[k + 1 :]) for k in range(len(shape))]
    k = next(k for k, one in enumerate(exact) if one or wide[k] * step[k] <= SPAN)
    out = np.empty(wide, body.stored)
    spare = bytearray(0 if exact[k] else wide[k] * step[k])
    within = (slice(None), *part[k + 1 :])
    with body.path.open("rb", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        first = body.start if body.start >= 0 else end - body.count * body.stored.itemsize
        for outer in np.ndindex(*wide[:k]):
            index = [part[i].start + j for i, j in enumerate((*outer, 0))]
            place = first + sum(i * n for i, n in zip(index, step, strict=False))
            if not 0 <= place <= end:
                raise _damaged(body.path.name, EOFError(f"samples at byte {place} of {end}"))
            file.seek(place)
            if exact[k]:
                _fill(file, out[outer].reshape(-1).view(np.uint8).data, body.path.name)
            else:
                _fill(file, memoryview(spare), body.path.name)
                piece = np.frombuffer(spare, body.stored).reshape(wide[k], *shape[k + 1 :])
                out[outer] = piece[within]
    return out


def _fill(file: RawIOBase, into: memoryview, name: str) -> None:
    done = 0
    while done < len(into):
        got = file.readinto(into[done:]) or 0  # at most 2 GiB each, says Linux
        if not got:
            raise _damaged(name, EOFError(f"{done} of {len(into)} bytes are there"))
        done += got


def beside(path: Path, named: str) -> Path:
    """Find a file that a header names, in the folder of the header or below.

    Args:
        path: The file of the header.
        named: What it says.

    Returns:
        The file.

    Raises:
        FormatError: It is elsewhere, or it is not there.
    """
    body, folder = path.parent / named, path.parent.resolve()
    try:
        found, within = body.is_file(), body.resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):
        found, within = False, True
    if Path(named).is_absolute() or ".." in Path(named).parts or not within:
        raise FormatError(
            f"{path.name!r} must have its samples in its own folder, it names {body.name!r} "
            "elsewhere: copy both into one folder and write the bare name into the header"
        )
    if not found:
        raise FormatError(
            f"{path.name!r} must have its samples beside it, {body.name!r} is not there: copy both"
        )
    return body


def counted(name: str, pattern: str, words: list[str], budget: Budget) -> tuple[str, ...]:
    """Give the names that a pattern with one %d and first, last and step stand for.

    Args:
        name: Name of the header, for the error.
        pattern: Such as ``slice%03d.raw``.
        words: First and last number (that one included) and, if given, the step.
        budget: Bounds their number.

    Returns:
        The names; none where the step leads nowhere.

    Raises:
        FormatError: It is not such a pattern, or there are too many.
    """
    found = re.fullmatch(r"([^%]*)%(0?)(\d{0,2})d([^%]*)", pattern)
    try:
        first, last, step = (*(int(word) for word in words), 1)[:3]
    except ValueError:
        found = None
    if found is None or step == 0 or abs(last - first) // abs(step) >= budget.files:
        raise FormatError(
            f"{name!r} must name its files with one %d and the first and last number, and at most "
            f"{budget.files} of them, it says {' '.join([pattern, *words])!r}: repair its header"
        )
    before, fill, width, after = found.groups()
    span = range(first, last + (1 if step > 0 else -1), step)
    return tuple(f"{before}{k:{fill}{width}d}{after}" for k in span)


def _seek(file: BinaryIO, start: int, needed: int) -> None:
    if start >= 0:
        file.seek(start)
    else:
        file.seek(-needed, os.SEEK_END)


def _unpack(file: BinaryIO, needed: int, codec: Codec) -> bytearray:
    """Unpack ``needed`` bytes, then go on to the checksum, throwing away what lies between."""
    unpacker, pending, data, excess = _unpacker(codec), b"", bytearray(), 0
    while excess <= needed + SPARE:
        if unpacker.eof:
            # the checksum has been compared; gzip files may be several streams in a row
            pending = unpacker.unused_data or file.read(CHUNK)
            if len(data) >= needed or not pending:
                return data
            unpacker = _unpacker(codec)
        elif not pending and getattr(unpacker, "needs_input", True):
            pending = file.read(CHUNK)
        room = needed - len(data)
        unpacked = unpacker.decompress(pending, room or CHUNK)
        if not (pending or unpacked or unpacker.eof):
            raise EOFError(f"{len(data)} of {needed} bytes are there, then the file ends")
        pending = getattr(unpacker, "unconsumed_tail", b"")
        data += unpacked if room else b""
        excess += 0 if room else len(unpacked)
    raise ValueError(f"more than twice the {needed} bytes promised are there")


def _unpacker(codec: Codec) -> Any:
    if codec == "bzip2":
        return bz2.BZ2Decompressor()
    return zlib.decompressobj(ZLIB_OR_GZIP)


def _words(file: BinaryIO, count: int) -> bytes:
    """Read as many bytes as that many numbers can take; a read sets them all aside beforehand."""
    here, end = file.tell(), file.seek(0, os.SEEK_END)
    file.seek(here)
    return file.read(min(LONGEST * count + CHUNK, max(end - here, 0)))


def _text(text: bytes, stored: "np.dtype[Any]", count: int) -> Array:
    words = text.split(maxsplit=count)[:count]
    if len(words) < count:
        raise ValueError(f"{len(words)} of {count} numbers are there")
    if stored.kind == "f":
        return np.array(words, dtype=np.float64).astype(stored)
    return np.array([int(word) for word in words], dtype=stored)


def _damaged(name: str, error: Exception) -> FormatError:
    reason = getattr(error, "strerror", None) or str(error)
    return FormatError(
        f"{name!r} must hold all samples that its header promises, it does not: "
        f"{reason}: the file is truncated or damaged, copy it again"
    )
