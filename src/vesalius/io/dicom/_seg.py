"""DICOM SEG in: frames of segments put on their lattice; binary, fractional and label maps."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._frames import grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, Window, as_they_are
from vesalius.io.dicom._derived import (
    IDENTIFYING,
    Stored,
    check_stored,
    groups_of,
    item_of,
    open_frames,
    place,
    read_frames,
)

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
THRESHOLD = 0.5
"""A fraction from here on belongs to the segment when a fractional SEG is read as labels."""
OWN_NUMBER = re.compile(r"label (\d+) of layer (\d+)")


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment as the file describes it.

    Attributes:
        number: SegmentNumber.
        name: SegmentLabel.
        value: Its label in the house.
        layer: Its layer.
        told: Whether value and layer stand in the file.
        meta: Codes and algorithm, in words.
    """

    number: int
    name: str
    value: int
    layer: int
    told: bool
    meta: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where one frame belongs.

    Attributes:
        index: Number of the frame in the file, from 0.
        plane: Plane of the grid.
        segment: SegmentNumber, or 0 in a label map.
    """

    index: int
    plane: int
    segment: int


def open_seg(path: Path, rules: Rules) -> Handle:
    """Open a DICOM segmentation, PS3.3 A.51.

    The grid comes from the plane positions of the frames: its step is SpacingBetweenSlices where
    all planes lie on it, else the smallest gap; planes that no frame speaks of are empty.
    A binary SEG or label map is read as labels. Segments that overlap lie in several layers. A
    fractional SEG has one channel for each segment, 0 to 1; ``read_labels`` takes 0.5 and more.

    Args:
        path: The file.
        rules: ``budget`` bounds it.

    Returns:
        A handle; ``meta["segments"]`` holds what each segment means.

    Raises:
        FormatError: The file is damaged, its planes are no lattice, or it is a tiled slide.
    """
    return open_frames(path, rules, "segmentation", _handle)


def _handle(path: Path, header: Any, offset: int, rules: Rules) -> Handle:
    kind = str(header.SegmentationType)
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise FormatError(
            f"{path.name!r} must be a BINARY, FRACTIONAL or LABELMAP segmentation, "
            "it is of another kind: convert it first"
        )
    size = int(header.Rows), int(header.Columns)
    stored = Stored(path, size, _sample(path.name, header, kind), offset)
    segments = _segments(header)
    findings: list[Finding] = []
    placed = place(path.name, header, findings)
    frames = _frames(path.name, header, placed.planes, kind)
    _check_frames(path.name, frames, segments, kind)
    check_stored(stored, len(frames), rules.budget)
    if kind == "BINARY":
        segments = _with_layers(segments, header, stored, frames)
    channels = len(segments) if kind == "FRACTIONAL" else 1 + max(s.layer for s in segments)
    rules.budget.check_size(path.name, (channels, placed.depth, *size), 4)
    grid = grid_from_xyz(path.name, (size[1], size[0], placed.depth), placed.affine)
    content, load = _content(stored, segments, frames, header, kind)
    meta = _meta(header, segments, kind, rules)
    names = "fractional" if kind == "FRACTIONAL" else "labels"
    findings.append(Finding("info", names, _summary(kind, segments)))
    to_labels = _above(segments) if kind == "FRACTIONAL" else as_they_are
    return Handle(path.name, grid, meta, tuple(findings), content, load, _to_labels=to_labels)


# ---- header


def _segments(header: Any) -> tuple[Segment, ...]:
    background = header.get("PixelPaddingValue")
    found = []
    for item in header.SegmentSequence:
        number = int(item.SegmentNumber)
        if header.SegmentationType == "LABELMAP" and number in (0, background):
            continue
        own = OWN_NUMBER.fullmatch(str(item.get("SegmentDescription", "") or ""))
        value, layer = (int(own[1]), int(own[2])) if own else (number, 0)
        name = str(item.get("SegmentLabel", "") or f"segment {number}")
        found.append(Segment(number, name, value, layer, own is not None, _words(item)))
    if not found:
        raise ValueError("it describes no segment")
    if not all(own.told for own in found):
        found = [Segment(s.number, s.name, s.number, 0, False, s.meta) for s in found]
    return tuple(found)


def _words(item: Any) -> dict[str, str]:
    words = {"label": str(item.get("SegmentLabel", "") or "")}
    for key, keyword in (
        ("category", "SegmentedPropertyCategoryCodeSequence"),
        ("type", "SegmentedPropertyTypeCodeSequence"),
        ("region", "AnatomicRegionSequence"),
    ):
        for code in item.get(keyword, None) or []:
            value = code.get("CodeValue", "") or code.get("LongCodeValue", "")
            words[key] = str(code.get("CodeMeaning", ""))
            words[f"{key}_code"] = f"{code.get('CodingSchemeDesignator', '')}:{value}"
    for key in ("SegmentAlgorithmType", "SegmentAlgorithmName", "TrackingID"):
        if item.get(key):
            words[key] = str(item.get(key))
    return words


def _sample(name: str, header: Any, kind: str) -> str:
    bits = int(header.BitsAllocated)
    if bits not in (1, 8, 16) or (bits == 1) != (kind == "BINARY"):
        raise FormatError(
            f"{name!r} must have 1 bit for each sample of a BINARY segmentation and 8 or 16 else, "
            f"it has {bits} in a {kind} one: repair its header"
        )
    return {1: "b1", 8: "<u1", 16: "<u2"}[bits]


def _frames(name: str, header: Any, planes: Array, kind: str) -> list[Frame]:
    shared, groups = groups_of(name, header)
    found = []
    for k, (group, plane) in enumerate(zip(groups, planes, strict=True)):
        segment = item_of(group, shared, "SegmentIdentificationSequence")
        number = 0 if kind == "LABELMAP" else int(segment.get("ReferencedSegmentNumber", 0))
        found.append(Frame(k, int(plane), number))
    return found


def _check_frames(
    name: str, frames: Sequence[Frame], segments: Sequence[Segment], kind: str
) -> None:
    known = {one.number for one in segments}
    strange = sorted({f.segment for f in frames} - known)
    if kind != "LABELMAP" and strange:
        raise FormatError(
            f"{name!r} must describe each segment, segment {strange[0]} has frames "
            "but no description: the file is damaged"
        )
    if len({(f.plane, f.segment) for f in frames}) != len(frames):
        raise FormatError(
            f"{name!r} must have one frame for each segment and plane, some have several: "
            "segments that change in time are not read here"
        )


# ---- samples


def _samples(stored: Stored, frames: Sequence[Frame]) -> Iterator[tuple[Frame, Array]]:
    yield from zip(frames, read_frames(stored, [f.index for f in frames]), strict=True)


def _with_layers(
    segments: tuple[Segment, ...], header: Any, stored: Stored, frames: Sequence[Frame]
) -> tuple[Segment, ...]:
    """Give each segment the first layer where it overlaps none; that needs the samples."""
    if segments[0].told or str(header.get("SegmentsOverlap", "")) == "NO":
        return segments
    clashes: set[tuple[int, int]] = set()
    planes: dict[int, list[Frame]] = {}
    for frame in frames:
        planes.setdefault(frame.plane, []).append(frame)
    for there in planes.values():
        if len(there) > 1:
            clashes |= _clashes(list(_samples(stored, there)))
    layers: dict[int, int] = {}
    for one in segments:
        taken = {layers[a] for a, b in clashes if b == one.number and a in layers}
        taken |= {layers[b] for a, b in clashes if a == one.number and b in layers}
        layers[one.number] = next(k for k in range(len(segments)) if k not in taken)
    return tuple(
        Segment(s.number, s.name, s.value, layers[s.number], False, s.meta) for s in segments
    )


def _clashes(plane: Sequence[tuple[Frame, Array]]) -> set[tuple[int, int]]:
    total = np.sum([values for _, values in plane], axis=0, dtype=np.int32)
    if int(total.max()) <= 1:
        return set()
    double = total > 1
    inside = [(frame.segment, values[double] != 0) for frame, values in plane]
    return {
        (a, b)
        for k, (a, first) in enumerate(inside)
        for b, second in inside[k + 1 :]
        if bool((first & second).any())
    }


def _content(
    stored: Stored, segments: Sequence[Segment], frames: Sequence[Frame], header: Any, kind: str
) -> tuple[Content, Any]:
    by_number = {one.number: one for one in segments}
    names = {(one.layer, one.value): one.name for one in segments}

    def inside(window: Window) -> list[Frame]:
        first, count = window.start[0], window.shape[0]
        return [f for f in frames if first <= f.plane < first + count]

    def binary(window: Window) -> Array:
        layers = 1 + max(one.layer for one in segments)
        top = max(one.value for one in segments)
        out = np.zeros((1, layers, *window.shape), _least(top))
        for frame, values in _samples(stored, inside(window)):
            one = by_number[frame.segment]
            _paint(out[0, one.layer], frame, values, one.value, window, stored.path.name)
        return out

    def labelmap(window: Window) -> Array:
        out = np.zeros((1, 1, *window.shape), np.uint8 if stored.bits == 8 else np.int32)
        background = int(header.get("PixelPaddingValue", 0) or 0)
        _, rows, columns = window.slices
        for frame, values in _samples(stored, inside(window)):
            part = values[rows, columns]
            out[0, 0, frame.plane - window.start[0]] = np.where(part == background, 0, part)
        return out

    def fractional(window: Window) -> Array:
        out = np.zeros((1, len(segments), *window.shape), np.float32)
        whole = float(header.MaximumFractionalValue)
        _, rows, columns = window.slices
        channel = {one.number: k for k, one in enumerate(segments)}
        for frame, values in _samples(stored, inside(window)):
            place = channel[frame.segment], frame.plane - window.start[0]
            out[0][place] = values[rows, columns] / whole
        return out

    if kind == "FRACTIONAL":
        channels = tuple(one.name for one in segments)
        names = {(k, one.value): one.name for k, one in enumerate(segments)}
        return Content(channels=channels, names=names), fractional
    return Content(names=names), binary if kind == "BINARY" else labelmap


def _paint(out: Array, frame: Frame, values: Array, label: int, window: Window, name: str) -> None:
    _, rows, columns = window.slices
    target, inside = out[frame.plane - window.start[0]], values[rows, columns] != 0
    if bool(target[inside].any()):
        raise FormatError(
            f"{name!r} must have segments that do not overlap, as its header says, some do: "
            "the file is damaged"
        )
    target[inside] = label


def _least(top: int) -> type[np.generic]:
    fits = [t for t in (np.uint8, np.int16, np.int32) if top <= np.iinfo(t).max]
    return fits[0] if fits else np.int64


def _above(segments: Sequence[Segment]) -> Any:
    """Make labels of fractions: a layer for each segment, its value where the fraction is half."""
    values = np.array([one.value for one in segments], _least(max(s.value for s in segments)))

    def labels(samples: Array) -> Array:
        return np.asarray((samples >= THRESHOLD) * values[:, None, None, None])

    return labels


# ---- words


def _summary(kind: str, segments: Sequence[Segment]) -> str:
    layers = 1 + max((one.layer for one in segments), default=0)
    if kind == "FRACTIONAL":
        return f"{len(segments)} segments as fractions; labels are made from {THRESHOLD:g} on"
    return f"{len(segments)} segments in {layers} layer{'s' * (layers > 1)}"


def _meta(header: Any, segments: Sequence[Segment], kind: str, rules: Rules) -> dict[str, object]:
    meta: dict[str, object] = {
        "format": "DICOM SEG",
        "Modality": "SEG",
        "segmentation": kind,
        "segments": {str(one.number): dict(one.meta) for one in segments},
        "ContentLabel": str(header.get("ContentLabel", "")),
        "Manufacturer": str(header.get("Manufacturer", "")),
    }
    if kind == "FRACTIONAL":
        meta["fraction"] = str(header.get("SegmentationFractionalType", ""))
    if rules.patient:
        meta |= {k: str(header.get(k)) for k in IDENTIFYING if header.get(k)}
    return meta
