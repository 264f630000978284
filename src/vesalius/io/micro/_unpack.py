"""What a stored chunk would unpack to, found without unpacking it into memory.

zlib, gzip, bzip2 and xz are counted as a stream; Blosc and LZ4 say their size first, and their
decoders allocate by it; Zstandard is bounded by its block headers (RFC 8878, 3.1.1.2).
"""
# SPDX-License-Identifier: Apache-2.0

import bz2
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

PIECE = 1 << 16
BLOCK = 1 << 17
ZSTD = b"\x28\xb5\x2f\xfd"
COMPRESSORS = ("gzip", "zlib", "bz2", "lzma", "blosc", "lz4", "zstd")


def unpacked(file: Path, codec: str, most: int) -> int:
    """Say how many bytes a chunk unpacks to, or a bound on it.

    Args:
        file: The chunk.
        codec: One of ``COMPRESSORS``.
        most: Where counting may stop.

    Returns:
        A number that exceeds ``most`` only if the chunk does; 0 for one that is damaged, which its
        decoder will say.
    """
    if codec in ("gzip", "zlib"):
        return _inflated(file, most)
    if codec == "bz2":
        return _counted(file, bz2.BZ2Decompressor, most)
    if codec == "lzma":
        return _counted(file, lzma.LZMADecompressor, most)
    with file.open("rb") as stream:
        head = stream.read(8)
    if codec == "lz4":
        return int.from_bytes(head[:4], "little")
    return int.from_bytes(head[4:8], "little") if codec == "blosc" else _zstd_bound(file)


def _inflated(file: Path, most: int) -> int:
    stream, total = zlib.decompressobj(47), 0
    try:
        with file.open("rb") as source:
            while data := source.read(PIECE):
                while data and total <= most:
                    total += len(stream.decompress(data, PIECE << 4))
                    data = stream.unconsumed_tail or stream.unused_data
                    if stream.eof and data:
                        stream = zlib.decompressobj(47)
    except zlib.error:
        return total if total > most else 0
    return total


def _counted(
    file: Path, make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor], most: int
) -> int:
    stream, total = make(), 0
    try:
        with file.open("rb") as source:
            while total <= most:
                data = b""
                if stream.eof:
                    data, stream = stream.unused_data, make()
                if stream.needs_input and not data:
                    data = source.read(PIECE)
                    if not data:
                        break
                total += len(stream.decompress(data, PIECE << 4))
    except (OSError, EOFError, lzma.LZMAError):
        return total if total > most else 0
    return total


def _zstd_bound(file: Path) -> int:
    """Add up what the blocks of all frames can give: raw and repeated ones say it, others 128 KiB.

    A frame that states its size counts by that, where it is more: its decoder allocates it.
    """
    data = file.read_bytes()
    at = total = 0
    while data[at : at + 4] == ZSTD and len(data) > at + 5:
        flag = data[at + 4]
        single, code = bool(flag & 0x20), flag >> 6
        start = at + 5 + (0 if single else 1) + (0, 1, 2, 4)[flag & 3]
        width = (1 if single else 0, 2, 4, 8)[code]
        stated = int.from_bytes(data[start : start + width], "little")
        blocks, at = _zstd_blocks(data, start + width)
        at += 4 if flag & 4 else 0
        total += max(stated, min(blocks, stated + BLOCK) if width else blocks)
    return total


def _zstd_blocks(data: bytes, at: int) -> tuple[int, int]:
    """Give a bound on the bytes of the blocks that begin here, and where they end."""
    total = 0
    while at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = header & 1, (header >> 1) & 3, header >> 3
        total += size if kind < 2 else BLOCK
        at += 3 + (1 if kind == 1 else size)
        if last:
            break
    return total, at
