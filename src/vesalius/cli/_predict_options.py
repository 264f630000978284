"""Options that verbs of ``vesalius predict`` share, and what each run says when it ends."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._progress import Progress
from vesalius.cli._words import printable

if TYPE_CHECKING:
    from vesalius.study.predict import Done


class KindName(StrEnum):
    """What is predicted."""

    binary = "binary"
    classes = "classes"
    number = "number"
    survival = "survival"


class PlainKind(StrEnum):
    """What the outcome is, where survival has no place."""

    binary = "binary"
    classes = "classes"
    number = "number"


Outcome = Annotated[str, typer.Option("--outcome", help="Column that is to be predicted.")]
Kind = Annotated[KindName, typer.Option("--kind", help="What the outcome is.")]
Positive = Annotated[str, typer.Option("--positive", help="The class that is the event.")]
Time = Annotated[str, typer.Option("--time", help="Column of times, for survival.")]
At = Annotated[
    list[float] | None,
    typer.Option("--at", help="Time at which the AUC is wanted, for survival (repeatable)."),
]
Case = Annotated[str, typer.Option("--case", help="Column that names the cases.")]
Group = Annotated[
    str, typer.Option("--group", help="Column of the patient, who is never split between folds.")
]
Batch = Annotated[str, typer.Option("--batch", help="Column of scanner or protocol.")]
Confounder = Annotated[
    list[str] | None,
    typer.Option("--confounder", help="Column that changes outcome and features (repeatable)."),
]
Site = Annotated[str, typer.Option("--site", help="Column of the hospital.")]
Date = Annotated[str, typer.Option("--date", help="Column of the date, for --split temporal.")]
Subgroup = Annotated[
    list[str] | None,
    typer.Option("--subgroup", help="Column for which fairness is reported (repeatable)."),
]
Feature = Annotated[
    list[str] | None,
    typer.Option("--feature", help="Pattern of features, such as 'original_*' (repeatable)."),
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option("--leave-out", help="Pattern of columns that are no features (repeatable)."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")]
Shown = Annotated[Progress, typer.Option("--progress", help="How progress is shown.")]
TableFile = Annotated[
    Path, typer.Argument(help="CSV or Parquet with a row for each case, or a cohort's folder.")
]
ModelFolder = Annotated[Path, typer.Argument(help="Folder of a model.")]


def tell(done: "Done", *, quiet: bool) -> None:
    """Show what a run says first.

    Args:
        done: What was written.
        quiet: Whether nothing is shown.
    """
    if quiet:
        return
    for text in done.remarks:
        typer.echo(f"note: {printable(text)}")
    width = max((len(name) for name, _ in done.headline), default=0)
    for name, value in done.headline:
        typer.echo(f"{name.ljust(width)}  {printable(value)}")
    if done.report is not None:
        typer.echo(f"report: {done.report}")
    elif done.table is not None:
        typer.echo(f"table: {done.table}")
