"""Residualise: what follows linearly from confounders is taken out, as learned in training."""

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from vesalius.errors import ConfigError, ConvergenceError
from vesalius.predict import Table
from vesalius.predict._table import NOT_GIVEN
from vesalius.predict.adjust import Residualise

COLUMNS = ("age", "sex")


def test_leaves_nothing_that_goes_with_the_confounders():
    table, _ = made(80)
    left = Residualise(COLUMNS).fit(table).transform(table).values
    on = np.column_stack((table.columns["age"], table.columns["sex"] == "m")).astype(float)
    on -= on.mean(axis=0)
    np.testing.assert_allclose(on.T @ left, 0, atol=1e-9)
    np.testing.assert_allclose(left.mean(axis=0), table.values.mean(axis=0))


def test_is_the_residual_of_least_squares_plus_the_mean():
    table, _ = made(40)
    on = np.column_stack((np.ones(40), table.columns["age"], table.columns["sex"] == "m"))
    on = on.astype(float)
    fit = on @ np.linalg.lstsq(on, table.values, rcond=None)[0]
    found = Residualise(COLUMNS).fit(table).transform(table)
    np.testing.assert_allclose(found.values, table.values - fit + table.values.mean(axis=0))


def test_treats_new_cases_by_what_was_learned():
    table, _ = made(80)
    step = Residualise(("age",)).fit(table.rows(np.arange(60)))
    later = table.rows(np.arange(60, 80))
    slope = np.polyfit(table.columns["age"][:60], table.values[:60], 1)[0]
    away = np.outer(later.columns["age"] - table.columns["age"][:60].mean(), slope)
    np.testing.assert_allclose(step.transform(later).values, later.values - away)
    one = step.transform(later.rows([3]))
    np.testing.assert_allclose(one.values, step.transform(later).values[[3]])


def test_a_text_that_training_had_not_counts_as_the_mean_case():
    table, _ = made(60)
    step = Residualise(("sex",)).fit(table)
    table.columns.loc[0, "sex"] = "unknown"
    np.testing.assert_allclose(step.transform(table).values[0], table.values[0])


def test_no_columns_change_nothing():
    table, _ = made(20)
    found = Residualise().fit(table).transform(table)
    np.testing.assert_array_equal(found.values, table.values)


def test_confounders_that_are_each_other_share_the_weight():
    table, _ = made(50)
    table.columns["born"] = 2026 - table.columns["age"]
    once = Residualise(("age",)).fit(table).transform(table).values
    twice = Residualise(("age", "born")).fit(table).transform(table).values
    np.testing.assert_allclose(once, twice, atol=1e-9)


def test_a_gap_stays_and_does_not_touch_other_features():
    table, _ = made(40)
    values = table.values.copy()
    values[:5, 2] = np.nan
    reasons = {(case, "f02"): NOT_GIVEN for case in table.cases[:5]}
    holes = Table(table.cases, table.features, values, table.columns, reasons)
    step = Residualise(COLUMNS).fit(holes)
    found = step.transform(holes)
    others = [0, 1, 3, 4]
    whole = Residualise(COLUMNS).fit(table).transform(table).values
    np.testing.assert_allclose(found.values[:, others], whole[:, others])
    assert np.isnan(found.values[:5, 2]).all()
    part = table.rows(np.arange(5, 40))
    alone = Residualise(COLUMNS).fit(part)
    np.testing.assert_allclose(step.weight_[:, 2], alone.weight_[:, 2])


def test_a_feature_of_too_few_values_is_left():
    table, _ = made(12)
    values = table.values.copy()
    values[3:, 0] = np.nan
    reasons = {(case, "f00"): NOT_GIVEN for case in table.cases[3:]}
    holes = Table(table.cases, table.features, values, table.columns, reasons)
    assert not Residualise(COLUMNS).fit(holes).weight_[:, 0].any()


def test_can_be_fitted_again():
    table, _ = made(40)
    step = Residualise(COLUMNS).fit(table)
    other = table.rows(np.flatnonzero(table.columns["sex"] == "f"))
    other.columns["sex"] = "f"
    again = step.fit(other).transform(other)
    np.testing.assert_allclose(
        again.values, Residualise(COLUMNS).fit(other).transform(other).values
    )


def test_refuses_fewer_cases_than_terms():
    table, _ = made(3)
    with pytest.raises(ConfigError, match="residualise must have more cases than terms, got 3"):
        Residualise(COLUMNS).fit(table)


def test_refuses_texts_where_training_had_numbers():
    table, _ = made(20)
    step = Residualise(("age",)).fit(table)
    changed = Table(table.cases, table.features, table.values, pd.DataFrame({"age": ["old"] * 20}))
    with pytest.raises(ConfigError, match="must hold numbers as in training, got texts"):
        step.transform(changed)


def test_refuses_to_be_used_before_it_has_learned():
    table, _ = made(20)
    with pytest.raises(ConvergenceError, match="must be fitted before it is used"):
        Residualise(COLUMNS).transform(table)


def test_the_unit_of_a_confounder_decides_nothing():
    table, _ = made(60)
    seen_ms = 1.7e12 + 1e11 * np.random.default_rng(0).normal(size=60)
    table.columns["seen"] = seen_ms
    fine = Residualise(("seen", "sex")).fit(table)
    on = np.column_stack((np.ones(60), seen_ms / 1e11, table.columns["sex"] == "m")).astype(float)
    left = table.values - on @ np.linalg.lstsq(on, table.values, rcond=None)[0]
    found = fine.transform(table).values - table.values.mean(axis=0)
    np.testing.assert_allclose(found, left, atol=1e-9)


def test_a_confounder_that_was_the_same_for_all_changes_nothing():
    table, _ = made(60)
    table.columns["dose"] = 63.7
    step = Residualise(("dose", "age")).fit(table)
    new = Table(table.cases, table.features, table.values, table.columns.assign(dose=1e6))
    np.testing.assert_array_equal(step.transform(new).values, step.transform(table).values)
