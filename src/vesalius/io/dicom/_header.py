"""The header of a DICOM file: a fast walk over its elements that stops at the pixels.

Little endian only, with or without value representations, deflated or not; what is unusual is left
to pydicom. Nothing is believed: a length that leaves the file, sequences nested without end and
streams that unpack without end are refused before anything is allocated for them.
"""
# SPDX-License-Identifier: Apache-2.0

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io.dicom._tags import TAGS

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
FIRST = 1 << 16
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
Fetch = Callable[[int], tuple[bytes, bool]]
"""Gives at least so many first bytes of a data set, if they are there, and whether that is all."""


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
        raw = self.entries.get(tag)
        if raw is None or not raw[1]:
            return ()
        told = raw[0] if raw[0] not in (b"", b"UN") else vr
        code = BINARY.get(told)
        if code is not None:
            width = struct.calcsize(code)
            order = "<" if self.little else ">"
            if len(raw[1]) % width:
                raise ValueError(f"{keyword} must be whole numbers of {width} bytes")
            return struct.unpack(f"{order}{len(raw[1]) // width}{code}", raw[1])
        text = self._decoded(raw[1]).strip("\0 ")
        if told in TEXTS:
            return (text,) if text else ()
        words = [word.strip("\0 ") for word in text.split("\\")] if text else []
        if told == b"DS":
            return tuple(float(word) for word in words if word)
        if told == b"IS":
            return tuple(_whole(word) for word in words if word)
        return tuple(words)

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
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode("ascii")
        from pydicom.charset import convert_encodings, decode_bytes

        told = self.entries.get(TAGS["SpecificCharacterSet"][0], (b"CS", b""))[1]
        names = [word.strip("\0 ") for word in told.decode("ascii", "replace").split("\\")]
        return str(decode_bytes(raw, convert_encodings(names), {"\\", "^", "="}))


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
    with path.open("rb") as file:
        first = file.read(FIRST)

        def fetch(count: int) -> tuple[bytes, bool]:
            if count <= len(first) or len(first) == size:
                return first, len(first) == size
            file.seek(0)
            return file.read(min(size, 2 * count)), 2 * count >= size

        found = _read(path.name, fetch, size, budget) if first[128:132] == b"DICM" else None
    return found if found is not None else _by_pydicom(path, size, first)


def _read(name: str, fetch: Fetch, size: int, budget: Budget) -> Header | None:
    """Read a file with a preamble; None where it is unusual."""
    meta: dict[int, Raw] = {}
    body = _meta_end(fetch(FIRST)[0], meta)
    syntax = meta.get(SYNTAX, (b"", b""))[1].decode("ascii", "replace").strip("\0 ")
    if body < 0 or syntax == BIG_ENDIAN or not syntax:
        return None
    preamble = fetch(128)[0][:128]
    if syntax == DEFLATED:
        fetch, body = _inflating(name, fetch(size)[0][body:], budget), 0
    depth = budget.depth
    found: dict[int, Raw] = {}
    need = 0
    while True:
        buffer, is_all = fetch(need)
        found.clear()
        tag, start, length = _walk(buffer, body, syntax != IMPLICIT, found, depth)
        if tag == UNUSUAL:
            return None
        if tag != RAN_OUT:
            at = start if syntax != DEFLATED else -1
            if length == UNDEFINED:
                length = -1
            elif syntax == DEFLATED:
                budget.check_growth(name, start + length, size)
            return Header(found, syntax, size, at, length, tag, True, preamble)
        need = length
        if is_all or (need > size and syntax != DEFLATED):
            if is_all and start == need == len(buffer):
                return Header(found, syntax, size, -1, -1, 0, True, preamble)
            raise FormatError(
                f"{name!r} must hold all elements of its header, it ends at byte "
                f"{len(buffer) if is_all else size}, its elements need bytes up to {need}: "
                "the file is truncated or damaged, copy it again"
            )


