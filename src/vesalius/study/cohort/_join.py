"""Join: the measured cases as tables, the same bytes for the same cases."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vesalius.errors import FormatError
from vesalius.io import atomic_write
from vesalius.io.tables import write_csv, write_parquet
from vesalius.measure import COLUMNS
from vesalius.study._part import NUMBERS
from vesalius.study.cohort._journal import CaseEntry
from vesalius.study.cohort._manifest import Case, Manifest

if TYPE_CHECKING:
    import pandas as pd

FEATURES, WIDE, CASES = "features.parquet", "wide.parquet", "cases.parquet"
BEHIND = ("case", "session", "role")
"""Columns of the long table beside ``measure.COLUMNS``."""

_ROWS = 200_000
"""Rows that a group of the Parquet file has at least."""

_PARTS = ("filter", "feature", "aggregation", "discretisation")
_ABSENT = "others: not measured with this configuration"


@dataclass(slots=True, eq=False)
class _Wide:
    """The wide table while it grows: a row for each case and region."""

    places: dict[tuple[str, ...], int] = field(default_factory=dict)
    rows: list[tuple[Case, str, str]] = field(default_factory=list)
    values: list[dict[int, float]] = field(default_factory=list)
    missing: list[dict[int, str]] = field(default_factory=list)
    units: dict[int, dict[str, None]] = field(default_factory=dict)

    def add(self, case: Case, entry: CaseEntry) -> None:
        """Add the rows of a case."""
        columns = {name: entry.table.column(name).to_pylist() for name in (*_PARTS, *_NEEDED)}
        at: dict[str, int] = {}
        for key, label, value, unit, reason, digest in zip(
            zip(*(columns[name] for name in _PARTS), strict=True),
            *(columns[name] for name in _NEEDED),
            strict=True,
        ):
            if label not in at:
                at[label] = len(self.rows)
                self.rows.append((case, label, digest))
                self.values.append({})
                self.missing.append({})
            place = self.places.setdefault(key, len(self.places))
            self.units.setdefault(place, {})[unit] = None
            if value is None:
                self.missing[at[label]][place] = reason or "not given"
            else:
                self.values[at[label]][place] = value

    def names(self) -> list[str]:
        """Name the columns as ``measure.wide`` does."""
        import pandas as pd

        from vesalius.measure import wide

        if not self.places:
            return []
        keys = pd.DataFrame(list(self.places), columns=list(_PARTS))
        return [str(n) for n in wide(keys.assign(subject="", label="", value=0.0)).columns[2:]]


_NEEDED = ("label", "value", "unit", "reason", "config_hash")


def write_tables(
    out: Path, manifest: Manifest, entries: Iterable[tuple[Case, CaseEntry]]
) -> tuple[int, tuple[str, ...]]:
    """Write the long and the wide table of the cases that were measured.

    Args:
        out: The folder.
        manifest: For the clinical columns.
        entries: In the order of the manifest; taken one by one.

    Returns:
        The number of rows of the wide table, and what must be known of it.

    Raises:
        FormatError: A clinical column is called as a feature.
        OutputError: A file cannot be written.
    """
    wide = _Wide()
    _write_long(out / FEATURES, _watched(entries, wide))
    names = wide.names()
    if clash := sorted(set(names) & set(manifest.clinical)):
        raise FormatError(
            f"columns of a manifest must not be called as a feature, {clash[0]!r} is: rename it; "
            "what was measured is kept"
        )
    frame = _wide_frame(wide, names, manifest)
    units = {name: list(wide.units[place]) for place, name in enumerate(names)}
    digests = sorted({digest for _, _, digest in wide.rows})
    note = {
        "features": names,
        "units": {name: found[0] if len(found) == 1 else found for name, found in units.items()},
        "parameters": digests[0] if len(digests) == 1 else "",
    }
    write_parquet(out / WIDE, frame, note=note)
    write_csv(out / "wide.csv", frame)
    return len(frame), _remarks(digests, units)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a case.

    Attributes:
        status: ``"done"``, ``"partial"`` (some regions could not be measured) or ``"failed"``.
        cause: Why it is not done.
        regions: Measured regions.
        findings: What must be known before its numbers are used.
    """

    status: Literal["done", "partial", "failed"]
    cause: str = ""
    regions: int = 0
    findings: tuple[str, ...] = ()


