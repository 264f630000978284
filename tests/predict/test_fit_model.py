"""Fit model: a recipe on all cases, with what must be known to use it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_tables import made

from vesalius.errors import ConfigError, RegionError
from vesalius.predict import (
    Card,
    Description,
    Estimate,
    Recipe,
    Table,
    Validation,
)
from vesalius.predict._fit_model import case_hashes, groups_of, table_hash
from vesalius.predict.adjust import Residualise
from vesalius.predict.estimators import Lasso
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import (
    card_to_json,
    default_recipe,
    fit_model,
    recipe_to_json,
    with_validation,
)
from vesalius.predict.select import Scale

ASKED = Description(outcome="event", positive="yes")


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def asked(cases=60, features=6, *, seed=0, kind="binary"):
    """Give a table that holds its outcome as a column."""
    table, target = made(cases, features, seed=seed, kind=kind, shift=2.0)
    names = [target.classes[int(v)] for v in target.values] if target.classes else target.values
    columns = table.columns.assign(event=names)
    if kind == "survival":
        columns = columns.assign(event=target.events.astype(int), time=target.values)
    return replace(table, columns=columns)


def test_predicts_as_the_fitted_recipe_does():
    table = asked()
    model = fit_model(table, ASKED, default_recipe(), generator=draw())
    assert model.classes == ("no", "yes")
    assert model.fitted.wanted == table.features
    assert np.isnan(model.threshold)
    assert model.recalibration == (0.0, 1.0)
    event = (table.columns["event"] == "yes").to_numpy()
    score = model.fitted.predict(table)[:, 0]
    assert score[event].mean() > score[~event].mean()


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_fits_other_kinds_of_outcome(kind):
    description = Description(outcome="event", kind=kind)
    model = fit_model(asked(kind=kind), description, default_recipe(kind), generator=draw())
    assert model.training.events == 0
    assert len(model.classes) == (3 if kind == "classes" else 0)


def test_says_what_it_learned_from():
    table = replace(asked(), units={"f00": "mm"}, parameters="abc")
    description = replace(ASKED, batch="batch", site="site")
    training = fit_model(table, description, default_recipe(), generator=draw()).training
    assert training.cases == 60
    assert training.events == int((table.columns["event"] == "yes").sum())
    assert training.columns == {"batch": ("a", "b", "c"), "site": ("north", "south")}
    assert training.units == {"f00": "mm"}
    np.testing.assert_allclose(
        [training.low["f03"], training.high["f03"]], np.quantile(table.values[:, 3], (0.01, 0.99))
    )
    assert len(set(training.case_hashes)) == 60
    assert not set(training.case_hashes) & set(table.cases)


def test_two_models_hash_the_same_cases_differently():
    a, b = (fit_model(asked(), ASKED, default_recipe(), generator=draw(s)) for s in (0, 1))
    assert a.training.salt != b.training.salt
    assert not set(a.training.case_hashes) & set(b.training.case_hashes)


def test_a_trip_through_text_does_not_change_a_hash():
    values = np.random.default_rng(0).normal(size=(9, 4)) * [1e-9, 1, 1e6, 0]
    values[2, 1] = np.nan
    text = np.array([[float(f"{v:.12g}") for v in row] for row in values])
    assert case_hashes(text, "s") == case_hashes(values, "s")
    changed = values.copy()
    changed[0, 0] *= 1.001
    assert case_hashes(changed, "s")[0] != case_hashes(values, "s")[0]
    assert case_hashes(changed, "s")[1:] == case_hashes(values, "s")[1:]


def test_nought_has_one_hash_and_a_power_of_ten_is_not_another():
    found = case_hashes(np.array([[0.0], [-0.0], [1.0], [10.0], [0.1]]), "s")
    assert found[0] == found[1]
    assert len(set(found)) == 4


def test_the_provenance_names_the_recipe_and_the_table():
    table = asked()
    recipe = default_recipe()
    record = fit_model(table, ASKED, recipe, generator=draw()).provenance
    assert record.parameters["recipe"] == recipe_to_json(recipe)
    assert record.inputs == {"table": table_hash(table)}
    assert table_hash(table) != table_hash(table.with_values(table.values * 2))


def test_the_batch_of_the_description_is_harmonised():
    recipe = Recipe((Combat(), Scale()), Lasso())
    model = fit_model(asked(), replace(ASKED, batch="batch"), recipe, generator=draw())
    assert model.fitted.steps[0].batch == "batch"
    assert model.recipe.steps[0].batch == "batch"
    assert recipe.steps[0].batch == ""


def test_a_batch_that_was_named_stays():
    recipe = Recipe((Combat(batch="site"), Scale()), Lasso())
    model = fit_model(asked(), replace(ASKED, batch="batch"), recipe, generator=draw())
    assert model.recipe.steps[0].batch == "site"


def test_patients_are_told_to_the_inner_folds():
    table = asked()
    assert groups_of(table, replace(ASKED, group="patient"))[:2] == ("p000", "p001")
    assert groups_of(table, ASKED) == ()


def test_refuses_to_harmonise_what_cannot_be_told_from_the_outcome():
    table = asked()
    same = table.columns.assign(batch=[f"scanner {one}" for one in table.columns["event"]])
    with pytest.raises(ConfigError, match="batch and outcome must differ enough"):
        fit_model(
            replace(table, columns=same),
            replace(ASKED, batch="batch"),
            Recipe((Combat(),), Lasso()),
            generator=draw(),
        )


def test_refuses_the_outcome_as_a_feature():
    table, target = made(30, 3)
    columns = table.columns.assign(f00=[target.classes[int(v)] for v in target.values])
    with pytest.raises(ConfigError, match="the outcome must not be a feature, 'f00' is both"):
        fit_model(
            replace(table, columns=columns),
            Description(outcome="f00", positive="yes"),
            default_recipe(),
            generator=draw(),
        )


@pytest.mark.parametrize("step", [Residualise(("age", "event")), Combat("batch", ("event",))])
def test_refuses_a_step_that_works_with_the_outcome(step):
    with pytest.raises(ConfigError, match="must not work with the outcome, it names 'event'"):
        fit_model(asked(), ASKED, Recipe((step,), Lasso()), generator=draw())


def test_refuses_one_class():
    table = asked()
    rows = np.flatnonzero(table.columns["event"] == "yes")
    with pytest.raises((ConfigError, RegionError)):
        fit_model(table.rows(rows), ASKED, default_recipe(), generator=draw())


def test_a_validation_gives_card_and_threshold():
    model = fit_model(asked(), ASKED, default_recipe(), generator=draw())
    scores = {"auc": Estimate(0.8, 0.7, 0.9), "mcc": Estimate(np.nan, reason="one class only")}
    card = Card("binary", 60, 30, scores, threshold=0.4, threshold_rule="Youden", remarks=("few",))
    found = with_validation(model, Validation(card, _held_out(), plan="nested 5 x 5"))
    assert found.threshold == 0.4
    assert found.card["plan"] == "nested 5 x 5"
    assert found.card["scores"]["auc"] == {"value": 0.8, "low": 0.7, "high": 0.9, "reason": ""}
    assert found.card["scores"]["mcc"]["value"] is None
    assert card_to_json(card)["remarks"] == ["few"]
    assert np.isnan(model.threshold)


def _held_out():
    import pandas as pd

    return pd.DataFrame({"case": ["a"]})


def test_a_feature_that_no_case_has_bounds_nothing():
    table = asked()
    values = table.values.copy()
    values[:, 2] = np.nan
    gap = replace(table, values=values, reasons={(c, "f02"): "too small" for c in table.cases})
    assert isinstance(gap, Table)
    training = fit_model(gap, ASKED, default_recipe(), generator=draw()).training
    assert (training.low["f02"], training.high["f02"]) == (-np.inf, np.inf)


def test_refuses_cases_of_unknown_patients():
    table = asked()
    columns = table.columns.assign(who=[np.nan] * 2 + [f"p{k // 2}" for k in range(58)])
    with pytest.raises(ConfigError, match="'who' must have a value for every case, 2 have none"):
        groups_of(replace(table, columns=columns), replace(ASKED, group="who"))