def inflated(path: Path, budget: Budget) -> bytes | None:
    """Unpack the header of a deflated file, its group 2 left out.

    Args:
        path: The file.
        budget: What unpacking may cost.

    Returns:
        Its data set up to the value of the pixels; None where the file is not deflated.

    Raises:
        FormatError: It is damaged or unpacks beyond the budget.
    """
    with path.open("rb") as file:
        first = file.read(FIRST)
        meta: dict[int, Raw] = {}
        body = _meta_end(first, meta) if first[128:132] == b"DICM" else -1
        if body < 0 or DEFLATED.encode() != meta.get(SYNTAX, (b"", b""))[1].strip(b"\0 "):
            return None
        fetch = _inflating(path.name, (first + file.read())[body:], budget)
    need = 0
    while True:
        buffer, is_all = fetch(need)
        tag, start, length = _walk(buffer, 0, True, {}, budget.depth)
        if tag > 0:
            return buffer[: start - 12]
        if is_all or tag == UNUSUAL:
            return buffer
        need = length


def _meta_end(buffer: bytes, found: dict[int, Raw]) -> int:
    """Walk over group 2; give where the data set begins, or -1."""
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
            return -1
        if group << 16 | element == SYNTAX:
            found[SYNTAX] = (vr, buffer[start : start + length])
        position = start + length
    return position if position == len(buffer) else -1


def _walk(
    buffer: bytes, position: int, explicit: bool, found: dict[int, Raw], depth: int
) -> tuple[int, int, int]:
    """Collect wanted elements up to the pixels.

    Returns:
        (tag, first byte, length) of the pixel element; (RAN_OUT, first byte of the element that
        the buffer cuts, byte that it must reach); or UNUSUAL.
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
                    return RAN_OUT, position, position + 12
                (length,) = _length(buffer, start)
                start = position + 12
        else:
            group, element, length = _tag_length(buffer, position)
            vr, start = b"", position + 8
        tag = group << 16 | element
        if tag in PIXELS:
            return tag, start, length
        if length == UNDEFINED:
            stop = _skip(buffer, start, explicit and vr == b"SQ", depth)
            if stop == UNUSUAL or (explicit and vr not in (b"SQ", b"UN")):
                return UNUSUAL, 0, 0
            if stop == RAN_OUT:
                return RAN_OUT, position, end + 1
            if tag in wanted:
                found[tag] = (b"SQ", b"undefined")
        else:
            stop = start + length
            if tag in wanted:
                if stop > end:
                    return RAN_OUT, position, stop
                found[tag] = (vr, buffer[start:stop])
        position = stop
    return RAN_OUT, position, position + (8 if position < end else 0)


def _skip(buffer: bytes, position: int, explicit: bool, depth: int) -> int:
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


def _skip_item(buffer: bytes, position: int, explicit: bool, depth: int) -> int:
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


def _inflating(name: str, stored: bytes, budget: Budget) -> Fetch:
    """Unpack a deflated data set (PS3.5, A.5) no further than is asked for."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = bytearray()
    rest = [stored]

    def fetch(count: int) -> tuple[bytes, bool]:
        count = max(count, FIRST)
        budget.check_growth(name, count, len(stored))
        while len(unpacked) < count and not engine.eof:
            try:
                piece = engine.decompress(rest[0], count - len(unpacked))
            except zlib.error as error:
                raise FormatError(
                    f"{name!r} must be a readable deflated data set, it is not: {error}: "
                    "the file is damaged, copy it again"
                ) from error
            rest[0] = engine.unconsumed_tail
            unpacked.extend(piece)
            if not piece and not rest[0]:
                return bytes(unpacked), True
        return bytes(unpacked), engine.eof

    return fetch


def _by_pydicom(path: Path, size: int, first: bytes) -> Header:
    import pydicom

    keywords = [word for word, (tag, _) in TAGS.items() if not tag >> 16 & 1]
    private = [tag for tag, _ in TAGS.values() if tag >> 16 & 1]
    try:
        data = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=[*keywords, *private], force=True
        )
        entries = {tag: _raw(data.get_item(tag)) for tag, _ in TAGS.values() if tag in data}
        if not entries:
            raise ValueError("it has none of the elements of an image")
        syntax = str(data.file_meta.get("TransferSyntaxUID", ""))
        implicit, little = data.original_encoding
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        reason = str(error).replace(str(path), path.name) or type(error).__name__
        raise FormatError(
            f"{path.name!r} must be a readable DICOM file, it is not: {reason}: "
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
