"""Shapley: what each feature adds to a prediction, against sums over all coalitions."""

from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np
import pytest
import shap
from explained_models import draws, fitted
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier

from vesalius.errors import ConfigError
from vesalius.predict import target_of
from vesalius.predict._shapley import REST
from vesalius.predict._trees import in_order
from vesalius.predict.estimators import (
    Boosting,
    Constant,
    Forest,
    NaiveBayes,
    Neighbours,
    Ridge,
    Svm,
    Tree,
)
from vesalius.predict.explain import Sampling, shapley
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import apply_model, recalibrate
from vesalius.predict.select import Keep, Pca, Scale
from vesalius.predict.survival import Cox

ALL = Sampling(background=1000)


def slow(say, case, background):
    """Sum over all coalitions, in the mean over the background: Shapley's own formula."""
    count = len(case)
    found = np.zeros(count)
    for j in range(count):
        others = [k for k in range(count) if k != j]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in combinations(others, size):
                mixed = background.copy()
                mixed[:, chosen] = case[list(chosen)]
                both = mixed.copy()
                both[:, j] = case[j]
                found[j] += weight * (say(both) - say(mixed)).mean()
    return found


def probability(model, table):
    """Give what the model says of rows of values."""

    def say(values):
        return model.fitted.predict(_tiled(table, values))[:, 0]

    return say


def _tiled(table, values):
    one = table.rows([0])
    return replace(
        one,
        cases=tuple(map(str, range(len(values)))),
        values=values,
        columns=one.columns.iloc[np.zeros(len(values), dtype=int)].reset_index(drop=True),
        reasons={},
    )


def log_odds(model, table):
    """Give the same on the scale of log odds."""
    say = probability(model, table)
    return lambda values: logit(say(values))


@pytest.mark.parametrize(
    ("estimator", "method", "scale"),
    [
        (Ridge(), "additive", log_odds),
        (NaiveBayes(), "additive", log_odds),
        (Forest(trees=7, leaf=2), "trees", probability),
        (Tree(depth=4), "trees", probability),
        (Boosting(trees=12, share=1.0), "trees", log_odds),
    ],
)
def test_exact_ways_give_the_sum_over_all_coalitions(estimator, method, scale):
    model, _, other, _ = fitted(estimator, features=4, cases=60)
    found = shapley(model, other, generator=draws(), sampling=ALL)
    if found.method == "additive" != method:  # tuning chose single questions
        scale = log_odds
    say = scale(model, other)
    for i in (0, 7):
        wanted = dict(zip(other.features, slow(say, other.values[i], other.values), strict=True))
        for k, name in enumerate(found.features):
            assert found.values[i, k] == pytest.approx(wanted[name], abs=1e-8)
    assert not found.errors.any()


@pytest.mark.parametrize(
    "estimator", [Ridge(), Forest(trees=9), Boosting(trees=9), Svm(), Neighbours(), Constant()]
)
def test_what_is_added_sums_to_the_prediction(estimator):
    model, _, other, _ = fitted(estimator)
    found = shapley(model, other, generator=draws(), sampling=Sampling(orders=3))
    np.testing.assert_allclose(
        found.base + found.values.sum(axis=1), found.predicted, rtol=0, atol=1e-9
    )


def test_agrees_with_shap_on_a_forest():
    model, train, other, _ = fitted(Forest(trees=8, leaf=4), steps=())
    found = shapley(model, other, generator=draws(), sampling=ALL)
    assert found.method == "trees"
    values, target = in_order(train.values, target_of(train, model.description))
    own = model.fitted.estimator
    plain = RandomForestClassifier(
        8, min_samples_leaf=own.leaf, max_features="sqrt", random_state=own.seed
    ).fit(values, target.values)
    said = apply_model(model, other).scores[:, 0]
    np.testing.assert_allclose(plain.predict_proba(other.values)[:, 1], said, atol=1e-9)
    rival = shap.TreeExplainer(plain, other.values, model_output="probability")
    wanted = rival.shap_values(other.values, check_additivity=False)[..., 1]
    mine = dict(zip(found.features, found.values.T, strict=True))
    for j, name in enumerate(other.features):
        np.testing.assert_allclose(mine.get(name, np.zeros(90)), wanted[:, j], atol=1e-6)


