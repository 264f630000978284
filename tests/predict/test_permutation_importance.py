"""Permutation importance: what a score loses without a feature."""

from dataclasses import replace

import numpy as np
import pytest
from explained_models import draws, fitted, table_of
from sklearn.inspection import permutation_importance as rival
from sklearn.metrics import roc_auc_score

from vesalius.errors import ConfigError, RegionError
from vesalius.predict import Recipe
from vesalius.predict.estimators import Constant, NaiveBayes, Ridge
from vesalius.predict.explain import Shuffling, permutation_importance
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import fit_model
from vesalius.predict.select import Keep, Scale


@pytest.fixture(scope="module")
def ridge():
    model, mine, other, description = fitted(Ridge())
    return model, mine, other, description


@pytest.fixture(scope="module")
def found(ridge):
    model, _, other, description = ridge
    return permutation_importance(model, other, description, generator=draws())


def test_the_features_that_carry_the_outcome_come_first(found):
    assert [one.features for one in found.single[:2]] == [("f00",), ("f01",)]
    for one in found.single[:2]:
        assert one.drop.low > 0


def test_noise_has_an_interval_that_holds_nothing_lost(found):
    for one in found.single[2:]:
        assert one.drop.low < 0.02
        assert one.drop.high > -0.02


def test_the_baseline_is_the_score_of_the_cases(ridge, found):
    model, _, other, _ = ridge
    truth = (other.columns["out"] == "yes").to_numpy()
    assert found.baseline == pytest.approx(
        roc_auc_score(truth, model.fitted.predict(other)[:, 0]), abs=1e-12
    )


def test_agrees_with_scikit_learn(ridge):
    model, _, other, description = ridge
    many = Shuffling(repeats=60)
    mine = permutation_importance(model, other, description, generator=draws(), shuffling=many)
    drops = {one.features[0]: one.drop.value for one in mine.single}
    truth = (other.columns["out"] == "yes").to_numpy()

    def score(_, values, outcome):
        return roc_auc_score(outcome, model.fitted.predict(other.with_values(values))[:, 0])

    class Whole:
        def fit(self, values, outcome):
            return self

    wanted = rival(
        Whole(), other.values, truth, scoring=score, n_repeats=60, random_state=0
    ).importances_mean
    for name, value in zip(other.features, wanted, strict=True):
        assert drops[name] == pytest.approx(value, abs=0.02)


def test_twins_hide_each_other_alone_but_not_together():
    table, description = table_of(160, 4)
    values = np.concatenate([table.values, table.values[:, [0]]], axis=1)
    table = replace(table, features=(*table.features, "twin"), values=values)
    mine, other = table.rows(np.arange(80)), table.rows(np.arange(80, 160))
    model = fit_model(mine, description, Recipe((Scale(),), Ridge()), generator=draws())
    found = permutation_importance(model, other, description, generator=draws())
    first = found.groups[0]
    assert set(first.features) == {"f00", "twin"}
    alone = max(one.drop.value for one in found.single if one.features[0] in first.features)
    assert first.drop.value > 1.3 * alone


def test_what_moves_nothing_is_counted_not_listed():
    steps = (Keep(("f00", "f01", "f07")), Scale())
    model, _, other, description = fitted(Ridge(), steps=steps, features=12)
    found = permutation_importance(model, other, description, generator=draws())
    assert {one.features[0] for one in found.single} == {"f00", "f01", "f07"}
    assert found.unmoved == 9


def test_a_model_that_says_the_same_of_all_is_said_to():
    model, _, other, description = fitted(Constant())
    found = permutation_importance(model, other, description, generator=draws())
    assert found.single == ()
    assert found.groups == ()
    assert found.baseline == 0.5
    assert any("No feature moves a prediction" in text for text in found.remarks)


def test_cases_learned_from_get_a_loud_remark(ridge, found):
    model, mine, _, description = ridge
    seen = permutation_importance(model, mine, description, generator=draws())
    assert any("TRAINED ON 90 OF THESE 90 CASES" in text for text in seen.remarks)
    assert not any("TRAINED" in text for text in found.remarks)


