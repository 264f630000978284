"""Federate as a run: tables of hospitals to a model in a folder, and what is written beside it."""

import json

import numpy as np
import pytest
import yaml
from made_tables import made

from vesalius.errors import ConfigError
from vesalius.predict import Description, read_table
from vesalius.predict.federate import Link, Plan, Rules
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import apply_model, load_model
from vesalius.study.predict import Columns, Hospital, read_plan, run_serve, run_simulate

COLUMNS = Columns(Description(outcome="event", case="patient"), ("f*",))


@pytest.fixture
def tables(tmp_path):
    """Files of two hospitals."""
    paths = []
    for seed, name in enumerate(("north", "south")):
        table, target = made(70, 4, seed=seed)
        features = dict(zip(table.features, table.values.T, strict=True))
        frame = table.columns.assign(**features, event=target.values.astype(int))
        paths.append(tmp_path / f"{name}.csv")
        frame.to_csv(paths[-1], index=False)
    return paths


def hospitals(tables, **more):
    """Give a hospital for each file."""
    return [Hospital(path, COLUMNS, **more) for path in tables]


def test_writes_a_model_that_can_be_applied(tables, tmp_path):
    done = run_simulate(hospitals(tables), tmp_path / "out", Plan())
    assert ("hospitals", "north, south") in done.headline
    model = load_model(tmp_path / "out")
    assert model.description.outcome == "event"
    assert model.classes == ("0", "1")
    table = read_table(tables[0], COLUMNS.description, features=("f*",))
    assert len(apply_model(model, table).table) == 70
    told = json.loads((tmp_path / "out" / "federation.json").read_text())
    assert [one["cases"] for one in told["hospitals"]] == [70, 70]
    assert told["converged"]
    assert [one["client"] for one in told["scores"]] == ["north", "south"]
    assert all(0.5 < one["auc"] <= 1 for one in told["scores"])
    assert len(told["trace"]) == told["rounds"]


def test_writes_the_same_bytes_again(tables, tmp_path):
    for name in ("one", "two"):
        run_simulate(hospitals(tables), tmp_path / name, Plan())
    first, second = (tmp_path / name / "model.json" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_harmonises_hospitals_first(tables, tmp_path):
    plain = run_simulate(hospitals(tables), tmp_path / "plain", Plan())
    step = Combat(batch="hospital", keep=("age",))
    moved = run_simulate(hospitals(tables), tmp_path / "moved", Plan(), combat=step)
    weights = [load_model(done.folder).fitted.estimator.weights_ for done in (plain, moved)]
    assert np.abs(weights[0] - weights[1]).max() > 1e-3


def test_tells_what_privacy_cost(tables, tmp_path):
    path = tmp_path / "plan.yaml"
    said = {
        "scaling": "given",
        "rounds": 5,
        "features": ["f00", "f01"],
        "privacy": {"level": "record", "noise": 3.0},
    }
    path.write_text(yaml.safe_dump(said))
    plan = read_plan(path)
    assert plan.privacy.noise == 3.0
    done = run_simulate(hospitals(tables, rules=Rules(epsilon=10.0)), tmp_path / "out", plan)
    assert dict(done.headline)["privacy spent"].startswith("epsilon 3.8")
    assert json.loads((tmp_path / "out" / "federation.json").read_text())["loss"] is None


def test_no_plan_is_the_default_and_an_empty_file_is_too(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert read_plan(None) == read_plan(tmp_path / "empty.yaml") == Plan()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: [1", None])
def test_refuses_a_plan_that_is_no_yaml(tmp_path, content):
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="a federated plan must be a file of YAML or JSON"):
        read_plan(path)


def test_refuses_a_plan_that_is_a_list(tmp_path):
    (tmp_path / "plan.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="the federated plan must be a mapping of settings"):
        read_plan(tmp_path / "plan.yaml")


def test_refuses_no_hospital(tmp_path):
    with pytest.raises(ConfigError, match="a training must have hospitals, got none"):
        run_simulate([], tmp_path / "out", Plan())


def test_refuses_an_outcome_without_name_before_anything_is_trained(tables, tmp_path):
    with pytest.raises(ConfigError, match="an outcome must be named for a federated model"):
        run_simulate([Hospital(tables[0], Columns())], tmp_path / "out", Plan())
    with pytest.raises(ConfigError, match="an outcome must be named for a federated model"):
        run_serve(tmp_path / "out", Plan(), Columns(), clients=2, link=Link())
    assert not (tmp_path / "out").exists()
