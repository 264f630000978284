"""``vesalius cohort``: every case of a manifest measured, wherever there is room."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._exits import PARTIAL, REFUSED
from vesalius.cli._measure import Mismatch
from vesalius.cli._progress import Progress, watch
from vesalius.cli._words import printable

if TYPE_CHECKING:
    import pandas as pd

    from vesalius.study.cohort import CasePlan, Done, Job, Manifest

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

_SHOWN = 20
_ROWS, _COLUMNS, _WIDTH = 40, 12, 40


@app.callback()
def _group() -> None:
    """Measure the cases of a manifest in parallel, and join their tables."""


@app.command("run", short_help="Measure every case of a manifest.")
def run(
    manifest: Annotated[
        Path,
        typer.Argument(help="CSV, TSV or Parquet: subject, session, role, image, labels, ..."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything written.")],
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config", help="YAML or JSON; several of different 'modality:' are allowed."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes; 0 takes one for each core.")
    ] = 0,
    scheduler: Annotated[
        str, typer.Option("--scheduler", help="A Dask scheduler instead: tcp://HOST:PORT.")
    ] = "",
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.0, help="Longest time for a case; 0 sets none.")
    ] = 0.0,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Give every number an error bar.")
    ] = False,
    on_mismatch: Annotated[
        Mismatch, typer.Option("--on-mismatch", help="Labels on another grid.")
    ] = Mismatch.error,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and cost, and stop.")
    ] = False,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Measure every case of MANIFEST: one long and one wide table, and what became of each case.

    Stopped at any moment and run again, it measures only what is missing and writes the same
    bytes. A case whose process dies is begun once more; one that fails stops no other.

    Leaves with 0 if all is well, 2 for a wrong command, 3 where the manifest is refused or no case
    could be measured, 4 where some could not, 5 for a fault of the program.
    """
    from vesalius.measure import load_config
    from vesalius.study.cohort import (
        DaskRunner,
        Job,
        PoolRunner,
        read_manifest,
        run_cohort,
        usable_cores,
        write_report,
    )

    job = Job(tuple(load_config(path) for path in config or ()), uncertainty, on_mismatch.value)
    rows = read_manifest(manifest)
    if scheduler and (workers or timeout_s):
        raise typer.BadParameter("--scheduler has its own workers: leave --workers and --timeout-s")
    count = workers or usable_cores()
    if dry_run:
        _show_plan(rows, out, job, workers=count)
        return
    runner = DaskRunner(scheduler) if scheduler else PoolRunner(count, timeout_s)
    with watch(progress, quiet=quiet) as on_step:
        done = run_cohort(rows, out, job=job, runner=runner, on_step=on_step)
    write_report(out)
    _tell(done, quiet=quiet)
    if len(done.failures) == done.cases:
        raise typer.Exit(REFUSED)
    if not done.complete:
        raise typer.Exit(PARTIAL)


@app.command("query", short_help="Ask the tables of a cohort by SQL.")
def query(
    out: Annotated[Path, typer.Argument(help="The folder of a cohort.")],
    sql: Annotated[str, typer.Argument(help='One statement, such as "select * from wide".')],
    save: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV, CSV.gz or Parquet for the answer.")
    ] = None,
    limit_free: Annotated[
        bool, typer.Option("--limit-free", help="Show every row and column.")
    ] = False,
) -> None:
    """Answer SQL from the tables of a cohort, and from nothing else.

    They are features (a row for each number), wide (a row for each case and region) and cases. The
    column "case" must stand in double quotes: it is a word of SQL.
    """
    from vesalius.io.tables import write_csv, write_parquet
    from vesalius.study.cohort import query as ask

    if save is not None and not save.name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        raise typer.BadParameter(f"-o takes a .csv, .csv.gz or .parquet file, got {save.name!r}")
    found = ask(out, sql)
    if save is None:
        _show(found, limit=not limit_free)
        return
    (write_parquet if save.suffix == ".parquet" else write_csv)(save, found)
    typer.echo(f"{len(found)} rows, {found.shape[1]} columns: {save}")


@app.command("report", short_help="Write the page of a cohort.")
def report(
    out: Annotated[Path, typer.Argument(help="The folder of a cohort.")],
    batch: Annotated[
        str, typer.Option("--batch", help="Column of scanner or site, to be compared.")
    ] = "",
    show: Annotated[
        list[str] | None, typer.Option("--show", help="Feature to draw (repeatable).")
    ] = None,
) -> None:
    """Write report.html: what failed, how features are distributed, what stands out.

    A run writes it, too. Here a column of scanners can be compared and other features be shown.
    """
    from vesalius.study.cohort import write_report

    typer.echo(f"report: {write_report(out, batch=batch, show=tuple(show or ()))}")


