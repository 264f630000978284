"""Zarr on a local disk: paths that stay inside, headers with a budget, codecs that are known.

Read with zarr-python; its headers are checked here first, so that no hostile file reaches a codec
that runs code (numcodecs has one that unpickles) or one chunk that fills the memory.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any, final

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Array
from vesalius.io._samples import STORED
from vesalius.io.micro._unpack import COMPRESSORS, unpacked

JSON_BYTES = 1 << 24
CODECS = frozenset({"bytes", "endian", "gzip", "zlib", "zstd", "blosc", "lz4", "bz2", "lzma"})
CODECS |= {"crc32c", "crc32", "adler32", "transpose", "sharding_indexed", "delta", "shuffle"}
NODES = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
SLACK = 1 << 20
MOST_CHUNKS = 50


@final
@dataclass(frozen=True, slots=True)
class Header:
    """What a Zarr array says of itself.

    Attributes:
        folder: Where it is.
        shape: Number of samples along each axis.
        stored: Number type.
        pieces: Size of the pieces that are decoded one by one (inner chunks of a shard).
        codecs: Names of the codecs, all known.
        files: Size of the pieces that are one file (shards, or the chunks themselves).
        keys: Prefix and separator of a chunk's file name.
        version: Of Zarr, 2 or 3.
    """

    folder: Path
    shape: tuple[int, ...]
    stored: "np.dtype[Any]"
    pieces: tuple[int, ...]
    codecs: tuple[str, ...]
    files: tuple[int, ...]
    keys: tuple[str, str]
    version: int


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one.

    Raises:
        FormatError: It is too long or too deep, or no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > JSON_BYTES:
            raise ValueError(f"it is longer than {JSON_BYTES >> 20} MiB")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{path.name!r} of a Zarr must be a JSON object, it is not: {str(error)[:100]}: "
            "the file is damaged, copy it again"
        ) from error
    return found


def is_zarr(folder: Path) -> bool:
    """Tell whether a folder is a Zarr node (a group or an array)."""
    return any((folder / name).is_file() for name in NODES)


def attributes(folder: Path) -> tuple[int, dict[str, Any]]:
    """Give the version of Zarr (0 for none) and the attributes of a node."""
    if (folder / "zarr.json").is_file():
        found = read_json(folder / "zarr.json").get("attributes", {})
        return 3, found if isinstance(found, dict) else {}
    version = 2 if any((folder / name).is_file() for name in NODES[1:]) else 0
    return version, read_json(folder / ".zattrs")


def inside(root: Path, path: str) -> Path:
    """Give a path below a folder; it never leaves it, by its text or by a link.

    Raises:
        FormatError: It would.
    """
    pure = PurePosixPath(path)
    plain = (
        bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and "\\" not in path
    )
    plain = plain and ":" not in path and "\0" not in path and len(path) < 1000
    if not plain or not (root / pure).resolve().is_relative_to(root.resolve()):
        raise FormatError(
            f"{root.name!r} must keep its arrays inside its own folder, it names one elsewhere: "
            "a hostile file, or one that was taken apart"
        )
    return root / pure


def read_header(name: str, folder: Path) -> Header:
    """Read the header of a Zarr array.

    Args:
        name: Name of the image, for errors.
        folder: Of the array.

    Returns:
        What it says; nothing was allocated.

    Raises:
        FormatError: There is none, or its type, chunks or codecs are not readable here.
    """
    try:
        if (folder / "zarr.json").is_file():
            header = _header_3(folder, read_json(folder / "zarr.json"))
        elif (folder / ".zarray").is_file():
            header = _header_2(folder, read_json(folder / ".zarray"))
        else:
            raise KeyError("an array that its metadata names is absent")
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{name!r} must have a whole Zarr array at each of its paths, one has not: "
            f"{str(error)[:120]}: the image is incomplete or damaged, copy it again"
        ) from error
    _check(name, header)
    return header


def _header_2(folder: Path, text: Mapping[str, Any]) -> Header:
    chunks = tuple(int(n) for n in text["chunks"])
    codecs = [text.get("compressor"), *(text.get("filters") or [])]
    named = tuple(str(codec["id"]) for codec in codecs if codec is not None)
    shape = tuple(int(n) for n in text["shape"])
    stored = np.dtype(str(text["dtype"]))
    keys = ("", str(text.get("dimension_separator", ".")))
    return Header(folder, shape, stored, chunks, named, chunks, keys, 2)


def _header_3(folder: Path, text: Mapping[str, Any]) -> Header:
    if text.get("node_type") != "array" or text["chunk_grid"]["name"] != "regular":
        raise ValueError("zarr.json is no array with a regular grid of chunks")
    shape = tuple(int(n) for n in text["shape"])
    files = tuple(int(n) for n in text["chunk_grid"]["configuration"]["chunk_shape"])
    kind = str(text["data_type"])
    codecs, pieces = _codecs(text["codecs"], files)
    encoding = text["chunk_key_encoding"]
    given = encoding.get("configuration", {})
    if encoding["name"] == "default":
        keys = ("c", str(given.get("separator", "/")))
    else:
        keys = ("", str(given.get("separator", ".")))
    return Header(folder, shape, np.dtype(kind), pieces, codecs, files, keys, 3)


def _codecs(listed: Any, files: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Give the names of all codecs, those inside shards too, and the size of inner chunks."""
    names: list[str] = []
    pieces = files
    waiting = list(listed)
    while waiting:
        codec = waiting.pop(0)
        names.append(str(codec["name"]).removeprefix("numcodecs."))
        if names[-1] == "sharding_indexed":
            inner = codec["configuration"]
            pieces = tuple(int(n) for n in inner["chunk_shape"])
            waiting += [*inner["codecs"], *inner.get("index_codecs", [])]
        if len(names) > 32:
            raise ValueError("more than 32 codecs")
    return tuple(names), pieces


