"""Derived objects in: header, planes and samples that segmentations and maps have in common."""
# SPDX-License-Identifier: Apache-2.0

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._handle import Array, Finding, Handle, Rules
from vesalius.io.dicom._reason import reason_of

SAME_MM = 1e-4
PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")
"""The tags of PixelData, FloatPixelData and DoubleFloatPixelData, little endian."""
IDENTIFYING = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyDate", "StudyDescription", "SeriesDescription", "StudyInstanceUID"),
    *("SeriesInstanceUID", "FrameOfReferenceUID"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """How samples lie in the file.

    Attributes:
        path: The file.
        size: (rows, columns).
        kind: NumPy type of a sample, ``"b1"`` for single bits.
        offset: Byte of the first sample, or -1 where they are packed.
    """

    path: Path
    size: tuple[int, int]
    kind: str
    offset: int

    @property
    def bits(self) -> int:
        """Bits for each sample."""
        return 1 if self.kind == "b1" else 8 * np.dtype(self.kind).itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where the frames of a file are.

    Attributes:
        planes: (frames,) plane of each frame along the normal, from 0.
        affine: (4, 4), index (x, y, z, 1) to world, mm.
        depth: Number of planes; some may have no frame.
    """

    planes: Array
    affine: Array
    depth: int


def open_frames(
    path: Path, rules: Rules, what: str, make: Callable[[Path, Any, int, Rules], Handle]
) -> Handle:
    """Read a header and make a handle of it; whatever damage does then is one typed error.

    Args:
        path: The file.
        rules: ``budget`` bounds it.
        what: What the file should be, for the error.
        make: Makes the handle from path, header, the byte of the first sample, and rules.

    Returns:
        The handle.

    Raises:
        FormatError: The file is damaged, or ``make`` refuses it.
    """
    header, offset = _read_header(path, rules.budget)
    try:
        return make(path, header, offset, rules)
    except FormatError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{path.name!r} must be a readable DICOM {what}, it is not "
            f"({type(error).__name__}): the file is damaged, copy it again"
        ) from error


def _read_header(path: Path, budget: Budget) -> tuple[Any, int]:
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
            return header, file.tell() - 12 + plain if start[:4] in PIXEL_DATA else -1
    except FormatError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{path.name!r} must be a readable DICOM file, it is not "
            f"({type(error).__name__}: {reason_of(error, path)}): the file is truncated or "
            "damaged, copy it again"
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


def groups_of(name: str, header: Any) -> tuple[Any, list[Any]]:
    """Give the shared functional groups and those of each frame, PS3.3 C.7.6.16.

    Raises:
        FormatError: Not every frame has groups.
    """
    shared = (header.get("SharedFunctionalGroupsSequence", None) or [{}])[0]
    groups = list(header.get("PerFrameFunctionalGroupsSequence", None) or [])
    frames = int(header.NumberOfFrames)
    if len(groups) != frames:
        raise FormatError(
            f"{name!r} must place each of its {frames} frames, {len(groups)} are placed: "
            "a tiled slide is not read here, else the file is damaged"
        )
    return shared, groups


def item_of(group: Any, shared: Any, keyword: str) -> Any:
    """Give the item of a functional group, the frame's own before the shared; empty if none."""
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


def place(name: str, header: Any, findings: list[Finding]) -> Placed:
    """Find the lattice that the frames lie on.

    Its step is SpacingBetweenSlices where all planes lie on that, else the smallest gap.

    Args:
        name: Name of the file, for errors.
        header: The dataset.
        findings: What is noticed is added here.

    Returns:
        The plane of each frame, and the affine.

    Raises:
        FormatError: Frames are turned against each other, differ in pixel spacing, or fit no even
            row.
    """
    shared, groups = groups_of(name, header)
    positions: list[Array | None] = []
    axes: list[Array] = []
    measures: dict[str, float] = {}
    spacing: set[tuple[float, float]] = set()
    for group in groups:
        position = item_of(group, shared, "PlanePositionSequence").get("ImagePositionPatient")
        positions.append(None if position is None else np.array(position, dtype=np.float64))
        turned = item_of(group, shared, "PlaneOrientationSequence").get("ImageOrientationPatient")
        if turned is not None:
            axes.append(np.array(turned, dtype=np.float64).reshape(2, 3).T)
        told = _measures(item_of(group, shared, "PixelMeasuresSequence"))
        measures = measures or told
        spacing |= {(told["row"], told["column"])} if "row" in told else set()
    if any(float(np.abs(one - axes[0]).max()) > 1e-4 for one in axes):
        raise FormatError(
            f"{name!r} must have frames of one orientation, it has several: "
            "put each orientation in a file of its own"
        )
    if len(spacing) > 1:
        raise FormatError(
            f"{name!r} must have frames of one pixel spacing, it has several: "
            "put each resolution in a file of its own"
        )
    planes, affine = _lattice(name, positions, axes[0] if axes else None, measures, findings)
    return Placed(planes, affine, int(planes.max()) + 1)


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
    thickness = measures.get("thickness", measures.get("step", 1.0))
    if axes is None or any(p is None for p in positions):
        text = "the frames have no position: x, y are taken as L, P from 0"
        findings.append(Finding("warning", "no-position", text))
        return np.zeros(len(positions), int), np.diag([dx, dy, thickness, 1.0])
    points = np.array(positions, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise FormatError(
            f"{name!r} must give each plane position as three numbers, it does not: repair it"
        )
    normal = np.cross(axes[:, 0], axes[:, 1])
    if not float(np.abs(axes.T @ axes - np.eye(2)).max()) < 1e-3:
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
        whole = abs(extent / gap - last) < min(0.25, 0.05 + 1e-3 * last)
        if last and whole and float(apart.max()) <= 0.01 * gap + SAME_MM:
            lean = math.degrees(math.acos(min(1.0, extent / float(np.linalg.norm(row)))))
            if lean > 0.1:
                text = f"planes are tilted by {lean:.2f} deg from their normal; the grid is sheared"
                findings.append(Finding("warning", "tilted", text))
            return planes, low, row / last
    raise FormatError(
        f"{name!r} must have planes on an even row, its {len(heights)} planes are "
        f"{smallest:.4g} to {float(gaps.max()):.4g} mm apart and fit no common step: "
        "resample to even planes first"
    )


# ---- samples


def check_stored(stored: Stored, frames: int, budget: Budget) -> None:
    """Check that the file can hold its samples.

    Raises:
        FormatError: It is too short.
    """
    if stored.offset >= 0:
        needed = -(-frames * stored.size[0] * stored.size[1] * stored.bits // 8)
        there = stored.path.stat().st_size - stored.offset
        budget.check_stored(stored.path.name, needed, there, deflated=False)


def read_frames(stored: Stored, frames: Sequence[int]) -> Iterator[Array]:
    """Read some frames, one after the other.

    Args:
        stored: How samples lie in the file.
        frames: Numbers of the frames, from 0.

    Yields:
        (rows, columns), stored values.

    Raises:
        FormatError: Packed samples cannot be undone.
    """
    if stored.offset < 0:
        yield from _unpacked(stored, frames)
        return
    count = stored.size[0] * stored.size[1]
    with stored.path.open("rb") as file:
        for frame in frames:
            first = frame * count * stored.bits
            skip = first % 8  # frames of single bits follow each other without a gap, PS3.5 8.1.1
            file.seek(stored.offset + first // 8)
            raw = np.frombuffer(file.read(-(-(skip + count * stored.bits) // 8)), np.uint8)
            if stored.bits == 1:
                values = np.unpackbits(raw, bitorder="little")[skip : skip + count]
            else:
                values = raw.view(stored.kind)
            yield values.reshape(stored.size)


def _unpacked(stored: Stored, frames: Sequence[int]) -> Iterator[Array]:
    import pydicom

    try:
        dataset = pydicom.dcmread(stored.path)
        array = np.asarray(dataset.pixel_array).reshape(-1, *stored.size)
    except Exception as error:  # a decoder raises what it likes
        raise FormatError(
            f"{stored.path.name!r} must hold all samples that its header promises, it does not: "
            f"{reason_of(error, stored.path)}: the file is damaged, or its packing "
            "needs pip install vesalius[dicom]"
        ) from error
    for frame in frames:
        yield array[frame]
