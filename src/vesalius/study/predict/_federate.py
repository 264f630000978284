"""Federate: hospitals' tables to a common model, in one process or each in its own."""
# SPDX-License-Identifier: Apache-2.0

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, final

from vesalius.errors import ConfigError
from vesalius.predict import read_table, target_of
from vesalius.predict.federate import (
    Client,
    FederatedModel,
    Link,
    LocalScore,
    Message,
    Plan,
    Rules,
    as_model,
    channel_to,
    combat_over,
    join,
    plan_from_json,
    plan_to_json,
    score_over,
    serve,
    train,
)
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import save_model
from vesalius.study._folder import make_folder, put
from vesalius.study.predict._done import Done
from vesalius.study.predict._job import Columns

FEDERATION, LEFT = "federation.json", "left.csv"
_MOST = 1 << 20


@final
@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital that takes part.

    Attributes:
        table: CSV, Parquet or the folder of a cohort.
        columns: What the columns mean; the outcome must be named.
        name: In results; empty takes the name of the file.
        rules: What it lets out.
    """

    table: Path
    columns: Columns
    name: str = ""
    rules: Rules = field(default_factory=Rules)


def read_plan(path: Path | None) -> Plan:
    """Read how a model is trained.

    Args:
        path: YAML or JSON with settings of ``Plan``; none takes the defaults.

    Returns:
        The plan.

    Raises:
        ConfigError: The file cannot be read, or a setting is unknown or out of range.
    """
    import yaml

    if path is None:
        return Plan()
    try:
        text = path.read_bytes()[:_MOST].decode()
        said = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"a federated plan must be a file of YAML or JSON, {path.name!r} is not "
            f"({type(error).__name__}): such as 'method: gradient'"
        ) from error
    return plan_from_json({} if said is None else said)


def run_simulate(
    hospitals: Sequence[Hospital], out: Path, plan: Plan, *, combat: Combat | None = None
) -> Done:
    """Train over tables in this process, as hospitals would.

    Args:
        hospitals: One for each table.
        out: Folder of the model; made where absent.
        plan: How.
        combat: Harmonise first, hospitals as batches; none does not. The model then needs
            features that were harmonised likewise.

    Returns:
        What was written.

    Raises:
        VesaliusError: A table, or the hospitals together, refuse.
    """
    if not hospitals:
        raise ConfigError("a training must have hospitals, got none: give a table for each")
    _check_outcome(hospitals[0].columns)
    make_folder(out)
    clients = [client_of(one) for one in hospitals]
    if combat is not None:
        shared = combat_over(
            channel_to(clients), combat, features=plan.features, secure=plan.secure
        )
        clients = [one.harmonised(shared) for one in clients]
    found = train(channel_to(clients), plan)
    open_to_all = not plan.secure and plan.privacy.level == "none"
    scores = score_over(channel_to(clients), found) if open_to_all else ()
    return _written(found, hospitals[0].columns, out, scores)


def run_serve(out: Path, plan: Plan, columns: Columns, *, clients: int, link: Link) -> Done:
    """Wait for hospitals over Flower, and train with them.

    Args:
        out: Folder of the model; made where absent.
        plan: How.
        columns: What the outcome is called, for whoever uses the model.
        clients: How many hospitals are waited for.
        link: Where they come to.

    Returns:
        What was written.

    Raises:
        VesaliusError: Too few came, or one refuses.
    """
    _check_outcome(columns)
    make_folder(out)
    found = serve(lambda ask: train(ask, plan), clients=clients, link=link)
    return _written(found, columns, out)


def run_join(hospital: Hospital, *, link: Link, out: Path | None = None) -> Done:
    """Take part over Flower, and write down what left.

    Args:
        hospital: This one.
        link: Where the server is.
        out: Folder for the list of every array that left; none for no list.

    Returns:
        What was written.

    Raises:
        VesaliusError: The table refuses, or the server cannot be reached.
    """
    client = client_of(hospital)
    rows: list[list[Any]] = []

    def heard(name: str, message: Message) -> None:
        # messages are told by name and size: what is masked or summed need not be kept again
        for key, array in message.arrays.items():
            rows.append([message.ask, key, "x".join(map(str, array.shape)), array.dtype.str])
        if not message.arrays:
            rows.append([message.ask, "", "", ""])

    if out is not None:
        make_folder(out)
    try:
        answered = join(client, link=link, on_message=heard)
    finally:
        # what left has left, however the training ends
        if out is not None:
            put(out / LEFT, _listed(rows))
    spent = f"{client.epsilon:.3g} at delta {client.rules.delta:g}" if client.epsilon else "none"
    said = (("messages", str(answered)), ("privacy spent", spent))
    return Done(out or Path(), None, None if out is None else out / LEFT, said)


def client_of(hospital: Hospital) -> Client:
    """Read the table of a hospital.

    Args:
        hospital: Which.

    Returns:
        The client that answers for it.

    Raises:
        VesaliusError: The table or its outcome refuse.
    """
    columns = hospital.columns
    table = read_table(
        hospital.table,
        columns.description,
        features=columns.features,
        leave_out=columns.leave_out,
    )
    target = target_of(table, columns.description)
    name = hospital.name or hospital.table.name.split(".")[0]
    return Client(name, table, target, rules=hospital.rules)


def _check_outcome(columns: Columns) -> None:
    if not columns.description.outcome:
        raise ConfigError(
            "an outcome must be named for a federated model, got none: give the column with "
            "--outcome"
        )


def _written(
    found: FederatedModel, columns: Columns, out: Path, scores: tuple[LocalScore, ...] = ()
) -> Done:
    # the event's name is what the hospitals agreed on, whatever they called it by
    description = replace(columns.description, positive=found.classes[1])
    save_model(as_model(found, description), out)
    told = _json(found) | {"scores": [asdict(one) for one in scores]}
    put(out / FEDERATION, json.dumps(told, indent=1) + "\n")
    said = [
        ("hospitals", ", ".join(one.client for one in found.clients)),
        ("cases", f"{found.cases}, {found.events} events"),
        ("rounds", f"{found.rounds}" + ("" if found.converged else ", tolerance not reached")),
    ]
    if scores:
        said.append(("AUC in training", ", ".join(f"{s.client} {s.auc:.3f}" for s in scores)))
    if found.epsilon:
        delta = found.plan.privacy.delta
        said.append(("privacy spent", f"epsilon {found.epsilon:.3g} at delta {delta:g}"))
    return Done(out, None, out / FEDERATION, tuple(said), found.remarks)


def _json(found: FederatedModel) -> dict[str, Any]:
    return {
        "plan": plan_to_json(found.plan),
        "hospitals": [
            {"name": one.client, "cases": one.cases, "events": one.events} for one in found.clients
        ],
        "cases": found.cases,
        "events": found.events,
        "rounds": found.rounds,
        "converged": found.converged,
        "loss": None if found.loss != found.loss else found.loss,
        "trace": found.trace.tolist(),
        "epsilon": found.epsilon,
        "delta": found.plan.privacy.delta,
        "remarks": list(found.remarks),
    }


def _listed(rows: list[list[Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["answer", "array", "shape", "type"])
    writer.writerows(rows)
    return text.getvalue()
