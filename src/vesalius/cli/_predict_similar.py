"""``vesalius predict similar``: the cases of a table that are most like one."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._predict_options import Case, Feature, LeaveOut, PlainKind, Quiet
from vesalius.cli._words import printable

if TYPE_CHECKING:
    from vesalius.predict.retrieve import Similar


class MetricName(StrEnum):
    """Which distance."""

    standardised = "standardised"
    mahalanobis = "mahalanobis"
    cosine = "cosine"
    learned = "learned"


def similar(
    name: Annotated[
        str, typer.Argument(metavar="CASE", help="Name of a case, or a table file with one row.")
    ],
    within: Annotated[
        Path, typer.Option("--in", help="CSV or Parquet with a row a case, or a cohort's folder.")
    ],
    k: Annotated[int, typer.Option("-k", help="How many similar cases.")] = 10,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of a table and a page; none is told.")
    ] = None,
    metric: Annotated[
        MetricName, typer.Option("--metric", help="Distance; learned needs --outcome.")
    ] = MetricName.standardised,
    outcome: Annotated[
        str, typer.Option("--outcome", help="Column that is told beside each case.")
    ] = "",
    kind: Annotated[PlainKind, typer.Option("--kind", help="What it is.")] = PlainKind.binary,
    case: Case = "",
    group: Annotated[
        str, typer.Option("--group", help="Column of the patient; other cases of his are left out.")
    ] = "",
    same_patient: Annotated[
        bool, typer.Option("--same-patient", help="Let cases of the same patient be neighbours.")
    ] = False,
    feature: Feature = None,
    leave_out: LeaveOut = None,
    approximate: Annotated[
        bool,
        typer.Option("--approximate", help="Search a graph: for many queries beyond 1e6 cases."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of --metric learned.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Find the cases that are most like CASE, and say in what, and whether they are near at all.

    In the folder of a cohort only cases of the same role and region are compared, and other cases
    of the same subject are left out.
    """
    from vesalius.predict import Description
    from vesalius.predict.retrieve import Likeness
    from vesalius.study.predict import Columns, SimilarJob, run_similar, write_similar

    said = Description(outcome=outcome, kind=kind.value, case=case, group=group)
    job = SimilarJob(
        Columns(said, tuple(feature or ()), tuple(leave_out or ())),
        k,
        Likeness(metric.value, same_patient, approximate, seed),
    )
    searched = run_similar(name, within, job)
    done = write_similar(searched, out) if out is not None else None
    if quiet:
        return
    for text in searched.similar.remarks:
        typer.echo(f"note: {printable(text)}")
    width = max(len(name) for name, _ in searched.facts)
    for what, value in searched.facts:
        typer.echo(f"{printable(what.ljust(width))}  {printable(value)}")
    for line in _rows(searched.similar, outcome):
        typer.echo(line)
    if done is not None:
        typer.echo(f"report: {done.report}")


def _rows(found: "Similar", outcome: str) -> list[str]:
    rows = [("", "case", "distance", *((outcome,) if outcome else ()), "alike in")]
    for rank, one in enumerate(found.neighbours, start=1):
        alike = ", ".join(shared.feature for shared in one.agree)
        known = (one.outcome or "not known",) if outcome else ()
        rows.append((str(rank), one.case, f"{one.distance:.4g}", *known, alike))
    shown = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[j]) for row in shown) for j in range(len(shown[0]))]
    return [
        "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]
