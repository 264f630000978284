"""Fragments: where the pixels of a DICOM file lie, and which pieces make up a frame."""
# SPDX-License-Identifier: Apache-2.0

import os
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._budget import Budget

UNDEFINED = 0xFFFFFFFF
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG = "1.2.840.10008.1.2.2"
IMPLICIT = "1.2.840.10008.1.2"
ITEM, LAST = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
PIXELS, FLOATS, DOUBLES = 0x7FE00010, 0x7FE00008, 0x7FE00009
CHUNK = 1 << 20
SPARE = 1 << 26
"""Bytes that a header and what follows the samples may take."""
TAGS = [
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelRepresentation",
    *(f"{c}PaletteColorLookupTableDescriptor" for c in ("Red", "Green", "Blue")),
    *(f"{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")),
    *(f"Segmented{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")),
]
Span = tuple[tuple[int, int], ...]
"""The pieces of one frame: (first byte, number of bytes) of each."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """The element that holds the pixels.

    Attributes:
        path: The file.
        start: First byte of its value, in ``data`` where that is not empty, else in the file.
        size: Bytes of its value that are there.
        tag: Which of the three elements of pixels it is.
        words: Whether its value is 16-bit words (VR OW).
        big: Whether it is big endian.
        header: The elements named in ``TAGS``.
        data: The inflated file where that was deflated.
    """

    path: Path
    start: int
    size: int
    tag: int = PIXELS
    words: bool = False
    big: bool = False
    header: Any = None
    data: bytes | bytearray = b""

    def open(self) -> BinaryIO:
        """Open what holds the value."""
        return BytesIO(self.data) if self.data else self.path.open("rb")

    def read(self, offset: int, size: int) -> Any:
        """Read a part of the value, writable.

        Raises:
            ValueError: It is not all there.
        """
        if offset + size > self.size:
            raise ValueError(f"{max(self.size, 0)} bytes are there, {offset + size} are promised")
        if self.data:
            part = memoryview(self.data)[self.start + offset :][:size]
            return bytearray(part)
        with self.path.open("rb") as file:
            file.seek(self.start + offset)
            return np.fromfile(file, np.uint8, size)

    def check_floats(self, promised: bool, size: int) -> None:
        """Check that floats are kept where the header's lack of integer bits promised them."""
        found = {PIXELS: 0, FLOATS: 4, DOUBLES: 8}[self.tag]
        if found != (size if promised else 0):
            kind = {0: "whole numbers", 4: "floats of 32 bits", 8: "floats of 64 bits"}[found]
            raise FormatError(
                f"{self.path.name!r} must keep the kind of samples that its header describes, "
                f"it keeps {kind}: its header is damaged"
            )


def find_pixels(path: Path, syntax: str, promised: int, budget: Budget) -> Element:
    """Find the element of the pixels.

    Args:
        path: The file.
        syntax: Transfer syntax UID; empty where the file does not tell.
        promised: Bytes of samples that its header promises.
        budget: What inflating may cost.

    Returns:
        The element; its value is not read, but where the file is deflated.

    Raises:
        FormatError: There are no pixels, or inflating costs too much.
    """
    import pydicom

    data = inflate(path, promised, budget) if syntax == DEFLATED else b""
    with BytesIO(data) if data else path.open("rb") as file:
        if data:
            from pydicom.filereader import read_dataset

            tags = [pydicom.tag.Tag(keyword) for keyword in TAGS]
            stop = {PIXELS, FLOATS, DOUBLES}
            header: Any = read_dataset(
                file, False, True, stop_when=lambda tag, vr, n: tag in stop, specific_tags=tags
            )
            implicit, little = False, True
        else:
            # the tags are few, so the rest is passed over unread
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS, force=True)
            implicit, little = header.original_encoding
        head = file.read(12)
        start, end = file.tell(), file.seek(0, os.SEEK_END)
    tag, words, size, skip = _element(head, implicit=bool(implicit), little=bool(little))
    if tag not in (PIXELS, FLOATS, DOUBLES):
        raise FormatError(f"{path.name!r} must hold pixels, it has none: copy the file again")
    start += skip - len(head)
    room = end - start
    if size == UNDEFINED and syntax in ("", DEFLATED, BIG, IMPLICIT, IMPLICIT + ".1"):
        raise FormatError(
            f"{path.name!r} must hold uncompressed samples as its transfer syntax says, "
            "it holds fragments: its header is damaged"
        )
    there = room if size == UNDEFINED else min(size, room)
    return Element(path, start, there, tag, words, not little, header, data)


def _element(head: bytes, *, implicit: bool, little: bool) -> tuple[int, bool, int, int]:
    """Read (tag, whether words, length, bytes of the head) of an element."""
    if len(head) < 8:
        return 0, False, 0, 0
    order = "<" if little else ">"
    group, number = struct.unpack(order + "HH", head[:4])
    tag = group << 16 | number
    if implicit:
        return tag, True, struct.unpack(order + "I", head[4:8])[0], 8
    if len(head) < 12:
        return 0, False, 0, 0
    return tag, head[4:6] == b"OW", struct.unpack(order + "I", head[8:12])[0], 12


