"""What a recipe file says of a fit is followed, and what was said beside it goes before."""

import json

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from vesalius.io.tables import read_rows, write_csv
from vesalius.predict import Description, Threshold
from vesalius.predict.models import load_model
from vesalius.predict.validate import Split
from vesalius.study.predict import Columns, FitJob, run_fit
from vesalius.study.predict._run import _read

WRITTEN = """
description: {outcome: dead, group: patient}
leave_out: [age]
steps: [scale]
estimator: {ridge: {weight: 0.1}}
validation: {method: grouped, folds: 3, repeats: 2, threshold: {rule: fixed, value: 0.3}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(WRITTEN)
    return path


def test_the_validation_of_the_recipe_is_made(tmp_path, recipe):
    found, target = made(48, 4, shift=1.5)
    frame = pd.concat(
        [pd.DataFrame(found.values, columns=list(found.features)), found.columns], axis=1
    )
    write_csv(tmp_path / "t.csv", frame.assign(dead=target.values, case=list(found.cases)))
    run_fit(tmp_path / "t.csv", tmp_path / "m", FitJob(config=recipe))
    held = read_rows(tmp_path / "m" / "held_out.csv")
    assert held["repeat"].nunique() == 2
    assert held.groupby("repeat")["fold"].nunique().tolist() == [3, 3]
    assert np.unique(held["threshold"]).tolist() == [0.3]
    assert load_model(tmp_path / "m").threshold == 0.3
    plan = json.loads((tmp_path / "m" / "model.json").read_text())
    assert "3 folds" in json.dumps(plan)


def test_what_is_said_goes_before_what_is_written(recipe):
    said = FitJob(
        Columns(Description(outcome="alive")),
        recipe,
        Split(folds=4, seed=7),
        Threshold("youden", sensitivity=0.8),
    )
    job, found = _read(said)
    assert job.split == Split("grouped", 4, 2, 7, Threshold("youden", sensitivity=0.8))
    assert job.threshold == Threshold("youden", sensitivity=0.8)
    assert job.columns.description == Description(outcome="alive", group="patient")
    assert job.columns.leave_out == ("age",)
    assert found.estimator.word == "ridge"


def test_without_a_recipe_nothing_changes():
    said = FitJob(Columns(Description(outcome="y")), split=Split(folds=4))
    assert _read(said)[0] is said


def test_the_kind_that_is_said_decides_the_estimator_that_is_not_named(tmp_path):
    (tmp_path / "r.yaml").write_text("steps: [scale]")
    asked = Description(outcome="dead", time="days", kind="survival")
    assert _read(FitJob(Columns(asked), tmp_path / "r.yaml"))[1].estimator.word == "cox"
    assert _read(FitJob(config=tmp_path / "r.yaml"))[1].estimator.word == "elastic-net"
