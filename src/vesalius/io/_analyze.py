"""Pairs of .hdr and .img: NIfTI pairs are handed on, ANALYZE 7.5 and SPM's are read here."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import math
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from vesalius.errors import FormatError
from vesalius.io import _note
from vesalius.io._body import Body
from vesalius.io._frames import RAS_TO_LPS, grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, Window, widening
from vesalius.io._layout import Layout, loader
from vesalius.io._nifti import open_nifti, scale, scaled_type

SIZE = 348
LONGEST_COMMENT = 1 << 26
MAGIC = (b"ni1\0", b"n+1\0")
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 130: "i1", 132: "u2", 136: "u4"}


def open_pair(path: Path, rules: Rules) -> Handle:
    """Read the header of a pair of files.

    Args:
        path: Either file of the pair, .hdr or .img, or .hdr.gz or .img.gz.
        rules: ``frames`` says what a fourth axis is.

    Returns:
        The handle. ANALYZE does not say which side is left: x runs to the left, as SPM and
        nibabel assume, and a finding tells so.

    Raises:
        FormatError: One of the two is absent, or is no such file.

    References:
        Mayo Clinic, ANALYZE 7.5 file format, struct dsr; the origin (five int16 at byte 253,
        voxels counted from 1) is SPM's.
    """
    head, body = partners(path)
    if not (head.is_file() and body.is_file()):
        raise FormatError(
            f"{path.name!r} must have its partner beside it, {head.name!r} or {body.name!r} is "
            "not there: copy both"
        )
    raw = _bytes(head)
    if raw[344:348] in MAGIC or raw[:4] in (struct.pack("<i", 540), struct.pack(">i", 540)):
        return open_nifti(head, rules)
    return _open_analyze(_header(head, raw), body, rules)


def partners(path: Path) -> tuple[Path, Path]:
    """Give the names of header and samples of a pair, from either."""
    packed = ".gz" if path.name.lower().endswith(".gz") else ""
    stem = path.name[: -len(packed) or None]
    upper = stem[-4:].isupper()
    names = [stem[:-4] + (s.upper() if upper else s) for s in (".hdr", ".img")]
    if stem[-4:].lower() == ".img":
        # one of a pair may be packed and the other not: nibabel packs the samples only
        found = [path.with_name(names[0] + end) for end in (packed, "", ".gz")]
        return next((one for one in found if one.is_file()), found[0]), path
    found = [path.with_name(names[1] + end) for end in (packed, "", ".gz")]
    return path, next((one for one in found if one.is_file()), found[0])


def is_body(path: Path) -> bool:
    """Tell whether a file is the .img of a pair whose .hdr is there."""
    return path.name.lower().endswith((".img", ".img.gz")) and partners(path)[0].is_file()


@dataclass(frozen=True, slots=True)
class _Header:
    """The 348 bytes of an ANALYZE header, with their byte order."""

    name: str
    raw: bytes
    order: str

    def numbers(self, kind: str, at: int, count: int) -> Array:
        return np.frombuffer(self.raw, self.order + kind, count, at)


def _bytes(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            return cast(IO[bytes], file).read(SIZE)
    except (OSError, EOFError, zlib.error):
        return b""


def _header(path: Path, raw: bytes) -> _Header:
    order = next((o for o in "<>" if raw[:4] == struct.pack(f"{o}i", SIZE)), "")
    if not order or len(raw) < SIZE:
        raise FormatError(
            f"{path.name!r} must be an ANALYZE or NIfTI header, its first bytes are not those of "
            "one: check that the file is complete and that its suffix is right"
        )
    return _Header(path.name, raw, order)


def _open_analyze(header: _Header, file: Path, rules: Rules) -> Handle:
    findings: list[Finding] = []
    stored, start = _stored(header), _start(header)
    layout = _layout(header, as_channels=rules.frames == "channels")
    packed, count = file.name.lower().endswith(".gz"), math.prod(layout.sizes)
    there = file.stat().st_size - (0 if packed else start)
    rules.budget.check_claim(header.name, layout.sizes, stored.itemsize, there, packed=packed)
    body = Body(file, stored, count, start=start)
    if packed:
        body = Body(file, stored, count, skip=start, codec="zlib")
    grid = grid_from_xyz(header.name, layout.shape_xyz, _affine(header, layout, findings))
    findings += widening(stored)
    slope = _slope(header, findings)
    meta = {
        "format": "ANALYZE 7.5",
        "stored": stored.newbyteorder("=").name,
        "big_endian": header.order == ">",
        "channels": layout.channels,
        "frames": layout.frames,
    }
    content = _content(rules, layout, findings)
    read = loader((body,), layout, rules.budget)

    def load(window: Window) -> Array:
        if slope != 1.0:
            wide = (*window.shape, layout.sizes[3])
            rules.budget.check_size(header.name, wide, scaled_type(stored).itemsize)
        return scale(read(window), slope, 0.0)

    return Handle(header.name, grid, meta, tuple(findings), content, load)


def _stored(header: _Header) -> "np.dtype[Any]":
    code = int(header.numbers("i2", 70, 1)[0])
    if code not in TYPES:
        raise FormatError(
            f"{header.name!r} must hold real numbers, its datatype is {code}, known are "
            f"{', '.join(map(str, TYPES))}: convert it first"
        )
    return np.dtype(header.order + TYPES[code])


def _slope(header: _Header, findings: list[Finding]) -> float:
    slope = float(header.numbers("f4", 112, 1)[0])
    if not math.isfinite(slope) or slope in (0.0, 1.0):
        return 1.0
    text = f"samples are stored x {slope:g}, in the place of the header that SPM uses for it"
    findings.append(Finding("warning", "scaled", text))
    return slope


def _start(header: _Header) -> int:
    offset = float(header.numbers("f4", 108, 1)[0])
    if not 0 <= offset <= LONGEST_COMMENT:
        raise FormatError(
            f"{header.name!r} must say where its samples begin, vox_offset is {offset:g}: "
            "repair its header"
        )
    return int(offset)


def _layout(header: _Header, *, as_channels: bool) -> Layout:
    n, *sizes = (int(v) for v in header.numbers("i2", 40, 8))
    while n > 4 and sizes[n - 1 : n] == [1]:
        n -= 1
    if not 2 <= n <= 4:
        raise FormatError(
            f"{header.name!r} must have 2 to 4 axes (x, y, z, time), it has {n}: split it first"
        )
    four = tuple([*sizes[:n], 1, 1][:4])
    return Layout(four, (0, 1, 2), time=3, as_channels=as_channels)


def _affine(header: _Header, layout: Layout, findings: list[Finding]) -> Array:
    spacing = np.abs(header.numbers("f4", 80, 3).astype(np.float64))
    if not (spacing > 0).all():
        text = "voxel sizes are not given: 1 mm assumed"
        findings.append(Finding("warning", "no-spacing", text))
        spacing = np.where(spacing > 0, spacing, 1.0)
    origin = header.numbers("i2", 253, 3).astype(np.float64)
    shape = np.array(layout.shape_xyz)
    told = bool(origin.any() and (origin > -shape).all() and (origin < 2 * shape).all())
    first = origin - 1 if told else (shape - 1) / 2
    where = "its origin is SPM's" if told else "its middle is put at 0"
    text = f"ANALYZE does not say how it lies: x to the left, y to the front, z up; {where}"
    findings.append(Finding("warning", "no-orientation", text))
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ first
    return np.asarray(RAS_TO_LPS @ affine)


def _content(rules: Rules, layout: Layout, findings: list[Finding]) -> Content:
    content = _note.decode("", unit=rules.unit, channels=layout.channels)
    if layout.frames > 1:
        text = f"{layout.frames} frames without times in seconds"
        findings.append(Finding("warning", "no-times", text))
    return replace(content, frames=layout.frames)