def _check(name: str, header: Header) -> None:
    strange = sorted(set(header.codecs) - CODECS)
    if sum(codec in COMPRESSORS for codec in header.codecs) > 1:
        raise FormatError(
            f"{name!r} must be compressed once, it uses {', '.join(header.codecs)[:80]}: "
            "what that unpacks to cannot be bounded; write it anew"
        )
    if strange:
        raise FormatError(
            f"{name!r} must be compressed with one of {', '.join(sorted(CODECS))}, it uses "
            f"{', '.join(strange)[:80]}: others are not run; write it anew"
        )
    if header.stored.kind != "b" and header.stored.str[1:] not in STORED:
        raise FormatError(
            f"{name!r} must hold real numbers of 8 to 64 bits, its type is "
            f"{header.stored.name}: convert it first"
        )
    sizes = (*header.shape, *header.pieces, *header.files)
    lengths = {len(header.shape), len(header.pieces), len(header.files)}
    if min(sizes, default=0) < 1 or len(lengths) != 1 or len(header.shape) > 8:
        raise FormatError(
            f"{name!r} must have positive sizes and chunks of as many axes, its header says "
            f"{header.shape} in {header.files} in {header.pieces}: the header is damaged"
        )


def read_box(name: str, header: Header, box: tuple[slice, ...], budget: Budget) -> Array:
    """Read a box of an array: only the chunks that it touches, each checked before it is decoded.

    Args:
        name: Name of the image, for errors.
        header: What ``read_header`` gave.
        box: One slice for each axis, inside the shape.
        budget: Bounds the box, one chunk, and how far a chunk grows.

    Returns:
        The samples; single bits as bytes.

    Raises:
        FormatError: It costs too much, or a chunk is damaged.
    """
    import zarr

    size = header.stored.itemsize
    budget.check_size(name, tuple(part.stop - part.start for part in box), size)
    budget.check_size(name, header.pieces, size)
    root = header.folder.resolve()
    for file in _touched(name, header, box, budget):
        if not file.resolve().is_relative_to(root):
            raise FormatError(
                f"{name!r} must keep its chunks inside its own folder, one is a link elsewhere: "
                "copy the image with its links followed"
            )
        if header.pieces == header.files:
            _check_chunk(name, header, file, budget)
    try:
        array = zarr.open_array(store=str(header.folder), mode="r", zarr_format=header.version)
        found = np.asarray(array[box])
    except Exception as error:  # zarr raises whatever its codecs meet
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        reason = reason.replace(str(header.folder), name)
        raise FormatError(
            f"{name!r} must hold whole chunks, one cannot be read: {reason}: "
            "the image is damaged, copy it again"
        ) from error
    return found.astype(np.uint8) if found.dtype.kind == "b" else found


def _touched(name: str, header: Header, box: tuple[slice, ...], budget: Budget) -> Iterator[Path]:
    """Give the files of the chunks that a box touches, as far as they exist."""
    spans = [
        range(part.start // n, -(-part.stop // n))
        for part, n in zip(box, header.files, strict=True)
    ]
    count = math.prod(len(span) for span in spans)
    if count > MOST_CHUNKS * budget.files:
        raise FormatError(
            f"{name!r} must be read from at most {MOST_CHUNKS * budget.files} chunks at a time, "
            f"this touches {count}: read a smaller region, or raise the budget"
        )
    prefix, separator = header.keys
    for at in product(*spans):
        key = separator.join([*([prefix] if prefix else []), *map(str, at)])
        file = header.folder / key
        if file.is_file():
            yield file


def _check_chunk(name: str, header: Header, file: Path, budget: Budget) -> None:
    """Refuse a chunk that would unpack to more than its array says, before it is unpacked."""
    needed = math.prod(header.pieces) * header.stored.itemsize
    budget.check_growth(name, needed, file.stat().st_size)
    packed = [codec for codec in header.codecs if codec in COMPRESSORS]
    most = 2 * needed + SLACK
    claimed = unpacked(file, packed[0], most) if packed else 0
    if claimed > most:
        raise FormatError(
            f"{name!r} must have chunks of {needed} bytes, one would unpack to {claimed} or more: "
            "a damaged or hostile file"
        )
