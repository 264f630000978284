"""MGH and MGZ, the volumes of FreeSurfer: RAS about the centre becomes LPS here."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import math
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import numpy as np

from vesalius.errors import FormatError
from vesalius.io import _note
from vesalius.io._body import Body
from vesalius.io._frames import RAS_TO_LPS, grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, widening
from vesalius.io._layout import Layout, loader

HEADER = struct.Struct(">7ih15f")
START = 284
TYPES = {0: "u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
# how a volume lies that does not say: coronal slices, x to the left, y down, z to the front
CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def open_mgh(path: Path, rules: Rules) -> Handle:
    """Read the header of an MGH file.

    Args:
        path: A .mgh file, or .mgz or .mgh.gz, the same in gzip.
        rules: ``frames`` says what a fourth axis is.

    Returns:
        The handle; the scanner's RAS of the file, turned to LPS. Differs from FreeSurfer's
        "surface RAS", whose origin is the middle of the volume.

    Raises:
        FormatError: The file is not MGH, or is damaged.

    References:
        FreeSurfer, "MGH and MGZ file format": header of 284 bytes, big-endian; ``c_ras`` is the
        world point of the index (width, height, depth) / 2.
    """
    header, packed = _header(path), _is_packed(path)
    findings: list[Finding] = []
    stored = np.dtype(TYPES[header.kind])
    layout = Layout(
        header.sizes,
        (0, 1, 2),
        time=3 if header.sizes[3] > 1 else -1,
        channel=-1 if header.sizes[3] > 1 else 3,
        as_channels=rules.frames == "channels",
    )
    there = path.stat().st_size - (0 if packed else START)
    rules.budget.check_claim(path.name, header.sizes, stored.itemsize, there, packed=packed)
    count = math.prod(header.sizes)
    body = Body(path, stored, count, start=START)
    if packed:
        body = Body(path, stored, count, skip=START, codec="zlib")
    grid = grid_from_xyz(path.name, layout.shape_xyz, _affine(header, findings))
    findings += widening(stored)
    content = _content(path, header, rules, layout, findings)
    meta = {
        "format": "MGZ" if packed else "MGH",
        "stored": stored.newbyteorder("=").name,
        "channels": layout.channels,
        "frames": layout.frames,
    }
    load = loader((body,), layout, rules.budget)
    return Handle(path.name, grid, meta, tuple(findings), content, load)


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first bytes say."""

    sizes: tuple[int, int, int, int]  # x, y, z, t
    kind: int
    placed: bool
    spacing: Array
    direction: Array
    centre: Array


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith((".mgz", ".gz"))


def _header(path: Path) -> _Header:
    try:
        with gzip.open(path) if _is_packed(path) else path.open("rb") as file:
            head = cast(IO[bytes], file).read(START)
        version, x, y, z, t, kind, _, good, *numbers = HEADER.unpack(head[: HEADER.size])
        if version & 0xFF != 1 or len(head) < START:
            raise ValueError(f"its version is {version}")
        if kind not in TYPES:
            raise ValueError(f"its number type is {kind}, known are {sorted(TYPES)}")
    except (OSError, EOFError, ValueError, zlib.error, struct.error) as error:
        reason = str(error).replace(str(path), path.name)
        raise FormatError(
            f"{path.name!r} must be an MGH file, its header is not: {reason}: "
            "check that the file is complete and that its suffix is right"
        ) from error
    values = np.array(numbers, dtype=np.float64)
    direction = values[3:12].reshape(3, 3).T
    return _Header((x, y, z, t), kind, good == 1, values[:3], direction, values[12:15])


def _affine(header: _Header, findings: list[Finding]) -> Array:
    spacing, direction, centre = header.spacing, header.direction, header.centre
    if not header.placed:
        text = "the header does not say how it lies: coronal slices of 1 mm about 0 assumed"
        findings.append(Finding("warning", "no-orientation", text))
        spacing, direction, centre = np.ones(3), CORONAL, np.zeros(3)
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ (np.array(header.sizes[:3]) / 2)
    return np.asarray(RAS_TO_LPS @ affine)


def _content(
    path: Path, header: _Header, rules: Rules, layout: Layout, findings: list[Finding]
) -> Content:
    content = _note.decode("", unit=rules.unit, channels=layout.channels)
    if layout.frames == 1:
        return content
    step = 0.0 if _is_packed(path) else _repetition_s(path, header)
    if not (math.isfinite(step) and step > 0):
        text = f"{layout.frames} frames without a repetition time that can be read"
        findings.append(Finding("warning", "no-times", text))
        return replace(content, frames=layout.frames)
    times = tuple(step * k for k in range(layout.frames))
    return replace(content, frames=layout.frames, times_s=times)


def _repetition_s(path: Path, header: _Header) -> float:
    """Read the repetition time, which stands in ms behind the samples."""
    with path.open("rb") as file:
        file.seek(START + math.prod(header.sizes) * np.dtype(TYPES[header.kind]).itemsize)
        tail = file.read(4)
    return float(struct.unpack(">f", tail)[0]) / 1000 if len(tail) == 4 else 0.0
