"""``vesalius segment``: images to labels, by a method or a trained model."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._exits import PARTIAL
from vesalius.cli._group import ITSELF, VerbGroup
from vesalius.cli._progress import Progress, watch

if TYPE_CHECKING:
    from vesalius.study.segment import Done

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, add_help_option=False)


@app.callback()
def _group() -> None:
    """Segment images: thresholds, contours, graphs, trained networks."""


@app.command(ITSELF)
def segment(
    images: Annotated[
        list[Path], typer.Argument(help="Image files, or folders with one DICOM series each.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder; or one file, such as labels.nii.gz.")
    ],
    method: Annotated[
        str, typer.Option("--method", "-m", help="See 'vesalius segment methods'.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", help="nuclei, nuclei3d, hippocampus, or a model's folder.")
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, a setting of the method or of the model."),
    ] = None,
    diameter: Annotated[
        str, typer.Option("--diameter", help="Of a typical object, with unit: 9um, 20px, 5mm.")
    ] = "",
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Of a model: maps of doubt and intervals.")
    ] = False,
    ram: Annotated[
        float, typer.Option("--ram", help="Of a model: most memory it may take, GB; 0 is free.")
    ] = 0.0,
    seed: Annotated[
        list[str] | None, typer.Option("--seed", help="World point L,P,S inside, mm.")
    ] = None,
    outside: Annotated[
        list[str] | None, typer.Option("--outside", help="World point L,P,S outside, mm.")
    ] = None,
    marks: Annotated[
        Path | None, typer.Option("--marks", help="Scribbles: labels that mark some voxels.")
    ] = None,
    mask: Annotated[Path | None, typer.Option("--mask", help="Labels: where to work.")] = None,
    start: Annotated[
        Path | None, typer.Option("--start", help="Labels that a contour or a CRF starts from.")
    ] = None,
    contour: Annotated[
        Path | None, typer.Option("--contour", help="First contour: CSV of points, in order.")
    ] = None,
    through: Annotated[
        Path | None, typer.Option("--through", help="Points that the contour must go through.")
    ] = None,
    channel: Annotated[
        int, typer.Option("--channel", help="Channel that is used, from 0; -1 for all.")
    ] = -1,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Segment images by a method or a trained model: labels, maps, a record and a report.

    With several images each has a folder in OUT, and a summary.csv says what became of each; one
    that fails does not stop the others (the exit code is then 4). With one image, OUT may be the
    file of the labels.

    One more verb has a help of its own: 'vesalius segment methods' lists the methods with their
    settings and defaults.
    """
    from vesalius.study.segment import HintFiles, Job, run_segment

    said = _settings(set_ or ())
    if model:
        said |= _of_model(diameter, uncertainty=uncertainty, ram=ram)
    elif diameter or uncertainty or ram:
        raise typer.BadParameter("--diameter, --uncertainty and --ram belong to --model")
    job = Job(method, model, said, channel)
    hints = HintFiles(
        tuple(_point(text, "--seed") for text in seed or ()),
        tuple(_point(text, "--outside") for text in outside or ()),
        marks,
        mask,
        start,
        contour,
        through,
    )
    with watch(progress, quiet=quiet) as on_step:
        done = run_segment(tuple(images), job, out, hints=hints, on_step=on_step)
    _tell(done, out, quiet=quiet)


@app.command("methods")
def methods(
    word: Annotated[str, typer.Argument(help="One method; none lists all.")] = "",
) -> None:
    """List the methods, each with what it does, its settings and their defaults."""
    from vesalius.study.segment import METHODS, method_class, purpose, settings

    for name in (word,) if word else tuple(METHODS):
        cls = method_class(name)
        typer.echo(f"{name:<12} {purpose(name)}")
        for one in settings(cls):
            choice = f"  ({' | '.join(one.choices)})" if one.choices else ""
            typer.echo(f"{'':<14}{one.name}={one.default}{choice}")


def _tell(done: "tuple[Done, ...]", out: Path, *, quiet: bool) -> None:
    failed = [one for one in done if one.error]
    for one in failed:
        typer.echo(f"error: {one.name}: {one.error}", err=True)
    if not quiet:
        for one in done:
            _tell_one(one, alone=len(done) == 1)
        if len(done) > 1:
            typer.echo(f"{len(done) - len(failed)} of {len(done)} images: {out / 'summary.csv'}")
    if failed:
        raise typer.Exit(PARTIAL)


def _tell_one(one: "Done", *, alone: bool) -> None:
    for text in one.remarks:
        typer.echo(f"note: {text}" if alone else f"note: {one.name}: {text}")
    if alone:
        for name, value in one.headline:
            typer.echo(f"{name:<28} {value}")
        typer.echo(f"labels: {one.labels}")
        if one.report is not None:
            typer.echo(f"report: {one.report}")


def _settings(texts: "list[str] | tuple[()]") -> dict[str, str]:
    said = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise typer.BadParameter(
                f"must be NAME=VALUE, such as classes=3; got {text!r}", param_hint="'--set'"
            )
        said[name.strip()] = value
    return said


def _of_model(diameter: str, *, uncertainty: bool, ram: float) -> dict[str, str]:
    said = {"diameter": diameter} if diameter else {}
    if uncertainty:
        said["uncertainty"] = "yes"
    if ram:
        said["ram_gb"] = f"{ram:g}"
    return said


def _point(text: str, option: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(word) for word in text.split(","))
        return first, second, third
    except ValueError:
        raise typer.BadParameter(
            f"must be L,P,S in mm, such as 12.5,-40,110; got {text!r}", param_hint=f"'{option}'"
        ) from None
