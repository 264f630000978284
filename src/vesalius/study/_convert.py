"""Convert: every volume at a path into another format, with what was noticed on the way."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Callable
from dataclasses import dataclass
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
from vesalius.errors import FormatError, GeometryError, OutputError, VesaliusError
from vesalius.io import Handle

Volume = Image | Labels | Series
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")


@final
@dataclass(frozen=True, slots=True)
class Conversion:
    """How to convert.

    Attributes:
        suffix: Format of the files in an output folder, such as ``".nii.gz"``.
        labels: Whether volumes are labels; DICOM SEG and outlines always are.
        like: Grid to bring everything to; empty keeps each volume's own. Outlines need one.
        roi: Regular expression for the names of the regions wanted.
        upright: Whether a sheared (tilted) volume is resampled to right angles.
        level: Level of a pyramid that is read.
    """

    suffix: str = ".nii.gz"
    labels: bool = False
    like: Grid | None = None
    roi: str = ""
    upright: bool = False
    level: int = 0


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
        OutputError: ``out`` is a file and there are several things to write.
        FormatError: Nothing was found.
    """
    things: list[Handle | io.Contours] = [*_volumes(found), *found.contours]
    single = _is_file(out)
    if single and len(things) != 1:
        names = ", ".join(repr(thing.name) for thing in things[:5])
        raise OutputError(
            f"output {out.name!r} must be a folder for {len(things)} volumes ({names}): "
            "name a folder, or open one of them"
        )
    if not single:
        out.mkdir(parents=True, exist_ok=True)
    done: list[Converted] = []
    taken: set[str] = set()
    for k, thing in enumerate(things):
        target = out if single else out / _file_name(thing.name, how.suffix, taken)
        done.append(_one(thing, target, how))
        if on_step is not None:
            on_step(Step(f"convert: {target.name}", k + 1, len(things)))
    refused = [Converted("", None, str(error)) for error in found.refused]
    return (*done, *refused)


def upright_grid(grid: Grid) -> Grid:
    """Give the grid with right angles that holds a sheared one.

    Args:
        grid: Axes need not meet at right angles; rows (x) and columns (y) must.

    Returns:
        The same x and y axes and spacings, slices along their normal at the distance that the
        planes have, as many rows and columns more as the lean takes; ``grid`` if it is upright.

    Raises:
        GeometryError: Rows and columns do not meet at right angles.
    """
    if grid.is_orthogonal:
        return grid
    axes = grid.affine[:3, :3]
    down, right = axes[:, 1], axes[:, 2]
    if abs(float(down @ right)) > 1e-4 * float(down.norm() * right.norm()):
        raise GeometryError(
            f"rows and columns must meet at right angles to set slices upright, got {grid}: "
            "resample it onto a grid of your own"
        )
    normal = torch.linalg.cross(down, right)
    normal = normal / normal.norm()
    gap = float(axes[:, 0] @ normal)
    affine = grid.affine.clone()
    affine[:3, 0] = normal * gap
    z, y, x = grid.shape
    # how far the last slice has slid along rows and columns, in pixels
    slide = (axes[:, 0] - normal * gap) * (z - 1)
    ends = [float(slide @ axis / (axis @ axis)) for axis in (down, right)]
    first = [min(0, int(torch.tensor(e).floor())) for e in ends]
    more = [int(torch.tensor(abs(e)).ceil()) for e in ends]
    affine[:3, 3] += first[0] * down + first[1] * right
    return Grid((z, y + more[0], x + more[1]), affine)


def _volumes(found: io.Survey) -> list[Handle]:
    """Leave localizers out where there is anything else."""
    plain = [h for h in found.handles if not any(f.code == "localizer" for f in h.findings)]
    return plain or list(found.handles)


def _is_file(out: Path) -> bool:
    known = any(out.name.lower().endswith(suffix) for suffix in io.formats())
    return known and not (out.is_dir() and not out.name.lower().endswith(".zarr"))


def _file_name(name: str, suffix: str, taken: set[str]) -> str:
    """Make a file name of a volume's name that is safe and not taken."""
    low = name.lower()
    endings = [s for s in (*io.formats(), ".dcm", ".zip") if low.endswith(s)]
    stem = name[: len(name) - max(map(len, endings))] if endings else name
    stem = _UNSAFE.sub("_", stem).strip("._") or "volume"
    wanted, number = stem, 1
    while wanted.lower() in taken:
        number += 1
        wanted = f"{stem}_{number}"
    taken.add(wanted.lower())
    return wanted + suffix


def _one(thing: "Handle | io.Contours", target: Path, how: Conversion) -> Converted:
    notes = tuple(f"{f.severity}: {f.message}" for f in thing.findings if f.severity != "info")
    try:
        io.save(_shaped(_read(thing, how), how), target)
    except OutputError:
        raise
    except VesaliusError as error:
        return Converted(thing.name, None, str(error), notes)
    return Converted(thing.name, target, "", notes)


def _read(thing: "Handle | io.Contours", how: Conversion) -> Volume:
    if isinstance(thing, io.Contours):
        if how.like is None:
            raise FormatError(
                f"{thing.name!r} must have a grid to be drawn on, outlines have none: "
                "name the image with --like"
            )
        return io.rasterise(thing, how.like, roi=how.roi)
    if how.labels or thing.content.names:
        return _chosen(thing.read_labels(level=how.level), how.roi)
    if thing.content.frames > 1:
        return thing.read_series(level=how.level)
    return thing.read(level=how.level)


def _chosen(labels: Labels, roi: str) -> Labels:
    """Keep the regions whose name matches; 0 stands where the others were."""
    if not roi:
        return labels
    kept = {key: name for key, name in labels.names.items() if re.fullmatch(roi, name)}
    if not kept:
        names = ", ".join(sorted(set(labels.names.values()))[:10]) or "none"
        raise FormatError(f"--roi {roi!r} must match the name of a region, there are: {names}")
    data = torch.zeros_like(labels.data)
    for layer, value in kept:
        data[layer][labels.data[layer] == value] = value
    return Labels(data, labels.grid, kept)


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
