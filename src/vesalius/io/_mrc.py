"""MRC and CCP4 maps of electron microscopy: angstrom become millimetres, axes are put in order."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from vesalius.errors import FormatError
from vesalius.io import _note
from vesalius.io._body import Body
from vesalius.io._frames import grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, widening
from vesalius.io._layout import Layout, loader

ANGSTROM_MM = 1e-7
START = 1024
TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
REFUSED = {3: "complex int16", 4: "complex float32", 101: "4 bits"}
LONGEST_COMMENT = 1 << 26
IMOD = 1146047817
STACK, VOLUMES = 0, 401


def open_mrc(path: Path, rules: Rules) -> Handle:
    """Read the header of an MRC2014 or CCP4 file.

    Args:
        path: A .mrc, .mrcs, .map, .ccp4 file, or one of them in gzip.
        rules: ``frames`` says what the images of a stack are.

    Returns:
        The handle; x, y, z of the map are L, P, S. Where ``origin`` is 0 the map starts at
        ``nxstart, nystart, nzstart``, as in CCP4.

    Raises:
        FormatError: The file is not MRC, is damaged, or holds complex numbers.

    References:
        Cheng et al. (2015), MRC2014, doi:10.1016/j.jsb.2015.04.002.
    """
    header, packed = _header(path), path.name.lower().endswith(".gz")
    findings: list[Finding] = []
    stored, layout = _stored(header), _layout(header, as_channels=rules.frames == "channels")
    start = START + header.whole("nsymbt")
    there = path.stat().st_size - (0 if packed else start)
    rules.budget.check_claim(path.name, layout.sizes, stored.itemsize, there, packed=packed)
    count = math.prod(layout.sizes)
    body = Body(path, stored, count, start=start)
    if packed:
        body = Body(path, stored, count, skip=start, codec="zlib")
    grid = grid_from_xyz(path.name, layout.shape_xyz, _affine(header, findings))
    text = "a map has no anatomical directions: x, y, z were taken as L, P, S"
    findings += [Finding("info", "no-orientation", text), *widening(stored)]
    content = _content(rules, layout, findings)
    meta = {
        "format": "MRC",
        "stored": stored.newbyteorder("=").name,
        "big_endian": header.order == ">",
        "channels": layout.channels,
        "frames": layout.frames,
    }
    load = loader((body,), layout, rules.budget)
    return Handle(path.name, grid, meta, tuple(findings), content, load)


def is_map(path: Path) -> bool:
    """Tell whether a file has the word MAP where these files have it."""
    if path.name.lower().endswith(".gz"):
        return True
    with path.open("rb") as file:
        return file.read(212)[208:211] == b"MAP"


@dataclass(frozen=True, slots=True)
class _Header:
    """The first 1024 bytes; numbers are named as in MRC2014, table 1."""

    name: str
    raw: bytes
    order: str

    def whole(self, name: str) -> int:
        return int(np.frombuffer(self.raw, f"{self.order}i4", 1, WHOLE[name])[0])

    def three(self, name: str) -> tuple[int, int, int]:
        a, b, c = np.frombuffer(self.raw, f"{self.order}i4", 3, WHOLE[name]).tolist()
        return a, b, c

    def real(self, name: str) -> Array:
        return np.frombuffer(self.raw, f"{self.order}f4", 3, REAL[name]).astype(np.float64)


WHOLE = {"nx": 0, "mode": 12, "nxstart": 16, "mx": 28, "mapc": 64, "ispg": 88, "nsymbt": 92}
WHOLE |= {"stamp": 152, "flags": 156}
REAL = {"cella": 40, "cellb": 52, "origin": 196}


def _header(path: Path) -> _Header:
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            raw = cast(IO[bytes], file).read(START)
    except (OSError, EOFError, zlib.error):
        raw = b""
    # machine stamp: 0x44 little, 0x11 big; old files have none, and a mode below 256 tells
    stamp = raw[212] if len(raw) == START else 0
    little = stamp == 0x44 or (stamp != 0x11 and raw[14:16] == b"\0\0")
    header = _Header(path.name, raw, "<" if little else ">")
    if len(raw) < START or not _is_sound(header):
        raise FormatError(
            f"{path.name!r} must be an MRC file, its header is not: "
            "check that the file is complete and that its suffix is right"
        )
    return header


def _is_sound(header: _Header) -> bool:
    axes = sorted(header.three("mapc"))
    known = header.whole("mode") in TYPES.keys() | REFUSED.keys()
    return (
        known and axes in ([1, 2, 3], [0, 0, 0]) and 0 <= header.whole("nsymbt") <= LONGEST_COMMENT
    )


def _stored(header: _Header) -> "np.dtype[Any]":
    mode = header.whole("mode")
    if mode in REFUSED:
        raise FormatError(
            f"{header.name!r} must hold real numbers of 8 bits or more, its mode {mode} is "
            f"{REFUSED[mode]}: convert it first"
        )
    if mode == 0 and header.whole("stamp") == IMOD and not header.whole("flags") & 1:
        return np.dtype("u1")  # IMOD wrote bytes without a sign before it set this flag
    return np.dtype(header.order + TYPES[mode])


def _axes(header: _Header) -> tuple[int, ...]:
    """Give which of x, y, z (0, 1, 2) each axis of the file is, fastest first."""
    listed = header.three("mapc")
    return tuple(n - 1 for n in listed) if any(listed) else (0, 1, 2)


def _layout(header: _Header, *, as_channels: bool) -> Layout:
    sizes, axes = header.three("nx"), _axes(header)
    deep = header.three("mx")[2]
    if header.whole("ispg") == STACK and deep == 1 and sizes[2] > 1 and axes == (0, 1, 2):
        return Layout(sizes, (0, 1), time=2, as_channels=as_channels)
    if header.whole("ispg") == VOLUMES and 0 < deep < sizes[2] and sizes[2] % deep == 0:
        many = (*sizes[:2], deep, sizes[2] // deep)
        return Layout(many, (0, 1, 2), time=3, as_channels=as_channels)
    return Layout(sizes, (axes.index(0), axes.index(1), axes.index(2)), as_channels=as_channels)


def _affine(header: _Header, findings: list[Finding]) -> Array:
    cell, steps = header.real("cella"), np.array(header.three("mx"), float)
    spacing = cell / np.where(steps > 0, steps, np.inf)
    if not (spacing > 0).all():
        text = "the header gives no size of its cell: voxels of 1 angstrom assumed"
        findings.append(Finding("warning", "no-spacing", text))
        spacing = np.ones(3)
    first = np.empty(3)
    first[list(_axes(header))] = header.three("nxstart")
    affine = np.eye(4)
    affine[:3, :3] = _edges(header.real("cellb")) * spacing
    start, origin = affine[:3, :3] @ first, header.real("origin")
    if origin.any() and first.any() and np.abs(origin - start).max() > 0.01 * spacing.min():
        text = "origin and nstart place the map differently: the origin is followed"
        findings.append(Finding("warning", "two-origins", text))
    affine[:3, 3] = origin if origin.any() else start
    affine[:3] *= ANGSTROM_MM
    return affine


def _edges(angles_deg: Array) -> Array:
    """Give the directions of the cell's edges as columns: a along x, b in the plane of x and y."""
    angles = np.where(angles_deg == 0, 90.0, angles_deg)
    if (angles == 90.0).all():
        return np.eye(3)
    alpha, beta, gamma = np.cos(np.radians(angles))
    side = math.sin(math.radians(float(angles[2]))) or np.nan
    y = (alpha - beta * gamma) / side
    up = np.sqrt(np.maximum(1 - beta**2 - y**2, 0))
    return np.array([[1, gamma, beta], [0, side, y], [0, 0, up]])


def _content(rules: Rules, layout: Layout, findings: list[Finding]) -> Content:
    content = _note.decode("", unit=rules.unit, channels=layout.channels)
    if layout.frames > 1:
        text = f"{layout.frames} images of a stack without times"
        findings.append(Finding("warning", "no-times", text))
    return replace(content, frames=layout.frames)
