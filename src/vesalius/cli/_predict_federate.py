"""``vesalius predict federate``: one model of several hospitals, whose cases stay at home."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._predict_options import Case, Feature, LeaveOut, Outcome, Positive, Quiet, tell

if TYPE_CHECKING:
    from vesalius.predict.federate import Plan, Rules
    from vesalius.study.predict import Columns

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", help="YAML or JSON: method, weight, rounds, privacy, ...; none: exact."),
]
Secure = Annotated[
    bool, typer.Option("--secure", help="Mask every sum, so that the server sees totals alone.")
]
Address = Annotated[str, typer.Option("--address", help="host:port of the server.")]
Authority = Annotated[
    str, typer.Option("--authority", help="File of the certificate authority; none: no TLS.")
]
Timeout = Annotated[float, typer.Option("--timeout", help="Longest wait for the others, s.")]
Fewest = Annotated[
    int, typer.Option("--fewest", help="Cases of a class below which nothing is told.")
]
Epsilon = Annotated[
    float, typer.Option("--epsilon", help="Budget of privacy: only sums with noise leave; 0: none.")
]
Delta = Annotated[float, typer.Option("--delta", help="Chance with which the budget may fail.")]
Here = "127.0.0.1:9092"


@app.callback()
def _group() -> None:
    """Train over hospitals: each answers with sums over its cases, which never leave it."""


@app.command("simulate")
def simulate(
    tables: Annotated[list[Path], typer.Argument(help="One table for each hospital.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.")],
    outcome: Outcome = "",
    positive: Positive = "",
    case: Case = "",
    plan: PlanFile = None,
    secure: Secure = False,
    combat: Annotated[
        bool, typer.Option("--combat", help="Harmonise first, hospitals as batches.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Column whose effect ComBat keeps (repeatable)."),
    ] = None,
    feature: Feature = None,
    leave_out: LeaveOut = None,
    fewest: Fewest = 5,
    quiet: Quiet = False,
) -> None:
    """Train over TABLES in this process, as their hospitals would over a network.

    The model is one like any other: vesalius predict apply and validate take it.
    """
    from vesalius.predict.harmonise import Combat
    from vesalius.study.predict import Hospital, run_simulate

    columns = _columns(outcome, positive, case, (feature, leave_out))
    rules = _rules(fewest, 0.0, 1e-5, masked=False)
    step = Combat(batch="hospital", keep=tuple(keep or ())) if combat else None
    hospitals = [Hospital(one, columns, rules=rules) for one in tables]
    tell(run_simulate(hospitals, out, _plan(plan, secure), combat=step), quiet=quiet)


@app.command("serve")
def serve(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.")],
    clients: Annotated[int, typer.Option("--clients", help="Hospitals that are waited for.")] = 2,
    outcome: Outcome = "",
    plan: PlanFile = None,
    secure: Secure = False,
    address: Address = Here,
    authority: Authority = "",
    certificate: Annotated[str, typer.Option("--certificate", help="Of this server.")] = "",
    key: Annotated[str, typer.Option("--key", help="Private key of this server.")] = "",
    timeout: Timeout = 600.0,
    quiet: Quiet = False,
) -> None:
    """Wait for hospitals (extra fed: Flower), train with them, and send them home.

    Beyond this machine a link must be encrypted: give --authority, --certificate and --key.
    """
    from vesalius.predict.federate import Link
    from vesalius.study.predict import run_serve

    link = Link(address, timeout, authority, certificate, key)
    columns = _columns(outcome, "", "", (None, None))
    tell(run_serve(out, _plan(plan, secure), columns, clients=clients, link=link), quiet=quiet)


@app.command("join")
def join(
    table: Annotated[Path, typer.Argument(help="This hospital's table; it stays here.")],
    name: Annotated[str, typer.Option("--name", help="Of this hospital; none: of the file.")] = "",
    outcome: Outcome = "",
    positive: Positive = "",
    case: Case = "",
    address: Address = Here,
    authority: Authority = "",
    timeout: Timeout = 600.0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the list of what left.")
    ] = None,
    fewest: Fewest = 5,
    epsilon: Epsilon = 0.0,
    delta: Delta = 1e-5,
    masked: Annotated[bool, typer.Option("--masked", help="Let sums leave masked only.")] = False,
    feature: Feature = None,
    leave_out: LeaveOut = None,
    quiet: Quiet = False,
) -> None:
    """Take part in a training with TABLE (extra fed: Flower) until the server says goodbye.

    What may leave is decided here: --fewest, --epsilon and --masked hold whatever the server asks.
    """
    from vesalius.predict.federate import Link
    from vesalius.study.predict import Hospital, run_join

    hospital = Hospital(
        table,
        _columns(outcome, positive, case, (feature, leave_out)),
        name,
        _rules(fewest, epsilon, delta, masked=masked),
    )
    tell(run_join(hospital, link=Link(address, timeout, authority), out=out), quiet=quiet)


def _columns(
    outcome: str,
    positive: str,
    case: str,
    patterns: tuple[list[str] | None, list[str] | None],
) -> "Columns":
    from vesalius.predict import Description
    from vesalius.study.predict import Columns

    feature, leave_out = patterns
    said = Description(outcome=outcome, positive=positive, case=case)
    return Columns(said, tuple(feature or ()), tuple(leave_out or ()))


def _rules(fewest: int, epsilon: float, delta: float, *, masked: bool) -> "Rules":
    from vesalius.predict.federate import Rules

    return Rules(fewest, epsilon or math.inf, delta, masked)


def _plan(path: Path | None, secure: bool) -> "Plan":
    from vesalius.study.predict import read_plan

    plan = read_plan(path)
    return replace(plan, secure=True) if secure else plan
