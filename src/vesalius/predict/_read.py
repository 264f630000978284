"""Read: a file or a frame as a table of features, with a reason for every gap."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError, FormatError, UnitError
from vesalius.io.tables import read_note, read_rows
from vesalius.predict._description import Description
from vesalius.predict._table import NOT_GIVEN, Table

if TYPE_CHECKING:
    import pandas as pd

WIDE = "wide.parquet"
"""File of a cohort folder that holds a row for each case and region."""
ABOUT = ("case", "subject", "session", "role", "label", "config_hash", "reason")
"""Columns of our own tables that are no features."""
PLAIN = Description()
"""Nothing is known of the columns."""
_CASE = ("case", "subject", "id")
_NAMES = frozenset({*_CASE, "caseid", "subjectid", "patient", "patientid", "pid", "mrn"})
"""Names, in small letters without marks, of columns that say who and are never a feature."""


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """Which columns are features.

    Attributes:
        features: Patterns, such as ``original_*``; empty takes every number without a role.
        leave_out: Patterns of columns that are no features.
    """

    features: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()


def read_table(
    path: str | Path,
    description: Description = PLAIN,
    *,
    features: Sequence[str] = (),
    leave_out: Sequence[str] = (),
) -> Table:
    """Read a table of features.

    Args:
        path: CSV, gzipped CSV, TSV or Parquet with one row a case, or the folder of a cohort.
        description: What its columns mean; columns that it names are no features.
        features: Patterns of the columns that are features (``original_*``); empty takes every
            column of numbers that has no role.
        leave_out: Patterns of columns that are no features.

    Returns:
        The table, with the parameters of the features where the file says them.

    Raises:
        FormatError: The file is absent, damaged or no table.
        ConfigError: A named column is absent, a case occurs twice, features were made with
            different parameters, or there is no feature.
        UnitError: A feature has more than one unit.
        IntensityError: A value is infinite.
    """
    path = table_file(path)
    note = read_note(path)
    return as_table(read_rows(path), description, features=features, leave_out=leave_out, note=note)


def table_file(path: str | Path) -> Path:
    """Give the file of a table: the path itself, or that in the folder of a cohort.

    Args:
        path: A file or a folder.

    Returns:
        The file.

    Raises:
        FormatError: A folder is not that of a cohort.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if not (path / WIDE).is_file():
        raise FormatError(
            f"a folder must be that of a cohort, {path.name!r} holds no {WIDE}: run "
            "'vesalius cohort run' first, or give the table itself"
        )
    return path / WIDE


def as_table(
    frame: "pd.DataFrame",
    description: Description = PLAIN,
    *,
    features: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    note: dict[str, Any] | None = None,
) -> Table:
    """Take a data frame as a table of features.

    Args:
        frame: One row for each case.
        description: What its columns mean.
        features: Patterns of the columns that are features; empty takes every column of numbers
            that has no role.
        leave_out: Patterns of columns that are no features.
        note: What a file of ours says of itself: features, units, parameters, history.

    Returns:
        The table.

    Raises:
        ConfigError: A named column is absent, a case occurs twice, features were made with
            different parameters, a feature is no number, or there is none.
        FormatError: The note is not one of ours.
        UnitError: A feature has more than one unit.
        IntensityError: A value is infinite.
    """
    note = _checked(note or {})
    frame = _plain(frame)
    _check_columns(frame, description)
    chosen = _features(frame, description, Choice(tuple(features), tuple(leave_out)), note)
    cases = _cases(frame, description)
    values = frame[chosen].to_numpy(dtype=np.float64)
    kept = set(chosen)
    others = frame[[name for name in frame.columns if name not in kept]]
    return Table(
        cases,
        tuple(chosen),
        values,
        others,
        _reasons(frame, cases, chosen, values),
        _units(note, kept),
        _parameters(frame, note),
        tuple(_record(entry) for entry in note.get("history", ())),
    )


def _checked(note: dict[str, Any]) -> dict[str, Any]:
    kinds = {"features": list, "units": dict, "history": list}
    wrong = [name for name, kind in kinds.items() if not isinstance(note.get(name, kind()), kind)]
    if wrong or not all(isinstance(one, str) for one in note.get("features", ())):
        raise FormatError(
            "the note of a table must hold features (names), units and history, it has another "
            f"{(wrong or ['features'])[0]}: export the table again, or take its note away"
        )
    return note


