"""``vesalius deidentify``: DICOM files without names (PS3.15 Annex E), heads without a face."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._exits import PARTIAL, REFUSED
from vesalius.cli._group import ITSELF, VerbGroup
from vesalius.cli._progress import Progress, watch
from vesalius.cli._register import ModalityName

if TYPE_CHECKING:
    from vesalius.io.dicom import Profile

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, add_help_option=False)


class Keep(StrEnum):
    """Options of the profile, by the names of the standard."""

    clean_pixel_data = "clean-pixel-data"
    clean_graphics = "clean-graphics"
    clean_structured_content = "clean-structured-content"
    clean_descriptors = "clean-descriptors"
    retain_patient_characteristics = "retain-patient-characteristics"
    retain_device_identity = "retain-device-identity"
    retain_institution_identity = "retain-institution-identity"
    retain_uids = "retain-uids"
    retain_safe_private = "retain-safe-private"


class Risk(StrEnum):
    """What is refused unless it is accepted by name."""

    burned_in = "burned-in"
    document = "document"
    secondary_capture = "secondary-capture"
    ultrasound = "ultrasound"
    private_class = "private-class"
    photograph = "photograph"


class StartName(StrEnum):
    """Where the search for the template's place begins."""

    search = "search"
    header = "header"
    centre = "centre"
    moments = "moments"


@app.callback()
def _group() -> None:
    """Take what identifies a person out of DICOM files; 'deidentify face': a face out of a scan."""


@app.command(ITSELF)
def deidentify(
    source: Annotated[Path, typer.Argument(metavar="IN", help="DICOM file, or folder of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for files and report.")],
    key: Annotated[
        Path,
        typer.Option("--key", help="File with the secret key; made, for you only, if absent."),
    ],
    option: Annotated[
        list[Keep] | None, typer.Option("--option", help="Option of the profile; repeat for more.")
    ] = None,
    keep_dates: Annotated[
        bool, typer.Option("--keep-dates", help="Leave dates and times as they are (113106).")
    ] = False,
    shift_dates: Annotated[
        bool,
        typer.Option("--shift-dates", help="Move each patient's dates back, 1-365 days (113107)."),
    ] = False,
    allow: Annotated[
        list[Risk] | None, typer.Option("--allow", help="Accept what is refused; repeat for more.")
    ] = None,
    blank: Annotated[
        list[str] | None,
        typer.Option("--blank", help="x,y,width,height in pixels, with clean-pixel-data; repeat."),
    ] = None,
    words: Annotated[
        str, typer.Option("--words", help="Words that descriptions may keep, commas between.")
    ] = "",
    pseudonyms: Annotated[
        Path | None, typer.Option("--pseudonyms", help="CSV: patient ID,pseudonym.")
    ] = None,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """De-identify DICOM files: PS3.15 Annex E, basic profile, with options.

    Without options all dates, descriptions, private attributes, overlays and UIDs are removed or
    replaced; samples and geometry stay. UIDs, pseudonyms and date shifts come from the key: the
    same in every run, so that follow-ups stay together. Keep the key apart from the output.

    Pixels are not searched for text: ultrasound, screens and documents are refused unless accepted
    with --allow, or blanked with --option clean-pixel-data. Scans of heads are flagged: faces stay.

    One more verb has a help of its own: 'vesalius deidentify face' removes the face from a scan.

    Leaves with 0 if all is well, 2 for a wrong command, 3 where nothing could be done, 4 where
    files were refused (the rest is written; see report/ in the output), 5 for a fault.
    """
    from vesalius.io.dicom import deidentify as run
    from vesalius.io.dicom import read_pseudonyms

    dates = ["retain-full-dates"] * keep_dates + ["retain-modified-dates"] * shift_dates
    profile = _profile([*(o.value for o in option or []), *dates], allow or [], blank or [], words)
    with watch(progress, quiet=quiet) as on_step:
        report = run(
            source,
            out,
            key=key,
            options=profile,
            pseudonyms={} if pseudonyms is None else read_pseudonyms(pseudonyms),
            on_step=on_step,
        )
    if not quiet:
        typer.echo(report.text)
    refused = report.count("refused")
    if refused:
        told = "1 file was" if refused == 1 else f"{refused} files were"
        typer.echo(f"error: {told} refused", err=True)
        raise typer.Exit(PARTIAL)
    if not report.count("written") + report.count("duplicate"):
        typer.echo("error: there must be a DICOM file to de-identify, there is none", err=True)
        raise typer.Exit(REFUSED)


@app.command("face")
def face(
    image: Annotated[Path, typer.Argument(help="Scan of a head: file, or folder of one series.")],
    template: Annotated[Path, typer.Option("--template", help="A head that is like it.")],
    mask: Annotated[Path, typer.Option("--face", help="Labels of the template's face.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the scan without a face.")],
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Labels of IMAGE (the brain) that stay whole.")
    ] = None,
    margin: Annotated[float, typer.Option("--margin", help="The mask grows by this, mm.")] = 0.0,
    init: Annotated[
        StartName, typer.Option("--init", help="Where the search for the face begins.")
    ] = StartName.search,
    modality: Annotated[
        ModalityName, typer.Option("--modality", help="Same or different contrast.")
    ] = ModalityName.same,
    report: Annotated[
        Path | None, typer.Option("--report", help="Page with pictures; IT SHOWS THE FACE.")
    ] = None,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Remove the face from a scan: a mask drawn once on a template is carried by registration.

    Every voxel outside the mask stays as it is. Where the template does not lie on the head for
    sure, nothing is written and the command leaves with 3. Look at the page of --report, and keep
    it apart from the scan.
    """
    from vesalius.study.deface import Files, Rules, figures, run_deface

    rules = Rules(margin_mm=margin, init=init.value, modality=modality.value)
    files = Files(image, template, mask, keep)
    with watch(progress, quiet=quiet) as on_step:
        done = run_deface(files, out, report=report, rules=rules, on_step=on_step)
    if quiet:
        return
    for text in done.findings:
        typer.echo(f"note: {text}")
    for name, value in figures(done):
        typer.echo(f"{name:<30} {value}")
    typer.echo("look at the result before you pass it on: no program sees a face that stayed")


def _profile(options: list[str], allow: list[Risk], blank: list[str], words: str) -> "Profile":
    from typing import Any

    from vesalius.io.dicom import Profile

    chosen: Any = tuple(dict.fromkeys(options))
    accepted: Any = tuple(dict.fromkeys(risk.value for risk in allow))
    return Profile(
        chosen, accepted, tuple(map(_box, blank)), tuple(words.replace(",", " ").split())
    )


def _box(text: str) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = (int(word) for word in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"must be x,y,width,height in whole pixels, such as 0,0,640,40; got {text!r}",
            param_hint="'--blank'",
        ) from error
    return x, y, width, height
