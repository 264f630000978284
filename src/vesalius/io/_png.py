"""PNG: 8 and 16 bits, grey and colour, exact integers; z == 1."""
# SPDX-License-Identifier: Apache-2.0

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vesalius.core import Image, Labels
from vesalius.errors import FormatError
from vesalius.io import _note
from vesalius.io._atomic import atomic_write
from vesalius.io._budget import Budget
from vesalius.io._frames import affine_xyz, grid_from_xyz
from vesalius.io._handle import Array, Finding, Handle, Rules, whole, widening
from vesalius.io._samples import to_numpy

MAGIC = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
NAMES = {1: (), 2: ("grey", "alpha"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}
COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
ZLIB_LEVEL = 6
HEADER_BYTES = 1 << 20


def open_png(path: Path, rules: Rules) -> Handle:
    """Read the header of a PNG file.

    Args:
        path: A .png file.
        rules: ``budget`` bounds the size.

    Returns:
        The handle; positions come from the comment that ``save`` writes, else 1 mm is assumed.

    Raises:
        FormatError: The file is not PNG or is damaged.
    """
    width, height, depth, colour, interlaced = _header(path)
    channels = CHANNELS[colour]
    stored = np.dtype("u2" if depth == 16 else "u1")
    _check_size(path, (width, height, channels), depth, rules.budget)
    notes = _notes(path)
    findings = widening(stored)
    affine = _affine(path.name, notes, findings)
    content = _note.decode(notes.get(_note.KEY, ""), unit=rules.unit, channels=channels)
    if not content.channels:
        content = replace(content, channels=NAMES[channels])
    if colour == 3:
        findings.append(Finding("info", "palette", "palette indices were turned into R, G, B"))
    meta = {"format": "PNG", "stored": stored.name, "bits": depth, "channels": channels}

    def load() -> Array:
        samples = _read(path, deep=depth == 16 and channels > 1, interlaced=interlaced)
        return np.moveaxis(samples.reshape(height, width, channels), -1, 0)[None, :, None]

    grid = grid_from_xyz(path.name, (width, height, 1), affine)
    return Handle(path.name, grid, meta, tuple(findings), content, whole(load))


def save_png(obj: Image | Labels, path: Path) -> None:
    """Write one slice as PNG: 8 bits for uint8, 16 bits for wider integers from 0 to 65535.

    Args:
        obj: 1 to 4 channels (grey, grey + alpha, RGB, RGBA), z == 1.
        path: Where it goes.

    Raises:
        FormatError: PNG cannot hold the object without changing it.
    """
    channels, z = int(obj.data.shape[0]), obj.grid.shape[0]
    if z != 1 or channels > 4:
        raise FormatError(
            f"PNG must have one slice and at most 4 channels, got z = {z} and {channels} channels: "
            "crop to one slice first, or save as .nii.gz"
        )
    samples = _unsigned(to_numpy(obj.data))
    with atomic_write(path) as file:
        _write(file, np.moveaxis(samples[:, 0], 0, -1), _text(obj))


def _unsigned(samples: Array) -> Array:
    if samples.dtype == np.uint8:
        return samples
    low, high = samples.min(), samples.max()
    if samples.dtype.kind not in "iu" or low < 0 or high > 65535:
        raise FormatError(
            f"PNG must hold integers from 0 to 65535, got {samples.dtype.name} from {low} to "
            f"{high}: window and round the values first, or save as .nii.gz"
        )
    return samples.astype(">u2")


def _header(path: Path) -> tuple[int, int, int, int, bool]:
    with path.open("rb") as file:
        head = file.read(33)
    if len(head) < 33 or not head.startswith(MAGIC) or head[12:16] != b"IHDR":
        raise FormatError(
            f"{path.name!r} must be a PNG file, its first bytes are not those of one: "
            "check that the file is complete and that its suffix is right"
        )
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head[16:29])
    if colour not in CHANNELS or depth not in (1, 2, 4, 8, 16):
        raise FormatError(
            f"{path.name!r} must have a known colour type, it has {colour} at {depth} bits: "
            "the file is damaged"
        )
    return width, height, depth, colour, bool(interlaced)


def _check_size(path: Path, shape: tuple[int, int, int], depth: int, budget: Budget) -> None:
    stored = path.stat().st_size
    size = budget.check_size(path.name, shape, 2 if depth == 16 else 1)
    budget.check_growth(path.name, size, stored)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(MAGIC)
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, data[at + 8 : at + 8 + size]
        at += 12 + size


def _notes(path: Path) -> dict[str, str]:
    """Read the comments that stand before the samples."""
    with path.open("rb") as file:
        data = file.read(HEADER_BYTES)
    notes = {}
    for kind, body in _chunks(data):
        if kind == b"IDAT":
            break
        if kind == b"tEXt":
            key, _, text = body.partition(b"\0")
            notes[key.decode("latin-1")] = text.decode("latin-1")
        elif kind == b"pHYs":
            notes["pHYs"] = "present"
    return notes


