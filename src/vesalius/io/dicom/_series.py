"""A DICOM series: files of one series, sorted by position, refused unless they are a lattice."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._budget import Budget
from vesalius.io._contours import Contours
from vesalius.io._frames import grid_from_xyz
from vesalius.io._handle import Array, Content, Finding, Handle, Rules, whole
from vesalius.io.dicom._slice import Slice, read_samples, read_slice

SAME_MM = 1e-3
GAP_TOLERANCE = 0.01
TILT_DEG = 0.1
INTEGERS = (np.int16, np.int32, np.int64)


@dataclass(frozen=True, slots=True)
class Found:
    """What the DICOM files at a path came to."""

    handles: tuple[Handle, ...]
    contours: tuple[Contours, ...]
    refused: tuple[FormatError, ...]
    skipped: tuple[str, ...]


def open_dicom(files: Sequence[Path], name: str, rules: Rules) -> Found:
    """Group DICOM files by series and open each series as one volume.

    Args:
        files: DICOM files, in any order.
        name: What to call the whole, such as the name of the folder.
        rules: ``patient`` lets identifying entries into ``meta``.

    Returns:
        One handle for each series that is a lattice, one error for each that is not, and the
        names of DICOM files that hold no image.
    """
    series: dict[str, list[Slice]] = {}
    refused: list[FormatError] = []
    skipped: list[str] = []
    broken: dict[str, list[str]] = {}
    for path in files:
        try:
            one = read_slice(path)
        except FormatError as error:
            broken.setdefault(str(error).replace(repr(path.name), ""), []).append(str(error))
            continue
        if one is None:
            skipped.append(path.name)
        else:
            series.setdefault(one.series, []).append(one)
    refused += [_together(messages) for messages in broken.values()]
    handles: list[Handle] = []
    for slices in series.values():
        number = slices[0].acquisition.get("SeriesNumber")
        label = name if len(series) == 1 else f"{name} series {number}"
        try:
            handles.append(_open_series(slices, label, rules))
        except FormatError as error:
            refused.append(error)
    return Found(tuple(handles), (), tuple(refused), tuple(skipped))


def _together(messages: list[str]) -> FormatError:
    more = f" (and {len(messages) - 1} more files likewise)" if len(messages) > 1 else ""
    return FormatError(messages[0] + more)


def _open_series(slices: list[Slice], name: str, rules: Rules) -> Handle:
    _check_alike(slices, name)
    findings: list[Finding] = []
    ordered, affine = _lattice(slices, name, findings)
    rows, columns, channels = ordered[0].size
    dtype = _sample_type(ordered)
    shape = (channels, len(ordered), rows, columns)
    rules.budget.check_size(name, shape, np.dtype(dtype).itemsize)
    for one in ordered:
        _check_length(one, rules.budget)
    grid = grid_from_xyz(name, (columns, rows, len(ordered)), affine)
    findings += _remarks(ordered[0])
    unit = rules.unit or _unit(ordered[0], findings)
    content = Content(unit, ("R", "G", "B") if channels == 3 else ())

    def load() -> Array:
        return _load(ordered, shape, dtype)[None]

    return Handle(name, grid, _meta(ordered, rules), tuple(findings), content, whole(load))


def _check_alike(slices: list[Slice], name: str) -> None:
    first = slices[0]
    sizes = sorted({one.size for one in slices})
    if len(sizes) > 1:
        shown = ", ".join(f"{rows} x {columns}" for rows, columns, _ in sizes[:4])
        raise FormatError(
            f"series {name!r} must have slices of one size, it has {shown}: "
            "put each size in a folder of its own"
        )
    spacings = [one.spacing_mm for one in slices]
    if first.spacing_mm is None or None in spacings:
        same = all(s is None for s in spacings)
    else:
        known = np.array(spacings, dtype=np.float64)
        same = bool(np.ptp(known, axis=0).max() * max(first.size) <= 0.1)
    if not same:
        raise FormatError(
            f"series {name!r} must have one pixel spacing, it has "
            f"{len(set(spacings))}: put each in a folder of its own"
        )
    axes = [one.axes for one in slices if one.axes is not None]
    apart = max((float(np.abs(a - axes[0]).max()) for a in axes), default=0.0)
    if apart > 1e-3 or 0 < len(axes) < len(slices):
        localizer = (
            ", as localizers have" if any("LOCALIZER" in one.image_type for one in slices) else ""
        )
        raise FormatError(
            f"series {name!r} must have slices of one orientation, it has several{localizer}: "
            "put each orientation in a folder of its own"
        )


def _lattice(slices: list[Slice], name: str, findings: list[Finding]) -> tuple[list[Slice], Array]:
    """Sort slices along their normal; give them with the affine on (x, y, z), LPS."""
    first = slices[0]
    if first.axes is None or any(one.position_mm is None for one in slices):
        return slices, _flat(slices, name, findings)
    normal = np.cross(first.axes[:, 0], first.axes[:, 1])
    if not abs(float(np.linalg.norm(normal)) - 1) < 1e-3:
        raise FormatError(
            f"series {name!r} must have rows and columns at right angles, "
            f"ImageOrientationPatient is {first.axes.T.reshape(-1).tolist()}: repair its header"
        )
    positions = np.array([one.position_mm for one in slices])
    order = np.argsort(positions @ normal, kind="stable")
    ordered, positions = [slices[k] for k in order], positions[order]
    affine = np.eye(4)
    dy, dx = _spacing(first, findings)
    affine[:3, 0], affine[:3, 1] = first.axes[:, 0] * dx, first.axes[:, 1] * dy
    affine[:3, 3] = positions[0]
    if len(slices) == 1:
        affine[:3, 2] = normal * _thickness(first, findings)
        return ordered, affine
    _check_gaps(ordered, positions @ normal, name)
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    _check_steps(positions, step, normal, name, findings)
    affine[:3, 2] = step
    return ordered, affine


def _flat(slices: list[Slice], name: str, findings: list[Finding]) -> Array:
    if len(slices) > 1:
        raise FormatError(
            f"series {name!r} must say where each slice lies, ImagePositionPatient or "
            f"ImageOrientationPatient is absent in some of its {len(slices)} files: "
            "open its files one by one"
        )
    text = "the image has no position: x, y are taken as L, P from 0"
    findings.append(Finding("warning", "no-position", text))
    dy, dx = _spacing(slices[0], findings)
    return np.diag([dx, dy, _thickness(slices[0], findings), 1.0])


def _spacing(one: Slice, findings: list[Finding]) -> tuple[float, float]:
    if one.spacing_mm is None:
        findings.append(Finding("warning", "no-spacing", "no pixel spacing: 1 mm assumed"))
    return one.spacing_mm or (1.0, 1.0)


def _thickness(one: Slice, findings: list[Finding]) -> float:
    value = one.acquisition.get("SliceThickness")
    known = isinstance(value, float) and value > 0
    thickness = float(str(value)) if known else 1.0
    source = "its thickness" if known else "no thickness either: 1 mm"
    text = f"one slice has no distance to the next: {source} ({thickness:g} mm) is taken"
    findings.append(Finding("info", "single-slice", text))
    return thickness


def _check_gaps(ordered: list[Slice], along: Array, name: str) -> None:
    gaps = np.diff(along)
    same = gaps < SAME_MM
    if same.any():
        raise FormatError(_duplicates(ordered, along, name))
    middle = float(np.median(gaps))
    wrong = np.abs(gaps - middle) > GAP_TOLERANCE * middle
    if not wrong.any():
        return
    ratio = gaps / gaps.min()
    at = int(np.argmax(gaps))
    where = f"between {along[at]:.2f} and {along[at + 1]:.2f} mm along the normal"
    if float(np.abs(ratio - ratio.round()).max()) < 0.05:
        missing = int((ratio.round() - 1).sum())
        raise FormatError(
            f"series {name!r} must have all its slices, {missing} missing: the largest gap is "
            f"{gaps[at]:.4g} mm {where}, the smallest {gaps.min():.4g} mm: copy the series again"
        )
    raise FormatError(
        f"series {name!r} must have evenly spaced slices (to 1%), its gaps run from "
        f"{gaps.min():.4g} to {gaps.max():.4g} mm, the largest {where}: "
        "resample it to even slices first"
    )


def _duplicates(ordered: list[Slice], along: Array, name: str) -> str:
    starts = np.flatnonzero(np.concatenate([[True], np.diff(along) >= SAME_MM]))
    counts = np.diff(np.append(starts, len(along)))
    if len(set(counts.tolist())) == 1:
        return (
            f"series {name!r} must have one slice at each position, all {len(counts)} positions "
            f"have {counts[0]}: frames in time, echoes or phases; convert it to NIfTI first, "
            "or put each frame in a folder of its own"
        )
    at = int(starts[np.argmax(counts)])
    files = ", ".join(repr(one.path.name) for one in ordered[at : at + 2])
    return (
        f"series {name!r} must have one slice at each position, {int((counts > 1).sum())} have "
        f"duplicates, such as {files} at {along[at]:.2f} mm along the normal: remove one of each"
    )


def _check_steps(
    positions: Array, step: Array, normal: Array, name: str, findings: list[Finding]
) -> None:
    gap = float(step @ normal)
    sideways = np.diff(positions, axis=0) - step
    sideways -= np.outer(sideways @ normal, normal)
    worst = float(np.linalg.norm(sideways, axis=1).max())
    if worst > GAP_TOLERANCE * gap + SAME_MM:
        raise FormatError(
            f"series {name!r} must have slices in a straight row, one lies {worst:.4g} mm "
            f"sideways of where its neighbours put it (gap {gap:.4g} mm): "
            "put each stack in a folder of its own"
        )
    tilt = math.degrees(math.acos(min(1.0, gap / float(np.linalg.norm(step)))))
    if tilt > TILT_DEG:
        text = (
            f"slices are tilted: the row of slices leans {tilt:.2f} deg from their normal; "
            "the grid is sheared, resample it where right angles are needed"
        )
        findings.append(Finding("warning", "tilted", text))


def _sample_type(slices: list[Slice]) -> type[np.generic]:
    if not all(one.is_whole for one in slices):
        return np.float32 if max(one.bits for one in slices) <= 16 else np.float64
    low = min(one.bounds[0] for one in slices)
    high = max(one.bounds[1] for one in slices)
    if low >= 0 and high <= 255:
        return np.uint8
    fits = [t for t in INTEGERS if np.iinfo(t).min <= low and high <= np.iinfo(t).max]
    return fits[0] if fits else np.int64


def _check_length(one: Slice, budget: Budget) -> None:
    from pydicom.uid import UID

    uid = UID(one.syntax)
    if one.syntax and (uid.is_encapsulated or uid.is_deflated):
        return
    needed = math.prod(one.size) * (-(-one.bits // 8))
    budget.check_stored(one.path.name, needed, one.path.stat().st_size, deflated=False)


def _load(slices: list[Slice], shape: tuple[int, ...], dtype: type[np.generic]) -> Array:
    volume = np.empty(shape, dtype)
    for k, one in enumerate(slices):
        volume[:, k] = read_samples(one)
    return volume


def _remarks(one: Slice) -> list[Finding]:
    found = []
    if one.photometric == "MONOCHROME1":
        text = "MONOCHROME1: meant to be shown with low values bright; the values are kept"
        found.append(Finding("info", "monochrome1", text))
    if str(one.acquisition.get("LossyImageCompression", "")).endswith("1"):
        text = "the samples went through lossy compression: values are not what was measured"
        found.append(Finding("warning", "lossy", text))
    if "LOCALIZER" in one.image_type:
        found.append(Finding("info", "localizer", "the series is a localizer"))
    return found


def _unit(one: Slice, findings: list[Finding]) -> str:
    if one.acquisition.get("Modality") != "CT":
        return "1"
    stated = str(one.acquisition.get("RescaleType", "HU"))
    if not one.acquisition["rescaled"] or stated not in ("HU", "US"):
        text = f"CT without a rescale to HU (RescaleType {stated}): values are as stored, unit 1"
        findings.append(Finding("warning", "not-hu", text))
        return "1"
    return "HU"


def _meta(slices: list[Slice], rules: Rules) -> dict[str, object]:
    first = slices[0]
    kind = f"{'' if first.signed else 'u'}int{first.bits}"
    meta: dict[str, object] = {
        "format": "DICOM",
        "slices": len(slices),
        "stored": kind,
        "transfer_syntax": first.syntax,
        "channels": first.size[2],
        "frames": 1,
    }
    meta |= {k: v for k, v in first.acquisition.items() if k != "rescaled"}
    return meta | dict(first.identifying) if rules.patient else meta
