"""``vesalius predict view``: cases of a table on two axes."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vesalius.cli._predict_options import (
    Batch,
    Case,
    Feature,
    Kind,
    KindName,
    LeaveOut,
    Positive,
    Quiet,
    Shown,
    Site,
    TableFile,
    Time,
    tell,
)
from vesalius.cli._progress import Progress, watch


class MethodName(StrEnum):
    """How cases are laid out."""

    pca = "pca"
    lda = "lda"
    isomap = "isomap"
    lle = "lle"
    laplacian = "laplacian"
    tsne = "tsne"
    umap = "umap"


def view(
    table: TableFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.")],
    method: Annotated[
        list[MethodName] | None,
        typer.Option("--method", help="How cases are laid out (repeatable); pca where none."),
    ] = None,
    outcome: Annotated[str, typer.Option("--outcome", help="Column that colours the cases.")] = "",
    kind: Kind = KindName.binary,
    positive: Positive = "",
    time: Time = "",
    case: Case = "",
    batch: Batch = "",
    site: Site = "",
    colour: Annotated[
        list[str] | None,
        typer.Option("--colour", help="Another column that colours the cases (repeatable)."),
    ] = None,
    feature: Feature = None,
    leave_out: LeaveOut = None,
    neighbours: Annotated[
        int, typer.Option("--neighbours", help="Of each case, in methods that join them.")
    ] = 15,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")] = 0,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Show the cases of TABLE on two axes, coloured by outcome, batch and group.

    Each picture comes with its trustworthiness; the page says where nearest neighbours mean little.
    Views are for looking: nothing of them belongs into a model.
    """
    from vesalius.predict import Description
    from vesalius.study.predict import Columns, ViewJob, run_view

    said = Description(
        outcome=outcome,
        kind=kind.value,
        positive=positive,
        time=time,
        case=case,
        batch=batch,
        site=site,
    )
    job = ViewJob(
        Columns(said, tuple(feature or ()), tuple(leave_out or ())),
        tuple(colour or ()),
        tuple(one.value for one in method or (MethodName.pca,)),
        neighbours,
        seed,
    )
    with watch(progress, quiet=quiet) as on_step:
        done = run_view(table, out, job, on_step=on_step)
    tell(done, quiet=quiet)
