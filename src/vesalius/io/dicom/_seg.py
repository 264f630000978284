"""DICOM SEG in: frames of segments put on their lattice; binary, fractional and label maps."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._frames import grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, Window, as_they_are

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
SAME_MM = 1e-2
THRESHOLD = 0.5
"""A fraction from here on belongs to the segment when a fractional SEG is read as labels."""
IDENTIFYING = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyDate", "StudyDescription", "SeriesDescription", "StudyInstanceUID"),
    *("SeriesInstanceUID", "FrameOfReferenceUID"),
)
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


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """How samples lie in the file.

    Attributes:
        path: The file.
        kind: ``"BINARY"``, ``"FRACTIONAL"`` or ``"LABELMAP"``.
        size: (rows, columns).
        bits: Bits for each sample: 1, 8 or 16.
        offset: Byte of the first sample, or -1 where they are packed.
    """

    path: Path
    kind: str
    size: tuple[int, int]
    bits: int
    offset: int


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
    header, offset = _header(path, rules.budget)
    try:
        return _handle(path, header, offset, rules)
    except FormatError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{path.name!r} must be a readable DICOM segmentation, it is not "
            f"({type(error).__name__}): the file is damaged, copy it again"
        ) from error


def _handle(path: Path, header: Any, offset: int, rules: Rules) -> Handle:
    kind = str(header.SegmentationType)
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise FormatError(
            f"{path.name!r} must be a BINARY, FRACTIONAL or LABELMAP segmentation, "
            f"it is {kind!r}: convert it first"
        )
    size = int(header.Rows), int(header.Columns)
    stored = Stored(path, kind, size, int(header.BitsAllocated), offset)
    segments = _segments(header)
    findings: list[Finding] = []
    positions, numbers, axes, measures = _places(path.name, header, kind)
    planes, affine = _lattice(path.name, positions, axes, measures, findings)
    depth = int(planes.max()) + 1
    frames = [Frame(k, int(p), n) for k, (p, n) in enumerate(zip(planes, numbers, strict=True))]
    _check_frames(path.name, frames, segments, kind)
    _check_stored(stored, len(frames), rules.budget)
    if kind == "BINARY":
        segments = _with_layers(segments, header, stored, frames)
    channels = len(segments) if kind == "FRACTIONAL" else 1 + max(s.layer for s in segments)
    rules.budget.check_size(path.name, (channels, depth, *size), 4)
    grid = grid_from_xyz(path.name, (size[1], size[0], depth), affine)
    content, load = _content(stored, segments, frames, header)
    meta = _meta(header, segments, kind, rules)
    names = "fractional" if kind == "FRACTIONAL" else "labels"
    findings.append(Finding("info", names, _summary(kind, segments)))
    to_labels = _above(segments) if kind == "FRACTIONAL" else as_they_are
    return Handle(path.name, grid, meta, tuple(findings), content, load, _to_labels=to_labels)


# ---- header


def _header(path: Path, budget: Budget) -> tuple[Any, int]:
    """Read all but the samples; give the byte where those begin, -1 where they are packed."""
    import pydicom

    try:
        with path.open("rb") as file:
            _check_deflated(path, budget)
            header = pydicom.dcmread(file, stop_before_pixels=True)
            syntax = header.file_meta.TransferSyntaxUID
            if syntax.is_deflated or syntax.is_encapsulated or not syntax.is_little_endian:
                return header, -1
            start = file.read(12)
            plain = 8 if syntax.is_implicit_VR else 12
            return header, file.tell() - 12 + plain if start[:4] == b"\xe0\x7f\x10\x00" else -1
    except FormatError:
        raise
    except Exception as error:  # as in open_seg
        reason = str(error).replace(str(path), path.name).splitlines()[:1] or [""]
        raise FormatError(
            f"{path.name!r} must be a readable DICOM file, it is not "
            f"({type(error).__name__}: {reason[0]}): the file is truncated or damaged, "
            "copy it again"
        ) from error


def _check_deflated(path: Path, budget: Budget) -> None:
    """Count what a deflated file unpacks to before anything keeps it."""
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(path)
    if not meta.TransferSyntaxUID.is_deflated:
        return
    with path.open("rb") as file:
        file.seek(132 + 12 + int(meta.FileMetaInformationGroupLength))
        packed = file.read()
    engine, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while packed and not engine.eof:
        size += len(engine.decompress(packed, 1 << 20))
        packed = engine.unconsumed_tail
        budget.check_growth(path.name, size, path.stat().st_size)


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


def _places(
    name: str, header: Any, kind: str
) -> tuple[list[Array | None], list[int], Array | None, dict[str, float]]:
    """Give position and segment of each frame, the axes, and the pixel measures."""
    shared = (header.get("SharedFunctionalGroupsSequence", None) or [{}])[0]
    groups = list(header.get("PerFrameFunctionalGroupsSequence", None) or [])
    frames = int(header.NumberOfFrames)
    if len(groups) != frames:
        raise FormatError(
            f"{name!r} must place each of its {frames} frames, {len(groups)} are placed: "
            "a tiled slide is not read here, else the file is damaged"
        )
    positions, numbers = [], []
    axes: list[Array] = []
    measures: dict[str, float] = {}
    for group in groups:
        position = _item(group, shared, "PlanePositionSequence").get("ImagePositionPatient")
        positions.append(None if position is None else np.array(position, dtype=np.float64))
        segment = _item(group, shared, "SegmentIdentificationSequence")
        labelled = kind == "LABELMAP"
        numbers.append(0 if labelled else int(segment.get("ReferencedSegmentNumber", 0)))
        turned = _item(group, shared, "PlaneOrientationSequence").get("ImageOrientationPatient")
        if turned is not None:
            axes.append(np.array(turned, dtype=np.float64).reshape(2, 3).T)
        measures = measures or _measures(_item(group, shared, "PixelMeasuresSequence"))
    if any(float(np.abs(one - axes[0]).max()) > 1e-4 for one in axes):
        raise FormatError(
            f"{name!r} must have frames of one orientation, it has several: "
            "put each orientation in a file of its own"
        )
    return positions, numbers, axes[0] if axes else None, measures


def _item(group: Any, shared: Any, keyword: str) -> Any:
    for place in (group, shared):
        found = place.get(keyword, None)
        if found:
            return found[0]
    return {}


def _measures(item: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    if item.get("PixelSpacing"):
        found["row"], found["column"] = (float(v) for v in item.get("PixelSpacing"))
    for key, keyword in (("step", "SpacingBetweenSlices"), ("thickness", "SliceThickness")):
        if item.get(keyword) and float(item.get(keyword)) > 0:
            found[key] = float(item.get(keyword))
    return found


# ---- lattice


def _lattice(
    name: str,
    positions: Sequence[Array | None],
    axes: Array | None,
    measures: dict[str, float],
    findings: list[Finding],
) -> tuple[Array, Array]:
    """Give the plane of each frame and the affine on (x, y, z)."""
    dy, dx = measures.get("row", 1.0), measures.get("column", 1.0)
    if "row" not in measures:
        findings.append(Finding("warning", "no-spacing", "no pixel spacing: 1 mm assumed"))
    thickness = measures.get("step", measures.get("thickness", 1.0))
    if axes is None or any(p is None for p in positions):
        text = "the segments have no position: x, y are taken as L, P from 0"
        findings.append(Finding("warning", "no-position", text))
        return np.zeros(len(positions), int), np.diag([dx, dy, thickness, 1.0])
    points = np.array(positions, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise FormatError(
            f"{name!r} must give each plane position as three numbers, it does not: repair it"
        )
    normal = np.cross(axes[:, 0], axes[:, 1])
    if not abs(float(np.linalg.norm(normal)) - 1) < 1e-3:
        raise FormatError(
            f"{name!r} must have rows and columns at right angles, ImageOrientationPatient is "
            f"{axes.T.reshape(-1).tolist()}: repair its header"
        )
    planes, origin, step = _rows(name, points, normal, measures, findings)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 3] = axes[:, 0] * dx, axes[:, 1] * dy, origin
    affine[:3, 2] = step if step is not None else normal * thickness
    return planes, affine


def _rows(
    name: str, points: Array, normal: Array, measures: dict[str, float], findings: list[Finding]
) -> tuple[Array, Array, Array | None]:
    """Number the planes along the normal; give the first position and the step."""
    along = points @ normal
    low, extent = points[int(along.argmin())], float(np.ptp(along))
    if extent < SAME_MM:
        return np.zeros(len(points), int), low, None
    row = points[int(along.argmax())] - low
    heights = np.unique((along - along.min()).round(6))
    gaps = np.diff(heights)
    smallest = float(gaps[gaps >= SAME_MM].min())
    told = measures.get("step", smallest)
    # SpacingBetweenSlices is measured along the normal by some, along a tilted row by others
    tried = (told, told * extent / float(np.linalg.norm(row)), smallest)
    for gap in tried:
        last = round(extent / gap)
        planes = ((along - along.min()) / extent * last).round().astype(int)
        apart = np.linalg.norm(low + np.outer(planes / max(last, 1), row) - points, axis=1)
        if last and abs(extent / gap - last) < 0.05 and float(apart.max()) <= 0.01 * gap + SAME_MM:
            lean = math.degrees(math.acos(min(1.0, extent / float(np.linalg.norm(row)))))
            if lean > 0.1:
                text = f"planes are tilted by {lean:.2f} deg from their normal; the grid is sheared"
                findings.append(Finding("warning", "tilted", text))
            return planes, low, row / last
    raise FormatError(
        f"{name!r} must have planes on an even row, its {len(heights)} planes are "
        f"{smallest:.4g} to {float(gaps.max()):.4g} mm apart and fit no common step: "
        "resample the segmentation to even planes first"
    )


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


def _check_stored(stored: Stored, frames: int, budget: Budget) -> None:
    if stored.bits not in (1, 8, 16) or (stored.bits == 1) != (stored.kind == "BINARY"):
        raise FormatError(
            f"{stored.path.name!r} must have 1 bit for each sample of a BINARY segmentation and "
            f"8 or 16 else, it has {stored.bits} in a {stored.kind} one: repair its header"
        )
    if stored.offset >= 0:
        needed = -(-frames * stored.size[0] * stored.size[1] * stored.bits // 8)
        there = stored.path.stat().st_size - stored.offset
        budget.check_stored(stored.path.name, needed, there, deflated=False)


# ---- samples


def _samples(stored: Stored, frames: Sequence[Frame]) -> Iterator[tuple[Frame, Array]]:
    """Read the samples of some frames, one after the other: (rows, columns)."""
    if stored.offset < 0:
        yield from _unpacked(stored, frames)
        return
    count = stored.size[0] * stored.size[1]
    with stored.path.open("rb") as file:
        for frame in frames:
            first = frame.index * count * stored.bits
            skip = first % 8  # frames of single bits follow each other without a gap, PS3.5 8.1.1
            file.seek(stored.offset + first // 8)
            raw = np.frombuffer(file.read(-(-(skip + count * stored.bits) // 8)), np.uint8)
            if stored.bits == 1:
                values = np.unpackbits(raw, bitorder="little")[skip : skip + count]
            else:
                values = raw.view("<u1" if stored.bits == 8 else "<u2")[:count]
            yield frame, values.reshape(stored.size)


def _unpacked(stored: Stored, frames: Sequence[Frame]) -> Iterator[tuple[Frame, Array]]:
    import pydicom

    try:
        dataset = pydicom.dcmread(stored.path)
        array = np.asarray(dataset.pixel_array).reshape(-1, *stored.size)
    except Exception as error:  # a decoder raises what it likes
        reason = str(error).replace(str(stored.path), stored.path.name).splitlines()[:1]
        raise FormatError(
            f"{stored.path.name!r} must hold all samples that its header promises, it does not: "
            f"{reason[0] if reason else type(error).__name__}: the file is damaged, or its packing "
            "needs pip install vesalius[dicom]"
        ) from error
    for frame in frames:
        yield frame, array[frame.index]


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
    stored: Stored, segments: Sequence[Segment], frames: Sequence[Frame], header: Any
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

    if stored.kind == "FRACTIONAL":
        channels = tuple(one.name for one in segments)
        names = {(k, one.value): one.name for k, one in enumerate(segments)}
        return Content(channels=channels, names=names), fractional
    return Content(names=names), binary if stored.kind == "BINARY" else labelmap


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
