"""Colour: luminance and chrominance, and palettes, to RGB."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._handle import Array

COLOURS = ("Red", "Green", "Blue")


def ybr_to_rgb(values: Array, bits: int) -> Array:
    """Give RGB for YBR_FULL (PS3.3 C.7.6.3.1.2), rounded and held within the bits.

    Args:
        values: (..., 3) unsigned; Y, Cb, Cr.
        bits: Bits of a sample.

    Returns:
        (..., 3) of the same type; R, G, B.
    """
    y, cb, cr = np.moveaxis(values.astype(np.float32), -1, 0)
    middle = float(1 << (bits - 1))
    cb -= middle
    cr -= middle
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.asarray(np.rint(rgb).clip(0, (1 << bits) - 1).astype(values.dtype))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """A colour look-up table (PS3.3 C.7.9).

    Attributes:
        first: Stored value that takes the first entry; lower ones take it too.
        entries: (n, 3) uint16; 8-bit tables keep their values.
    """

    first: int
    entries: Array

    @staticmethod
    def of(header: Any) -> "Palette":
        """Take the table from a header.

        Args:
            header: A pydicom dataset.

        Returns:
            The table.

        Raises:
            FormatError: A colour is absent, or its table does not fit its descriptor.
        """
        tables = [_table(header, colour) for colour in COLOURS]
        if len({len(table) for table in tables}) != 1:
            raise FormatError(
                "a palette must have tables of one length, it has "
                f"{[len(table) for table in tables]}: its header is damaged"
            )
        return Palette(_descriptor(header, COLOURS[0])[1], np.stack(tables, axis=-1))

    def paint(self, values: Array) -> Array:
        """Give the colours of stored values: (..., 3) uint16."""
        index = values.astype(np.int64) - self.first
        return np.asarray(self.entries[index.clip(0, len(self.entries) - 1)])


def _descriptor(header: Any, colour: str) -> tuple[int, int, int]:
    value = header.get(f"{colour}PaletteColorLookupTableDescriptor")
    if value is None or len(value) != 3:
        raise FormatError(
            f"an image of PALETTE COLOR must have a {colour.lower()} look-up table, "
            "it has no descriptor of one: its header is damaged"
        )
    count, first, bits = (int(v) for v in value)
    if header.get("PixelRepresentation", 0) and first >= 1 << 15:
        first -= 1 << 16
    return count % (1 << 16) or 1 << 16, first, bits


def _table(header: Any, colour: str) -> Array:
    count, _, bits = _descriptor(header, colour)
    plain = header.get(f"{colour}PaletteColorLookupTableData")
    segmented = header.get(f"Segmented{colour}PaletteColorLookupTableData")
    raw = plain if plain is not None else segmented or b""
    size = 1 if bits == 8 and (segmented is not None or len(raw) < 2 * count) else 2
    order = "<" if getattr(header, "is_little_endian", True) is not False else ">"
    entries = np.frombuffer(raw[: len(raw) // size * size], f"{order}u{size}").astype(np.uint16)
    if plain is None:
        entries = _expand(entries.tolist(), count)
    if len(entries) < count:
        raise FormatError(
            f"a {colour.lower()} look-up table must have {count} entries, "
            f"it has {len(entries)}: its header is damaged"
        )
    return entries[:count]


def _expand(words: list[int], count: int) -> Array:
    """Expand a segmented table, never beyond ``count`` entries (PS3.3 C.7.9.2)."""
    out: list[int] = []
    at = 0
    while at + 1 < len(words) and len(out) < count:
        at = _segment(words, at, out, count)
    return np.array(out[:count], np.uint16)


def _segment(words: list[int], at: int, out: list[int], count: int) -> int:
    """Add one segment to ``out``; give where the next begins."""
    kind, length = words[at], words[at + 1]
    if kind == 0:
        out += words[at + 2 : at + 2 + length]
        return at + 2 + length
    if kind == 1 and out and at + 2 < len(words):
        steps = np.linspace(out[-1], words[at + 2], length + 1)[1:]
        out += np.rint(steps).astype(int).tolist()
        return at + 3
    if kind == 2 and at + 3 < len(words):
        back = words[at + 2] + (words[at + 3] << 16)
        for _ in range(length):
            if back + 1 >= len(words) or words[back] == 2 or len(out) >= count:
                break
            back = _segment(words, back, out, count)
        return at + 4
    return len(words)