def test_samples_are_near_the_sum_over_all_coalitions():
    model, _, other, _ = fitted(Svm(), features=4, cases=60)
    few = other.rows(np.arange(30))
    found = shapley(
        model, few, generator=draws(), cases=(few.cases[0],), sampling=Sampling(30, orders=60)
    )
    assert found.method == "sampled"
    wanted = slow(probability(model, few), few.values[0], few.values)
    away = np.abs(found.values[0] - wanted[[few.features.index(n) for n in found.features]])
    assert (away < 4 * found.errors[0] + 0.01).all()
    assert found.errors.max() < 0.05


def test_a_feature_that_is_not_used_adds_nothing():
    model, _, other, _ = fitted(Ridge(), steps=(Keep(("f00", "f01")), Scale()))
    found = shapley(model, other, generator=draws())
    assert found.features == ("f00", "f01")


def test_the_least_are_one_player():
    model, _, other, _ = fitted(Svm(), features=6)
    found = shapley(
        model, other, generator=draws(), cases=other.cases[:3], sampling=Sampling(10, 3, 4)
    )
    assert len(found.features) == 4
    assert found.features[-1] == REST
    assert "f00" in found.features


def test_principal_components_are_told_as_the_features_of_the_table():
    model, _, other, _ = fitted(Ridge(), steps=(Scale(), Pca(components=3)))
    found = shapley(model, other, generator=draws())
    assert found.method == "additive"
    assert set(found.features) == set(other.features)


def test_a_batch_is_held_against_itself():
    model, _, other, _ = fitted(Ridge(), steps=(Combat("batch"), Scale()))
    found = shapley(model, other, generator=draws())
    assert found.method == "additive"
    for name in ("a", "b", "c"):
        rows = (other.columns["batch"] == name).to_numpy()
        np.testing.assert_allclose(found.values[rows].mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(found.base[rows], found.predicted[rows].mean(), atol=1e-9)


def test_a_recalibrated_model_is_explained_as_it_speaks():
    model, mine, other, description = fitted(Boosting(trees=9))
    moved = recalibrate(model, mine, description, method="logistic")
    plain = shapley(model, other, generator=draws())
    found = shapley(moved, other, generator=draws())
    np.testing.assert_allclose(
        found.values, plain.values * moved.recalibration[1], rtol=1e-6, atol=1e-9
    )
    assert found.output == "log odds of yes"


@pytest.mark.parametrize("kind", ["number", "classes"])
def test_other_outcomes_are_shared_out_too(kind):
    model, _, other, _ = fitted(Forest(trees=5), kind=kind)
    found = shapley(model, other, generator=draws())
    assert found.method == "trees"
    assert found.output == ("value" if kind == "number" else "probability of mid")


def test_boosting_of_numbers_is_exact():
    model, _, other, _ = fitted(Boosting(trees=9), kind="number")
    found = shapley(model, other, generator=draws())
    assert found.method in ("trees", "additive")
    assert found.output == "value"


@pytest.mark.parametrize("seed", range(4))
def test_two_cases_are_told_apart_whatever_is_drawn(seed):
    model, _, other, _ = fitted(Ridge(weight=0.01))
    found = shapley(model, other.rows([0, 1]), generator=draws(seed))
    assert found.values.shape == (2, 5)
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.predicted, atol=1e-9)


def test_a_risk_is_shared_out_exactly():
    model, _, other, _ = fitted(Cox(), kind="survival")
    found = shapley(model, other, generator=draws())
    assert (found.method, found.output) == ("additive", "risk")
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.predicted, atol=1e-9)


def test_ranks_by_one_case_and_by_all():
    model, _, other, _ = fitted(Ridge())
    found = shapley(model, other, generator=draws())
    assert found.features[found.ranked()[0]] == "f00"
    sizes = np.abs(found.values[5])[list(found.ranked(other.cases[5]))]
    assert (np.diff(sizes) <= 0).all()


def test_is_the_same_twice_and_leaves_its_input():
    model, _, other, _ = fitted(Neighbours())
    before = other.values.copy()
    one, two = (
        shapley(model, other, generator=draws(), sampling=Sampling(10, 3)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(other.values, before)


def test_refuses_an_unknown_case():
    model, _, other, _ = fitted(Ridge())
    with pytest.raises(ConfigError, match="'nobody' is not; it has case090"):
        shapley(model, other, generator=draws(), cases=("nobody",))


@pytest.mark.parametrize("name", ["background", "orders", "players"])
def test_refuses_too_few(name):
    with pytest.raises(ConfigError, match=f"{name} must be at least 2, got 1"):
        Sampling(**{name: 1})
