"""Manifest: the cases of a cohort, one row each, and what else is known of them."""
# SPDX-License-Identifier: Apache-2.0

import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

from vesalius.errors import ConfigError, FormatError
from vesalius.io.tables import read_rows

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = ("subject", "session", "role")
FILES = ("image", "labels")
HOW = ("regions", "roi", "unit", "modality")
"""Columns that say how a case is measured."""

RESERVED = (
    "case",
    "label",
    "config_hash",
    "reason",
    "regions_measured",
    "status",
    "cause",
    "findings",
)
"""Columns of the tables that a run writes."""

_MODALITIES = ("CT", "MR", "PET", "other")
_PERSON = ("id", "patient", "patientid", "patient_id", "subject", "case")
"""Columns of a PyRadiomics batch file that name the patient, in small letters."""
_SHOWN = 5


@final
@dataclass(frozen=True, slots=True)
class Case:
    """One row of a manifest.

    Attributes:
        name: Identifier: subject, session and role with underscores between; unique.
        subject: The patient or animal.
        session: The visit; empty where there is one.
        role: What is looked at, such as ``lesion``; empty where there is one.
        image: The image.
        labels: Its labels.
        regions: Labels to measure; empty takes all.
        roi: Regular expression of names of regions; empty takes all.
        unit: Unit of the image; empty takes the file's.
        modality: Overrides that of the configuration; empty keeps it.
    """

    name: str
    subject: str
    session: str
    role: str
    image: Path
    labels: Path
    regions: tuple[int, ...] = ()
    roi: str = ""
    unit: str = ""
    modality: str = ""

    @property
    def missing(self) -> str:
        """Say which of its files is not there, or no file or folder; empty where both are."""
        for what, path in zip(FILES, (self.image, self.labels), strict=True):
            try:
                mode = path.stat().st_mode
            except (FileNotFoundError, NotADirectoryError, ValueError):
                return f"{what} {path.name!r} is not there"
            except OSError as error:
                return f"{what} {path.name[:80]!r} cannot be reached ({error.strerror})"
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a pipe would be read for ever
                return f"{what} {path.name!r} is neither a file nor a folder"
        return ""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """The cases of a cohort.

    Attributes:
        cases: In the order of the file.
        columns: The rows as they were given, with ``subject``, ``session``, ``role``, ``image``
            and ``labels`` first, as text.
        clinical: Names of the columns that say nothing about the measurement.
    """

    cases: tuple[Case, ...]
    columns: "pd.DataFrame" = field(repr=False)
    clinical: tuple[str, ...] = ()


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest.

    Args:
        path: CSV, TSV or Parquet. Columns ``subject``, ``image`` and ``labels``; ``session``,
            ``role`` where a subject has several rows; ``regions`` (labels such as ``1 3``), ``roi``
            (names, a regular expression), ``unit`` and ``modality`` where they differ between
            cases; all others are clinical. Or a batch file of PyRadiomics: ``Image``, ``Mask`` and
            perhaps ``Label``. Paths are relative to the folder of the manifest.

    Returns:
        The cases. Whether their files are there is not looked at; see ``Case.missing``.

    Raises:
        FormatError: It cannot be read, a column or a cell is missing, a row comes twice, or two
            rows are one case.
        ConfigError: A cell says how to measure and cannot be understood.
    """
    path = Path(path)
    frame = read_rows(path)
    if "Image" in frame.columns and "Mask" in frame.columns:
        frame = _from_batch(frame)
    _check_columns(frame, path.name)
    text = {
        name: [_text(value) for value in frame[name].tolist()]
        for name in (*IDENTITY, *FILES, *HOW)
        if name in frame.columns
    }
    full = {name: text.get(name, [""] * len(frame)) for name in (*IDENTITY, *FILES, *HOW)}
    rows = [dict(zip(full, cells, strict=True)) for cells in zip(*full.values(), strict=True)]
    _check_rows(rows, path.name)
    cases = tuple(_case(row, path.parent, line) for line, row in enumerate(rows, start=2))
    _check_names(cases, path.name)
    clinical = tuple(str(name) for name in frame.columns if name not in full)
    return Manifest(cases, _ordered(frame, full, text), clinical)


def _ordered(
    frame: "pd.DataFrame", full: dict[str, list[str]], given: dict[str, list[str]]
) -> "pd.DataFrame":
    """Give the rows with text in all columns of ours, these first."""
    shown = [name for name in full if name in given or name in IDENTITY]
    rest = [name for name in frame.columns if name not in full]
    columns = frame.assign(**{name: full[name] for name in shown})
    return columns[[*shown, *rest]]


def _from_batch(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Bring a batch file of PyRadiomics into our columns; others stay as they are."""
    taken = {"Image": "image", "Mask": "labels", "Label": "regions"}
    person = next((n for n in frame.columns if str(n).lower() in _PERSON), None)
    if person is not None:
        taken[str(person)] = "subject"
    clash = [name for name in frame.columns if name in taken.values() and name not in taken]
    if clash:
        raise FormatError(
            f"a batch file must name each thing once, it has {clash[0]!r} beside the columns of "
            "PyRadiomics: rename or remove it"
        )
    frame = frame.rename(columns=taken)
    if person is None:
        frame = frame.assign(subject=[_stem(_text(v)) for v in frame["image"].tolist()])
    keys = [_text(value) for value in frame["subject"].tolist()]
    repeated = {key for key, count in Counter(keys).items() if count > 1}
    if "role" not in frame.columns and repeated and "regions" in frame.columns:
        # one image with several labels is one line for each
        labels = [_text(value) for value in frame["regions"].tolist()]
        roles = [f"label{b}" if a in repeated else "" for a, b in zip(keys, labels, strict=True)]
        frame = frame.assign(role=roles)
    return frame


