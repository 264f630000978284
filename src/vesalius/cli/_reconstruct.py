"""``vesalius reconstruct``: raw measurements to an image; simulate them; draw a radiograph."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vesalius.cli._group import ITSELF, VerbGroup
from vesalius.cli._progress import Progress, watch

if TYPE_CHECKING:
    from vesalius.study.reconstruct import Done, Plan

app = typer.Typer(cls=VerbGroup, rich_markup_mode=None, add_help_option=False)


class Unit(StrEnum):
    """Unit of a reconstructed CT."""

    mu = "1/mm"
    hu = "hu"


class Stripes(StrEnum):
    """How stripes of bad detector elements (rings in the image) are taken out."""

    none = "none"
    wavelet = "wavelet"
    sorting = "sorting"


class Scan(StrEnum):
    """Which views there are."""

    full = "full"
    short = "short"
    half = "half-fan"


class Window(StrEnum):
    """What the ramp filter is multiplied by."""

    ram_lak = "ram-lak"
    shepp_logan = "shepp-logan"
    cosine = "cosine"
    hamming = "hamming"
    hann = "hann"
    parzen = "parzen"


class Truncation(StrEnum):
    """How views go on beyond the detector."""

    none = "none"
    cosine = "cosine"
    ellipse = "ellipse"


class Quantity(StrEnum):
    """What raw samples are."""

    counts = "counts"
    transmission = "transmission"
    line = "line integral"


class Rule(StrEnum):
    """How the strength of a prior is chosen from the data."""

    balance = "balance"
    discrepancy = "discrepancy"
    gcv = "gcv"
    sure = "sure"


@app.callback()
def _group() -> None:
    """Reconstruct raw data; simulate measurements; draw a radiograph."""


@app.command(ITSELF)
def reconstruct(
    raw: Annotated[
        Path,
        typer.Argument(help="HDF5, .npy, .npz, TIFF stack; k-space: .npy, .h5, BART .cfl."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Image file, such as image.nii.gz.")],
    geometry: Annotated[
        Path | None,
        typer.Option("--geometry", "-g", help="YAML file; needed where RAW holds no geometry."),
    ] = None,
    method: Annotated[
        str,
        typer.Option("--method", "-m", help="See the list above; 'auto' is fbp, fdk or cs."),
    ] = "auto",
    unit: Annotated[Unit, typer.Option("--unit", help="Unit of a CT image.")] = Unit.mu,
    kev: Annotated[float, typer.Option("--kev", help="Effective energy for HU, keV.")] = 70.0,
    like: Annotated[
        Path | None, typer.Option("--like", help="Image whose grid is taken for the result.")
    ] = None,
    window: Annotated[
        Window, typer.Option("--window", help="Filter of fbp, gridding and fdk.")
    ] = Window.ram_lak,
    scan: Annotated[
        Scan, typer.Option("--scan", help="Views of fbp and fdk: full turn, short scan, half-fan.")
    ] = Scan.full,
    truncation: Annotated[
        Truncation, typer.Option("--truncation", help="How fbp and fdk go on beyond the detector.")
    ] = Truncation.none,
    steps: Annotated[int, typer.Option("--steps", help="Steps; 0 is the method's own.")] = 0,
    weight: Annotated[
        str, typer.Option("--weight", help="Strength of the prior, or auto.")
    ] = "auto",
    rule: Annotated[
        Rule, typer.Option("--rule", help="How an automatic strength is chosen.")
    ] = Rule.balance,
    quantity: Annotated[
        Quantity, typer.Option("--quantity", help="What RAW holds, where it does not tell.")
    ] = Quantity.counts,
    centre: Annotated[
        str,
        typer.Option("--centre", help="Column of the rotation axis, 'file', or 'find'."),
    ] = "file",
    stripes: Annotated[
        Stripes, typer.Option("--stripes", help="Take out stripes (rings).")
    ] = Stripes.none,
    noise: Annotated[
        Path | None, typer.Option("--noise", help="Noise samples of the coils (coil, n), .npy.")
    ] = None,
    coils: Annotated[int, typer.Option("--coils", help="Coils to compress to; 0 keeps all.")] = 0,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Image to compare the result with.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="HTML file; default: beside the image.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what it needs; stop.")
    ] = False,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Reconstruct an image from raw measurements, and write a report beside it.

    CT methods: fbp, gridding (parallel rays), fdk (cone beam), sirt, sart, os-sart, cgls, lsqr,
    mlem, osem, tikhonov, tv, tgv, huber, wavelet, pnp (learned denoiser). MR: rss, sense, cs.

    Two more verbs have a help of their own: 'vesalius reconstruct simulate' measures an image as a
    scanner would, 'vesalius reconstruct drr' draws a radiograph of a CT.
    """
    from vesalius.study.reconstruct import Job, open_plan, run_plan

    job = Job(
        method=method,
        unit="HU" if unit is Unit.hu else "1/mm",
        kev=kev,
        window=window.value,
        scan=scan.value,
        truncation=truncation.value,
        steps=steps,
        weight=_weight(weight),
        rule=rule.value,
        quantity=quantity.value,
        centre=_centre(centre),
        stripes=stripes.value,
        coils=coils,
    )
    plan = open_plan(raw, job, geometry=geometry, like=like, noise=noise)
    if dry_run:
        _show(plan)
        return
    with watch(progress, quiet=quiet) as on_step:
        done = run_plan(plan, out, report=report, truth=truth, on_step=on_step)
    _tell(plan, done, quiet=quiet)


