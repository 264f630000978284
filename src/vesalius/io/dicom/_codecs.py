"""Codecs: one compressed frame of a DICOM file into samples, its header compared first."""
# SPDX-License-Identifier: Apache-2.0

import struct
import zlib
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from vesalius.io._handle import Array
from vesalius.io.dicom._packed import Packed

LIBRARY = "imagecodecs"
NATIVE = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
_ROOT = "1.2.840.10008.1.2."
SYNTAXES = {
    _ROOT + "5": "rle",
    "1.2.840.10008.1.2.8.1": "deflate",
    **{_ROOT + f"4.{k}": "jpeg" for k in (50, 51, 53, 55)},
    **{_ROOT + f"4.{k}": "lossless" for k in (57, 70)},
    **{_ROOT + f"4.{k}": "jpegls" for k in (80, 81)},
    **{_ROOT + f"4.{k}": "jpeg2k" for k in (90, 91, 201, 202, 203)},
}
"""The codec of each encapsulated transfer syntax (PS3.5 A.4)."""
FRAME_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})
BARE = frozenset({0x01, *range(0xD0, 0xD8)})


@final
@dataclass(frozen=True, slots=True)
class Head:
    """What a codestream says about itself.

    Attributes:
        rows: Height.
        columns: Width.
        samples: Components.
        precision: Bits of a sample.
        signed: Whether it says that samples are signed (JPEG 2000 alone can).
        model: ``"YBR"`` or ``"RGB"`` where a JPEG says so, else empty.
        at: Byte where it says so.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    signed: bool = False
    model: str = ""
    at: int = 0


def is_native(syntax: str) -> bool:
    """Say whether samples of a transfer syntax lie in the file one after the other."""
    return not syntax or syntax in NATIVE


def decode(data: bytes, frame: Packed) -> tuple[Array, int]:
    """Decode one frame.

    Args:
        data: Its codestream.
        frame: What the DICOM header promises.

    Returns:
        Samples (rows, columns[, samples]), and the precision of the codestream in bits, 0 where
        it has none.

    Raises:
        ValueError: The codestream is damaged, or promises another size than the header.
    """
    codec = SYNTAXES[frame.syntax]
    if codec == "rle":
        from vesalius.io.dicom._rle import unpack_rle

        return unpack_rle(data, frame.rows, frame.columns, (frame.samples, _bytes(frame))), 0
    if codec == "deflate":
        return _inflated(data, frame), 0
    head = j2k_head(data) if codec == "jpeg2k" else jpeg_head(data)
    _check_head(head, frame)
    if codec != "jpeg2k" and data.rfind(b"\xff\xd9", head.at) < 0:
        # libjpeg would fill what is missing with grey, without a word
        raise ValueError("a codestream ends without its end mark")
    return _decoders(codec, data, head, frame), head.precision


def _bytes(frame: Packed) -> int:
    return frame.bits_allocated // 8


def _decoders(codec: str, data: bytes, head: Head, frame: Packed) -> Array:
    import imagecodecs as codecs

    samples: Any
    if codec == "jpeg2k":
        samples = codecs.jpeg2k_decode(data)
    elif codec == "jpegls":
        samples = codecs.jpegls_decode(data)
    elif head.samples == 1:
        samples = codecs.jpeg8_decode(data)
    else:
        is_ybr = codec == "jpeg" and (head.model or frame.photometric[:3]) == "YBR"
        stored = "YCBCR" if is_ybr else "RGB"
        samples = codecs.jpeg8_decode(data, colorspace=stored, outcolorspace="RGB")
    return np.asarray(samples)


def _check_head(head: Head, frame: Packed) -> None:
    says = (head.rows, head.columns, head.samples)
    promised = (frame.rows, frame.columns, frame.samples)
    if says != promised:
        raise ValueError(
            f"its codestream says {' x '.join(map(str, says))} samples, "
            f"its header {' x '.join(map(str, promised))}"
        )
    if not 0 < head.precision <= frame.bits_allocated:
        raise ValueError(
            f"its codestream has samples of {head.precision} bits, "
            f"its header allocates {frame.bits_allocated}"
        )


def _inflated(data: bytes, frame: Packed) -> Array:
    """Inflate a frame to what its header promises, never more (PS3.5 A.4.13)."""
    kind = np.dtype(f"<u{_bytes(frame)}")
    needed = frame.rows * frame.columns * frame.samples * kind.itemsize
    raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, needed)
    if len(raw) < needed:
        raise ValueError(f"a frame inflates to {len(raw)} of {needed} bytes")
    return np.frombuffer(raw, kind).astype(kind.newbyteorder("="), copy=False)


def jpeg_head(data: bytes) -> Head:
    """Read the size of a JPEG or JPEG-LS codestream (ITU-T T.81 B.2.2, T.87 C.2.2).

    Args:
        data: The codestream.

    Returns:
        What its frame header and its application segments say.

    Raises:
        ValueError: It does not begin as a JPEG, or ends before its frame header.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("a codestream does not begin with the JPEG start marker")
    at, model = 2, ""
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0xD9, 0xDA):
            break
        if marker == 0xFF or marker in BARE:  # fill bytes, markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if marker in FRAME_MARKERS and len(body) >= 6:
            precision, rows, columns, samples = struct.unpack(">BHHB", body[:6])
            return Head(rows, columns, samples, precision, model=model, at=at)
        model = model or _model(marker, body)
        at += 2 + max(length, 2)
    raise ValueError("a codestream ends before the JPEG frame header")


def _model(marker: int, body: bytes) -> str:
    """Give the colour model that a JFIF or Adobe segment implies."""
    if marker == 0xE0 and body[:5] == b"JFIF\x00":
        return "YBR"
    if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
        return "YBR" if body[11] else "RGB"
    return ""


def j2k_head(data: bytes) -> Head:
    """Read the size of a JPEG 2000 codestream (ITU-T T.800 A.5.1), bare or in JP2 boxes.

    Args:
        data: The codestream.

    Returns:
        What its size segment says.

    Raises:
        ValueError: There is no codestream, or it does not begin with its size segment.
    """
    at = 0
    if data[4:8] == b"jP  ":  # a whole JP2 file, which PS3.5 A.4.4 forbids and writers do
        at = data.find(b"jp2c") + 4
    if at < 0 or data[at : at + 4] != b"\xff\x4f\xff\x51" or len(data) < at + 44:
        raise ValueError("a codestream does not begin with the JPEG 2000 size segment")
    right, lower, left, upper = struct.unpack(">4I", data[at + 8 : at + 24])
    samples = int.from_bytes(data[at + 40 : at + 42], "big")
    depth = data[at + 42]
    tile = struct.unpack(">2I", data[at + 24 : at + 32])
    if min(tile) < 1 or left >= right or upper >= lower:
        raise ValueError("a codestream has an empty image or empty tiles")
    return Head(lower - upper, right - left, samples, (depth & 0x7F) + 1, bool(depth & 0x80))