def write_cases(out: Path, manifest: Manifest, fates: Mapping[str, Fate]) -> None:
    """Write one row for each case: the manifest, and what became of it.

    Args:
        out: The folder.
        manifest: The cases.
        fates: What became of each case, by name.

    Raises:
        OutputError: A file cannot be written.
    """
    names = [case.name for case in manifest.cases]
    frame = manifest.columns.copy()
    frame.insert(0, "case", names)
    write_csv(out / "manifest.csv", frame)
    frame = frame.assign(
        regions_measured=[float(fates[name].regions) for name in names],
        status=[fates[name].status for name in names],
        cause=[fates[name].cause for name in names],
        findings=[" ".join(fates[name].findings) for name in names],
    )
    write_parquet(out / CASES, frame)
    write_csv(out / "cases.csv", frame)


def _watched(
    entries: Iterable[tuple[Case, CaseEntry]], wide: _Wide
) -> Iterator[tuple[Case, CaseEntry]]:
    for case, entry in entries:
        wide.add(case, entry)
        yield case, entry


def _write_long(path: Path, entries: Iterable[tuple[Case, CaseEntry]]) -> None:
    """Write the long table in groups of rows, so that a large cohort needs little memory."""
    import pyarrow
    import pyarrow.parquet

    kinds = {n: pyarrow.float64() if n in NUMBERS else pyarrow.string() for n in COLUMNS}
    schema = pyarrow.schema([*kinds.items(), *((n, pyarrow.string()) for n in BEHIND)])
    waiting: list[Any] = []
    with (
        atomic_write(path) as file,
        pyarrow.parquet.ParquetWriter(
            file, schema, compression="zstd", write_page_checksum=True
        ) as writer,
    ):
        for case, entry in entries:
            waiting.append(_long(case, entry, schema))
            if sum(len(table) for table in waiting) >= _ROWS:
                writer.write_table(pyarrow.concat_tables(waiting))
                waiting.clear()
        if waiting:
            writer.write_table(pyarrow.concat_tables(waiting))


def _long(case: Case, entry: CaseEntry, schema: Any) -> Any:
    import pyarrow

    count = len(entry.table)
    columns = {name: entry.table.column(name) for name in COLUMNS}
    said = {"subject": case.subject, "case": case.name, "session": case.session, "role": case.role}
    for name, text in said.items():
        columns[name] = pyarrow.array([text] * count, pyarrow.string())
    return pyarrow.table([columns[name] for name in schema.names], schema=schema)


def _wide_frame(wide: _Wide, names: list[str], manifest: Manifest) -> "pd.DataFrame":
    import pandas as pd

    values = np.full((len(wide.rows), len(names)), np.nan)
    for row, found in enumerate(wide.values):
        values[row, list(found)] = list(found.values())
    place = {case.name: row for row, case in enumerate(manifest.cases)}
    clinical = manifest.columns[list(manifest.clinical)].iloc[
        [place[case.name] for case, _, _ in wide.rows]
    ]
    about = pd.DataFrame(
        {
            "case": [case.name for case, _, _ in wide.rows],
            "subject": [case.subject for case, _, _ in wide.rows],
            "session": [case.session for case, _, _ in wide.rows],
            "role": [case.role for case, _, _ in wide.rows],
            "label": [label for _, label, _ in wide.rows],
            "config_hash": [digest for _, _, digest in wide.rows],
            "reason": [_reasons(wide, row, names) for row in range(len(wide.rows))],
        }
    )
    features = pd.DataFrame(values, columns=names)
    return pd.concat([about, clinical.reset_index(drop=True), features], axis=1)


def _reasons(wide: _Wide, row: int, names: list[str]) -> str:
    """Say why values are missing, as ``feature: why; feature: why``."""
    missing = wide.missing[row]
    parts = [f"{names[k]}: {why.replace('; ', ', ')}" for k, why in sorted(missing.items())]
    if len(missing) + len(wide.values[row]) < len(names):
        parts.append(_ABSENT)
    return "; ".join(parts)


def _remarks(digests: list[str], units: Mapping[str, list[str]]) -> tuple[str, ...]:
    remarks = []
    if len(digests) > 1:
        remarks.append(
            f"The cases were measured with {len(digests)} configurations: do not pool their rows."
        )
    mixed = [name for name, found in units.items() if len(found) > 1]
    if mixed:
        told = " and ".join(map(repr, units[mixed[0]]))
        remarks.append(
            f"{len(mixed)} features have more than one unit, {mixed[0]} has {told}: state the unit "
            "of the images in the column unit of the manifest."
        )
    return tuple(remarks)
