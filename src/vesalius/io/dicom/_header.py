"""The header of a DICOM file: a fast walk over its elements that stops at the pixels.

Little endian only, with or without value representations, deflated or not; what is unusual is left
to pydicom. Nothing is believed: a length that leaves the file, sequences nested without end and
streams that unpack without end are refused before anything is allocated for them.
"""
# SPDX-License-Identifier: Apache-2.0

import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import final

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io.dicom._reason import reason_of
from vesalius.io.dicom._tags import TAGS

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
FIRST, MARGIN = 1 << 16, 1 << 10
PIECE = 1 << 20
LONGEST = 1 << 20
"""Bytes; a wanted value that claims more counts as empty."""
MOST = 1032
"""No deflate stream grows by more than this factor."""
UNDEFINED = 0xFFFFFFFF
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
BINARY = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d"}
TEXTS = frozenset({b"LT", b"ST", b"UT"})
WANTED = dict(TAGS.values())
SYNTAX = 0x00020010
RAN_OUT, UNUSUAL = -1, -2

_tag_vr_length = struct.Struct("<HH2sH").unpack_from
_tag_length = struct.Struct("<HHI").unpack_from
_length = struct.Struct("<I").unpack_from
Raw = tuple[bytes, bytes]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """The wanted elements of a DICOM file.

    Attributes:
        entries: Value representation and bytes by tag.
        syntax: Transfer syntax UID, or empty.
        size: Bytes of the file.
        pixels: First byte of the pixel value in the file; -1 where it is not known.
        length: Bytes of the pixel value; -1 where it is not known or told.
        element: Tag of the pixel element; 0 where there is none, -1 where it is not known.
        little: Whether binary values are little endian.
        preamble: The bytes before the file's mark.
    """

    entries: Mapping[int, Raw]
    syntax: str
    size: int
    pixels: int = -1
    length: int = -1
    element: int = -1
    little: bool = True
    preamble: bytes = b""

    def has(self, keyword: str) -> bool:
        """Whether the element is there, empty or not."""
        return TAGS[keyword][0] in self.entries

    def values(self, keyword: str) -> tuple[str | float | int, ...]:
        """Give the values of an element; empty where it is absent or empty.

        Args:
            keyword: Keyword of the table.

        Returns:
            Numbers where the representation is numeric, else text.

        Raises:
            ValueError: A number is none, or binary values are cut.
        """
        tag, vr = TAGS[keyword]
        found = self.entries.get(tag)
        if found is None or not found[1]:
            return ()
        told, raw = found
        if told in (b"", b"UN"):
            told = vr
        if told in BINARY or (raw.isascii() and b"\x1b" not in raw):
            return _converted(told, raw, self.little)
        return _split(told, self._decoded(raw))

    def raw_text(self, keyword: str) -> str:
        """Give an element as it stands, empty where it is absent."""
        raw = self.entries.get(TAGS[keyword][0], (b"", b""))[1]
        return raw.decode("ascii", "replace").strip("\0 ")

    def text(self, keyword: str) -> str:
        """Give an element as one text, empty where it is absent."""
        return "\\".join(str(value) for value in self.values(keyword))

    def number(self, keyword: str, default: float) -> float:
        """Give the first number of an element, or the default where it is absent."""
        values = self.values(keyword)
        return float(values[0]) if values else default

    def _decoded(self, raw: bytes) -> str:
        from pydicom.charset import convert_encodings, decode_bytes

        told = self.entries.get(TAGS["SpecificCharacterSet"][0], (b"CS", b""))[1]
        names = [word.strip("\0 ") for word in told.decode("ascii", "replace").split("\\")]
        with warnings.catch_warnings(action="ignore"):
            return str(decode_bytes(raw, convert_encodings(names), {"\\", "^", "="}))


@lru_cache(maxsize=4096)
def _converted(vr: bytes, raw: bytes, little: bool) -> tuple[str | float | int, ...]:
    """Convert a value; the slices of a series repeat most of theirs, hence the cache."""
    if vr not in BINARY:
        return _split(vr, raw.decode("ascii"))
    width = struct.calcsize(BINARY[vr])
    if len(raw) % width:
        raise ValueError(f"a value of type {vr.decode()} must be whole numbers of {width} bytes")
    return struct.unpack(f"{'<' if little else '>'}{len(raw) // width}{BINARY[vr]}", raw)


