"""RTSTRUCT: the outlines of a structure set, read as regions in the world."""
# SPDX-License-Identifier: Apache-2.0

import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._contours import FAR, Contours, Kind, Outline, Roi
from vesalius.io._handle import Finding, Rules
from vesalius.io.dicom._header import inflated, read_header
from vesalius.io.dicom._mark import mark
from vesalius.io.dicom._reason import reason_of

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
CONTOUR_DATA = 0x30060050
MOST_TOLD = 5
LONGEST = 64
"""Most characters of a number; the standard has 16, and some write more."""
KINDS: dict[str, Kind] = {
    "CLOSED_PLANAR": "closed",
    "CLOSEDPLANAR_XOR": "closed",
    "OPEN_PLANAR": "open",
    "OPEN_NONPLANAR": "open",
    "POINT": "point",
}
HEADER = (
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
)
APPROVALS = ("APPROVED", "UNAPPROVED", "REJECTED")
IDENTIFYING = (
    "PatientID",
    "PatientName",
    "StructureSetLabel",
    "StructureSetDate",
    "StudyInstanceUID",
    "SOPInstanceUID",
)


def read_rtstruct(path: Path, rules: Rules) -> Contours:
    """Read the regions of an RT structure set (PS3.3 A.19, C.8.8.5, C.8.8.6).

    Outlines of a region are combined by the even-odd rule whether they are CLOSED_PLANAR or
    CLOSEDPLANAR_XOR: the standard leaves the first open, and every program known to us draws
    inner outlines as holes.

    Args:
        path: The file.
        rules: ``patient`` lets UIDs and names into ``meta``, else UIDs are hashed; the budget
            bounds the number of points.

    Returns:
        One region for each item of the structure set; its value is the ROI number where that is
        positive and unique.

    Raises:
        FormatError: The file is no structure set, or is damaged.
    """
    findings: list[Finding] = []
    try:
        # pydicom's warnings quote values, which may name somebody
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            header = _read(path, rules.budget)
            if str(header.get("SOPClassUID", "")) != SOP_CLASS:
                raise ValueError("its SOP class is another")
            listed = _listed(header, findings)
            _check_points(path.name, header, rules.budget)
            rois = _rois(path.name, header, listed, findings)
            meta = _meta(header, rois, patient=rules.patient)
    except FormatError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value meets first
        raise FormatError(
            f"{path.name!r} must be an RT structure set, it is not: {reason_of(error, path)}: "
            "the file is damaged or of another kind, copy it again"
        ) from error
    if said:
        text = f"{len(said)} values are not of the form that DICOM asks for; read as they stand"
        findings.append(Finding("info", "odd-values", text))
    return Contours(path.name, rois, meta, _few(findings))


def _few(findings: list[Finding]) -> tuple[Finding, ...]:
    """Keep a few of each kind: a file of ten thousand odd contours is told once."""
    kept: list[Finding] = []
    for code in dict.fromkeys(finding.code for finding in findings):
        alike = [finding for finding in findings if finding.code == code]
        kept += alike[:MOST_TOLD]
        if len(alike) > MOST_TOLD:
            text = f"and {len(alike) - MOST_TOLD} more likewise"
            kept.append(Finding(alike[0].severity, code, text))
    return tuple(kept)


def _read(path: Path, budget: Budget) -> Any:
    import pydicom
    from pydicom.filereader import read_dataset

    # pydicom passes over an end that is missing: the walk over all elements does not
    read_header(path, budget)
    packed = inflated(path, budget)
    if packed is None:
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)
    return read_dataset(BytesIO(packed), is_implicit_VR=False, is_little_endian=True)


def _listed(header: Any, findings: list[Finding]) -> dict[int, str]:
    """Give the name of each region by its number."""
    frames: dict[str, int] = {}
    listed: dict[int, str] = {}
    for item in header.get("StructureSetROISequence", None) or []:
        number = int(item.ROINumber)
        name = str(item.get("ROIName", "") or "") or f"ROI {number}"
        if number in listed:
            text = f"ROI number {number} is given to {listed[number]!r} and {name!r}: first kept"
            findings.append(Finding("warning", "duplicate-roi", text))
            continue
        listed[number] = name
        frame = str(item.get("ReferencedFrameOfReferenceUID", ""))
        frames[frame] = frames.get(frame, 0) + 1
    if len(frames) > 1:
        text = f"regions lie in {len(frames)} frames of reference: not all fit one image"
        findings.append(Finding("warning", "frames-of-reference", text))
    return listed


def _items(header: Any) -> Iterator[tuple[int, Any, Any]]:
    """Give number, region item and contour item of each contour."""
    for region in header.get("ROIContourSequence", None) or []:
        for item in region.get("ContourSequence", None) or []:
            yield int(region.get("ReferencedROINumber", 0)), region, item


