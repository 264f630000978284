"""The chain of pages of a TIFF file, walked before a parser is let loose on it.

tifffile stops without an error at a link that leads nowhere, so that a stack that was cut short
would come back with fewer slices; and it has no bound on the number of pages.
"""
# SPDX-License-Identifier: Apache-2.0

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, final

from vesalius.errors import FormatError
from vesalius.io._budget import Budget


@final
@dataclass(frozen=True, slots=True)
class _Form:
    """How numbers stand in a TIFF: classic has 32-bit links, BigTIFF 64-bit ones."""

    first: int
    count: str
    link: str
    entry: int


CLASSIC, BIG = (4, "H", "I", 12), (8, "Q", "Q", 20)
MAGIC = {b"II*\0": ("<", CLASSIC), b"MM\0*": (">", CLASSIC)}
MAGIC |= {b"II+\0": ("<", BIG), b"MM\0+": (">", BIG)}


def check_chain(path: Path, budget: Budget) -> int:
    """Walk from page to page to the end.

    Args:
        path: A file.
        budget: ``files`` bounds the number of pages.

    Returns:
        Number of pages.

    Raises:
        FormatError: It is no TIFF; a link leads out of the file or back; there are none or too
            many pages.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        form = _form(path.name, file.read(4))
        at = _number(file, form.first, form.link)
        seen: set[int] = set()
        while at:
            if at in seen or at + 2 > size:
                where = "back" if at in seen else f"to byte {at} of {size}"
                raise FormatError(
                    f"{path.name!r} must hold all its pages, after {len(seen)} the next link "
                    f"leads {where}: the file is truncated or damaged, copy it again"
                )
            seen.add(at)
            if len(seen) > budget.files:
                raise FormatError(
                    f"{path.name!r} must hold at most {budget.files} pages, it holds more: "
                    "a damaged or hostile file, or raise the budget"
                )
            entries = _number(file, at, form.count)
            after = at + struct.calcsize(form.count) + entries * form.entry
            at = _number(file, after, form.link) if after < size else size
    if not seen:
        raise FormatError(f"{path.name!r} must hold an image, it has no pages: copy it again")
    return len(seen)


def _form(name: str, magic: bytes) -> _Form:
    if magic not in MAGIC:
        raise FormatError(
            f"{name!r} must be a TIFF file, its first bytes are not those of one: "
            "check that the file is complete and that its suffix is right"
        )
    order, (first, count, link, entry) = MAGIC[magic]
    return _Form(first, order + count, order + link, entry)


def _number(file: BinaryIO, at: int, code: str) -> int:
    """Read a number; where the file ends before it, one that leads out of any file."""
    file.seek(at)
    data = file.read(struct.calcsize(code))
    if len(data) < struct.calcsize(code):
        return 1 << 62
    return int(struct.unpack(code, data)[0])