def inflate(path: Path, promised: int, budget: Budget) -> bytearray:
    """Inflate the dataset of a deflated file, in pieces, never beyond the budget (PS3.5 A.5).

    Args:
        path: The file.
        promised: Bytes of samples that its header promises.
        budget: ``ratio`` and ``free_bytes`` bound what comes out.

    Returns:
        The dataset behind the file meta information, explicit little endian.

    Raises:
        FormatError: It grows too much or beyond its promise, or is damaged or truncated.
    """
    stored = path.stat().st_size
    budget.check_growth(path.name, promised, stored)
    out, unpacker = bytearray(), zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        file.seek(meta_end(file))
        while not unpacker.eof:
            pending = unpacker.unconsumed_tail or file.read(CHUNK)
            try:
                out += unpacker.decompress(pending, CHUNK)
            except zlib.error as error:
                raise _not_whole(path.name, str(error)) from error
            if not pending:
                raise _not_whole(path.name, f"it ends after {len(out)} inflated bytes")
            budget.check_growth(path.name, len(out), stored)
            if len(out) > promised + SPARE:
                raise _not_whole(path.name, f"it inflates beyond {promised} bytes of samples")
    return out


def _not_whole(name: str, reason: str) -> FormatError:
    return FormatError(
        f"{name!r} must be a whole deflated file, it is not: {reason}: "
        "the file is truncated or damaged, copy it again"
    )


def meta_end(file: BinaryIO) -> int:
    """Give the first byte behind the file meta information (PS3.10 7.1)."""
    at = 132
    while True:
        file.seek(at)
        head = file.read(12)
        if len(head) < 8 or head[:2] != b"\x02\x00":
            return at
        if head[4:6] in (b"OB", b"UN", b"OW", b"SQ", b"UT", b"UC", b"UR"):
            at += 12 + int.from_bytes(head[8:12], "little")
        else:
            at += 8 + int.from_bytes(head[6:8], "little")


def frame_spans(element: Element, frames: int, codec: str) -> list[Span]:
    """Say which pieces make up each frame (PS3.5 A.4).

    Args:
        element: Its value is fragments.
        frames: Number of frames that the header promises.
        codec: Tells how a frame begins, where no table does.

    Returns:
        The pieces of each frame.

    Raises:
        ValueError: The value is no row of fragments, or they cannot be told apart into frames.
    """
    with element.open() as file:
        table, pieces = _items(file, element.start, element.start + element.size)
        if frames == 1:
            return [tuple(pieces)]
        starts = _starts(element.header, table, frames)
        groups = _by_offsets(pieces, starts) if starts else []
        if len(groups) != frames:
            groups = [(piece,) for piece in pieces] if len(pieces) == frames else []
        if not groups:
            groups = _by_markers(file, pieces, codec)
    if len(groups) != frames:
        raise ValueError(f"its {len(pieces)} fragments are not {frames} frames")
    return groups


def read_span(element: Element, span: Span) -> bytes:
    """Read the codestream of a frame."""
    with element.open() as file:
        parts = []
        for start, size in span:
            file.seek(start)
            parts.append(file.read(size))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _items(file: BinaryIO, start: int, end: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Walk over the items: the value of the first (the table), and where the others lie."""
    found: list[tuple[int, int]] = []
    at = start
    while at + 8 <= end:
        file.seek(at)
        head = file.read(8)
        if head[:4] != ITEM:
            if head[:4] != LAST:
                raise ValueError(f"byte {at} is neither a fragment nor the end of them")
            break
        size = int.from_bytes(head[4:], "little")
        if at + 8 + size > end:
            raise ValueError(f"a fragment of {size} bytes at byte {at} is cut off")
        found.append((at + 8, size))
        at += 8 + size
    else:
        raise ValueError(f"its fragments end without their end mark at byte {at}")
    if len(found) < 2:
        raise ValueError("it holds no fragments")
    file.seek(found[0][0])
    return file.read(found[0][1]), found[1:]


def _starts(header: Any, table: bytes, frames: int) -> list[int]:
    """Give the offset of each frame from the first fragment; none where no table fits."""
    extended = header.get("ExtendedOffsetTable") if header is not None else None
    if extended:
        kind, raw = "<u8", bytes(extended)
    else:
        kind, raw = "<u4", table
    size = np.dtype(kind).itemsize
    found: list[int] = np.frombuffer(raw[: len(raw) // size * size], kind).tolist()
    return found if len(found) == frames else []


def _by_offsets(pieces: list[tuple[int, int]], starts: list[int]) -> list[Span]:
    base = pieces[0][0]
    at = {start - base: k for k, (start, _) in enumerate(pieces)}
    if any(start not in at for start in starts):
        return []
    order = [*(at[start] for start in starts), len(pieces)]
    if order[0] != 0 or sorted(set(order)) != order:
        return []
    return [tuple(pieces[a:b]) for a, b in pairwise(order)]


def _by_markers(file: BinaryIO, pieces: list[tuple[int, int]], codec: str) -> list[Span]:
    first = {"jpeg2k": b"\xff\x4f\xff\x51"}.get(codec, b"\xff\xd8\xff")
    groups: list[list[tuple[int, int]]] = []
    for start, size in pieces:
        file.seek(start)
        if file.read(len(first)) == first or not groups:
            groups.append([])
        groups[-1].append((start, size))
    return [tuple(group) for group in groups]
