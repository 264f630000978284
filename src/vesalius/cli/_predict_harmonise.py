"""``vesalius predict harmonise``: what batches change in a table, and a table without it."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli._predict_options import (
    Case,
    Feature,
    LeaveOut,
    PlainKind,
    Positive,
    Quiet,
    Shown,
    TableFile,
)
from vesalius.cli._progress import Progress, watch
from vesalius.cli._words import printable


class MethodName(StrEnum):
    """How."""

    combat = "combat"
    nested = "nested"
    quantile = "quantile"
    zscore = "zscore"
    none = "none"


def harmonise(
    table: TableFile,
    batch: Annotated[
        list[str],
        typer.Option("--batch", help="Column of scanner or protocol (repeatable with nested)."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of tables and report.")],
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Columns whose effect stays, commas between (repeatable)."),
    ] = None,
    outcome: Annotated[
        str, typer.Option("--outcome", help="Checked against the batch; never used to harmonise.")
    ] = "",
    kind: Annotated[
        PlainKind, typer.Option("--kind", help="What the outcome is.")
    ] = PlainKind.binary,
    positive: Positive = "",
    case: Case = "",
    feature: Feature = None,
    leave_out: LeaveOut = None,
    method: Annotated[
        MethodName, typer.Option("--method", help="none looks at batch effects alone.")
    ] = MethodName.combat,
    reference: Annotated[
        str, typer.Option("--reference", help="Batch that stays as it is (combat, quantile).")
    ] = "",
    mean_only: Annotated[
        bool, typer.Option("--mean-only", help="Correct the location alone (ComBat).")
    ] = False,
    non_parametric: Annotated[
        bool, typer.Option("--non-parametric", help="Priors from the other features (ComBat).")
    ] = False,
    no_eb: Annotated[
        bool, typer.Option("--no-eb", help="Each feature by itself, nothing shrunk (ComBat).")
    ] = False,
    accept_confounded: Annotated[
        bool,
        typer.Option(
            "--accept-confounded",
            help="Go on where batch and outcome cannot be told apart; it is reported.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")] = 0,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Harmonise TABLE over its batches, and show what they change before and after.

    With --outcome batch and outcome must be such that they can be told apart, else it refuses and
    says why. The new table is for looking and comparing: a model that is cross-validated on it has
    seen its test cases; put the step into the model's recipe instead.
    """
    from vesalius.predict import Description
    from vesalius.study.predict import Columns, HarmoniseJob, Manner, run_harmonise

    kept = tuple(name.strip() for text in keep or () for name in text.split(",") if name.strip())
    said = Description(
        outcome=outcome,
        kind=kind.value,
        positive=positive,
        case=case,
        batch=batch[0],
        confounders=tuple(name for name in kept if name != outcome),
    )
    job = HarmoniseJob(
        Columns(said, tuple(feature or ()), tuple(leave_out or ())),
        tuple(batch[1:]),
        method.value,
        kept,
        Manner(reference, mean_only, not non_parametric, not no_eb),
        accept_confounded=accept_confounded,
        seed=seed,
    )
    with watch(progress, quiet=quiet) as on_step:
        done = run_harmonise(table, out, job, on_step=on_step)
    if quiet:
        return
    for text in done.remarks:
        typer.echo(f"note: {printable(text)}")
    width = max(len(name) for name, _ in done.headline)
    for name, value in done.headline:
        typer.echo(f"{name.ljust(width)}  {printable(value)}")
    typer.echo(f"report: {done.report}")
