"""A federated model is a model as any: saved, loaded, applied, judged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from federation import hospitals

from vesalius.errors import ConfigError
from vesalius.predict import Description, Recipe
from vesalius.predict.estimators import Ridge
from vesalius.predict.federate import Plan, as_model, federated_fit
from vesalius.predict.models import apply_model, load_model, save_model
from vesalius.predict.select import Impute, Scale
from vesalius.predict.validate import external

ASKED = Description(outcome="event")


def fitted(recipe, table, target):
    """Fit the steps and the estimator with the settings given, without tuning."""
    treated = table
    for step in recipe.steps:
        treated = step.fresh().fit(treated, target).transform(treated)
    return recipe.estimator.fresh().fit(treated.values, target).predict(treated.values)


def test_predicts_what_the_federated_model_predicts(tmp_path):
    clients, table, _ = hospitals(3, 120, 5)
    found = federated_fit(clients, Plan())
    save_model(as_model(found, ASKED), tmp_path)
    loaded = load_model(tmp_path)
    scores = apply_model(loaded, table).scores
    np.testing.assert_allclose(scores[:, 0], found.predict(table), rtol=1e-12)
    assert loaded.training.cases == 120
    assert loaded.provenance.step == "predict federate"


def test_is_the_recipe_fitted_on_all_cases_together():
    clients, table, target = hospitals(3, 120, 5)
    found = as_model(federated_fit(clients, Plan(weight=0.2)), ASKED)
    recipe = Recipe((Impute(method="mean"), Scale()), Ridge(weight=0.2, tol=1e-10))
    pooled = fitted(recipe, table, target)
    np.testing.assert_allclose(found.fitted.predict(table), pooled, atol=1e-6)


def test_flags_no_case_for_a_range_that_no_hospital_told():
    clients, table, _ = hospitals(2, 80, 4)
    model = as_model(federated_fit(clients, Plan()), ASKED)
    far = table.with_values(table.values * 1e6)
    assert not any(apply_model(model, far).table["flags"])


def test_says_that_nobody_knows_whether_it_has_seen_the_cases_that_it_is_judged_on():
    clients, table, target = hospitals(3, 120, 5)
    table = replace(
        table,
        columns=table.columns.assign(event=np.array(target.classes)[target.values.astype(int)]),
    )
    model = as_model(federated_fit(clients, Plan()), ASKED)
    found = external(model, table, ASKED, generator=torch.Generator().manual_seed(0))
    assert any("whether it has seen these is not known" in said for said in found.remarks)


@pytest.mark.parametrize("asked", [Description(), Description(outcome="x", kind="number")])
def test_refuses_an_outcome_of_another_kind(asked):
    clients, *_ = hospitals(2)
    found = federated_fit(clients, Plan())
    with pytest.raises(ConfigError, match="must have a named outcome of two classes"):
        as_model(found, asked)
