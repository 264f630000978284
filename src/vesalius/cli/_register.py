"""``vesalius register``: lay a moving image on a fixed one, and say how well it lies."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vesalius.cli._group import ITSELF, VerbGroup
from vesalius.cli._progress import Progress, watch

if TYPE_CHECKING:
    from vesalius.study.register import Done

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, add_help_option=False)


class PresetName(StrEnum):
    """What is searched for."""

    rigid = "rigid"
    affine = "affine"
    smooth = "smooth"
    accurate = "accurate"
    freeform = "freeform"
    crossmodal = "crossmodal"
    landmarks = "landmarks"


class ModalityName(StrEnum):
    """Whether both images come from one kind of scanner and contrast."""

    same = "same"
    different = "different"


@app.callback()
def _group() -> None:
    """Register two images, or the frames of a series."""


@app.command(ITSELF)
def register(
    fixed: Annotated[Path, typer.Argument(help="Image that stays.")],
    moving: Annotated[Path, typer.Argument(help="Image that is laid on it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    preset: Annotated[
        PresetName, typer.Option("--preset", "-p", help="What is searched for; see above.")
    ] = PresetName.accurate,
    modality: Annotated[
        ModalityName, typer.Option("--modality", help="Same or different contrast.")
    ] = ModalityName.same,
    init: Annotated[
        list[str] | None,
        typer.Option(
            "--init",
            help="header, centre, moments, search, landmarks, or transform files; files given "
            "several times act last to first.",
        ),
    ] = None,
    fixed_labels: Annotated[
        Path | None, typer.Option("--fixed-labels", help="Structures of FIXED, to judge by.")
    ] = None,
    moving_labels: Annotated[
        Path | None, typer.Option("--moving-labels", help="The same structures of MOVING.")
    ] = None,
    fixed_points: Annotated[
        Path | None, typer.Option("--fixed-points", help="Landmarks of FIXED (CSV, # LPS mm).")
    ] = None,
    moving_points: Annotated[
        Path | None, typer.Option("--moving-points", help="The same landmarks of MOVING.")
    ] = None,
    fixed_mask: Annotated[
        Path | None, typer.Option("--fixed-mask", help="Where FIXED counts.")
    ] = None,
    moving_mask: Annotated[
        Path | None, typer.Option("--moving-mask", help="Where MOVING counts.")
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option("--pair", help="Further channel: FIXED2,MOVING2,WEIGHT; the first weighs 1."),
    ] = None,
    guide: Annotated[
        bool,
        typer.Option("--guide", help="Let labels and landmarks pull, not only judge."),
    ] = False,
    smoothing: Annotated[
        float,
        typer.Option("--smoothing", help="Preset landmarks: 0 goes through every point."),
    ] = 0.0,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Register MOVING to FIXED: images, transform, inverse, metrics and a report in OUT.

    Presets: rigid and affine are linear; smooth and accurate go on with a deformation that has an
    inverse; freeform with wide B-splines, for soft tissue; crossmodal between modalities;
    landmarks bends through given points.

    One more verb has a help of its own: 'vesalius register series' aligns the frames of a series.
    """
    from vesalius.study.register import Inputs, Job, run_register

    job = Job(
        preset=preset.value,
        modality=modality.value,
        init=tuple(init or ("header",)),
        guide=guide,
        smoothing=smoothing,
    )
    inputs = Inputs(
        fixed,
        moving,
        labels=_both(fixed_labels, moving_labels, "labels"),
        points=_both(fixed_points, moving_points, "points"),
        masks=(fixed_mask, moving_mask),
        pairs=tuple(_pair(text) for text in pair or ()),
    )
    with watch(progress, quiet=quiet) as on_step:
        done = run_register(inputs, job, out, on_step=on_step)
    _tell(done, quiet=quiet)


@app.command("series")
def series(
    images: Annotated[Path, typer.Argument(help="Series of images (4-D).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    reference: Annotated[
        str, typer.Option("--reference", help="Frame that stays, counted from 0, or mean.")
    ] = "0",
    preset: Annotated[
        PresetName, typer.Option("--preset", "-p", help="What is searched for in each frame.")
    ] = PresetName.rigid,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Align each frame of a series to one of them, and report the framewise displacement."""
    from vesalius.study.register import run_series

    if reference != "mean" and not (reference.isascii() and reference.isdigit()):
        raise typer.BadParameter(
            f"must be mean or a frame counted from 0, got {reference!r}",
            param_hint="'--reference'",
        )
    stays: int | Literal["mean"] = "mean" if reference == "mean" else int(reference)
    with watch(progress, quiet=quiet) as on_step:
        done = run_series(images, out, reference=stays, preset=preset.value, on_step=on_step)
    if not quiet:
        typer.echo(done.lead)
        typer.echo(f"report: {done.report}")


def _tell(done: "Done", *, quiet: bool) -> None:
    if quiet:
        return
    for text in done.remarks:
        typer.echo(f"note: {text}")
    for name, value in done.headline:
        typer.echo(f"{name:<28} {value}")
    typer.echo(f"report: {done.report}")


def _both(fixed: Path | None, moving: Path | None, what: str) -> tuple[Path, Path] | None:
    if fixed is None and moving is None:
        return None
    if fixed is None or moving is None:
        lacks = "fixed" if fixed is None else "moving"
        raise typer.BadParameter(f"{what} must be given for both images, --{lacks}-{what} is not")
    return fixed, moving


def _pair(text: str) -> tuple[Path, Path, float]:
    words = text.split(",")
    try:
        fixed, moving, weight = words
        return Path(fixed), Path(moving), float(weight)
    except ValueError:
        raise typer.BadParameter(
            f"must be FIXED,MOVING,WEIGHT, such as t2.nii.gz,t2b.nii.gz,0.5; got {text!r}",
            param_hint="'--pair'",
        ) from None
