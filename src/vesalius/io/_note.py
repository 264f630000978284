"""The note: unit, channel and label names, kept in a file as one line of JSON.

Formats of this field have no common place for them. Each writer puts this line where its format
has room for a comment, and other programs pass over it.
"""
# SPDX-License-Identifier: Apache-2.0

import json
from typing import Any

from vesalius.core import Image, Labels, Series
from vesalius.io._handle import Content

KEY = "vesalius"


def encode(obj: Image | Labels | Series) -> str:
    """Give the note of an object, one line of ASCII; empty if it would say nothing."""
    note: dict[str, object] = {}
    if isinstance(obj, Labels):
        names = [[layer, value, name] for (layer, value), name in sorted(obj.names.items())]
        note |= {"names": names} if names else {}
    else:
        note |= {"unit": obj.unit} if obj.unit != "1" else {}
        channels = list(obj.channels) if isinstance(obj, Image) else []
        note |= {"channels": channels} if channels else {}
    return json.dumps(note, sort_keys=True, separators=(",", ":")) if note else ""


def decode(text: str, *, unit: str, channels: int) -> Content:
    """Read a note back; a damaged or foreign one counts as absent.

    Args:
        text: The line, or empty.
        unit: The unit the caller asked for, or empty; it wins over the note's.
        channels: Number of channels in the file; names that do not fit it are dropped.

    Returns:
        The content, with one frame.
    """
    try:
        note = json.loads(text) if text else {}
        found = note if isinstance(note, dict) else {}
        names = {(int(k), int(v)): str(name) for k, v, name in _rows(found.get("names"))}
        named = tuple(str(name) for name in _rows(found.get("channels")))
    except (ValueError, TypeError, OverflowError):
        found, names, named = {}, {}, ()
    told = unit or str(found.get("unit", "1"))
    return Content(told, named if len(named) == channels else (), names)


def _rows(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
