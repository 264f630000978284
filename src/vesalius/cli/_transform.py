"""``vesalius transform``: apply, compose, invert, convert and describe transforms."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Apply, compose, invert, convert and describe transforms."
)

REFERENCE = typer.Option(
    "--fsl-ref", help="FSL .mat, or .lta to be written: the image that was the reference."
)
INPUT = typer.Option(
    "--fsl-in", help="FSL .mat, or .lta to be written: the image that was the input."
)


@app.command("apply")
def apply(
    transform: Annotated[Path, typer.Argument(help="Transform, fixed world to moving world.")],
    moving: Annotated[
        Path | None, typer.Argument(help="Image or labels of the moving world.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write.")] = None,
    like: Annotated[
        Path | None,
        typer.Option("--like", help="Image whose grid is taken: the fixed one."),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="IMAGE holds labels: nearest voxel, never averaged.")
    ] = False,
    points: Annotated[
        Path | None,
        typer.Option("--points", help="CSV of points of the FIXED world (# LPS mm), to be mapped."),
    ] = None,
    cubic: Annotated[bool, typer.Option("--cubic", help="Cubic B-spline, not linear.")] = False,
    fsl_ref: Annotated[Path | None, REFERENCE] = None,
    fsl_in: Annotated[Path | None, INPUT] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Pull an image of the moving world onto a grid of the fixed one; or map points.

    Points move opposite to images: a transform takes points of the FIXED world to the moving one.
    To bring points of the moving world to the fixed one, invert the transform first.
    """
    from vesalius.study.register import apply_to_image, apply_to_points, open_transform

    found = open_transform(transform, fixed=fsl_ref, moving=fsl_in)
    if out is None:
        raise typer.BadParameter("must name the file to write", param_hint="'--out'")
    if points is not None:
        if moving is not None or like is not None:
            raise typer.BadParameter(
                "takes points alone: leave IMAGE and --like away", param_hint="'--points'"
            )
        count = apply_to_points(found, points, out)
        if not quiet:
            typer.echo(f"{count} points went from the fixed world to the moving world: {out}")
            typer.echo("note: points move opposite to images")
        return
    if moving is None or like is None:
        raise typer.BadParameter("an image needs IMAGE and --like, points need --points")
    apply_to_image(found, moving, like=like, out=out, labels=labels, cubic=cubic)
    if not quiet:
        typer.echo(f"written: {out}")


@app.command("compose")
def compose(
    transforms: Annotated[
        list[Path], typer.Argument(help="A B ...: points go through the last one first.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    like: Annotated[
        Path | None,
        typer.Option("--like", help="Image whose grid a dense result takes."),
    ] = None,
    fsl_ref: Annotated[Path | None, REFERENCE] = None,
    fsl_in: Annotated[Path | None, INPUT] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Write one transform for several in a row."""
    from vesalius.study.register import compose_files

    said = compose_files(transforms, out, like=like, fixed=fsl_ref, moving=fsl_in)
    if not quiet:
        typer.echo(said)


@app.command("invert")
def invert(
    transform: Annotated[Path, typer.Argument(help="Transform, fixed world to moving world.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    like: Annotated[
        Path | None,
        typer.Option("--like", help="Image whose grid a dense inverse takes: the moving one."),
    ] = None,
    fsl_ref: Annotated[Path | None, REFERENCE] = None,
    fsl_in: Annotated[Path | None, INPUT] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Write the inverse: moving world to fixed world."""
    from vesalius.study.register import invert_file

    said = invert_file(transform, out, like=like, fixed=fsl_ref, moving=fsl_in)
    if not quiet:
        typer.echo(said)


@app.command("convert")
def convert(
    transform: Annotated[Path, typer.Argument(help="Transform file of any format.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="File to write: .json, .tfm, .h5, .mat, .lta, .nii.gz."),
    ],
    like: Annotated[
        Path | None,
        typer.Option("--like", help="Image whose grid a dense field takes: the fixed one."),
    ] = None,
    plane: Annotated[
        bool, typer.Option("--plane", help="Write ITK's 2-D transform, for 2-D images.")
    ] = False,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="A text .mat is that of greedy or ITK-SNAP.")
    ] = False,
    fsl_ref: Annotated[Path | None, REFERENCE] = None,
    fsl_in: Annotated[Path | None, INPUT] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Write a transform in another format; with --fsl-ref and --fsl-in a .mat is FSL's."""
    from vesalius.study.register import Dialect, convert_file

    if greedy and fsl_ref is not None:
        raise typer.BadParameter(
            "a text .mat is greedy's or FSL's, not both", param_hint="'--greedy'"
        )
    dialect = Dialect(fsl_ref, fsl_in, plane=plane, greedy=greedy)
    said = convert_file(transform, out, like=like, dialect=dialect)
    if not quiet:
        typer.echo(said)


@app.command("info")
def info(
    transform: Annotated[Path, typer.Argument(help="Transform file of any format.")],
    fsl_ref: Annotated[Path | None, REFERENCE] = None,
    fsl_in: Annotated[Path | None, INPUT] = None,
) -> None:
    """Say what a transform is: direction, parts, frame, sizes."""
    from vesalius.io.transforms import describe
    from vesalius.study.register import open_transform

    typer.echo(describe(open_transform(transform, fixed=fsl_ref, moving=fsl_in)))
