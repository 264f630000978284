"""Crude and adjusted effects beside each other, and what is said of the change."""

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from vesalius.errors import ConfigError
from vesalius.predict import Description, Table, Target
from vesalius.predict._associations import FEW
from vesalius.predict._table import NOT_GIVEN
from vesalius.predict.adjust import effect


def of(values, **columns):
    names = tuple(f"f{j}" for j in range(values.shape[1]))
    cases = tuple(f"c{k}" for k in range(len(values)))
    reasons = {(cases[i], names[j]): NOT_GIVEN for i, j in np.argwhere(np.isnan(values))}
    return Table(cases, names, values, pd.DataFrame(columns), reasons)


def simpson(seed=0, count=300):
    """Within each site the feature lowers the odds; the site with high values has more events."""
    rng = np.random.default_rng(seed)
    far = np.arange(count) % 2
    inner = rng.normal(size=count)
    y = (rng.random(count) < 1 / (1 + np.exp(inner - 4 * far + 2))).astype(float)
    sites = np.where(far == 1, "B", "A")
    return of((inner + 4 * far)[:, None], site=sites), Target("binary", y, ("no", "yes"))


def test_shows_simpsons_paradox():
    table, target = simpson()
    found = effect(table, Description(batch="site"), target)
    assert found.crude.low[0] > 1
    assert found.adjusted.high[0] < 1
    assert found.measure == "odds ratio for one standard deviation"
    assert found.adjusted_for == ("site",)
    assert "point the other way (Simpson's paradox): f0" in " ".join(found.verdicts)


def test_an_estimate_is_for_one_standard_deviation_over_all_cases():
    table, target = simpson()
    wide = of(table.values * 1000, site=table.columns["site"])
    one = effect(table, Description(batch="site"), target)
    two = effect(wide, Description(batch="site"), target)
    np.testing.assert_allclose(one.adjusted.estimate, two.adjusted.estimate, rtol=1e-8)
    scaled = table.values[:, 0] / table.values[:, 0].std(ddof=1)
    slope = effect(table, Description(kind="number"), Target("number", scaled * 3.0))
    assert slope.crude.estimate[0] == pytest.approx(3)
    assert slope.null == 0.0


def test_a_confounder_takes_a_false_effect_away():
    rng = np.random.default_rng(1)
    age = rng.normal(60, 9, 300)
    size = (age - 60) / 9 + rng.normal(size=300)
    y = (rng.random(300) < 1 / (1 + np.exp(-(age - 60) / 5))).astype(float)
    asked = Description(confounders=("age",))
    target = Target("binary", y, ("no", "yes"))
    found = effect(of(size[:, None], age=age), asked, target)
    assert found.crude.low[0] > 1
    assert found.adjusted.low[0] < 1 < found.adjusted.high[0]
    assert "1 of 1 associations are no longer certain: f0" in " ".join(found.verdicts)


def test_a_confounder_uncovers_a_hidden_effect():
    rng = np.random.default_rng(2)
    age = rng.normal(size=400)
    size = age + 0.5 * rng.normal(size=400)
    y = 2 * size - 2 * age + 0.5 * rng.normal(size=400)
    y -= size * (size @ y) / (size @ size)  # the crude line is flat
    asked = Description(kind="number", confounders=("age",))
    found = effect(of(size[:, None], age=age), asked, Target("number", y))
    assert "become certain: f0" in " ".join(found.verdicts)


def test_the_exposure_is_asked_about_where_one_is_named():
    rng = np.random.default_rng(3)
    smokes = rng.random(200) < 0.5
    y = (rng.random(200) < np.where(smokes, 0.7, 0.3)).astype(float)
    table = of(rng.normal(size=(200, 4)), smokes=np.where(smokes, "yes", "no"))
    asked = Description(exposure="smokes", confounders=("smokes",))
    found = effect(table, asked, Target("binary", y, ("no", "yes")))
    assert found.names == ("smokes=yes",)
    assert found.crude.low[0] > 1
    assert found.adjusted_for == ()
    assert "Nothing is named to adjust for." in found.verdicts


def test_an_exposure_without_contrast_is_refused():
    table = of(np.zeros((6, 1)), dose=["low"] * 6)
    with pytest.raises(ConfigError, match="exposure must differ between cases, 'dose'"):
        effect(table, Description(exposure="dose"), Target("binary", np.arange(6) % 2.0))


def test_batches_of_one_class_are_not_in_the_adjusted_estimates():
    rng = np.random.default_rng(4)
    site = np.repeat(["A", "B", "C"], 30)
    y = np.r_[np.arange(60) % 2, np.ones(30)].astype(float)
    target = Target("binary", y, ("no", "yes"))
    table = of(rng.normal(size=(90, 2)), site=site)
    found = effect(table, Description(batch="site"), target)
    part = np.arange(60)
    alone = effect(table.rows(part), Description(batch="site"), target.rows(part))
    assert found.cases == 60
    assert "1 of 3 batches have one class only" in " ".join(found.verdicts)
    ratio = np.log(found.adjusted.estimate) / np.log(alone.adjusted.estimate)
    spread = table.values.std(axis=0, ddof=1) / table.values[part].std(axis=0, ddof=1)
    np.testing.assert_allclose(ratio, spread, rtol=1e-6)


def test_no_batch_of_both_classes_leaves_no_adjusted_estimate():
    rng = np.random.default_rng(4)
    table = of(rng.normal(size=(20, 2)), site=["A", "B"] * 10)
    found = effect(table, Description(batch="site"), Target("binary", np.arange(20) % 2.0))
    assert found.cases == 0
    assert found.adjusted.reasons == (FEW, FEW)
    assert np.isfinite(found.crude.estimate).all()


def test_gaps_leave_a_case_out_of_one_feature():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(60, 3))
    values[:20, 1] = np.nan
    values[2:, 2] = np.nan
    target = Target("binary", np.arange(60) % 2.0, ("no", "yes"))
    found = effect(of(values, age=rng.normal(size=60)), Description(confounders=("age",)), target)
    assert found.adjusted.reasons == ("", "", FEW)
    assert "1 of 3 have no adjusted estimate: too few cases." in found.verdicts
    assert np.isfinite(found.adjusted.estimate[1])


def test_repeats_of_a_patient_are_told():
    table, target = made(30)
    table.columns["patient"] = [f"p{k // 2}" for k in range(30)]
    found = effect(table, Description(group="patient", confounders=("age",)), target, ("f00",))
    assert "30 cases come from 15 of 'patient'" in " ".join(found.verdicts)
    single = Description(group="patient")
    table.columns["patient"] = [f"p{k}" for k in range(30)]
    assert "come from" not in " ".join(effect(table, single, target).verdicts)


def test_says_that_nothing_changes():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(500, 1))
    y = (rng.random(500) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(float)
    asked = Description(confounders=("age",))
    found = effect(of(x, age=rng.normal(size=500)), asked, Target("binary", y, ("no", "yes")))
    assert found.verdicts == ("Adjusting for 'age' changes no conclusion.",)


@pytest.mark.parametrize("kind", ["classes", "survival"])
def test_refuses_an_outcome_that_is_neither_of_two_classes_nor_a_number(kind):
    table, target = made(30, kind=kind)
    with pytest.raises(ConfigError, match="effects need an outcome of two classes or a number"):
        effect(table, Description(batch="batch"), target)
