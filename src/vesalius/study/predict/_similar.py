"""Run of a search: a case and a table to the cases that are most like it, as a table and a page."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError, RegionError
from vesalius.io.tables import SUFFIXES, read_note, read_rows, write_csv
from vesalius.predict import Description, Table, as_table, read_table
from vesalius.predict._read import table_file
from vesalius.predict._similar import place_of
from vesalius.predict.retrieve import Shared, Similar, similar, similar_to
from vesalius.study._folder import hash_file, make_folder, put
from vesalius.study._stage_page import render_page
from vesalius.study.predict._done import Done
from vesalius.study.predict._similar_job import Searched, SimilarJob
from vesalius.study.predict._similar_page import facts_of, similar_page
from vesalius.study.predict._similar_views import thumbnails

if TYPE_CHECKING:
    import pandas as pd

PAGE, TEXT = "similar.html", "similar.csv"
_ALIKE = ("role", "label")
"""Columns of a cohort in which compared cases must be equal: a liver is not like a tumour."""


def run_similar(case: str, within: Path, job: SimilarJob) -> Searched:
    """Find the cases of a table that are most like one.

    In the folder of a cohort only cases of the same role and region are compared, and other cases
    of the same subject are left out unless the likeness asks for them.

    Args:
        case: Name of a case of the table, or a table file with one row.
        within: CSV, Parquet or the folder of a cohort.
        job: What is asked.

    Returns:
        What was found.

    Raises:
        VesaliusError: The table or the case refuses.
    """
    description = job.columns.description
    table = _read(within, job)
    if within.is_dir() and not description.group and "subject" in table.columns:
        description = replace(description, group="subject")
    file = Path(case)
    outside = case.lower().endswith(SUFFIXES) and file.is_file()
    query = _query(file, table, description) if outside else table.rows([place_of(table, case)])
    table, same = _comparable(table, query) if within.is_dir() else (table, {})
    if outside:
        found = similar_to(table, query, k=job.k, likeness=job.likeness, description=description)
    else:
        name = query.cases[0]
        found = similar(table, name, k=job.k, likeness=job.likeness, description=description)
    searched = Searched(
        within.name,
        within if within.is_dir() else within.parent,
        job,
        description,
        same,
        table,
        found,
        record=_record(within, found, job, description),
    )
    return replace(searched, facts=facts_of(searched))


def write_similar(searched: Searched, out: Path) -> Done:
    """Write the cases that were found as a table and as a page.

    Args:
        searched: The search.
        out: Folder; made where absent. ``similar.csv`` and ``similar.html`` are written, which name
            cases and no files.

    Returns:
        What was written.

    Raises:
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    write_csv(out / TEXT, similar_frame(searched.similar))
    views, notes = thumbnails(searched)
    put(out / PAGE, render_page(similar_page(searched, views, notes)))
    return Done(out, out / PAGE, out / TEXT, (), searched.similar.remarks + notes)


def similar_frame(found: Similar) -> "pd.DataFrame":
    """Give what was found as a data frame.

    Args:
        found: The search.

    Returns:
        One row for each neighbour: rank, case, distance, outcome, and in which features it agrees
        and differs.
    """
    import pandas as pd

    rows = [
        {
            "rank": rank,
            "case": one.case,
            "distance": one.distance,
            "outcome": one.outcome,
            "agree": shared_words(one.agree),
            "differ": shared_words(one.differ),
        }
        for rank, one in enumerate(found.neighbours, start=1)
    ]
    return pd.DataFrame(rows)


def shared_words(features: tuple[Shared, ...]) -> str:
    """Say features with the values of both cases, such as ``volume (+2.1, +1.9)``."""
    return "; ".join(
        f"{one.feature} ({_signed(one.here)}, {_signed(one.there)})" for one in features
    )


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"


def _read(path: Path, job: SimilarJob) -> Table:
    columns = job.columns
    return read_table(
        path, columns.description, features=columns.features, leave_out=columns.leave_out
    )


def _query(file: Path, table: Table, description: Description) -> Table:
    """Read a case from a file; it need not know outcome and patient."""
    frame = read_rows(file)
    roles = {
        role: name
        for role in ("case", "group", "outcome")
        if (name := getattr(description, role)) in frame.columns
    }
    known = Description(**roles)
    return as_table(frame, known, note=read_note(file)).select(table.features)


def _comparable(table: Table, query: Table) -> tuple[Table, dict[str, str]]:
    """Keep cases of the role and the region of the one that is asked for."""
    same = {}
    for name in _ALIKE:
        if name not in table.columns:
            continue
        there = [_text(value) for value in table.columns[name].tolist()]
        if len(set(there)) < 2:
            continue
        if name not in query.columns:
            raise ConfigError(
                f"a case beside a cohort with several values of {name!r} must say which is its "
                f"own, its file has no such column: add it ({', '.join(sorted(set(there))[:4])})"
            )
        own = _text(query.columns[name].iloc[0])
        kept = [row for row, value in enumerate(there) if value == own]
        if not kept:
            raise RegionError(
                f"cases must be compared with others of their {name}, {query.cases[0]!r} has "
                f"{own!r} and the cohort {', '.join(sorted(set(there))[:4])}"
            )
        table, same[name] = table.rows(kept), own
    return table, same


def _text(value: object) -> str:
    """Name a region; a number of a label is one name, however a file writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _record(
    within: Path, found: Similar, job: SimilarJob, description: Description
) -> dict[str, object]:
    asked: dict[str, object] = {
        "case": found.case,
        "k": job.k,
        "metric": job.likeness.metric,
        "same_patient": job.likeness.same_patient,
        "approximate": job.likeness.approximate,
        "seed": job.likeness.seed,
        "group": description.group,
        "outcome": description.outcome,
        "features": list(job.columns.features),
        "leave_out": list(job.columns.leave_out),
    }
    inputs = {"table": hash_file(table_file(within))}
    return Provenance("similar", asked, inputs).to_json()