def _split(vr: bytes, text: str) -> tuple[str | float | int, ...]:
    text = text.strip("\0 ")
    several = "\\" in text and vr not in TEXTS
    words = [word.strip("\0 ") for word in text.split("\\")] if several else [text]
    if vr == b"DS":
        return tuple([float(word) for word in words if word])
    if vr == b"IS":
        return tuple([_whole(word) for word in words if word])
    return tuple(words) if text else ()


def _whole(word: str) -> int | float:
    number = float(word)
    return int(number) if number.is_integer() else number


def read_header(path: Path, budget: Budget) -> Header:
    """Read the header of a DICOM file, not its pixels.

    Args:
        path: The file.
        budget: Limits of unpacking and nesting.

    Returns:
        The header.

    Raises:
        FormatError: The file is cut, damaged, or exceeds the budget.
    """
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        first = file.read(FIRST)
        found = None
        if first[128:132] == b"DICM":
            found = _Walker(path.name, file, first, size, budget).header()
    return found if found is not None else _by_pydicom(path, size, first)


def inflated(path: Path, budget: Budget) -> bytes | None:
    """Unpack the header of a deflated file, its group 2 left out.

    Args:
        path: The file.
        budget: What unpacking may cost.

    Returns:
        Its data set up to the pixels; None where the file is not deflated.

    Raises:
        FormatError: It is damaged or unpacks beyond the budget.
    """
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        first = file.read(FIRST)
        if first[128:132] != b"DICM":
            return None
        walker = _Walker(path.name, file, first, size, budget)
        if walker.syntax != DEFLATED:
            return None
        found = walker.header()
        # tag, representation and length of the pixels take 12 bytes
        end = walker.base - (12 if found is not None and found.element > 0 else 0)
        window, _ = _Inflater(path.name, walker.stored(), budget).fetch(0, end)
    return bytes(window[:end])


class _Walker:
    """Walks over one open file with a preamble, a window at a time."""

    __slots__ = ("base", "body", "budget", "file", "first", "name", "size", "syntax")

    def __init__(self, name: str, file: FileIO, first: bytes, size: int, budget: Budget) -> None:
        meta: dict[int, Raw] = {}
        self.name, self.file, self.first, self.size = name, file, first, size
        self.budget, self.base = budget, 0
        self.body = _meta_end(first, meta)
        if self.body == RAN_OUT and len(first) == size:
            raise _cut(name, size, size + 1)
        self.syntax = meta.get(SYNTAX, (b"", b""))[1].decode("ascii", "replace").strip("\0 ")

    def stored(self) -> bytes:
        """Read the data set as it is packed."""
        self.file.seek(self.body)
        return self.file.read()

    def header(self) -> Header | None:
        """Walk to the pixels; None where the file is unusual. ``base`` is then where they are."""
        if self.body < 0 or self.syntax == BIG_ENDIAN or not self.syntax:
            return None
        packed = self.syntax == DEFLATED
        fetch = _Inflater(self.name, self.stored(), self.budget).fetch if packed else self._fetch
        self.base = 0 if packed else self.body
        limit = MOST * self.size if packed else self.size
        found: dict[int, Raw] = {}
        need = 0
        while True:
            buffer, is_all = fetch(self.base, need)
            tag, start, need = _walk(buffer, 0, self.syntax != IMPLICIT, found, self.budget.depth)
            self.base += start
            if tag == UNUSUAL:
                self._refuse_unusual(packed)
                return None
            if tag != RAN_OUT:
                return self._found(found, tag, need, packed)
            if self.base + need > limit or (is_all and start + need > len(buffer)):
                raise _cut(self.name, self.size, self.base + need)
            if is_all and need == 0:
                return Header(found, self.syntax, self.size, -1, -1, 0, True, self.first[:128])

    def _fetch(self, base: int, count: int) -> tuple[bytes, bool]:
        """Read from a byte of the file on, at least so many bytes if they are there."""
        if base + count <= len(self.first) and count < FIRST // 2:
            window = self.first[base:]
            if len(window) > MARGIN or len(self.first) == self.size:
                return window, len(self.first) == self.size
        if count > self.budget.free_bytes:
            raise FormatError(
                f"{self.name!r} must have no sequence of more than {self.budget.free_bytes} bytes "
                "before its pixels, it has one: a damaged or hostile file, or raise the budget"
            )
        self.file.seek(base)
        window = self.file.read(max(2 * count, FIRST))
        return window, base + len(window) >= self.size

    def _found(self, found: dict[int, Raw], tag: int, length: int, packed: bool) -> Header:
        if packed:
            grown = self.base + (0 if length == UNDEFINED else length)
            self.budget.check_growth(self.name, grown, self.size)
        pixels = -1 if packed else self.base
        length = -1 if length == UNDEFINED else length
        preamble = self.first[:128]
        return Header(found, self.syntax, self.size, pixels, length, tag, True, preamble)

    def _refuse_unusual(self, packed: bool) -> None:
        if packed:  # pydicom would unpack it without a limit
            raise FormatError(
                f"{self.name!r} must be a readable deflated data set, it is not: its elements do "
                "not follow each other: the file is damaged, copy it again"
            )