@app.command("simulate")
def simulate(
    image: Annotated[Path, typer.Argument(help="CT in HU, or attenuation in 1/mm.")],
    geometry: Annotated[Path, typer.Option("--geometry", "-g", help="YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="HDF5 file, such as scan.h5.")],
    photons: Annotated[
        float, typer.Option("--photons", help="Photons per element; 0 is without noise.")
    ] = 0.0,
    electronic: Annotated[
        float, typer.Option("--electronic", help="Readout noise, photons.")
    ] = 0.0,
    kev: Annotated[float, typer.Option("--kev", help="Effective energy, keV.")] = 70.0,
    seed: Annotated[int, typer.Option("--seed", help="Which noise.")] = 0,
    isocentre: Annotated[
        str,
        typer.Option("--isocentre", help="'image' (its middle), 'file', or L,P,S in mm."),
    ] = "image",
    unit: Annotated[str, typer.Option("--unit", help="Unit of IMAGE, where not in it.")] = "",
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Measure an image as a scanner would, and write the raw data with its geometry."""
    from vesalius.study.reconstruct import Exposure, run_simulate

    exposure = Exposure(photons, electronic, kev, seed)
    with watch(progress, quiet=quiet) as on_step:
        raw = run_simulate(
            image,
            geometry,
            out,
            exposure=exposure,
            isocentre=_isocentre(isocentre),
            unit=unit,
            on_step=on_step,
        )
    if not quiet:
        views, rows, columns = raw.counts.shape
        typer.echo(f"{views} views of {rows} x {columns} elements ({raw.quantity}): {out}")


@app.command("drr")
def drr(
    image: Annotated[Path, typer.Argument(help="CT in HU.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture, such as xray.png.")],
    pose: Annotated[
        str,
        typer.Option("--pose", help="Patient's rotation (deg) and shift (mm): rL,rP,rS,tL,tP,tS."),
    ] = "0,0,0,0,0,0",
    angle: Annotated[
        float, typer.Option("--angle", help="Source angle, deg; 270 looks from the front.")
    ] = 270.0,
    source: Annotated[float, typer.Option("--source", help="Source to patient, mm.")] = 1000.0,
    detector: Annotated[float, typer.Option("--detector", help="Source to detector, mm.")] = 1500.0,
    size: Annotated[
        str, typer.Option("--size", help="Rows and columns, such as 512,512.")
    ] = "512,512",
    pitch: Annotated[float, typer.Option("--pitch", help="Size of an element, mm.")] = 1.0,
    kev: Annotated[float, typer.Option("--kev", help="Effective energy, keV.")] = 70.0,
    unit: Annotated[str, typer.Option("--unit", help="Unit of IMAGE, where not in it.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Draw a radiograph of a CT: line integrals along the rays, shown as on a film."""
    from vesalius.study.reconstruct import Camera, run_drr

    rows, columns = (int(n) for n in _numbers(size, 2, "--size"))
    camera = Camera(angle, source, detector, (rows, columns), pitch, kev)
    run_drr(image, out, camera=camera, pose=_numbers(pose, 6, "--pose"), unit=unit)
    if not quiet:
        typer.echo(f"written: {out}")


def _show(plan: "Plan") -> None:
    for name, value in plan.facts:
        typer.echo(f"{name:<22} {value}")
    for text in plan.remarks:
        typer.echo(f"note: {text}")


def _tell(plan: "Plan", done: "Done", *, quiet: bool) -> None:
    if quiet:
        return
    for text in (*plan.remarks, *done.reconstruction.remarks):
        typer.echo(f"note: {text}")
    typer.echo(f"image: {done.image}")
    typer.echo(f"report: {done.report}")


def _weight(text: str) -> float | Literal["auto"]:
    if text == "auto":
        return "auto"
    value = _number(text)
    if value is None or value < 0:
        raise typer.BadParameter(
            f"must be auto or a number of at least 0, got {text!r}", param_hint="'--weight'"
        )
    return value


def _centre(text: str) -> float | Literal["file", "find"]:
    words: dict[str, Literal["file", "find"]] = {"file": "file", "find": "find"}
    if text in words:
        return words[text]
    column = _number(text)
    if column is None:
        raise typer.BadParameter(
            f"must be file, find or a column such as 295.5, got {text!r}", param_hint="'--centre'"
        )
    return column


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _isocentre(text: str) -> tuple[float, float, float] | Literal["image", "file"]:
    words: dict[str, Literal["image", "file"]] = {"image": "image", "file": "file"}
    if text in words:
        return words[text]
    a, b, c = _numbers(text, 3, "--isocentre")
    return (a, b, c)


def _numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count:
        raise typer.BadParameter(
            f"must be {count} numbers with commas between, got {text!r}",
            param_hint=f"'{option}'",
        )
    return found
