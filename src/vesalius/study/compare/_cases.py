"""Cases: which prediction belongs to which truth, and what their files hold."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.errors import FormatError
from vesalius.io._open import FOLDERS, READERS

_SHOWN = 5  # names that a message lists


@dataclass(frozen=True, slots=True)
class Case:
    """A prediction and its truth.

    Attributes:
        name: Of the case: the file's name without suffix.
        pred: File of the prediction.
        truth: File of the truth.
    """

    name: str
    pred: Path
    truth: Path


def find_cases(pred: Path, truth: Path) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Pair predictions with truths: two files, or the equally named files of two folders.

    In place of a file a folder may hold ``NAME/labels.*``, as ``vesalius segment`` writes it.

    Args:
        pred: File or folder.
        truth: File or folder.

    Returns:
        The cases by name, and what must be known: truths without a prediction and the reverse.

    Raises:
        FormatError: One is a folder and the other is not, or no names agree.
    """
    whole = [_is_volume(path) for path in (pred, truth)]
    if all(whole):
        return (Case(stem(truth), pred, truth),), ()
    if any(whole):
        raise FormatError(
            "prediction and truth must be two files or two folders of equally named files, got "
            f"one of each: {pred.name!r} and {truth.name!r}"
        )
    one, two = _named(pred), _named(truth)
    shared = sorted(set(one) & set(two))
    if not shared:
        raise FormatError(
            "two folders must hold files of the same names to be compared, none agree: "
            f"{_list(sorted(one))} and {_list(sorted(two))}"
        )
    remarks = []
    if missing := sorted(set(two) - set(one)):
        remarks.append(
            f"{len(missing)} of {len(two)} true cases have no prediction and count nowhere: "
            f"{_list(missing)}."
        )
    if extra := sorted(set(one) - set(two)):
        remarks.append(f"{len(extra)} predictions have no truth: {_list(extra)}.")
    return tuple(Case(name, one[name], two[name]) for name in shared), tuple(remarks)


def read_labels(path: Path, spacing_mm: tuple[float, ...]) -> Labels:
    """Read labels; a spacing that the file lacks is taken from the user.

    Args:
        path: File of labels.
        spacing_mm: Along (z, y, x), or empty.

    Returns:
        The labels.

    Raises:
        FormatError: The file holds no labels.
    """
    labels = io.open_labels(path)
    if not spacing_mm or not lacks_spacing(path):
        return labels
    z, y, x = spacing_mm
    return Labels(labels.data, Grid.from_spacing(labels.grid.shape, (z, y, x)), labels.names)


def lacks_spacing(path: Path) -> bool:
    """Say whether a reader assumed the spacing."""
    try:
        found = io.open(path).findings
    except FormatError:  # outlines, or nothing that can be read
        return False
    return any(f.code == "no-spacing" for f in found)


def stem(path: Path) -> str:
    """Give a file's name without its suffix, also of two parts."""
    suffix = _suffix(path)
    return path.name[: -len(suffix)] if suffix else path.name


def _suffix(path: Path) -> str:
    known = [s for s in (*READERS, *FOLDERS) if path.name.lower().endswith(s)]
    return max(known, key=len, default="")


def _is_volume(path: Path) -> bool:
    return not path.is_dir() or bool(_suffix(path))


def _named(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        held = path if _suffix(path) else _labels_in(path)
        if path.name.startswith(".") or held is None:
            continue
        if stem(path) in found:
            raise FormatError(
                f"a folder must hold one file for each case, {folder.name!r} has "
                f"{found[stem(path)].name!r} and {path.name!r}: move one away"
            )
        found[stem(path)] = held
    return found


def _labels_in(path: Path) -> Path | None:
    """Give the labels in a folder that ``vesalius segment`` wrote, if it is one."""
    if not path.is_dir():
        return None
    files = (p for p in sorted(path.iterdir()) if _suffix(p) and stem(p) == "labels")
    return next(files, None)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