def _stem(path: str) -> str:
    return re.split(r"[\\/]", path)[-1].partition(".")[0]


def _text(value: object) -> str:
    if isinstance(value, float):  # a column of numbers: subject 7 is not subject 7.0
        if value != value:
            return ""
        return str(int(value)) if value.is_integer() else repr(float(value))
    return str(value).strip()


def _check_columns(frame: "pd.DataFrame", file: str) -> None:
    names = [str(name) for name in frame.columns]
    if absent := [name for name in ("subject", *FILES) if name not in names]:
        raise FormatError(
            f"a manifest must have the columns subject, image and labels (or Image and Mask, as "
            f"PyRadiomics has them), {file!r} lacks {', '.join(absent)}; it has "
            f"{', '.join(names[:12])}: rename its columns"
        )
    if clash := [name for name in names if name in RESERVED]:
        raise FormatError(
            f"columns of a manifest must not be called as those of the results, {file!r} has "
            f"{clash[0]!r}: rename it"
        )


def _check_rows(rows: list[dict[str, str]], file: str) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for line, row in enumerate(rows, start=2):
        for name in ("subject", *FILES):
            if not row[name]:
                raise FormatError(
                    f"every row of a manifest must have subject, image and labels, line {line} of "
                    f"{file!r} has no {name}: fill it or remove the row"
                )
        key = tuple(row[name] for name in (*IDENTITY, *FILES, "regions", "roi"))
        if key in seen:
            raise FormatError(
                f"each row of a manifest must come once, line {line} of {file!r} is line "
                f"{seen[key]} again ({row['subject']!r}): remove one"
            )
        seen[key] = line


def _check_names(cases: tuple[Case, ...], file: str) -> None:
    lines: dict[str, list[int]] = {}
    for line, case in enumerate(cases, start=2):
        lines.setdefault(case.name, []).append(line)
    twice = {name: at for name, at in lines.items() if len(at) > 1}
    if twice:
        name, at = next(iter(twice.items()))
        more = f"; so are {len(twice) - 1} more" if len(twice) > 1 else ""
        raise FormatError(
            f"subject, session and role must name one case together, {name!r} stands in lines "
            f"{', '.join(map(str, at[:_SHOWN]))} of {file!r}{more}: tell them apart by a session "
            "or a role"
        )


def _case(row: dict[str, str], folder: Path, line: int) -> Case:
    modality = row["modality"]
    if modality and modality not in _MODALITIES:
        raise ConfigError(
            f"modality must be one of {', '.join(_MODALITIES)}, line {line} has {modality!r}"
        )
    try:
        re.compile(row["roi"])
    except re.error as error:
        raise ConfigError(
            f"roi must be a regular expression, line {line} has {row['roi']!r} ({error})"
        ) from None
    return Case(
        "_".join(row[name] for name in IDENTITY if row[name]),
        row["subject"],
        row["session"],
        row["role"],
        image=folder / row["image"],
        labels=folder / row["labels"],
        regions=_regions(row["regions"], line),
        roi=row["roi"],
        unit=row["unit"],
        modality=modality,
    )


def _regions(text: str, line: int) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in re.split(r"[,;\s]+", text) if word)
    except ValueError:
        raise ConfigError(
            f"regions must be labels such as 1 3, line {line} has {text!r}; names go to roi"
        ) from None