def note_of(table: Table) -> dict[str, object]:
    """Give what a file must say of a table so that :func:`read_table` gives it back.

    Args:
        table: The table.

    Returns:
        JSON types, for ``io.tables.write_parquet(..., note=)``.
    """
    return {
        "features": list(table.features),
        "units": dict(table.units),
        "parameters": table.parameters,
        "history": [record.to_json() for record in table.history],
    }


def frame_of(table: Table) -> "pd.DataFrame":
    """Give a table as a data frame: what else is known first, then the features.

    Args:
        table: The table.

    Returns:
        One row for each case. Where no column would name the cases as they are named, ``case``
        does; reasons of gaps stand in ``reason`` as ``feature: why``, joined by semicolons.
    """
    import pandas as pd

    frame = table.columns.copy()
    if not _case_column(frame) or _cases(frame, PLAIN) != table.cases:
        frame = frame.drop(columns="case", errors="ignore")
        frame.insert(0, "case", list(table.cases))
    by_case: dict[str, list[str]] = {}
    for (case, feature), why in table.reasons.items():
        by_case.setdefault(case, []).append(f"{feature}: {why}")
    if by_case or "reason" in frame:
        frame = frame.assign(reason=["; ".join(by_case.get(case, ())) for case in table.cases])
    values = pd.DataFrame(table.values, columns=list(table.features))
    return pd.concat([frame, values], axis=1)


