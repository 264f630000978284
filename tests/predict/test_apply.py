"""Apply: what a model says of other cases, and what makes them unlike its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fit_model import ASKED, asked, draw

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, UnitError
from vesalius.predict import Description, Recipe
from vesalius.predict.estimators import Lasso
from vesalius.predict.harmonise import Combat
from vesalius.predict.models import apply_model, default_recipe, fit_model, recalibrate
from vesalius.predict.select import Scale


@pytest.fixture(scope="module")
def model():
    table = replace(asked(), parameters="abc", units={"f00": "mm"})
    fitted = fit_model(table, ASKED, default_recipe(), generator=draw())
    return replace(fitted, threshold=0.4)


def others(seed=9, cases=40):
    table = asked(cases, seed=seed)
    return replace(table, cases=tuple(f"new{k}" for k in range(cases)), parameters="abc")


def test_says_probability_and_decision(model):
    found = apply_model(model, others())
    assert list(found.table.columns) == ["case", "probability", "decision", "flags"]
    assert found.table["case"].tolist()[:2] == ["new0", "new1"]
    np.testing.assert_array_equal(found.table["probability"], found.scores[:, 0])
    yes = found.table["decision"] == "yes"
    np.testing.assert_array_equal(yes, found.scores[:, 0] >= 0.4)


def test_makes_no_decision_without_a_threshold(model):
    found = apply_model(replace(model, threshold=float("nan")), others())
    assert set(found.table["decision"]) == {""}
    assert any("no threshold was set" in one for one in found.remarks)


def test_says_the_probability_of_each_class():
    description = Description(outcome="event", kind="classes")
    fitted = fit_model(
        asked(kind="classes"), description, default_recipe("classes"), generator=draw()
    )
    found = apply_model(fitted, asked(20, seed=3, kind="classes"))
    assert list(found.table.columns) == ["case", "high", "low", "mid", "decision", "flags"]
    np.testing.assert_allclose(found.scores.sum(axis=1), 1)
    best = [fitted.classes[k] for k in found.scores.argmax(axis=1)]
    assert found.table["decision"].tolist() == best


def test_says_a_number():
    description = Description(outcome="event", kind="number")
    fitted = fit_model(
        asked(kind="number"), description, default_recipe("number"), generator=draw()
    )
    found = apply_model(fitted, asked(20, seed=3, kind="number"))
    assert list(found.table.columns) == ["case", "value", "flags"]


def test_needs_no_outcome_and_does_not_look_at_it(model):
    table = others()
    bare = replace(table, columns=table.columns.drop(columns="event"))
    turned = replace(table, columns=table.columns.assign(event="yes"))
    for other in (bare, turned):
        np.testing.assert_array_equal(
            apply_model(model, other).scores, apply_model(model, table).scores
        )


def test_more_features_than_needed_do_not_matter(model):
    table = others()
    wider = replace(
        table,
        features=("extra", *table.features[::-1]),
        values=np.c_[np.zeros(40), table.values[:, ::-1]],
    )
    np.testing.assert_allclose(
        apply_model(model, wider).scores, apply_model(model, table).scores, rtol=1e-12
    )


@given(st.integers(0, 39))
@settings(max_examples=10, deadline=None)
def test_a_case_is_judged_alike_alone(row):
    table = others()
    fitted = _shared()
    alone = apply_model(fitted, table.rows([row]))
    np.testing.assert_allclose(alone.scores[0], apply_model(fitted, table).scores[row], rtol=1e-9)


_KEPT = []


def _shared():
    if not _KEPT:
        _KEPT.append(fit_model(asked(), ASKED, default_recipe(), generator=draw()))
    return _KEPT[0]


def test_knows_the_cases_that_it_was_trained_on(model):
    table = replace(asked(), parameters="abc")
    renamed = replace(table, cases=tuple(f"x{k}" for k in range(60)))
    assert all("trained on" in one for one in apply_model(model, renamed).table["flags"])
    assert not any("trained on" in one for one in apply_model(model, others()).table["flags"])


def test_flags_a_case_far_from_the_training(model):
    table = others()
    values = np.tile(np.median(table.values, axis=0), (40, 1)) + 1e-6 * table.values
    values[7] += 100
    found = apply_model(model, table.with_values(values))
    assert found.table["flags"][7].startswith("100% of features outside of the training range")
    assert sum(bool(one) for one in found.table["flags"]) == 1
    assert "1 of 40 cases are flagged: see the column flags" in found.remarks


def test_a_class_does_not_take_the_name_of_another_column():
    table = asked(kind="classes")
    words = dict(zip(sorted(set(table.columns["event"])), ("case", "flags", "x"), strict=True))
    table = replace(table, columns=table.columns.assign(event=table.columns["event"].map(words)))
    description = Description(outcome="event", kind="classes")
    fitted = fit_model(table, description, default_recipe("classes"), generator=draw())
    found = apply_model(fitted, table)
    names = ["case", "class case", "class flags", "x", "decision", "flags"]
    assert list(found.table.columns) == names
    assert found.table["case"].tolist() == list(table.cases)
    np.testing.assert_array_equal(found.table["class flags"], found.scores[:, 1])


@pytest.mark.parametrize("again", [[1, 2], [1.0, 2.0], ["1", "2"]])
def test_a_batch_is_known_however_its_number_is_written(again):
    def numbered(numbers):
        table = asked(40)
        return replace(table, columns=table.columns.assign(site=numbers * 20))

    asked_site = replace(ASKED, site="site")
    fitted = fit_model(numbered([1.0, 2.0]), asked_site, default_recipe(), generator=draw())
    assert not any("site" in text for text in apply_model(fitted, numbered(again)).table["flags"])


def test_flags_a_batch_that_is_not_known():
    fitted = fit_model(asked(), replace(ASKED, site="site"), default_recipe(), generator=draw())
    table = others()
    table = replace(table, columns=table.columns.assign(site=[np.nan] + ["north"] * 39))
    flags = apply_model(fitted, table).table["flags"]
    assert "site is not known" in flags[0]
    assert "site" not in flags[1]


def test_flags_a_batch_that_was_not_seen():
    fitted = fit_model(asked(), replace(ASKED, site="site"), default_recipe(), generator=draw())
    table = others()
    table = replace(table, columns=table.columns.assign(site=["north"] * 39 + ["west"]))
    flags = apply_model(fitted, table).table["flags"]
    assert "site 'west' was not seen in training" in flags[39]
    assert "was not seen" not in flags[0]


def test_refuses_features_of_other_parameters_unless_told(model):
    table = replace(others(), parameters="xyz")
    with pytest.raises(ConfigError, match=r"made with the parameters of the model \(abc\).*xyz"):
        apply_model(model, table)
    found = apply_model(model, table, other_parameters=True)
    assert any("this was asked for" in one for one in found.remarks)


def test_remarks_that_parameters_are_not_known(model):
    found = apply_model(model, replace(others(), parameters=""))
    assert any("nothing shows that the features" in one for one in found.remarks)


def test_refuses_other_units(model):
    with pytest.raises(UnitError, match="'f00' has 'cm' in place of 'mm'"):
        apply_model(model, replace(others(), units={"f00": "cm"}))


def test_refuses_absent_features_and_names_them(model):
    table = others()
    with pytest.raises(ConfigError, match="2 of 6 are absent: f04, f05"):
        apply_model(model, table.select(table.features[:4]))


def test_refuses_a_gap_that_no_step_fills():
    fitted = fit_model(asked(), ASKED, Recipe((Scale(),), Lasso()), generator=draw())
    table = others()
    values = table.values.copy()
    values[0, 0] = np.nan
    with pytest.raises(IntensityError, match="'f00' of case 'new0'"):
        apply_model(fitted, replace(table, values=values, reasons={("new0", "f00"): "flat"}))


def test_refuses_cases_without_their_batch():
    recipe = Recipe((Combat(), Scale()), Lasso())
    fitted = fit_model(asked(), replace(ASKED, batch="batch"), recipe, generator=draw())
    table = others()
    with pytest.raises(ConfigError, match="the table must have the column 'batch'"):
        apply_model(fitted, replace(table, columns=table.columns.drop(columns="batch")))


def shifted(model, seed=4, cases=400):
    """Give cases whose events are much rarer than the model states, and drawn from its scores."""
    table = others(seed, cases)
    raw = apply_model(model, table).scores[:, 0]
    true = 1 / (1 + np.exp(-(0.5 * np.log(raw / (1 - raw)) - 1.5)))
    draws = torch.rand(cases, generator=draw(1), dtype=torch.float64).numpy()
    event = np.where(draws < true, "yes", "no")
    return replace(table, columns=table.columns.assign(event=event)), true


def test_recalibration_of_the_intercept_brings_the_mean_to_the_prevalence(model):
    table, _ = shifted(model)
    found = recalibrate(model, table, ASKED)
    share = float((table.columns["event"] == "yes").mean())
    assert found.recalibration[1] == 1.0
    assert apply_model(found, table).scores.mean() == pytest.approx(share, abs=1e-6)
    assert apply_model(model, table).scores.mean() > share + 0.1


def test_logistic_recalibration_finds_shift_and_stretch(model):
    from sklearn.linear_model import LogisticRegression

    table, true = shifted(model)
    found = recalibrate(model, table, ASKED, method="logistic")
    raw = apply_model(model, table).scores
    event = table.columns["event"] == "yes"
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(np.log(raw / (1 - raw)), event)
    wanted = (theirs.intercept_[0], theirs.coef_[0, 0])
    np.testing.assert_allclose(found.recalibration, wanted, rtol=1e-4)
    assert np.abs(apply_model(found, table).scores[:, 0] - true).mean() < 0.06


def test_recalibration_changes_no_order_and_no_decision(model):
    table, _ = shifted(model)
    found = apply_model(recalibrate(model, table, ASKED, method="logistic"), table)
    before = apply_model(model, table)
    order = np.argsort(before.scores[:, 0])
    assert (np.diff(found.scores[order, 0]) >= 0).all()
    assert found.table["decision"].tolist() == before.table["decision"].tolist()


def test_a_second_recalibration_takes_the_place_of_the_first(model):
    table, _ = shifted(model)
    once = recalibrate(model, table, ASKED, method="logistic")
    twice = recalibrate(once, table, ASKED, method="logistic")
    np.testing.assert_allclose(twice.recalibration, once.recalibration, rtol=1e-9)
    assert twice.threshold == pytest.approx(once.threshold)


def test_recalibration_refuses_other_classes(model):
    table = others()
    other = replace(table, columns=table.columns.assign(event=["a", "b"] * 20))
    with pytest.raises(ConfigError, match="the classes must be those of the model, no, yes"):
        recalibrate(model, other, Description(outcome="event", positive="a"))


def test_recalibration_refuses_scores_that_part_the_classes(model):
    table = others()
    high = apply_model(model, table).scores[:, 0] > 0.5
    parted = table.columns.assign(event=np.where(high, "yes", "no"))
    with pytest.raises(ConvergenceError, match="holds one class only"):
        recalibrate(model, replace(table, columns=parted), ASKED, method="logistic")


def test_recalibration_refuses_to_turn_the_order_round(model):
    table = others()
    low = apply_model(model, table).scores[:, 0] < 0.5
    low[::5] = ~low[::5]
    turned = replace(table, columns=table.columns.assign(event=np.where(low, "yes", "no")))
    with pytest.raises(ConvergenceError, match=r"must rise .* the slope is -"):
        recalibrate(model, turned, ASKED, method="logistic")
    assert recalibrate(model, turned, ASKED).recalibration[1] == 1.0


def test_recalibration_refuses_a_number():
    description = Description(outcome="event", kind="number")
    fitted = fit_model(
        asked(kind="number"), description, default_recipe("number"), generator=draw()
    )
    with pytest.raises(ConfigError, match="recalibration must be of a model of two classes"):
        recalibrate(fitted, asked(kind="number"), description)
