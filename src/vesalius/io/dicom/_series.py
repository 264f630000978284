"""DICOM series: files grouped by what they say, sorted by position, opened as volumes."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._contours import Contours
from vesalius.io._frames import grid_from_xyz
from vesalius.io._handle import Allow, Array, Content, Finding, Handle, Rules, Window
from vesalius.io.dicom._frames import Arranged, arrange
from vesalius.io.dicom._group import MOVED, Group, has_place, split_series
from vesalius.io.dicom._lattice import Lattice, make_lattice, stack
from vesalius.io.dicom._mark import mark
from vesalius.io.dicom._remarks import mixtures, remarks
from vesalius.io.dicom._slice import Slice, full_header, look, series_of
from vesalius.io.dicom._tags import ACQUISITION
from vesalius.io.dicom._volume import Volume, sample_type


@final
@dataclass(frozen=True, slots=True)
class Found:
    """What the DICOM files at a path came to."""

    handles: tuple[Handle, ...]
    contours: tuple[Contours, ...]
    refused: tuple[FormatError, ...]
    skipped: tuple[str, ...]


def open_dicom(files: Sequence[Path], name: str, rules: Rules) -> Found:
    """Group DICOM files by series and open each series as one volume, or as several.

    Args:
        files: DICOM files, in any order.
        name: What to call the whole, such as the name of the folder.
        rules: How to read where the format leaves a choice.

    Returns:
        A handle for each volume, with findings; outlines; one error for what could not be placed;
        and the names of DICOM files that hold neither.
    """
    pile = _Pile({}, {}, [], [], [])
    for path in files:
        pile.add(path, rules)
    refused: list[FormatError] = []
    handles = list(pile.handles)
    groups = [group for slices in pile.series.values() for group in split_series(slices)]
    several = len(pile.series) > 1
    for group in groups:
        try:
            handles.append(_open_group(group, _label(group, name, several), pile.unread, rules))
        except FormatError as error:
            refused.append(error)
    concerned = {place for group in groups for one in group.slices for place in _beside(one)}
    refused += [_together(texts) for place, texts in pile.unread.items() if place not in concerned]
    return Found(tuple(handles), tuple(pile.contours), tuple(refused), tuple(pile.skipped))


@dataclass(frozen=True, slots=True)
class _Pile:
    """Files by what they are; what could not be read, by its series or else by its folder."""

    series: dict[tuple[str, str, str], list[Slice]]
    unread: dict[str | Path, list[str]]
    contours: list[Contours]
    handles: list[Handle]
    skipped: list[str]

    def add(self, path: Path, rules: Rules) -> None:
        try:
            looked = look(path, rules.budget)
            if looked.kind == "outlines":
                self.contours.append(_outlines(path, rules))
            elif looked.kind == "segmentation":
                self.handles.append(_segmentation(path, rules))
            elif looked.kind == "map":
                self.handles.append(_map(path, rules))
            elif looked.kind == "other":
                self.skipped.append(path.name)
        except FormatError as error:
            place = series_of(path, rules.budget) or path.parent
            self.unread.setdefault(place, []).append(str(error))
            return
        for one in looked.slices:
            self.series.setdefault(_series_key(one), []).append(one)


def _series_key(one: Slice) -> tuple[str, str, str]:
    """Say what a slice shares with its series: patients without UIDs are kept apart by folder."""
    study = str(one.identifying.get("StudyInstanceUID", ""))
    patient = str(one.identifying.get("PatientID", ""))
    return one.series or str(one.path.parent), study, patient


def _beside(one: Slice) -> tuple[str | Path, ...]:
    """Say under which places files were kept that may belong to the volume of a slice."""
    return one.series, one.path.parent


def _outlines(path: Path, rules: Rules) -> Contours:
    from vesalius.io.dicom._rtstruct import read_rtstruct

    return read_rtstruct(path, rules)


def _segmentation(path: Path, rules: Rules) -> Handle:
    from vesalius.io.dicom._seg import open_seg

    return open_seg(path, rules)


def _map(path: Path, rules: Rules) -> Handle:
    from vesalius.io.dicom._map import open_parametric_map

    return open_parametric_map(path, rules)


def _together(texts: list[str]) -> FormatError:
    more = f" (and {len(texts) - 1} more files likewise)" if len(texts) > 1 else ""
    return FormatError(texts[0] + more)


def _label(group: Group, name: str, several: bool) -> str:
    number = group.slices[0].acquisition.get("SeriesNumber")
    words = ([f"series {number}"] if several or group.words else []) + list(group.words)
    return " ".join([name, *words])


def _open_group(
    group: Group, name: str, unread: dict[str | Path, list[str]], rules: Rules
) -> Handle:
    findings = _unread(group, unread, rules.allow)
    if group.words:
        text = f"the series was split: this part is {', '.join(group.words)}"
        findings.append(Finding("info", "split", text))
    if any(word.startswith(MOVED) for word in group.words):
        text = (
            "frames lie in places of their own, as prospective motion correction leaves them: each "
            "is a volume; to have a series, resample them onto the first"
        )
        findings.append(Finding("warning", "moved", text))
    sound = [one for one in group.slices if not one.broken]
    if not sound:
        one = group.slices[0]
        raise FormatError(
            f"{one.path.name!r} must hold all samples that its header promises, {one.broken}: "
            "the file is truncated or damaged, copy it again"
        )
    arranged, lattice = _placed(sound, name, rules, findings)
    first = arranged.frames[0][0]
    arranged, unit = _in_unit(arranged, rules, findings)
    slices = [one for row in arranged.frames for one in row]
    dtype = sample_type(slices, lattice.is_resampled)
    rows, columns, samples = first.size
    grid = grid_from_xyz(name, (columns, rows, lattice.size), lattice.affine)
    findings += remarks(slices, rules.allow) + mixtures(arranged)
    volume = Volume(arranged.frames, lattice.nodes, dtype, rules.budget)
    content, as_channels = _content(arranged, unit, samples, rules)
    meta = _meta(slices, len(arranged.frames), rules)

    def load(window: Window) -> Array:
        array = volume.load(window)
        return array.reshape(1, -1, *array.shape[2:]) if as_channels else array

    return Handle(name, grid, meta, tuple(findings), content, load)


def _unread(
    group: Group, unread: dict[str | Path, list[str]], allow: tuple[Allow, ...]
) -> list[Finding]:
    """Tell of files that a volume may lack: cut ones of its own, unreadable ones beside it."""
    texts = [f"{s.path.name!r} is not whole: {s.broken}" for s in group.slices if s.broken]
    places = {place for one in group.slices for place in _beside(one)}
    texts += [text for place, said in unread.items() if place in places for text in said]
    if not texts:
        return []
    more = f" (and {len(texts) - 1} more files likewise)" if len(texts) > 1 else ""
    if "unreadable" in allow:
        return [Finding("warning", "unreadable", f"{texts[0]}{more}; the rest was read")]
    return [Finding("error", "unreadable", texts[0] + more, "unreadable")]


def _placed(
    slices: list[Slice], name: str, rules: Rules, findings: list[Finding]
) -> tuple[Arranged, Lattice]:
    if all(has_place(one) for one in slices):
        arranged = arrange(slices, rules.allow, rules.budget, findings)
        return arranged, make_lattice(arranged.frames[0], name, rules.allow, findings)
    row = tuple(sorted(slices, key=_serial))
    affine = stack(row, name, rules.allow, findings)
    return Arranged((row,)), Lattice(affine, len(row), np.empty(0))


def _serial(one: Slice) -> tuple[float, str, int]:
    number = one.acquisition.get("InstanceNumber", 0)
    return (float(number) if isinstance(number, (int, float)) else 0.0, one.path.name, one.frame)


def _content(arranged: Arranged, unit: str, samples: int, rules: Rules) -> tuple[Content, bool]:
    """Say what the samples are, and whether frames become channels."""
    frames = len(arranged.frames)
    colours = ("R", "G", "B") if samples == 3 else ()
    if frames == 1:
        return Content(unit, colours), False
    if arranged.channels and samples == 1:
        return Content(unit, arranged.channels), True
    if rules.frames == "channels":
        return Content(unit), True
    return Content(unit, colours, frames=frames, times_s=arranged.times_s), False


def _in_unit(arranged: Arranged, rules: Rules, findings: list[Finding]) -> tuple[Arranged, str]:
    """Say the unit of the samples; PET is brought to SUV where its header permits."""
    first = arranged.frames[0][0]
    if first.acquisition.get("Modality") != "PT":
        return arranged, rules.unit or _unit(first, findings)
    from vesalius.io.dicom._pet import pet_scale

    told = [s.identifying for row in arranged.frames for s in row]
    acquired = [
        (str(t.get("AcquisitionDate", "")), str(t.get("AcquisitionTime", ""))) for t in told
    ]
    scale = pet_scale(full_header(first.path, rules.budget), acquired, rules.unit)
    findings += scale.findings
    if scale.factor == 1:
        return arranged, scale.unit
    frames = tuple(
        tuple(
            replace(s, slope=s.slope * scale.factor, intercept=s.intercept * scale.factor)
            for s in row
        )
        for row in arranged.frames
    )
    return replace(arranged, frames=frames), scale.unit


def _unit(one: Slice, findings: list[Finding]) -> str:
    if one.acquisition.get("Modality") != "CT":
        return "Gy" if one.acquisition.get("DoseUnits") == "GY" else "1"
    stated = str(one.acquisition.get("RescaleType", "HU"))
    if not one.acquisition["rescaled"] or stated not in ("HU", "US"):
        text = f"CT without a rescale to HU (RescaleType {stated}): values are as stored, unit 1"
        findings.append(Finding("warning", "not-hu", text))
        return "1"
    return "HU"


def _meta(slices: list[Slice], frames: int, rules: Rules) -> dict[str, object]:
    first = slices[0]
    packed = first.packed
    kind = f"{'' if packed.signed else 'u'}int{packed.bits_stored}"
    meta: dict[str, object] = {
        "format": "DICOM",
        "slices": len(slices) // frames,
        "stored": f"float{packed.bits_allocated}" if packed.floats else kind,
        "transfer_syntax": packed.syntax,
        "channels": first.size[2],
        "frames": frames,
    }
    meta |= {k: first.acquisition[k] for k in ACQUISITION if k in first.acquisition}
    frame = mark(str(first.identifying.get("FrameOfReferenceUID", "")))
    meta |= {"frame_of_reference": frame} if frame else {}
    return meta | dict(first.identifying) if rules.patient else meta