def _plain(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Name columns by text, and have one word for what is not there, whatever the frame uses."""
    import pandas as pd

    columns = {}
    for j, name in enumerate(map(str, frame.columns)):
        of = frame.iloc[:, j].reset_index(drop=True)
        if of.dtype.kind in "iufb" and not isinstance(of.dtype, np.dtype):
            whole = of.dtype.kind == "b" and not of.isna().any()
            of = of.astype(bool if whole else np.float64)
        elif of.dtype.kind == "O":
            of = of.astype("str" if isinstance(of.dtype, pd.StringDtype) else object)
            of = of.mask(of.isna() | (of.astype(str).str.strip() == ""), np.nan)
        columns[name] = of
    if len(columns) < frame.shape[1]:
        names = list(map(str, frame.columns))
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"each column must be named once, got {twice!r} twice: rename one")
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame)))


def _check_columns(frame: "pd.DataFrame", description: Description) -> None:
    for name in description.named:
        if name not in frame.columns:
            near = _nearest(name, [str(c) for c in frame.columns])
            raise ConfigError(
                f"the table must have the column {name!r}, it has not{near}: check the spelling"
            )


def _nearest(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _features(
    frame: "pd.DataFrame", description: Description, choice: Choice, note: dict[str, Any]
) -> list[str]:
    roles = {*description.named, *ABOUT, *(n for n in map(str, frame.columns) if _says_who(n))}
    numeric = [str(n) for n in frame.columns if frame[n].dtype.kind in "fiub" and n not in roles]
    known = set(note.get("features", ()))
    if choice.features:
        wanted = [str(n) for n in frame.columns if _matches(str(n), choice.features)]
        clash = [name for name in wanted if name in roles]
        texts = [name for name in wanted if name not in roles and name not in numeric]
        if clash:
            raise ConfigError(
                f"a column must not be a feature and have a role, {clash[0]!r} is both: leave it "
                "out of the features"
            )
        if texts:
            raise ConfigError(
                f"a feature must be a number, {texts[0]!r} holds text such as "
                f"{str(frame[texts[0]].iloc[0])[:30]!r}: code it as numbers, or leave it out"
            )
    else:
        wanted = [name for name in numeric if not known or name in known]
        _check_mixed(frame, {*roles, *numeric}, choice.leave_out)
    wanted = [name for name in wanted if not _matches(name, choice.leave_out)]
    if not wanted:
        raise ConfigError(
            "a table must have at least one feature, got none: columns of numbers without a role "
            "are features; see --features and --leave-out"
        )
    return wanted


def _check_mixed(frame: "pd.DataFrame", but: set[str], leave_out: tuple[str, ...]) -> None:
    """Refuse a feature that one cell has made a text: it would be left out without a word."""
    for name in map(str, frame.columns):
        if name in but or _matches(name, leave_out):
            continue
        texts = [str(cell).strip() for cell in frame[name].tolist()]
        numbers = [text for text in texts if _is_number(text)]
        wrong = [text for text in texts if text and text != "nan" and not _is_number(text)]
        if wrong and 2 * len(numbers) > len(texts) and any("." in text for text in numbers):
            raise ConfigError(
                f"a column must hold numbers alone or texts alone, {name!r} holds {wrong[0][:30]!r}"
                f" (row {texts.index(wrong[0]) + 1}) among {len(numbers)} numbers: mend the cell, "
                "empty it, or leave the column out with --leave-out"
            )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _cases(frame: "pd.DataFrame", description: Description) -> tuple[str, ...]:
    name = description.case or _case_column(frame)
    width = len(str(len(frame)))
    numbers = [f"row{k:0{width}d}" for k in range(1, len(frame) + 1)]
    if not name:
        return tuple(numbers)
    texts = [_name(value) for value in frame[name].tolist()]
    if not description.case and "label" in frame.columns and len(set(texts)) < len(texts):
        texts = [f"{a}:{_name(b)}" for a, b in zip(texts, frame["label"].tolist(), strict=True)]
    if not description.case:
        return tuple(text or number for text, number in zip(texts, numbers, strict=True))
    if "" in texts:
        raise ConfigError(
            f"every case must have a name, row {texts.index('') + 1} has none in {name!r}: fill it"
        )
    return tuple(texts)


def _says_who(name: str) -> bool:
    return "".join(c for c in name.lower() if c.isalnum()) in _NAMES


def _case_column(frame: "pd.DataFrame") -> str:
    """Find the column that names the cases: one of ours, else one that says who, once each."""
    for name in _CASE:
        for column in map(str, frame.columns):
            if column.lower() == name:
                return column
    found = [n for n in map(str, frame.columns) if _says_who(n) and frame[n].is_unique]
    return found[0] if found else ""


def _name(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "" if value != value else f"{float(value) + 0.0:.17g}"
    return str(value).strip()


def _reasons(
    frame: "pd.DataFrame", cases: tuple[str, ...], features: list[str], values: Any
) -> dict[tuple[str, str], str]:
    said: dict[tuple[str, str], str] = {}
    if "reason" in frame.columns:
        for case, text in zip(cases, frame["reason"].tolist(), strict=True):
            for part in str(text).split("; "):
                feature, colon, why = part.partition(": ")
                if colon:
                    said[case, feature] = why
    found = {}
    for i, j in zip(*np.nonzero(np.isnan(values)), strict=True):
        key = (cases[i], features[j])
        found[key] = said.get(key, NOT_GIVEN)
    return found


def _units(note: dict[str, Any], kept: set[str]) -> dict[str, str]:
    units = {}
    for name, unit in note.get("units", {}).items():
        if isinstance(unit, list):
            if len(unit) > 1:
                raise UnitError(
                    f"a feature must have one unit, {name!r} has {', '.join(map(repr, unit))}: "
                    "bring the images to one unit and measure again"
                )
            unit = unit[0] if unit else ""
        if name in kept:
            units[name] = str(unit)
    return units


def _parameters(frame: "pd.DataFrame", note: dict[str, Any]) -> str:
    if "config_hash" in frame.columns:
        found = sorted({_name(v) for v in frame["config_hash"].tolist()} - {""})
        if len(found) > 1:
            raise ConfigError(
                f"features must be made with one set of parameters, got {len(found)} "
                f"({', '.join(found[:3])}): measure all cases with one configuration"
            )
        if found:
            return found[0]
    return str(note.get("parameters", ""))


def _record(entry: Any) -> Provenance:
    try:
        return Provenance(
            str(entry.get("step", "")),
            dict(entry.get("parameters", {})),
            dict(entry.get("inputs", {})),
            str(entry.get("version", "")),
            tuple(_record(one) for one in entry.get("parents", ())),
        )
    except (AttributeError, TypeError, ValueError, RecursionError):
        raise FormatError(
            f"the history of a table must hold records, got {str(entry)[:40]!r}: export the table "
            "again, or take its note away"
        ) from None
