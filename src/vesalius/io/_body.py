"""Body: read the samples behind a header, never more than the header promised."""
# SPDX-License-Identifier: Apache-2.0

import bz2
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from vesalius.errors import FormatError

Array = npt.NDArray[Any]
Codec = Literal["raw", "zlib", "bzip2", "text"]
CHUNK = 1 << 20
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
                return _text(file.read(), body.stored, body.count)
            packed = body.codec != "raw"
            data = _unpack(file, needed, body.codec) if packed else bytearray(file.read(needed))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(name, error) from error
    if len(data) < needed:
        raise _damaged(name, EOFError(f"{len(data)} of {needed} bytes are there"))
    return np.frombuffer(data, body.stored, offset=body.skip)


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