def _show(frame: "pd.DataFrame", *, limit: bool) -> None:
    """Print a table: numbers to the right, with what can steer a terminal taken out."""
    part = frame.iloc[:_ROWS, :_COLUMNS] if limit else frame
    columns = []
    for place, name in enumerate(part.columns):
        cells = [_cell(value, limit=limit) for value in part.iloc[:, place].tolist()]
        width = max(map(len, (str(name), *cells)))
        right = part.dtypes.iloc[place].kind in "fiu"
        text = (printable(str(name)), *cells)
        columns.append([c.rjust(width) if right else c.ljust(width) for c in text])
    for row in zip(*columns, strict=True):
        typer.echo("  ".join(row).rstrip())
    typer.echo(f"{len(frame)} row{'s' * (len(frame) != 1)}")
    if part.shape != frame.shape:
        typer.echo(
            f"note: {part.shape[0]} of {frame.shape[0]} rows and {part.shape[1]} of "
            f"{frame.shape[1]} columns are shown; --limit-free shows all, -o keeps them"
        )


def _cell(value: object, *, limit: bool) -> str:
    if value is None or value != value:
        return "-"
    text = printable(f"{value:.6g}" if isinstance(value, float) else str(value))
    return text if len(text) <= _WIDTH or not limit else text[: _WIDTH - 1] + "…"


def _tell(done: "Done", *, quiet: bool) -> None:
    """Say what was measured: failures first."""
    for name, cause, detail in done.failures[:_SHOWN]:
        typer.echo(
            f"error: {printable(name)}: {printable(cause)} {printable(detail)}".rstrip(), err=True
        )
    for name, cause in done.partial[:_SHOWN]:
        typer.echo(f"error: {printable(name)}: {printable(cause)}", err=True)
    hidden = sum(max(0, len(found) - _SHOWN) for found in (done.failures, done.partial))
    if hidden:
        typer.echo(f"error: {hidden} more; see {done.folder / 'cases.csv'}", err=True)
    if quiet:
        return
    for text in done.remarks[:_SHOWN]:
        typer.echo(f"note: {printable(text)}")
    if len(done.remarks) > _SHOWN:
        more = len(done.remarks) - _SHOWN
        typer.echo(f"note: {more} more; see 'findings' in {done.folder / 'cases.csv'}")
    measured = done.cases - len(done.failures)
    before = f" ({done.cached} of them before)" if done.cached else ""
    typer.echo(f"{measured} of {done.cases} cases measured{before}: {done.rows} regions")
    typer.echo(f"tables: {done.folder / 'wide.csv'}, {done.folder / 'features.parquet'}")
    typer.echo(f"report: {done.folder / 'report.html'}")


def _show_plan(manifest: "Manifest", out: Path, job: "Job", *, workers: int) -> None:
    from vesalius.study.cohort import plan_cohort
    from vesalius.study.cohort._estimate import START_S

    plans = plan_cohort(manifest, out, job=job)
    width = max(len(plan.case.name) for plan in plans)
    for plan in plans:
        typer.echo(f"{printable(plan.case.name):<{width}}  {_planned(plan)}")
    work = [plan for plan in plans if plan.seconds]
    failing = sum(bool(plan.cause) for plan in plans)
    cached = sum(plan.cached for plan in plans)
    told = f"{len(work)} to measure, {cached} measured already, {failing} would fail"
    typer.echo(f"{len(plans)} cases: {told}")
    if work:
        used = min(workers, len(work))
        seconds = START_S + max(
            sum(plan.seconds for plan in work) / used, max(plan.seconds for plan in work)
        )
        largest = sorted((plan.peak_bytes for plan in work), reverse=True)[:used]
        basis = "cases measured before" if any(plan.learned for plan in work) else "image sizes"
        typer.echo(
            f"about {seconds:.0f} s and {sum(largest) / 2**30:.1f} GB of memory with {used} "
            f"worker{'s' * (used != 1)}, by {basis}"
        )


def _planned(plan: "CasePlan") -> str:
    if plan.cause:
        return f"would fail: {printable(plan.cause)}"
    size = f"{plan.voxels:>11} voxels, {_regions(plan)}"
    if plan.cached:
        return f"{size}, measured already"
    return f"{size}, about {plan.seconds:.1f} s, {plan.peak_bytes / 2**20:.0f} MB"


def _regions(plan: "CasePlan") -> str:
    if plan.case.roi:
        return f"regions like {printable(plan.case.roi)!r}"
    if plan.case.regions:
        return (
            f"region{'s' * (len(plan.case.regions) != 1)} {', '.join(map(str, plan.case.regions))}"
        )
    return "all regions"