def _cut(name: str, end: int, need: int) -> FormatError:
    return FormatError(
        f"{name!r} must hold all elements of its header, it ends at byte {end}, its elements need "
        f"bytes up to {need} at least: the file is truncated or damaged, copy it again"
    )


def _meta_end(buffer: bytes, found: dict[int, Raw]) -> int:
    """Walk over group 2; give where the data set begins, or RAN_OUT, or UNUSUAL."""
    position = 132
    while position + 12 <= len(buffer):
        group, element, vr, length = _tag_vr_length(buffer, position)
        if group != 2:
            return position
        start = position + 8
        if vr in LONG:
            (length,) = _length(buffer, start)
            start += 4
        elif vr not in SHORT:
            return UNUSUAL
        if group << 16 | element == SYNTAX:
            found[SYNTAX] = (vr, buffer[start : start + length])
        position = start + length
    return position if position == len(buffer) else RAN_OUT


def _walk(
    buffer: bytes | bytearray, position: int, explicit: bool, found: dict[int, Raw], depth: int
) -> tuple[int, int, int]:
    """Collect wanted elements up to the pixels.

    Returns:
        (tag, first byte, length) of the pixels; (RAN_OUT, first byte of the element that the
        buffer cuts, bytes needed from there on, 0 where the buffer ends with an element); or
        UNUSUAL.
    """
    end = len(buffer)
    wanted, short, long = WANTED, SHORT, LONG
    while position + 8 <= end:
        if explicit:
            group, element, vr, length = _tag_vr_length(buffer, position)
            start = position + 8
            if vr not in short:
                if vr not in long:
                    return UNUSUAL, 0, 0
                if position + 12 > end:
                    return RAN_OUT, position, 12
                (length,) = _length(buffer, start)
                start = position + 12
        else:
            group, element, length = _tag_length(buffer, position)
            vr, start = b"", position + 8
        tag = group << 16 | element
        if tag in PIXELS:
            return tag, start, length
        if length == UNDEFINED:
            if explicit and vr not in (b"SQ", b"UN"):
                return UNUSUAL, 0, 0
            stop = _skip(buffer, start, explicit and vr == b"SQ", depth)
            if stop == UNUSUAL:
                return UNUSUAL, 0, 0
            if stop == RAN_OUT or stop > end:
                return RAN_OUT, position, end - position + 1
            if tag in wanted:
                found[tag] = (b"SQ", b"undefined")
        else:
            stop = start + length
            if tag in wanted:
                if length > LONGEST or wanted[tag] == b"SQ":
                    found[tag] = (vr, b"defined" if wanted[tag] == b"SQ" else b"")
                elif stop > end:
                    return RAN_OUT, position, stop - position
                else:
                    found[tag] = (vr, bytes(buffer[start:stop]))
        position = stop
    return RAN_OUT, position, 8 if position < end else 0


def _skip(buffer: bytes | bytearray, position: int, explicit: bool, depth: int) -> int:
    """Skip a sequence of undefined length (PS3.5, 7.5); give where it ends."""
    if depth <= 0:
        raise FormatError(
            "sequences of a DICOM header must not nest deeper than the budget, they do: "
            "a damaged or hostile file"
        )
    end = len(buffer)
    while position + 8 <= end:
        group, element, length = _tag_length(buffer, position)
        position += 8
        if group != 0xFFFE or element not in (0xE000, 0xE0DD):
            return UNUSUAL
        if element == 0xE0DD:
            return position
        if length != UNDEFINED:
            position += length
            continue
        position = _skip_item(buffer, position, explicit, depth)
        if position < 0:
            return position
    return RAN_OUT


