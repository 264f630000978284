"""Opening: find the volumes at a path, read their headers, leave their samples."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vesalius.core import Labels
from vesalius.errors import FormatError
from vesalius.io._dicom import open_dicom
from vesalius.io._dicom_slice import is_dicom
from vesalius.io._handle import Finding, Form, Frames, Handle, Rules
from vesalius.io._metaimage import open_metaimage
from vesalius.io._nifti import open_nifti
from vesalius.io._nrrd import open_nrrd
from vesalius.io._png import open_png

READERS: dict[str, Callable[[Path, Rules], Handle]] = {
    ".nii": open_nifti,
    ".nii.gz": open_nifti,
    ".nrrd": open_nrrd,
    ".nhdr": open_nrrd,
    ".mha": open_metaimage,
    ".mhd": open_metaimage,
    ".png": open_png,
}
ATTACHED = (".raw", ".zraw", ".raw.gz")


def open(
    path: str | Path,
    *,
    form: Form = "agree",
    unit: str = "",
    frames: Frames = "time",
    patient: bool = False,
    max_bytes: int = 1 << 34,
) -> Handle:
    """Open the one volume at a path without reading its samples.

    Args:
        path: A file, or a folder with one DICOM series or one image file.
        form: Which position a NIfTI file has where sform and qform differ by more than 0.1 mm;
            ``"agree"`` refuses such a file.
        unit: Unit of the samples, such as ``"HU"``; empty takes what the file tells.
        frames: What a fourth axis is: frames in time, or channels.
        patient: Whether ``meta`` may hold what identifies a patient.
        max_bytes: Largest volume accepted, bytes.

    Returns:
        A handle with ``.grid``, ``.meta``, ``.findings`` and ``.read()``.

    Raises:
        FormatError: There is not exactly one volume, or it is damaged or ambiguous.
    """
    survey = _survey(Path(path), Rules(form, unit, frames, patient, max_bytes))
    if survey.refused:
        raise survey.refused[0]
    if len(survey.handles) != 1:
        names = ", ".join(repr(handle.name) for handle in survey.handles[:5])
        raise FormatError(
            f"{Path(path).name!r} must hold one volume, it holds {len(survey.handles)} ({names}): "
            "open one by its own path, or list all with io.scan"
        )
    return survey.handles[0]


def scan(
    path: str | Path,
    *,
    form: Form = "agree",
    unit: str = "",
    frames: Frames = "time",
    patient: bool = False,
    max_bytes: int = 1 << 34,
) -> tuple[Handle, ...]:
    """Open every volume at a path without reading samples; folders are searched to the bottom.

    Args:
        path: A file or a folder.
        form: See ``open``.
        unit: See ``open``.
        frames: See ``open``.
        patient: See ``open``.
        max_bytes: Largest single volume accepted, bytes.

    Returns:
        One handle for each file or DICOM series, in the order of their names. What could not be
        read is told in the findings of each.

    Raises:
        FormatError: Nothing at the path can be read.
    """
    survey = _survey(Path(path), Rules(form, unit, frames, patient, max_bytes))
    if survey.refused and not survey.handles:
        raise survey.refused[0]
    refused = tuple(Finding("error", "refused", str(error)) for error in survey.refused)
    return tuple(replace(h, findings=h.findings + refused) for h in survey.handles)


def open_labels(path: str | Path, *, form: Form = "agree", max_bytes: int = 1 << 34) -> Labels:
    """Read the one volume at a path as labels.

    Args:
        path: A file of whole numbers, integer or floating point.
        form: See ``open``.
        max_bytes: Largest volume accepted, bytes.

    Returns:
        The labels, with the names that the file holds.

    Raises:
        FormatError: There is not exactly one volume, or it holds values that are not whole.
    """
    return open(path, form=form, max_bytes=max_bytes).read_labels()


@dataclass(frozen=True, slots=True)
class _Survey:
    """What was found at a path."""

    handles: tuple[Handle, ...] = ()
    refused: tuple[FormatError, ...] = ()


def _survey(path: Path, rules: Rules) -> _Survey:
    try:
        if path.is_dir():
            return _folder(path, rules)
        return _file(path, rules)
    except OSError as error:
        raise FormatError(
            f"{path.name!r} must be readable, the system says: {error.strerror}: "
            "check its permissions"
        ) from error


def _file(path: Path, rules: Rules) -> _Survey:
    if not path.exists():
        raise FormatError(f"{path.name!r} must exist to be opened, it does not: check the path")
    if not path.is_file():
        raise FormatError(f"{path.name!r} must be a file or a folder, it is neither: copy it first")
    if path.stat().st_size == 0:
        raise FormatError(f"{path.name!r} must hold an image, it is empty: copy it again")
    reader = _reader(path)
    if reader is not None:
        return _Survey((reader(path, rules),))
    found = open_dicom([path], path.name, rules) if is_dicom(path) else None
    if found is None or found.skipped:
        raise FormatError(
            f"{path.name!r} must be an image file ({', '.join(READERS)} or DICOM), "
            "its name and first bytes say it is none: convert it first"
        )
    return _Survey(found.handles, found.refused)


def _reader(path: Path) -> Callable[[Path, Rules], Handle] | None:
    name = path.name.lower()
    fitting = [suffix for suffix in READERS if name.endswith(suffix)]
    return READERS[max(fitting, key=len)] if fitting else None


def _folder(path: Path, rules: Rules) -> _Survey:
    handles: list[Handle] = []
    refused: list[FormatError] = []
    skipped: list[str] = []
    dicom: list[Path] = []
    for file in _files(path):
        if _reader(file) is not None:
            try:
                handles += _file(file, rules).handles
            except FormatError as error:
                refused.append(error)
        elif is_dicom(file):
            dicom.append(file)
        else:
            skipped.append(file.name)
    found = open_dicom(dicom, path.resolve().name, rules)
    handles += found.handles
    refused += found.refused
    skipped += found.skipped
    if not handles and not refused:
        raise FormatError(
            f"folder {path.name!r} must hold an image, none of its {len(skipped)} files is one: "
            "check the path"
        )
    return _Survey(_with_skipped(handles, skipped), tuple(refused))


def _files(path: Path) -> list[Path]:
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    return [p for p in files if not p.name.lower().endswith(ATTACHED)]


def _with_skipped(handles: list[Handle], names: list[str]) -> tuple[Handle, ...]:
    if not names:
        return tuple(handles)
    shown = ", ".join(repr(name) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    text = f"files that are no images were skipped: {shown}{more}"
    note = Finding("info", "skipped", text)
    return tuple(replace(h, findings=(*h.findings, note)) for h in handles)
