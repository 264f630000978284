"""``vesalius compare``: labels against the truth, one case or a cohort."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._exits import PARTIAL
from vesalius.cli._progress import Progress, watch
from vesalius.cli._words import printable

if TYPE_CHECKING:
    from vesalius.study.compare import Done


def compare(
    pred: Annotated[
        Path, typer.Argument(help="Labels to be judged: a file, or a folder of files.")
    ],
    truth: Annotated[Path, typer.Argument(help="True labels: a file, or files of the same names.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for tables (CSV, JSON) and report.")
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="Each value is one object (nuclei), not a class.")
    ] = False,
    tau: Annotated[float, typer.Option("--tau", help="Tolerance of the surface Dice, mm.")] = 1.0,
    rim: Annotated[float, typer.Option("--rim", help="Rim of the boundary IoU, mm.")] = 2.0,
    detailed: Annotated[
        bool,
        typer.Option("--detailed", help="Also surface Dice by area, clDice and boundary IoU."),
    ] = False,
    spacing: Annotated[
        str, typer.Option("--spacing", help="Z,Y,X in mm, for files that hold none (PNG).")
    ] = "",
    against: Annotated[
        Path | None, typer.Option("--against", help="Another run's labels: paired test.")
    ] = None,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Score PRED against TRUTH: Dice, surface distances in mm, objects; tables and a report.

    Two folders are a cohort: equally named files are compared, and scores come with bootstrap
    intervals. Leaves with 0, with 3 where nothing could be scored, with 4 where a case was refused.
    """
    from vesalius.study.compare import Job, run_compare

    job = Job(
        objects=instances,
        tau_mm=tau,
        rim_mm=rim,
        detailed=detailed,
        spacing_mm=_spacing(spacing),
    )
    with watch(progress, quiet=quiet) as on_step:
        done = run_compare(pred, truth, out, job=job, against=against, on_step=on_step)
    _tell(done, quiet=quiet)
    if done.errors:
        raise typer.Exit(PARTIAL)


def _tell(done: "Done", *, quiet: bool) -> None:
    for text in done.errors:
        typer.echo(f"error: {printable(text)}", err=True)
    if quiet:
        return
    for text in done.remarks:
        typer.echo(f"note: {printable(text)}")
    widths = [max(len(row[k]) for row in done.table) for k in range(len(done.table[0]))]
    for row in done.table:
        cells = [printable(cell).ljust(w) for cell, w in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())
    for entry in done.contests:
        if entry.score in ("dice", "AP@0.5"):
            test = entry.test
            typer.echo(
                f"against the other run, {printable(entry.label)}, {entry.score}: "
                f"{test.difference.mean:+.4f} ({test.difference.low:+.4f} to "
                f"{test.difference.high:+.4f}), p = {test.p_value:.2g}, "
                f"{test.wins} higher, {test.losses} lower"
            )
    if done.report is not None:
        typer.echo(f"report: {done.report}")


def _spacing(text: str) -> tuple[float, ...]:
    if not text:
        return ()
    try:
        z, y, x = (float(word) for word in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"must be Z,Y,X in mm, such as 1,0.5,0.5; got {text!r}", param_hint="'--spacing'"
        ) from None
    return (z, y, x)
