"""``vesalius demo``: a real chest CT measured, with a nodule whose truth is known."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli._measure import tell
from vesalius.cli._progress import Progress, watch


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything written.")] = Path(
        "vesalius-demo"
    ),
    phantom: Annotated[
        bool, typer.Option("--phantom", help="Measure the analytic chest, fetch nothing.")
    ] = False,
    progress: Annotated[
        Progress, typer.Option("--progress", help="How progress is shown.")
    ] = Progress.auto,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")] = False,
) -> None:
    """Measure a real chest CT with an inserted nodule of known size, and write a report.

    The CT (34 MB, MIT licence) comes through pip once; without network an analytic chest phantom
    is measured instead, and the report says so.
    """
    from vesalius.study import run_demo

    with watch(progress, quiet=quiet) as on_step:
        outcome = run_demo(out, phantom=phantom, on_step=on_step)
    tell(outcome, out, quiet=quiet)
