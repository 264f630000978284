"""Body: read the samples behind a header, never more than the header promised."""
# SPDX-License-Identifier: Apache-2.0

import bz2
import os
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vesalius.errors import FormatError

Array = npt.NDArray[Any]
Codec = Literal["raw", "zlib", "bzip2", "text"]
CHUNK = 1 << 20
ZLIB_OR_GZIP = 47


def read_body(
    path: Path, stored: "np.dtype[Any]", count: int, *, start: int = 0, codec: Codec = "raw"
) -> Array:
    """Read samples from a place in a file.

    Args:
        path: The file.
        stored: Number type in the file, with its byte order.
        count: Number of samples.
        start: First byte; negative means that the samples end the file.
        codec: How they are packed; ``"zlib"`` stands for gzip too.

    Returns:
        (count,) of type ``stored``, writable.

    Raises:
        FormatError: There are fewer samples, or the packing is damaged.
    """
    needed = count * stored.itemsize
    try:
        with path.open("rb") as file:
            file.seek(start if start >= 0 else -needed, os.SEEK_SET if start >= 0 else os.SEEK_END)
            if codec == "text":
                return _text(file.read(), stored, count)
            data = bytearray(file.read(needed)) if codec == "raw" else _unpack(file, needed, codec)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path.name, str(error)) from error
    if len(data) < needed:
        raise _damaged(path.name, f"{len(data)} of {needed} bytes are there")
    return np.frombuffer(data, stored)


def _unpack(file: Any, needed: int, codec: Codec) -> bytearray:
    unpacker = _unpacker(codec)
    data = bytearray()
    while len(data) < needed and (chunk := file.read(CHUNK)):
        while chunk and len(data) < needed:
            data += unpacker.decompress(chunk, needed - len(data))
            # gzip files may be several streams in a row
            chunk = unpacker.unused_data
            unpacker = _unpacker(codec) if unpacker.eof else unpacker
    return data


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


def _damaged(name: str, reason: str) -> FormatError:
    return FormatError(
        f"{name!r} must hold all samples that its header promises, it does not: "
        f"{reason or 'it ends early'}: the file is truncated or damaged, copy it again"
    )
