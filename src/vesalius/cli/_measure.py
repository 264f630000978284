"""``vesalius measure``: an image and its labels to a table, a report and pictures."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._exits import PARTIAL, explain
from vesalius.cli._group import ITSELF, VerbGroup
from vesalius.cli._progress import Progress, watch
from vesalius.cli._words import printable
from vesalius.errors import OutputError, VesaliusError

if TYPE_CHECKING:
    from vesalius.study import Outcome, Pair, Task

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, add_help_option=False)


class Mismatch(StrEnum):
    """What to do with labels on another grid than the image's."""

    error = "error"
    resample = "resample"


@app.callback()
def _group() -> None:
    """Measure regions; audit a table; compare sessions."""


@app.command(ITSELF)
def measure(
    image: Annotated[Path, typer.Argument(help="Image file, or folder with one DICOM series.")],
    labels: Annotated[
        Path, typer.Argument(help="Label map, outlines (RTSTRUCT, GeoJSON), or folder of masks.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything written.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML or JSON; see 'vesalius config show'.")
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Give every number an error bar.")
    ] = False,
    label: Annotated[str, typer.Option("--label", help="Labels to measure, such as 3,5.")] = "",
    roi: Annotated[
        str, typer.Option("--roi", help="Names to measure, a regular expression: 'GTV.*'.")
    ] = "",
    names: Annotated[
        Path | None,
        typer.Option("--names", help="Names of labels: lines 'value,name', or of ITK-SNAP."),
    ] = None,
    subject: Annotated[
        str, typer.Option("--subject", help="Name of the case; no patient name.")
    ] = "",
    unit: Annotated[str, typer.Option("--unit", help="Unit of the image, such as HU.")] = "",
    on_mismatch: Annotated[
        Mismatch, typer.Option("--on-mismatch", help="Labels on another grid.")
    ] = Mismatch.error,
    dicom: Annotated[
        bool,
        typer.Option("--dicom", help="Write DICOM SEG and SR, too; IMAGE is a DICOM folder."),
    ] = False,
    objects: Annotated[
        bool, typer.Option("--objects", help="One row for each object: cells, nuclei, vessels.")
    ] = False,
    contains: Annotated[
        Path | None,
        typer.Option(
            "--contains", help="With --objects: labels whose objects are counted in each."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be measured, and stop.")
    ] = False,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Measure the regions of an image: table, report and pictures, with error bars on request.

    Leaves with 0 if all is well, 2 for a wrong command, 3 where an input is refused, 4 where a
    region could not be measured (the rest is written), 5 for a fault of the program.

    Two more verbs have a help of their own: 'vesalius measure audit' recomputes somebody's feature
    table and explains it, 'vesalius measure change' compares sessions.
    """
    _check_objects(objects, contains, uncertainty=uncertainty, dicom=dicom, dry_run=dry_run)
    from vesalius.measure import Config, load_config
    from vesalius.study import Task, load_pair, read_names
    from vesalius.study._dicom_case import check_source, save_dicom_case

    settings = Config() if config is None else load_config(config)
    task = Task(settings, regions=_values(label), uncertainty=uncertainty, subject=subject)
    try:
        if dicom:
            check_source(image)
        pair = load_pair(
            image,
            labels,
            config=settings,
            unit=unit,
            on_mismatch=on_mismatch.value,
            names=None if names is None else read_names(names),
            roi=roi,
        )
        if objects:
            _measure_objects(pair, contains, out, quiet=quiet)
            return
        if dry_run:
            _show_plan(pair, task)
            return
        with watch(progress, quiet=quiet) as on_step:
            from vesalius.study import run_measure

            outcome = run_measure(
                pair.image, pair.labels, out, task=task, findings=pair.findings, on_step=on_step
            )
    except OutputError:
        raise
    except VesaliusError as error:
        _leave_failure(out, error, dry_run)
        raise
    if dicom:
        save_dicom_case(outcome, pair.labels, out, like=image)
    tell(outcome, out, quiet=quiet)


def tell(outcome: "Outcome", out: Path, *, quiet: bool) -> None:
    """Say what was written; leave with 4 where something failed.

    Args:
        outcome: What a run gave.
        out: The output folder, as the user named it.
        quiet: Whether only errors are shown.

    Raises:
        Exit: Something failed.
    """
    for text in outcome.report.errors:
        typer.echo(f"error: {text}", err=True)
    if not quiet:
        rows = sum(len(part.table) for part in outcome.parts)
        regions = len(outcome.report.keys)
        typer.echo(f"{rows} values of {regions} region{'s' * (regions != 1)} in {out}")
        typer.echo(f"report: {out / 'report.html'}")
    if not outcome.complete:
        raise typer.Exit(PARTIAL)


def _check_objects(
    objects: bool, contains: Path | None, *, uncertainty: bool, dicom: bool, dry_run: bool
) -> None:
    if contains is not None and not objects:
        raise typer.BadParameter("goes with --objects", param_hint="'--contains'")
    if objects and (uncertainty or dicom or dry_run):
        raise typer.BadParameter(
            "goes without --uncertainty, --dicom and --dry-run, which are for regions",
            param_hint="'--objects'",
        )


def _measure_objects(pair: "Pair", contains: Path | None, out: Path, *, quiet: bool) -> None:
    from vesalius import io
    from vesalius.study.objects import run_objects

    inside = None if contains is None else io.open_labels(contains)
    done = run_objects(pair.image, pair.labels, out, inside=inside, findings=pair.findings)
    if not quiet:
        for text in done.objects.findings:
            typer.echo(f"note: {text}")
        typer.echo(f"{len(done.objects.table)} objects in {done.table}")
        typer.echo(f"report: {done.report}")


def _values(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.replace(",", " ").split())
    except ValueError as error:
        raise typer.BadParameter(
            f"must be whole numbers with commas between, such as 3,5; got {text!r}",
            param_hint="'--label'",
        ) from error


def _show_plan(pair: "Pair", task: "Task") -> None:
    from vesalius.measure import check_pair
    from vesalius.study import plan

    check_pair(pair.image, pair.labels)
    for text in pair.findings:
        typer.echo(f"note: {text}")
    for region in plan(pair.labels, task.regions):
        size = f"{region.voxels:>10} voxels  {region.volume_mm3:.6g} mm^3"
        typer.echo(f"{region.value:>5}  {printable(region.name):<24} {size}")
    bars = f", up to {task.config.perturb.count} perturbed measurements" if task.uncertainty else ""
    families = len(task.config.features.families)
    typer.echo(f"would measure {families} families{bars}; configuration {task.config.digest}")


def _leave_failure(out: Path, error: VesaliusError, dry_run: bool) -> None:
    """Write a report that says what was wrong, unless the folder refuses that too."""
    from vesalius.study import Heading, failed_report, open_folder, write_failure

    if dry_run:
        return
    try:
        open_folder(out)
        older = (out / "features.csv").exists()
        lead = " The tables and the report in this folder are of an earlier run." if older else ""
        heading = Heading("Nothing could be measured", f"An input was refused; see below.{lead}")
        write_failure(out, failed_report(heading, str(error)))
    except OutputError as other:
        typer.echo(explain(other), err=True)
