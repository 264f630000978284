"""``vesalius predict leaks`` and ``predict size``: questions to ask before anything is fitted."""
# SPDX-License-Identifier: Apache-2.0

from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._predict_options import Batch, Feature, LeaveOut, Outcome, TableFile
from vesalius.cli._words import printable

if TYPE_CHECKING:
    from vesalius.predict.validate import SampleSize


def leaks(
    table: TableFile,
    outcome: Outcome,
    group: Annotated[str, typer.Option("--group", help="Column of the patient.")] = "",
    batch: Batch = "",
    feature: Feature = None,
    leave_out: LeaveOut = None,
) -> None:
    """Look for ways by which test cases or the outcome may be known to a model of TABLE.

    Leaves with 0 where nothing certain was found, and with 3 where a leak is certain.
    """
    from vesalius.predict import Description, read_table, target_of
    from vesalius.predict.validate import Split, find_leaks

    asked = Description(outcome=outcome, group=group, batch=batch)
    found = read_table(table, asked, features=feature or (), leave_out=leave_out or ())
    told = find_leaks(found, asked, target_of(found, asked), split=Split())
    for leak in told:
        typer.echo(f"{leak.severity}: {printable(leak.text)}")
    if not told:
        typer.echo(
            f"nothing was found in {len(found.cases)} cases and {len(found.features)} features; "
            "an outcome that was known to whoever drew the contours leaves no trace"
        )
    if any(leak.severity == "certain" for leak in told):
        raise typer.Exit(3)


def size(
    parameters: Annotated[
        int, typer.Option("--parameters", help="Features, or weights, that are estimated.")
    ],
    share: Annotated[
        float, typer.Option("--share", help="Of cases with the event, for two classes.")
    ] = 0.0,
    auc: Annotated[float, typer.Option("--auc", help="Expected, for two classes.")] = 0.0,
    r2: Annotated[float, typer.Option("--r2", help="Expected adjusted R2, for a number.")] = 0.0,
    rate: Annotated[float, typer.Option("--rate", help="Events a unit of time, for survival.")] = 0,
    mean_time: Annotated[float, typer.Option("--mean-time", help="Mean follow-up.")] = 0.0,
    at: Annotated[float, typer.Option("--at", help="Time that is predicted for.")] = 0.0,
    r2_cox_snell: Annotated[
        float, typer.Option("--r2-cox-snell", help="Expected, in place of an AUC.")
    ] = 0.0,
    shrinkage: Annotated[float, typer.Option("--shrinkage", help="Least that is accepted.")] = 0.9,
) -> None:
    """Say how many cases a prediction model needs (Riley 2020), and which criterion decides."""
    from vesalius.predict.validate import (
        sample_size_binary,
        sample_size_number,
        sample_size_survival,
    )

    kinds = [bool(share), bool(r2), bool(rate)]
    if sum(kinds) != 1:
        raise typer.BadParameter(
            "give --share (two classes), --r2 (a number) or --rate (survival), one of them"
        )
    if share:
        found = sample_size_binary(
            parameters, share=share, auc=auc, r2_cox_snell=r2_cox_snell, shrinkage=shrinkage
        )
    elif r2:
        found = sample_size_number(parameters, r2=r2, shrinkage=shrinkage)
    else:
        found = sample_size_survival(
            parameters,
            rate=rate,
            mean_time=mean_time,
            at=at,
            r2_cox_snell=r2_cox_snell,
            shrinkage=shrinkage,
        )
    _tell(found)


def _tell(found: "SampleSize") -> None:
    events = f", {found.events} of them with the event" if found.events else ""
    typer.echo(f"{found.cases} cases{events}; decided by: {found.decided_by}")
    for name, cases in found.criteria.items():
        typer.echo(f"  {cases:>7}  {name}")
