"""CSA: the private header of Siemens MR images."""
# SPDX-License-Identifier: Apache-2.0

import struct
from collections.abc import Mapping
from typing import Any

from vesalius.errors import FormatError

MOST_TAGS = 1024
MOST_ITEMS = 4096
CREATOR = "SIEMENS CSA HEADER"
MR_CREATOR = "SIEMENS MR HEADER"


def csa_entries(header: Any) -> Mapping[str, tuple[str, ...]]:
    """Read the CSA image header (0029,xx10) of a dataset; the series' (0029,xx20) where it is gone.

    Args:
        header: A pydicom dataset.

    Returns:
        The values of each entry that has any, as text; empty where there is no such header.

    Raises:
        FormatError: It is damaged.
    """
    for element in (0x10, 0x20):
        raw = private(header, 0x29, CREATOR, element)
        if isinstance(raw, bytes) and len(raw) > 8:
            return parse_csa(raw)
    return {}


def private(header: Any, group: int, creator: str, element: int) -> Any:
    """Give a private value by its creator, or None."""
    try:
        return header.private_block(group, creator)[element].value
    except KeyError:
        return None


def parse_csa(raw: bytes) -> Mapping[str, tuple[str, ...]]:
    """Read a CSA header.

    The layout is nowhere published by its maker; it follows what nibabel and dcm2niix found out:
    "SV10" headers give the length of an item, older ones hide it in the first of four numbers.

    Args:
        raw: The value of the element.

    Returns:
        The values of each entry that has any, as text.

    Raises:
        FormatError: A count or length leaves the header.
    """
    try:
        return _parse(raw)
    except (struct.error, ValueError) as error:
        raise FormatError(
            f"a Siemens CSA header must be whole, it is not: {error}: "
            "the file is damaged or was changed, copy it again"
        ) from error


def _parse(raw: bytes) -> dict[str, tuple[str, ...]]:
    modern = raw[:4] == b"SV10"
    at = 8 if modern else 0
    tags, _ = struct.unpack_from("<2I", raw, at)
    if not 0 < tags <= MOST_TAGS:
        raise ValueError(f"it counts {tags} entries")
    at, hidden, found = at + 8, -1, {}
    for _ in range(tags):
        name, wanted, _, _, items, _ = struct.unpack_from("<64s i 4s 3i", raw, at)
        if not 0 <= items <= MOST_ITEMS:
            raise ValueError(f"an entry counts {items} values")
        hidden = items if hidden < 0 else hidden
        at += 84
        values = []
        for _ in range(items):
            sizes = struct.unpack_from("<4i", raw, at)
            at += 16
            size = sizes[1] if modern else sizes[0] - hidden
            if not modern and not 0 <= size <= len(raw) - at:
                break  # older headers end a row of values so
            if not 0 <= size <= len(raw) - at:
                raise ValueError(f"a value of {size} bytes at byte {at} leaves it")
            values.append(_text(raw[at : at + size]))
            at += -(-size // 4) * 4
        # behind as many values as the entry says to have, the rest is padding
        kept = tuple(v for v in values[: wanted if wanted > 0 else items] if v)
        if kept:
            found[_text(name)] = kept
    return found


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("latin-1").strip()