def _affine(name: str, notes: dict[str, str], findings: list[Finding]) -> Array:
    text = notes.get(f"{_note.KEY}-affine", "")
    try:
        affine = np.array(json.loads(text) if text else np.eye(4), dtype=np.float64)
    except (ValueError, TypeError):
        affine = np.empty(0)
    if affine.shape != (4, 4):
        raise FormatError(f"{name!r} must have a 4 x 4 position, its comment is damaged: save anew")
    if not text:
        dpi = ", the resolution it states is often that of a screen" if "pHYs" in notes else ""
        message = f"PNG has no spacing in mm{dpi}: 1 mm along L and P assumed"
        findings.append(Finding("warning", "no-spacing", message))
    return affine


def _read(path: Path, *, deep: bool, interlaced: bool) -> Array:
    try:
        if deep and interlaced:
            raise ValueError("interlaced 16-bit colour is not read")
        return _read_deep(path) if deep else _read_pillow(path)
    except (OSError, ValueError, SyntaxError, EOFError, zlib.error, struct.error) as error:
        reason = str(error).replace(str(path), path.name)
        raise FormatError(
            f"{path.name!r} must hold all samples that its header promises, it does not: "
            f"{reason}: the file is truncated or damaged, copy it again"
        ) from error


def _read_pillow(path: Path) -> Array:
    from PIL.PngImagePlugin import PngImageFile

    # the class itself, for Pillow.open has a limit of its own: here it is the budget
    with PngImageFile(path) as picture:
        full = picture.convert("RGB") if picture.mode == "P" else picture
        samples = np.array(full)
    return samples.astype(np.uint16) if samples.dtype.itemsize > 1 else samples.astype(np.uint8)


def _read_deep(path: Path) -> Array:
    """Decode 16-bit colour, which Pillow cuts to 8 bits."""
    data = path.read_bytes()
    width, height, _, colour, _ = _header(path)
    packed = b"".join(body for kind, body in _chunks(data) if kind == b"IDAT")
    step = 2 * CHANNELS[colour]
    size = height * (1 + width * step)
    flat = zlib.decompressobj().decompress(packed, size)
    if len(flat) != size:
        raise ValueError(f"{len(flat)} of {size} bytes are there")
    rows = np.frombuffer(flat, np.uint8).reshape(height, 1 + width * step)
    out = np.zeros((height + 1, width + 1, step), np.uint8)
    for y in range(height):
        line = rows[y, 1:].reshape(width, step)
        _unfilter(int(rows[y, 0]), line, out[y], out[y + 1])
    return np.ascontiguousarray(out[1:, 1:]).view(">u2").astype(np.uint16)


def _unfilter(kind: int, line: Array, above: Array, into: Array) -> None:
    """Undo one row's filter; rows have one pixel of zeros at their left (PNG, section 9)."""
    if kind > 4:
        raise ValueError(f"row filter {kind} does not exist")
    if kind == 0:
        into[1:] = line
    elif kind == 1:
        into[1:] = np.cumsum(line, axis=0, dtype=np.uint8)
    elif kind == 2:
        into[1:] = line + above[1:]
    else:
        predict = _average if kind == 3 else _paeth
        for x in range(len(line)):
            into[x + 1] = line[x] + predict(into[x], above[x + 1], above[x])


def _average(left: Array, up: Array, _: Array) -> Array:
    return np.asarray(((left.astype(np.int16) + up) // 2).astype(np.uint8))


def _paeth(left: Array, up: Array, corner: Array) -> Array:
    a, b, c = left.astype(np.int16), up.astype(np.int16), corner.astype(np.int16)
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    best = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
    return best.astype(np.uint8)


def _text(obj: Image | Labels) -> dict[str, str]:
    affine = json.dumps(affine_xyz(obj.grid).tolist(), separators=(",", ":"))
    note = _note.encode(obj)
    return {f"{_note.KEY}-affine": affine} | ({_note.KEY: note} if note else {})


def _write(file: BinaryIO, samples: Array, text: dict[str, str]) -> None:
    height, width, channels = samples.shape
    depth = 8 * samples.dtype.itemsize
    file.write(MAGIC)
    head = struct.pack(">IIBBBBB", width, height, depth, COLOUR_TYPE[channels], 0, 0, 0)
    _write_chunk(file, b"IHDR", head)
    for key, value in text.items():
        _write_chunk(file, b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1"))
    raw = np.ascontiguousarray(samples).reshape(height, -1).view(np.uint8)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), raw], axis=1)
    _write_chunk(file, b"IDAT", zlib.compress(rows.tobytes(), ZLIB_LEVEL))
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, body: bytes) -> None:
    file.write(struct.pack(">I", len(body)) + kind + body)
    file.write(struct.pack(">I", zlib.crc32(kind + body)))
