"""Convert: every volume at a path into another format, with what was noticed on the way."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch

from vesalius import io
from vesalius.core import (
    Grid,
    Image,
    Labels,
    Series,
    Step,
    resample,
    resample_labels,
)
from vesalius.errors import FormatError, OutputError, VesaliusError
from vesalius.io import Handle
from vesalius.io._regions import Canvas, draw_outlines, pick
from vesalius.io.bids import bids_path, save_sidecar, write_dataset_description
from vesalius.study._targets import Dicom, format_of, is_format, suffix_of, write
from vesalius.study._upright import upright_grid

Volume = Image | Labels | Series
NO_DICOM = Dicom()
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
_SUFFIX = re.compile(r"\.[a-z]{2,5}$", re.I)


@final
@dataclass(frozen=True, slots=True)
class Conversion:
    """How to convert.

    Attributes:
        to: Format of the files in an output folder: a suffix such as ``".nii.gz"``, or
            ``"dicom"``, ``"seg"``, ``"rtstruct"``, ``"map"``; for a single file its suffix counts,
            unless ``to`` is a word for files of that suffix.
        labels: Whether volumes are labels; DICOM SEG and outlines always are.
        like: Grid to bring everything to; empty keeps each volume's own. Outlines need one.
        frame: Mark of the frame of reference of ``like``, its ``meta["frame_of_reference"]``;
            outlines of another one are told. Empty does not check.
        roi: Regular expression for the names of the regions wanted.
        dicom: What a DICOM target needs.
        upright: Whether a sheared (tilted) volume is resampled to right angles.
        level: Level of a pyramid that is read.
        bids: Entities and suffix of a BIDS derivative, such as ``"sub-01_T1w"``: ``out`` is then
            the root of the dataset, and a sidecar is written beside the one volume.
    """

    to: str = ".nii.gz"
    labels: bool = False
    like: Grid | None = None
    frame: str = ""
    roi: str = ""
    upright: bool = False
    level: int = 0
    dicom: Dicom = NO_DICOM
    bids: str = ""


@final
@dataclass(frozen=True, slots=True)
class Converted:
    """What became of one volume.

    Attributes:
        name: What it was called.
        file: The file that was written, or None.
        error: Why none was, or empty.
        findings: What was noticed, one text each.
    """

    name: str
    file: Path | None
    error: str = ""
    findings: tuple[str, ...] = ()


def convert(
    found: io.Survey,
    out: Path,
    how: Conversion,
    *,
    on_step: Callable[[Step], None] | None = None,
) -> tuple[Converted, ...]:
    """Write every volume and file of outlines in another format.

    Args:
        found: What is at a path; handles opened as the caller wants them read.
        out: A file, where there is one thing to write and the name has a known suffix; else a
            folder, which is made.
        how: How.
        on_step: Told of each file.

    Returns:
        One entry for each volume, each file of outlines and each thing that was refused.

    Raises:
        OutputError: ``out`` is a file and there are several things to write, or it looks like a
            file of an unknown format.
        FormatError: The format is unknown.
    """
    if not is_format(how.to):
        raise FormatError(
            f"the format must be dicom, seg, rtstruct, map, .geojson, .roi.zip or one of "
            f"{', '.join(io.formats())}, got {how.to!r}"
        )
    things: list[Handle | io.Contours] = [*found.volumes, *found.contours]
    if not things:
        return _refused(found)
    if how.bids:
        return _derivative(things, out, how)
    single = bool(format_of(out.name)) and not (out.is_dir() and not out.name.endswith(".zarr"))
    how = _placed(found, how)
    word = _word(out.name, how.to) if single else how.to
    if single and len(things) != 1:
        names = ", ".join(repr(thing.name) for thing in things[:5])
        raise OutputError(
            f"output {out.name!r} must be a folder for {len(things)} volumes ({names}): "
            "name a folder, or open one of them"
        )
    if not single:
        _make_folder(out)
    done: list[Converted] = []
    taken: set[str] = set()
    for k, thing in enumerate(things):
        target = out if single else out / _file_name(thing.name, suffix_of(how.to), taken)
        done.append(_one(thing, target, word, how))
        if on_step is not None:
            on_step(Step(f"convert: {target.name}", k + 1, len(things)))
    return (*done, *_refused(found))


def _refused(found: io.Survey) -> tuple[Converted, ...]:
    return tuple(Converted("", None, str(error)) for error in found.refused)


def _make_folder(out: Path) -> None:
    """Make the output folder, unless its name looks like that of a file of an unknown format."""
    if not out.exists() and _SUFFIX.search(out.name):
        raise OutputError(
            f"output {out.name!r} must end in a known suffix ({', '.join(io.formats())}) or be a "
            "folder: choose such a suffix, or make the folder first"
        )
    out.mkdir(parents=True, exist_ok=True)


def _derivative(
    things: "list[Handle | io.Contours]", root: Path, how: Conversion
) -> tuple[Converted, ...]:
    """Write the one volume into a BIDS dataset."""
    if len(things) != 1:
        names = ", ".join(repr(thing.name) for thing in things[:5])
        raise OutputError(
            f"a BIDS name must be for one volume, there are {len(things)} ({names}): choose one "
            "with --series"
        )
    target = root / bids_path(how.bids, suffix_of(how.to))
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (root / "dataset_description.json").exists():
        write_dataset_description(root, "derivative")
    done = _one(things[0], target, how.to, how)
    if done.file is not None and isinstance(things[0], Handle):
        save_sidecar(things[0], root / bids_path(how.bids, ".json"))
    return (done,)


def _word(name: str, to: str) -> str:
    """Give the format of a single file: its suffix, and for .dcm and .zarr the word."""
    suffix = format_of(name)
    return to if suffix in (".dcm", ".zarr") and suffix_of(to) == suffix else suffix


def _placed(found: io.Survey, how: Conversion) -> Conversion:
    """Let outlines be drawn on the grid asked for, else on that of the one volume."""
    volumes = found.volumes
    if how.like is None and found.contours and len(volumes) == 1:
        frame = str(volumes[0].meta.get("frame_of_reference", ""))
        return replace(how, like=volumes[0].grid, frame=frame)
    return how


def _file_name(name: str, suffix: str, taken: set[str]) -> str:
    """Make a file name of a volume's name that is safe and not taken."""
    low = name.lower()
    ending = format_of(name) or (".zip" if low.endswith(".zip") else "")
    stem = name[: len(name) - len(ending)]
    stem = _UNSAFE.sub("_", stem).strip("._") or "volume"
    wanted, number = stem, 1
    while wanted.lower() in taken:
        number += 1
        wanted = f"{stem}_{number}"
    taken.add(wanted.lower())
    return wanted + suffix


