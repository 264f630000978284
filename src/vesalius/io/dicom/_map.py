"""DICOM parametric map in: frames of real numbers put on their lattice, with their unit."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Any

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._frames import grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, Window
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
from vesalius.io.dicom.codes import unit_of

MAP_CLASS = "1.2.840.10008.5.1.4.1.1.30"
UNNAMED = "value"
"""What a channel without a name is called in the file."""


def open_parametric_map(path: Path, rules: Rules) -> Handle:
    """Open a DICOM parametric map, PS3.3 A.75.

    A channel is what one real world value mapping speaks of; its values are mapped by slope and
    intercept. float32 and float64 samples with slope 1 come back to the last bit. Planes without
    a frame hold NaN.

    Args:
        path: The file.
        rules: ``budget`` bounds it; ``unit`` overrides the unit.

    Returns:
        A handle.

    Raises:
        FormatError: The file is damaged, its planes are no lattice, it maps values by a table.
    """
    return open_frames(path, rules, "parametric map", _handle)


def _handle(path: Path, header: Any, offset: int, rules: Rules) -> Handle:
    size = int(header.Rows), int(header.Columns)
    stored = Stored(path, size, _sample(header), offset)
    findings: list[Finding] = []
    placed = place(path.name, header, findings)
    mappings = _mappings(path.name, header)
    check_stored(stored, len(mappings), rules.budget)
    labels = list(dict.fromkeys(label for label, *_ in mappings))
    channel = [labels.index(label) for label, *_ in mappings]
    if len(set(zip(channel, placed.planes.tolist(), strict=True))) != len(mappings):
        raise FormatError(
            f"{path.name!r} must have one frame for each channel and plane, some have several: "
            "maps that change in time are not read here"
        )
    kind = np.dtype(np.float32 if stored.kind in ("<f4", "<u1", "<u2", "<i2") else np.float64)
    shape = (len(labels), placed.depth, *size)
    rules.budget.check_size(path.name, shape, kind.itemsize)
    holes = len(labels) * placed.depth - len(mappings)
    if holes:
        text = f"{holes} planes have no frame: their values are NaN"
        findings.append(Finding("warning", "empty-planes", text))

    def load(window: Window) -> Array:
        first, count = window.start[0], window.shape[0]
        _, rows, columns = window.slices
        out = np.full((1, len(labels), *window.shape), np.nan if holes else 0, kind)
        inside = [k for k, p in enumerate(placed.planes) if first <= p < first + count]
        for k, values in zip(inside, read_frames(stored, inside), strict=True):
            _, _, _, slope, intercept = mappings[k]
            part = values[rows, columns]
            mapped = part if (slope, intercept) == (1.0, 0.0) else part * slope + intercept
            out[0, channel[k], int(placed.planes[k]) - first] = mapped
        return out

    unit, names = _words(mappings, labels)
    grid = grid_from_xyz(path.name, (size[1], size[0], placed.depth), placed.affine)
    content = Content(rules.unit or unit, names)
    return Handle(path.name, grid, _meta(header, rules, stored), tuple(findings), content, load)


Mapping = tuple[str, str, str, float, float]
"""Label, explanation, unit, slope and intercept of a frame."""


def _sample(header: Any) -> str:
    bits = int(header.BitsAllocated)
    if bits in (32, 64) and "PixelRepresentation" not in header:
        return "<f4" if bits == 32 else "<f8"
    signed = bool(header.get("PixelRepresentation", 0))
    return f"<{'i' if signed else 'u'}{bits // 8}"


def _mappings(name: str, header: Any) -> list[Mapping]:
    shared, groups = groups_of(name, header)
    found = []
    for group in groups:
        item = item_of(group, shared, "RealWorldValueMappingSequence")
        if "RealWorldValueLUTData" in item:
            raise FormatError(
                f"{name!r} must map its values by slope and intercept, it has a lookup table: "
                "convert it first"
            )
        code = (item.get("MeasurementUnitsCodeSequence", None) or [{}])[0]
        value = str(code.get("CodeValue", "") or code.get("LongCodeValue", ""))
        unit = unit_of(value, str(code.get("CodeMeaning", "")))
        slope = float(item.get("RealWorldValueSlope", 1.0))
        intercept = float(item.get("RealWorldValueIntercept", 0.0))
        explained = str(item.get("LUTExplanation", ""))
        found.append((str(item.get("LUTLabel", "")), explained, unit, slope, intercept))
    return found


def _words(mappings: list[Mapping], labels: list[str]) -> tuple[str, tuple[str, ...]]:
    first = {label: (explained, unit) for label, explained, unit, *_ in reversed(mappings)}
    units = {unit for _, unit in first.values()}
    names = tuple(first[label][0] or label for label in labels)
    unnamed = all(name == UNNAMED for name in names)
    return units.pop() if len(units) == 1 else "1", () if unnamed else names


def _meta(header: Any, rules: Rules, stored: Stored) -> dict[str, object]:
    meta: dict[str, object] = {
        "format": "DICOM parametric map",
        "Modality": str(header.get("Modality", "")),
        "stored": np.dtype(stored.kind).name,
        "ContentLabel": str(header.get("ContentLabel", "")),
        "Manufacturer": str(header.get("Manufacturer", "")),
    }
    if rules.patient:
        meta |= {k: str(header.get(k)) for k in IDENTIFYING if header.get(k)}
    return meta
