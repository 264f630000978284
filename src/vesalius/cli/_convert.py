"""``vesalius convert``: volumes and outlines into another format."""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._exits import PARTIAL, REFUSED, in_shell
from vesalius.cli._info import PATH_HELP
from vesalius.cli._progress import Progress, watch
from vesalius.cli._words import split_words

if TYPE_CHECKING:
    from vesalius.core import Grid
    from vesalius.io import Survey
    from vesalius.io._handle import Allow
    from vesalius.study._convert import Converted


class Form(StrEnum):
    """Which of two positions of a NIfTI file counts."""

    agree = "agree"
    sform = "sform"
    qform = "qform"


class Axis(StrEnum):
    """What a fourth axis is."""

    time = "time"
    channels = "channels"


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help=PATH_HELP)],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="File (the suffix names the format), or folder.")
    ],
    to: Annotated[
        str, typer.Option("--to", help="Format: suffix, dicom, seg, rtstruct, map, .zarr:0.4.")
    ] = ".nii.gz",
    allow: Annotated[
        str, typer.Option("--allow", help="What to accept, such as tilt,gaps; see 'info'.")
    ] = "",
    unit: Annotated[
        str, typer.Option("--unit", help="Unit; for PET suv, sul or bq/ml converts.")
    ] = "",
    like: Annotated[
        Path | None, typer.Option("--like", help="Bring it to the grid of this volume.")
    ] = None,
    upright: Annotated[
        bool, typer.Option("--upright", help="Resample a tilted volume to right angles.")
    ] = False,
    labels: Annotated[bool, typer.Option("--labels", help="The volumes are labels.")] = False,
    roi: Annotated[
        str, typer.Option("--roi", help="Only regions of such names, such as 'GTV.*'.")
    ] = "",
    series: Annotated[
        str, typer.Option("--series", help="Only volumes of such names (regular expression).")
    ] = "",
    form: Annotated[
        Form, typer.Option("--form", help="Which of two NIfTI positions counts.")
    ] = Form.agree,
    frames: Annotated[Axis, typer.Option("--frames", help="What a fourth axis is.")] = Axis.time,
    source_series: Annotated[
        Path | None, typer.Option("--source", help="DICOM series that a DICOM output refers to.")
    ] = None,
    quantise: Annotated[
        bool, typer.Option("--quantise", help="A DICOM series may hold rounded values.")
    ] = False,
    bids: Annotated[
        str, typer.Option("--bids", help="Name in a BIDS dataset at OUT, such as sub-01_T1w.")
    ] = "",
    level: Annotated[int, typer.Option("--level", help="Level of a pyramid.")] = 0,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Write every volume at a path in another format; each file is read back and compared.

    Values are never rescaled: CT stays in HU, PET becomes SUV unless --unit says otherwise.
    Outlines (RTSTRUCT, GeoJSON) need --like IMAGE and become labels.

    Leaves with 0, with 3 where nothing could be read, with 4 where a volume was refused.
    """
    from vesalius import io
    from vesalius.study import Conversion, Dicom
    from vesalius.study import convert as convert_all

    allowed = split_words(allow)
    found = io.survey(source, form=form.value, unit=unit, frames=frames.value, allow=allowed)
    dicom = Dicom("" if source_series is None else str(source_series), quantise)
    grid, frame = _place(like, allowed)
    how = Conversion(
        to, labels, grid, frame, roi=roi, upright=upright, level=level, dicom=dicom, bids=bids
    )
    with watch(progress, quiet=quiet) as on_step:
        done = convert_all(_of_names(found, series), out, how, on_step=on_step)
    _tell(done, quiet=quiet)


def _place(like: Path | None, allowed: "tuple[Allow, ...]") -> "tuple[Grid | None, str]":
    """Give the grid of a volume and the mark of its frame of reference."""
    from vesalius import io
    from vesalius.errors import FormatError

    if like is None:
        return None, ""
    handle = io.open(like, allow=allowed)
    if handle.refusal:
        raise FormatError(handle.refusal)
    return handle.grid, str(handle.meta.get("frame_of_reference", ""))


def _of_names(found: "Survey", pattern: str) -> "Survey":
    """Keep what has such a name."""
    if not pattern:
        return found
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise typer.BadParameter(
            f"--series must be a regular expression, {pattern!r} is not: {error}"
        ) from error
    handles = tuple(h for h in found.handles if wanted.search(h.name))
    contours = tuple(c for c in found.contours if wanted.search(c.name))
    if not handles and not contours:
        names = ", ".join(repr(h.name) for h in found.handles[:10])
        raise typer.BadParameter(f"--series must match a name, there are: {names}")
    return replace(found, handles=handles, contours=contours, refused=())


def _tell(done: "tuple[Converted, ...]", *, quiet: bool) -> None:
    wrong = [one for one in done if one.file is None]
    for one in done:
        if not quiet:
            for text in one.findings:
                typer.echo(f"{text}")
            if one.file is not None:
                typer.echo(f"{one.name} -> {one.file}")
    for one in wrong:
        typer.echo(f"error: {in_shell(one.error)}", err=True)
    if wrong:
        raise typer.Exit(PARTIAL if len(wrong) < len(done) else REFUSED)