def _skip_item(buffer: bytes | bytearray, position: int, explicit: bool, depth: int) -> int:
    end = len(buffer)
    while position + 8 <= end:
        group, element, length = _tag_length(buffer, position)
        if group == 0xFFFE:
            return position + 8 if element == 0xE00D else UNUSUAL
        start, nested = position + 8, explicit
        if explicit:
            _, _, vr, length = _tag_vr_length(buffer, position)
            nested = vr == b"SQ"
            if vr in LONG:
                if position + 12 > end:
                    return RAN_OUT
                (length,) = _length(buffer, start)
                start = position + 12
            elif vr not in SHORT:
                return UNUSUAL
        if length == UNDEFINED:
            position = _skip(buffer, start, nested, depth - 1)
            if position < 0:
                return position
        else:
            position = start + length
    return RAN_OUT


class _Inflater:
    """Unpacks a deflated data set (PS3.5, A.5) no further than is asked for; keeps one window."""

    __slots__ = ("base", "budget", "engine", "name", "rest", "stored", "window")

    def __init__(self, name: str, stored: bytes, budget: Budget) -> None:
        self.name, self.budget, self.stored = name, budget, len(stored)
        self.engine, self.rest = zlib.decompressobj(-zlib.MAX_WBITS), stored
        self.window, self.base = bytearray(), 0

    def fetch(self, base: int, count: int) -> tuple[bytearray, bool]:
        """Unpack from a byte on, at least so many bytes if they are there."""
        self.budget.check_growth(self.name, base + count, self.stored)
        wanted = base + max(2 * count, FIRST)
        while self.base + len(self.window) < wanted and not self.engine.eof:
            piece = self._piece()
            if not piece and not self.rest:
                break
            self.window += piece
            gone = min(base - self.base, len(self.window))
            del self.window[:gone]
            self.base += gone
            self.budget.check_growth(self.name, self.base + len(self.window), self.stored)
        del self.window[: base - self.base]
        if self.base + len(self.window) < base:
            raise _cut(self.name, self.base + len(self.window), base)
        self.base = base
        return self.window, self.engine.eof or not self.rest

    def _piece(self) -> bytes:
        try:
            piece = self.engine.decompress(self.rest, PIECE)
        except zlib.error as error:
            raise FormatError(
                f"{self.name!r} must be a readable deflated data set, it is not: {error}: "
                "the file is damaged, copy it again"
            ) from error
        self.rest = self.engine.unconsumed_tail
        return piece


def _by_pydicom(path: Path, size: int, first: bytes) -> Header:
    import pydicom

    if DEFLATED.encode() in first[:2048]:
        raise FormatError(
            f"{path.name!r} must have the head of a deflated file in order, it has not: "
            "the file is damaged, copy it again"
        )
    keywords = [word for word, (tag, _) in TAGS.items() if not tag >> 16 & 1]
    private = [tag for tag, _ in TAGS.values() if tag >> 16 & 1]
    try:
        with warnings.catch_warnings(action="ignore"):  # what is odd shows in the values
            data = pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=[*keywords, *private], force=True
            )
            entries = {tag: _raw(data.get_item(tag)) for tag, _ in TAGS.values() if tag in data}
        if not entries:
            raise ValueError("it has none of the elements of an image")
        syntax = str(data.file_meta.get("TransferSyntaxUID", ""))
        implicit, little = data.original_encoding
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{path.name!r} must be a readable DICOM file, it is not: {reason_of(error, path)}: "
            "the file is truncated or damaged, copy it again"
        ) from error
    if not syntax:  # files without a preamble: pydicom has seen how they are encoded
        syntax = IMPLICIT if implicit else EXPLICIT if little else BIG_ENDIAN
    preamble = first[:128] if first[128:132] == b"DICM" else b""
    return Header(entries, syntax, size, -1, -1, -1, bool(little), preamble)


def _raw(element: object) -> Raw:
    """Take a pydicom element back to representation and bytes."""
    vr = str(getattr(element, "VR", "") or "").encode()
    value = getattr(element, "value", None)
    if vr == b"SQ":
        return vr, b"undefined"
    if isinstance(value, bytes):
        return vr, value
    if value is None:
        return vr, b""
    several = value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
    return b"LO" if vr in BINARY else vr, "\\".join(str(v) for v in several).encode()
