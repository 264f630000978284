"""Compressed frames without anything but pixels: comments, application data and tails are cut out.

The samples are untouched: what is left is what a decoder needs. A stream that is not understood to
its last byte is refused, never passed on.
"""
# SPDX-License-Identifier: Apache-2.0

import struct

RESTARTS = range(0xD0, 0xD8)
JPEG_KEPT = set(range(0xC0, 0xD0)) - {0xC8} | {0xDB, 0xDC, 0xDD, 0xF7, 0xF8}
APPLICATION = {0xE0: (b"JFIF\0", 14), 0xE8: (b"mrfx", 5), 0xEE: (b"Adobe", 12)}
"""Application segments that a decoder needs, and how many of their bytes."""
J2K_KEPT = {0xFF00 | low for low in (*range(0x50, 0x54), *range(0x56, 0x5A), *range(0x5C, 0x64))}
"""CAP, SIZ, COD, COC, PRF, PLM, PLT, CPF, QCD, QCC, RGN, POC, PPM, PPT, CRG."""
J2K_DROPPED = {0xFF64, 0xFF55}
"""COM, and TLM, whose lengths would no longer be true."""
SOT, SOD, EOC = 0xFF90, 0xFF93, b"\xff\xd9"


def clean_frame(data: bytes, codec: str, samples: int) -> bytes:
    """Cut everything out of a compressed frame that is no part of its pixels.

    Args:
        data: The frame.
        codec: ``"jpeg"`` (JPEG and JPEG-LS), ``"j2k"`` or ``"rle"``.
        samples: Bytes that one byte plane decodes to, for RLE.

    Returns:
        The frame, of an even number of bytes.

    Raises:
        ValueError: It is damaged, or not understood.
    """
    try:
        made = {"jpeg": _jpeg, "j2k": _j2k}[codec](data) if codec != "rle" else _rle(data, samples)
    except (IndexError, struct.error) as error:
        raise ValueError("the compressed frame ends early") from error
    return made + b"\0" * (len(made) % 2)


def _jpeg(data: bytes) -> bytes:
    """Rewrite ITU-T T.81 B.1.1 (T.87 C.1 for JPEG-LS) segment by segment."""
    if data[:2] != b"\xff\xd8":
        raise ValueError("the compressed frame begins with no JPEG")
    out, at = bytearray(data[:2]), 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("the compressed frame has bytes between its segments")
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker == 0xD9:
            return bytes(out) + EOC
        size = struct.unpack_from(">H", data, at)[0]
        body = data[at + 2 : at + size]
        if size < 2 or len(body) != size - 2:
            raise IndexError
        out += _jpeg_segment(marker, body)
        at += size
        if marker == 0xDA:
            end = _scan_end(data, at)
            out += data[at:end]
            at = end


def _jpeg_segment(marker: int, body: bytes) -> bytes:
    if 0xE0 <= marker <= 0xEF or marker == 0xFE:
        begins, size = APPLICATION.get(marker, (b"", 0))
        if not begins or not body.startswith(begins) or len(body) < size:
            return b""
        body = body[:size]
        if marker == 0xE0:
            body = body[:12] + b"\0\0"  # no thumbnail
    elif marker != 0xDA and marker not in JPEG_KEPT:
        raise ValueError("the compressed frame has a segment of no known kind")
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def _scan_end(data: bytes, at: int) -> int:
    """Find the marker behind entropy-coded data; stuffed bytes and restarts belong to it."""
    while True:
        at = data.index(b"\xff", at)
        if data[at + 1] == 0xFF:
            at += 1
        elif data[at + 1] < 0x80 or data[at + 1] in RESTARTS:
            at += 2
        else:
            return at


def _j2k(data: bytes) -> bytes:
    """Rewrite ISO/IEC 15444-1 annex A marker by marker."""
    if data[4:8] == b"jP  ":
        data = _codestream(data)
    if data[:2] != b"\xff\x4f":
        raise ValueError("the compressed frame begins with no JPEG 2000")
    out = bytearray(data[:2])
    header, at = _j2k_header(data, 2, SOT)
    out += header
    while data[at : at + 2] != EOC:
        if struct.unpack_from(">HH", data, at) != (SOT, 10):
            raise ValueError("the compressed frame has bytes between its tiles")
        tile, length, part, parts = struct.unpack_from(">HIBB", data, at + 4)
        end = at + length if length else data.rindex(EOC)
        header, body = _j2k_header(data, at + 12, SOD)
        packets = data[body:end]
        if not at < end <= len(data) or body > end:
            raise IndexError
        size = 12 + len(header) + len(packets)
        out += struct.pack(">HHHIBB", SOT, 10, tile, size, part, parts) + header + packets
        at = end
    return bytes(out) + EOC


def _j2k_header(data: bytes, at: int, last: int) -> tuple[bytes, int]:
    """Copy the segments of a header up to a marker; give them and where that stands."""
    out = bytearray()
    while True:
        marker = struct.unpack_from(">H", data, at)[0]
        if marker == last:
            return bytes(out), at
        if marker not in J2K_KEPT | J2K_DROPPED:
            raise ValueError("the compressed frame has a segment of no known kind")
        size = 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker not in J2K_DROPPED:
            out += data[at : at + size]
        at += size


def _codestream(data: bytes) -> bytes:
    """Take the codestream out of JP2 boxes (annex I); the header of DICOM says the rest."""
    at = 0
    while True:
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"jp2c":
            return data[at + 8 : at + size if size else len(data)]
        if size < 8:
            raise ValueError("the compressed frame has a damaged box")
        at += size


def _rle(data: bytes, samples: int) -> bytes:
    """Rewrite PS3.5 G: each segment up to the byte that completes its plane."""
    count, *starts = struct.unpack_from("<16I", data)
    if not 1 <= count <= 15:
        raise ValueError("the compressed frame has no RLE segments")
    segments = [_rle_segment(data, start, samples) for start in starts[:count]]
    offsets, at = [], 64
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    head = struct.pack("<16I", count, *offsets, *([0] * (15 - count)))
    return head + b"".join(segments)


def _rle_segment(data: bytes, start: int, samples: int) -> bytes:
    at, made = start, 0
    while made < samples:
        control = data[at]
        if control < 128:
            made += control + 1
            at += control + 2
        else:
            made += 257 - control if control > 128 else 0
            at += 2 if control > 128 else 1
    if at > len(data):
        raise IndexError
    segment = data[start:at]
    return segment + b"\0" * (len(segment) % 2)
