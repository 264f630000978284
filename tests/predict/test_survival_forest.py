"""Survival forests: the trees of scikit-survival, asked without it."""

import sys

import numpy as np
import pandas as pd
import pytest
from survival_cases import drawn, pairs

from vesalius.errors import ConfigError, ExtraError
from vesalius.predict import Recipe, Table, Tuning, fit_recipe
from vesalius.predict._constant import Constant
from vesalius.predict._cox import Cox
from vesalius.predict._scale import Scale
from vesalius.predict._survival_curve import survival_curve
from vesalius.predict._survival_forest import SurvivalForest
from vesalius.predict._trees import in_order

pytest.importorskip("sksurv")


def theirs(model, values, outcome):
    from sksurv.ensemble import RandomSurvivalForest

    ordered, truth = in_order(values, outcome)
    return RandomSurvivalForest(
        n_estimators=model.trees,
        min_samples_leaf=model.leaf,
        min_samples_split=2 * model.leaf,
        random_state=model.seed,
    ).fit(ordered, pairs(truth))


@pytest.mark.parametrize("digits", [1, 6])
def test_is_the_forest_of_scikit_survival(digits):
    values, outcome = drawn(60, 6, digits=digits)
    model = SurvivalForest(trees=12, leaf=5).fit(values, outcome)
    other = theirs(model, values, outcome)
    fresh = np.random.default_rng(5).normal(size=(30, 6))
    np.testing.assert_allclose(model.predict(fresh)[:, 0], other.predict(fresh), rtol=1e-9)
    hazard = other.predict_cumulative_hazard_function(fresh, return_array=True)
    at = np.searchsorted(other.unique_times_, model.times_)
    np.testing.assert_allclose(model.hazard(fresh), hazard[:, at], rtol=1e-9, atol=1e-12)


def test_survival_starts_at_one_and_never_rises():
    values, outcome = drawn(60, 6)
    found = SurvivalForest(trees=5).fit(values, outcome).survival(values, np.array([0.0, 0.3, 2.0]))
    assert (found[:, 0] == 1).all()
    assert (np.diff(found, axis=1) <= 0).all()
    assert found.min() >= 0


def test_does_not_depend_on_the_order_of_cases():
    values, outcome = drawn(60, 6)
    order = np.random.default_rng(2).permutation(60)
    a = SurvivalForest(trees=5).fit(values, outcome).predict(values)
    b = SurvivalForest(trees=5).fit(values[order], outcome.rows(order)).predict(values)
    np.testing.assert_array_equal(a, b)


def test_its_grid_goes_from_large_leaves_to_small():
    values, outcome = drawn(80, 3)
    assert SurvivalForest().grid(values, outcome) == ({"leaf": 10}, {"leaf": 5}, {"leaf": 3})


@pytest.mark.parametrize("setting", [{"trees": 0}, {"leaf": 0}, {"depth": -1}, {"share": 2.0}])
def test_refuses_settings_out_of_range(setting):
    values, outcome = drawn(30, 2)
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} must be from"):
        SurvivalForest(**setting).fit(values, outcome)


def test_names_the_extra_that_it_needs(monkeypatch):
    values, outcome = drawn(30, 2)
    monkeypatch.setitem(sys.modules, "sksurv.ensemble", None)
    with pytest.raises(ExtraError, match=r"vesalius\[survival\]"):
        SurvivalForest().fit(values, outcome)


def fitted(estimator):
    values, outcome = drawn(60, 3)
    names = tuple(f"f{k}" for k in range(3))
    table = Table(tuple(map(str, range(60))), names, values, pd.DataFrame(index=range(60)))
    return fit_recipe(Recipe((Scale(),), estimator, Tuning(folds=2)), table, outcome), table


@pytest.mark.parametrize("estimator", [Cox(), SurvivalForest(trees=4)])
def test_a_fitted_recipe_tells_survival(estimator):
    model, table = fitted(estimator)
    times = np.array([0.2, 1.0])
    found = survival_curve(model, table, times)
    assert found.shape == (60, 2)
    early = np.argsort(model.predict(table)[:, 0])
    assert found[early[-1], 1] < found[early[0], 1]


def test_refuses_a_recipe_that_tells_no_survival():
    model, table = fitted(Constant())
    with pytest.raises(ConfigError, match="survival must be told by cox or survival-forest"):
        survival_curve(model, table, np.ones(1))
