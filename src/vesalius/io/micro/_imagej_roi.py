"""ImageJ regions (.roi, RoiSet.zip): outlines in pixels, in and out.

The layout of a file, all of it big endian: 64 bytes of header, coordinates, 64 bytes of second
header, name, properties. Facts from the reader and writer of ImageJ (public domain).
"""
# SPDX-License-Identifier: Apache-2.0

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch

from vesalius.core import Labels
from vesalius.errors import FormatError, OutputError
from vesalius.io._atomic import staged
from vesalius.io._budget import Budget
from vesalius.io._contours import Contours, Kind, Outline, Roi
from vesalius.io._handle import Finding, Rules
from vesalius.io._rasterise import rasterise
from vesalius.io._trace import trace

Floats = npt.NDArray[np.float64]
MARK, VERSION, HEADER = b"Iout", 228, 64
POLYGON, RECTANGLE, TRACED = 0, 1, 8
CLOSED = frozenset({0, 7, 8})
OPEN = frozenset({3, 4, 5, 9})
POINTS = 10
SUB_PIXEL = 128
FLOATS = 222
"""First version whose coordinates may be floats."""
MOVE, LINE, CLOSE = 0, 1, 4
FARTHEST, MOST_POINTS = 32767, 65535
VALUE, NAME = "vesalius_label", "vesalius_name"
EPOCH = (1980, 1, 1, 0, 0, 0)


def read_roi(path: Path, rules: Rules) -> Contours:
    """Read one region of ImageJ.

    Args:
        path: A .roi file.
        rules: The budget bounds the file.

    Returns:
        The region; positions of pixels are counted from their corner in the file and from their
        centre here.

    Raises:
        FormatError: The file is no region, or damaged.
    """
    rules.budget.check_size(path.name, (max(path.stat().st_size, 1),), 8)
    return _contours(path.name, [(path.name, path.read_bytes())])


