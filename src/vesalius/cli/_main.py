"""The application: every verb, and what the shell is told when one ends."""
# SPDX-License-Identifier: Apache-2.0

import logging
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from vesalius._version import __version__
from vesalius.cli import (
    _audit,
    _change,
    _cohort,
    _compare,
    _config,
    _convert,
    _deidentify,
    _demo,
    _dicom,
    _features,
    _info,
    _measure,
    _predict,
    _predict_explain,
    _predict_federate,
    _predict_similar,
    _predict_view,
    _reconstruct,
    _register,
    _segment,
    _train,
    _transform,
)
from vesalius.cli._exits import explain, save_traceback
from vesalius.errors import VesaliusError

app = typer.Typer(
    name="vesalius",
    help="From raw measurement to measured anatomy. Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", short_help="Measure a chest CT with a nodule of known size.")(_demo.demo)
app.command("info", short_help="Show what is in a file or folder, and what is wrong with it.")(
    _info.info
)
app.command("convert", short_help="Write volumes and outlines in another format.")(_convert.convert)
app.add_typer(_reconstruct.app, name="reconstruct")
app.add_typer(_register.app, name="register")
app.add_typer(_segment.app, name="segment")
app.add_typer(_train.app, name="train")
app.add_typer(_transform.app, name="transform")
_measure.app.command("audit")(_audit.audit)
_measure.app.command("change")(_change.change)
app.add_typer(_measure.app, name="measure")
app.command("compare", short_help="Score labels against the truth: overlap, distances, objects.")(
    _compare.compare
)
app.add_typer(_cohort.app, name="cohort")
_predict.app.command("explain")(_predict_explain.explain)
_predict.app.command("similar")(_predict_similar.similar)
_predict.app.command("view")(_predict_view.view)
_predict.app.add_typer(_predict_federate.app, name="federate")
app.add_typer(_predict.app, name="predict")
app.add_typer(_deidentify.app, name="deidentify")
app.add_typer(_dicom.app, name="dicom")
app.command("features", short_help="List every feature: code, unit, formula, source.")(
    _features.features
)
app.add_typer(_config.app, name="config")


def _version(asked: bool) -> bool:
    if asked:
        typer.echo(f"vesalius {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From raw measurement to measured anatomy. Research use only, not a medical device."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0: all is well. 2: the command was not understood. 3: an input was refused. 4: some regions
    could not be measured, the rest is written. 5: a fault of the program.

    Args:
        arguments: Words after the program's name; none takes those of the process.
    """
    _silence_readers()
    try:
        app(None if arguments is None else list(arguments), prog_name="vesalius")
    except VesaliusError as error:
        typer.echo(explain(error), err=True)
        sys.exit(3)
    except Exception as error:
        where = save_traceback(error)
        typer.echo(
            f"error: vesalius failed, which it should not ({type(error).__name__}). "
            f"The details are in {where}: please report them.",
            err=True,
        )
        sys.exit(5)


def _silence_readers() -> None:
    """Keep other libraries' warnings off the screen: they show values and paths of files.

    What they say of a file is told by our own findings and errors, without either.
    """
    for name in ("pydicom", "highdicom", "pynetdicom", "tifffile", "nibabel.global"):
        warnings.filterwarnings("ignore", module=rf"{re.escape(name)}(\.|$)")
        logging.getLogger(name).setLevel(logging.CRITICAL)