def _one(thing: "Handle | io.Contours", target: Path, word: str, how: Conversion) -> Converted:
    found = list(thing.findings)
    try:
        volume = _shaped(_read(thing, how, found), how)
        written = write(volume, target, word, how.dicom)
    except OutputError:
        raise
    except VesaliusError as error:
        return Converted(thing.name, None, str(error), _notes(found))
    return Converted(thing.name, written, "", _notes(found))


def _notes(findings: list[io.Finding]) -> tuple[str, ...]:
    return tuple(f"{f.severity}: {f.message}" for f in findings if f.severity == "warning")


def _read(thing: "Handle | io.Contours", how: Conversion, found: list[io.Finding]) -> Volume:
    if isinstance(thing, io.Contours):
        if how.like is None:
            raise FormatError(
                f"{thing.name!r} must have a grid to be drawn on, outlines have none: "
                "name the image with --like"
            )
        drawn = draw_outlines(thing, [], Canvas(how.like, how.frame), how.roi, io.Budget())
        found[:] = drawn.findings  # those of the file among them
        return drawn.labels
    if how.labels or thing.content.names:
        return pick(thing.read_labels(level=how.level), how.roi, thing.name)
    if thing.content.frames > 1:
        return thing.read_series(level=how.level)
    return thing.read(level=how.level)


def _shaped(volume: Volume, how: Conversion) -> Volume:
    """Bring a volume to the grid that was asked for."""
    like = volume.grid if how.like is None else how.like
    like = upright_grid(like) if how.upright else like
    if like is volume.grid:
        return volume
    if isinstance(volume, Labels):
        return resample_labels(volume, like)
    if isinstance(volume, Series):
        frames = [_resampled(volume[k], like) for k in range(len(volume))]
        data = torch.stack([frame.data for frame in frames])
        return Series(data, like, volume.times_s, volume.unit)
    return _resampled(volume, like)


def _resampled(image: Image, like: Grid) -> Image:
    """Interpolate linearly; whole numbers are rounded back to their type, outside is the least."""
    least = float(image.data.min())
    if image.dtype.is_floating_point:
        return resample(image, like, fill=least)
    fine = resample(image.map(torch.Tensor.double), like, fill=least)
    return fine.map(lambda x: x.round().to(image.dtype))