def read_roi_set(path: Path, rules: Rules) -> Contours:
    """Read the regions of the ROI manager of ImageJ.

    Args:
        path: A zip archive of .roi files.
        rules: The budget bounds what it may unpack to.

    Returns:
        One region for each file; those that ``save_imagej_rois`` wrote for the slices of a label
        are one.

    Raises:
        FormatError: The file is no archive of regions, or damaged, or exceeds the budget.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = list(_entries(path, archive, rules.budget))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path.name!r} must be a zip archive of ImageJ regions, it is not: {error}: "
            "save it again from the ROI manager"
        ) from error
    return _contours(path.name, entries)


def save_imagej_rois(labels: Labels, path: str | Path) -> None:
    """Write labels as a set of regions for the ROI manager of ImageJ, along pixel edges.

    Args:
        labels: Any grid; each region becomes one for each slice that it lies in. Positions beyond
            32767 pixels have no place in the format.
            Its name and value come back through their properties.
        path: Where it goes, ending in ``.roi.zip`` or ``RoiSet.zip`` to be known again; an
            existing file is replaced.

    Raises:
        FormatError: The grid is too large, or there are no labels.
        OutputError: The folder is absent or not writable, or what was read back differs.
    """
    if max(labels.grid.shape[1:]) > FARTHEST or not labels.values:
        raise FormatError(
            f"labels must have a region and at most {FARTHEST} pixels a side for ImageJ regions, "
            f"they have {len(labels.values)} regions and {labels.grid.shape} voxels: crop them"
        )
    contours = trace(labels, space="pixel")
    target = Path(path)
    with staged(target) as stage:
        with zipfile.ZipFile(stage, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in _files(contours, stacked=labels.grid.shape[0] > 1):
                archive.writestr(zipfile.ZipInfo(f"{name}.roi", EPOCH), data)
        drawn = rasterise(read_roi_set(stage, Rules()), labels.grid).labels
        wanted = rasterise(contours, labels.grid).labels
        if not torch.equal(drawn.data, wanted.data):
            raise OutputError(
                f"output {target.name!r} must hold what was written, its regions read back "
                "differ: the disk may be damaged; nothing was replaced"
            )


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Parsed:
    """What a .roi file says."""

    title: str
    loops: list[Floats]
    kind: Kind
    z: int
    label: int
    colour: tuple[int, ...]


def _entries(path: Path, archive: zipfile.ZipFile, budget: Budget) -> Iterator[tuple[str, bytes]]:
    listed = [info for info in archive.infolist() if info.filename.lower().endswith(".roi")]
    total = sum(info.file_size for info in listed)
    if not listed or len(listed) > budget.files:
        raise FormatError(
            f"{path.name!r} must hold from 1 to {budget.files} regions of ImageJ, "
            f"it holds {len(listed)}: save it again from the ROI manager"
        )
    budget.check_size(path.name, (max(total, 1),), 8)
    budget.check_growth(path.name, total, path.stat().st_size)
    for info in listed:
        with archive.open(info) as file:
            # never more than was declared, whatever the stream holds
            yield Path(info.filename).name, file.read(info.file_size)


def _contours(name: str, entries: Sequence[tuple[str, bytes]]) -> Contours:
    findings: list[Finding] = []
    rois: list[Roi] = []
    places: dict[int, int] = {}
    for entry, data in entries:
        try:
            parsed = _parse(entry.removesuffix(".roi"), data)
        except (ValueError, struct.error) as error:
            raise FormatError(
                f"{name!r} must hold whole ImageJ regions, {entry!r} is none: {error}: "
                "save it again from ImageJ"
            ) from error
        if not parsed.loops:
            text = f"{parsed.title!r} is an oval, text or curve: it is left out"
            findings.append(Finding("warning", "unknown-contour", text))
            continue
        lines = tuple(_line(loop, parsed) for loop in parsed.loops)
        if parsed.label and parsed.label in places:
            before = rois[places[parsed.label]]
            rois[places[parsed.label]] = replace(before, outlines=before.outlines + lines)
            continue
        if parsed.label:
            places[parsed.label] = len(rois)
        rois.append(Roi(parsed.title, lines, parsed.label, parsed.colour))
    if any(roi.value == 0 for roi in rois):
        rois = [replace(roi, value=k) for k, roi in enumerate(rois, start=1)]
    meta = {"format": "ImageJ ROI", "regions": len(rois)}
    return Contours(name, tuple(rois), meta, tuple(findings), space="pixel")


def _line(loop: Floats, parsed: _Parsed) -> Outline:
    z = np.full(len(loop), float(parsed.z))
    return Outline(torch.from_numpy(np.column_stack([z, loop[:, 1], loop[:, 0]])), parsed.kind)


def _parse(title: str, data: bytes) -> _Parsed:
    if data[:4] != MARK or len(data) < HEADER:
        raise ValueError("it does not begin as one")
    version, kind = struct.unpack_from(">hB", data, 4)
    count, shape = struct.unpack_from(">H", data, 16)[0], struct.unpack_from(">i", data, 36)[0]
    (stroke,), (options,) = struct.unpack_from(">I", data, 40), struct.unpack_from(">h", data, 50)
    position, second = struct.unpack_from(">ii", data, 56)
    named, z, label, own = _second(data, second)
    if shape > 0:
        loops, sort = _composite(data, shape), "closed"
    elif kind == RECTANGLE:
        top, left, bottom, right = struct.unpack_from(">4h", data, 8)
        loops, sort = [_box(top, left, bottom, right)], "closed"
    elif kind in CLOSED or kind in OPEN or kind == POINTS:
        floats = bool(options & SUB_PIXEL) and version >= FLOATS
        loops = [_listed(data, count, floats=floats)] if count else []
        sort = "closed" if kind in CLOSED else "open" if kind in OPEN else "point"
    else:
        loops, sort = [], "closed"
    colour = ((stroke >> 16) & 255, (stroke >> 8) & 255, stroke & 255) if stroke else ()
    kinds: dict[str, Kind] = {"closed": "closed", "open": "open", "point": "point"}
    shown = own or named or title
    return _Parsed(shown, loops, kinds[sort], max(0, z or position - 1), label, colour)


def _second(data: bytes, start: int) -> tuple[str, int, int, str]:
    """Give name and slice of a hyperstack (from 0), then the label and its name written here."""
    if not HEADER <= start <= len(data) - HEADER:
        return "", 0, 0, ""
    z = struct.unpack_from(">i", data, start + 8)[0]
    name = _text(data, *struct.unpack_from(">ii", data, start + 16))
    properties = _text(data, *struct.unpack_from(">ii", data, start + 40))
    found = re.search(rf"^{VALUE}: (\d{{1,9}})$", properties, re.MULTILINE)
    return name, max(0, z - 1), int(found[1]) if found else 0, _own_name(properties)


def _own_name(properties: str) -> str:
    """Give the name of the label that a region is one slice of; empty where none is written."""
    found = re.search(rf"^{NAME}: (\x22.*\x22)$", properties, re.MULTILINE)
    try:
        return str(json.loads(found[1])).encode("utf-8", "replace").decode() if found else ""
    except ValueError:  # edited by hand
        return ""


def _text(data: bytes, start: int, length: int) -> str:
    if start < HEADER or length < 1 or start + 2 * length > len(data):
        return ""
    return data[start : start + 2 * length].decode("utf-16-be", "replace")


def _box(top: int, left: int, bottom: int, right: int) -> Floats:
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.array(corners, dtype=np.float64) - 0.5


def _listed(data: bytes, count: int, *, floats: bool) -> Floats:
    if floats:
        numbers = np.frombuffer(data, ">f4", 2 * count, HEADER + 4 * count).astype(np.float64)
        return numbers.reshape(2, count).T - 0.5
    numbers = np.frombuffer(data, ">u2", 2 * count, HEADER).astype(np.float64)
    top, left = struct.unpack_from(">hh", data, 8)
    return np.asarray(numbers.reshape(2, count).T + np.array([left - 0.5, top - 0.5]))


def _composite(data: bytes, size: int) -> list[Floats]:
    """Read a path of straight pieces; one with curves gives nothing."""
    numbers = np.frombuffer(data, ">f4", size, HEADER).astype(np.float64).tolist()
    loops: list[list[tuple[float, float]]] = []
    at = 0
    while at < size:
        step = numbers[at]
        if step == CLOSE:
            at += 1
            continue
        if step not in (MOVE, LINE):
            return []
        if at + 2 >= size or (step == LINE and not loops):
            raise ValueError("its path ends early")
        point = (numbers[at + 1], numbers[at + 2])
        if step == MOVE:
            loops.append([])
        loops[-1].append(point)
        at += 3
    return [np.array(loop) - 0.5 for loop in loops if len(loop) > 2]


def _files(contours: Contours, *, stacked: bool) -> Iterator[tuple[str, bytes]]:
    taken: set[str] = set()
    for roi in contours.rois:
        slices: dict[int, list[Floats]] = {}
        for line in roi.outlines:
            points = line.points.numpy()
            slices.setdefault(round(float(points[0, 0])), []).append(points[:, :0:-1] + 0.5)
        for z, loops in slices.items():
            name = re.sub(r"[^\w .()+-]", "_", roi.name)[:80].strip(". ") or "label"
            name = f"{name} z{z + 1}" if stacked else name
            title, number = name, 1
            while title in taken:
                number += 1
                title = f"{name} {number}"
            taken.add(title)
            yield title, _encode(loops, title, roi, z + 1 if stacked else 0)


def _encode(loops: list[Floats], title: str, roi: Roi, position: int) -> bytes:
    every = np.concatenate(loops).astype(int)
    (left, top), (right, bottom) = every.min(axis=0), every.max(axis=0)
    if len(loops) == 1 and len(loops[0]) <= MOST_POINTS:
        kind, count, size = TRACED, len(loops[0]), 0
        body = (loops[0] - [left, top]).T.astype(">u2").tobytes()
    else:
        path = [v for loop in loops for v in _path(loop)]
        kind, count, size, body = RECTANGLE, 0, len(path), np.array(path, ">f4").tobytes()
    red, green, blue = roi.colour or (255, 255, 0)
    stroke = 0xFF000000 | red << 16 | green << 8 | blue
    second = HEADER + len(body)
    head = struct.pack(">4shBx4hH", MARK, VERSION, kind, top, left, bottom, right, count)
    head += struct.pack(">16xhiIi", 0, size, stroke, 0)
    head = head.ljust(56, b"\0") + struct.pack(">ii", position, second)
    told = f"{VALUE}: {roi.value}\n{NAME}: {json.dumps(roi.name)}\n"
    name, properties = title.encode("utf-16-be"), told.encode("utf-16-be")
    at = second + HEADER
    tail = struct.pack(">16xii", at, len(name) // 2).ljust(40, b"\0")
    tail += struct.pack(">ii", at + len(name), len(properties) // 2)
    return b"".join([head, body, tail.ljust(HEADER, b"\0"), name, properties])


def _path(loop: Floats) -> Iterator[float]:
    for k, (x, y) in enumerate(loop):
        yield from (float(LINE if k else MOVE), float(x), float(y))
    yield float(CLOSE)
