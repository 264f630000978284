"""Message: what passes between hospitals: named arrays and JSON, nothing that runs."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import FormatError

Array = NDArray[np.generic]
_MAGIC = b"VSFED001"
_TYPES = ("<f8", "<i8", "<u8")
_MOST_AXES = 8


@final
@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A question of the server, or the answer of a client.

    Attributes:
        ask: What is asked or answered, one word.
        arrays: Numbers by name: float64, int64 or uint64.
        words: JSON types.

    Raises:
        FormatError: An array holds something else than numbers of 64 bits.
    """

    ask: str
    arrays: Mapping[str, Array] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            if array.dtype.newbyteorder("<").str not in _TYPES:
                raise FormatError(
                    f"a message must hold numbers of 64 bits, {name!r} holds {array.dtype}: "
                    "convert it to float64, int64 or uint64 first"
                )


def pack(message: Message) -> bytes:
    """Write a message as bytes: a header of JSON, then the arrays one after the other.

    Args:
        message: What is sent.

    Returns:
        The bytes; equal messages give equal bytes.

    Raises:
        FormatError: ``words`` holds something that is no JSON.
    """
    arrays = {name: _plain(array) for name, array in message.arrays.items()}
    header: dict[str, Any] = {
        "ask": message.ask,
        "words": message.words,
        "arrays": [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()],
    }
    try:
        text = json.dumps(header, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"words of a message must be JSON, those of {message.ask!r} are not ({error}): send "
            "numbers as an array"
        ) from error
    parts = [_MAGIC, len(text).to_bytes(8, "little"), text]
    return b"".join([*parts, *(a.tobytes() for a in arrays.values())])


def unpack(data: bytes) -> Message:
    """Read a message from bytes; nothing in them is ever run.

    Args:
        data: As ``pack`` wrote them.

    Returns:
        The message.

    Raises:
        FormatError: They are cut short, too long, or something else.
    """
    start = len(_MAGIC) + 8
    if len(data) < start or not data.startswith(_MAGIC):
        raise FormatError(
            f"a message must begin with {_MAGIC!r}, got {data[:8]!r}: both sides must run the "
            "same version of vesalius"
        )
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    try:
        header = json.loads(data[start:end].decode(), parse_constant=_no_number)
        shapes = [(str(n), str(t), tuple(map(index, s))) for n, t, s in header["arrays"]]
        ask, words = str(header["ask"]), dict(header["words"].items())
        if len({one[0] for one in shapes}) < len(shapes):
            raise ValueError("an array comes twice")
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise FormatError(
            f"the header of a message must be JSON, its {end - start} bytes are not: send it again"
        ) from error
    return Message(ask, _arrays(data, end, shapes), words)


def _arrays(
    data: bytes, at: int, shapes: list[tuple[str, str, tuple[int, ...]]]
) -> dict[str, Array]:
    found: dict[str, Array] = {}
    wanted = at
    for name, kind, shape in shapes:
        if kind not in _TYPES or len(shape) > _MOST_AXES or not all(0 <= k < 2**31 for k in shape):
            raise FormatError(
                f"arrays of a message must be one of {_TYPES}, {name!r} is {kind!r} of shape "
                f"{shape}: send it again"
            )
        length = 8
        for k in shape:
            length *= k
        wanted += length
        if wanted <= len(data):
            flat = np.frombuffer(data, dtype=kind, count=length // 8, offset=wanted - length)
            found[name] = flat.reshape(shape).copy()
    if wanted != len(data):
        raise FormatError(
            f"a message must have the {wanted} bytes that its header tells, it has {len(data)}: "
            "send it again"
        )
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _plain(array: Array) -> Array:
    # ascontiguousarray makes a number an array of one, which it must not become
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