def _check_points(name: str, header: Any, budget: Budget) -> None:
    sizes = (_raw(item) for _, _, item in _items(header))
    points = sum(value.count(b"\\") + 1 for value in sizes) // 3
    budget.check_size(name, (max(points, 1), 3), 8)


def _rois(
    name: str, header: Any, listed: dict[int, str], findings: list[Finding]
) -> tuple[Roi, ...]:
    lines: dict[int, list[Outline]] = {number: [] for number in listed}
    colours: dict[int, tuple[int, ...]] = {}
    for number, region, item in _items(header):
        if number not in lines:
            text = (
                f"contours of ROI number {number}, which is not listed, are called 'ROI {number}'"
            )
            findings.append(Finding("warning", "unlisted-roi", text))
        colours.setdefault(number, _colour(region))
        shown = listed.get(number, f"ROI {number}")
        lines.setdefault(number, []).append(_outline(name, shown, item, findings))
    bare = [listed[number] for number in listed if not lines[number]]
    if bare:
        text = f"regions without contours: {', '.join(map(repr, bare[:10]))}"
        findings.append(Finding("info", "no-contours", text))
    rois, top = [], max([0, *lines])
    for number, found in lines.items():
        top += number < 1
        value = number if number > 0 else top
        shown = listed.get(number, f"ROI {number}")
        rois.append(Roi(shown, tuple(found), value, colours.get(number, ())))
    return tuple(rois)


def _raw(item: Any) -> bytes:
    """Give the text of the points as it stands in the file."""
    element = item.get_item(CONTOUR_DATA)
    if element is None or not element.value:
        return b""
    if isinstance(element.value, bytes):
        return element.value
    several = element.value if hasattr(element.value, "__iter__") else [element.value]
    return "\\".join(str(v) for v in several).encode()


def _outline(file: str, roi: str, item: Any, findings: list[Finding]) -> Outline:
    numbers = _numbers(file, roi, _raw(item))
    points = numbers.reshape(-1, 3)
    promised = item.get("NumberOfContourPoints")
    if promised is not None and int(promised) != len(points):
        text = f"a contour of {roi!r} promises {int(promised)} points, it has {len(points)}"
        findings.append(Finding("warning", "point-count", text))
    told = str(item.get("ContourGeometricType", ""))
    if told not in KINDS:
        text = f"a contour of {roi!r} is of an unknown kind: it encloses nothing"
        findings.append(Finding("warning", "unknown-contour", text))
    kind = KINDS.get(told, "open")
    if kind == "closed" and len(points) > 1 and bool((points[0] == points[-1]).all()):
        points = points[:-1]
    return Outline(torch.from_numpy(points.copy()), kind)


def _numbers(file: str, roi: str, raw: bytes) -> npt.NDArray[np.float64]:
    words = raw.strip(b" \0").split(b"\\") if raw.strip(b" \0") else []
    # the array is as wide as its longest word: one long word would make it huge
    fits = max(map(len, words), default=0) <= LONGEST
    try:
        numbers = np.array(words if fits else [b"nan"], dtype="S").astype(np.float64)
    except ValueError:
        numbers = np.full(1, np.nan)
    if len(numbers) % 3 or not bool((np.abs(numbers) <= FAR).all()):
        raise FormatError(
            f"contours in {file!r} must be triples of finite numbers (x, y, z), one of {roi!r} has "
            f"{len(words)} entries that are not: the file is damaged, export it again"
        )
    return np.asarray(numbers, dtype=np.float64)


def _colour(region: Any) -> tuple[int, ...]:
    value = region.get("ROIDisplayColor")
    parts = tuple(int(v) for v in value) if value else ()
    return parts if len(parts) == 3 and all(0 <= v <= 255 for v in parts) else ()


def _meta(header: Any, rois: tuple[Roi, ...], *, patient: bool) -> dict[str, object]:
    meta: dict[str, object] = {"format": "RTSTRUCT", "regions": len(rois)}
    meta |= {k: str(header.get(k)) for k in HEADER if header.get(k)}
    if header.get("ApprovalStatus") in APPROVALS:
        meta["ApprovalStatus"] = str(header.ApprovalStatus)
    frames = {
        str(item.get("ReferencedFrameOfReferenceUID", ""))
        for item in header.get("StructureSetROISequence", None) or []
    }
    images = {
        str(image.get("ReferencedSOPInstanceUID", ""))
        for _, _, item in _items(header)
        for image in item.get("ContourImageSequence", None) or []
    }
    shown = (lambda uid: uid) if patient else mark
    meta["frames_of_reference"] = tuple(sorted(shown(uid) for uid in frames if uid))
    meta["referenced_images"] = tuple(sorted(shown(uid) for uid in images))
    if patient:
        meta |= {k: str(header.get(k)) for k in IDENTIFYING if header.get(k)}
    return meta