def test_is_the_same_twice_and_leaves_its_input(ridge, found):
    model, _, other, description = ridge
    before = other.values.copy()
    again = permutation_importance(model, other, description, generator=draws())
    np.testing.assert_array_equal(other.values, before)
    assert [one.drop for one in again.single] == [one.drop for one in found.single]


@pytest.mark.parametrize(
    ("kind", "estimator", "score"),
    [("number", Ridge(), "r2"), ("classes", NaiveBayes(), "auc")],
)
def test_other_outcomes_have_scores_of_their_own(kind, estimator, score):
    model, _, other, description = fitted(estimator, kind=kind)
    found = permutation_importance(model, other, description, generator=draws())
    assert found.score == score
    assert found.single[0].features == ("f00",)


def test_batches_that_are_harmonised_are_not_mixed():
    model, _, other, description = fitted(Ridge(), steps=(Combat("batch"), Scale()))
    found = permutation_importance(model, other, description, generator=draws())
    assert any("within batch" in text for text in found.remarks)
    assert found.single[0].features == ("f00",)


def test_patients_with_several_cases_widen_the_interval(ridge):
    model, _, other, description = ridge
    rows = np.arange(45)
    twice = np.concatenate([rows, rows])
    one = other.rows(rows)
    cases = (*one.cases, *(f"{name} again" for name in one.cases))
    both = replace(
        one,
        cases=cases,
        values=one.values[twice % 45],
        columns=one.columns.iloc[twice % 45].reset_index(drop=True),
    )
    alone = permutation_importance(model, both, description, generator=draws())
    known = permutation_importance(
        model, both, replace(description, group="patient"), generator=draws()
    )
    assert _width(known.single[0]) > 1.1 * _width(alone.single[0])


def _width(one):
    return one.drop.high - one.drop.low


def test_intervals_hold_what_many_cases_say():
    model, _, _, description = fitted(Ridge(), steps=(Keep(("f00", "f01")), Scale()), features=2)
    whole, _ = table_of(2250, 2, seed=99)
    truth = permutation_importance(model, whole, description, generator=draws())
    wanted = {one.features: one.drop.value for one in truth.single}[("f00",)]
    held = 0
    few = Shuffling(repeats=5)
    for k in range(30):
        part = whole.rows(np.arange(75 * k, 75 * k + 75))
        found = permutation_importance(model, part, description, generator=draws(k), shuffling=few)
        drop = {one.features: one.drop for one in found.single}[("f00",)]
        held += drop.low <= wanted <= drop.high
    assert held >= 26


def test_refuses_cases_of_one_class(ridge):
    model, _, other, description = ridge
    ones = other.rows(np.flatnonzero(other.columns["out"] == "yes"))
    with pytest.raises((RegionError, ConfigError), match="class"):
        permutation_importance(model, ones, description, generator=draws())


def test_refuses_a_score_that_is_not_defined():
    model, _, other, description = fitted(Ridge(), kind="number")
    same = replace(other, columns=other.columns.assign(out=[3.0] * 90))
    with pytest.raises(
        (RegionError, ConfigError), match=r"r2 must be defined|must differ|constant"
    ):
        permutation_importance(model, same, description, generator=draws())


def test_refuses_another_outcome(ridge):
    model, _, other, description = ridge
    wrong = replace(description, outcome="sex", positive="m")
    with pytest.raises(ConfigError, match=r"outcome must be that of the model, binary of no, yes"):
        permutation_importance(model, other, wrong, generator=draws())


def test_refuses_one_shuffle():
    with pytest.raises(ConfigError, match="at least twice, got 1"):
        Shuffling(repeats=1)


def test_few_patients_have_no_interval_but_a_reason():
    model, _, other, description = fitted(Ridge(), steps=(Keep(("f00",)), Scale()))
    yes = int(np.flatnonzero(other.columns["out"] == "yes")[0])
    no = int(np.flatnonzero(other.columns["out"] == "no")[0])
    found = permutation_importance(
        model, other.rows([yes, no]), description, generator=draws(), shuffling=Shuffling(4)
    )
    for one in found.single:
        assert np.isnan(one.drop.low)
        assert "too few patients" in one.drop.reason
