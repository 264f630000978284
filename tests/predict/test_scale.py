"""Scale: centre and spread as the training cases define them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import made

from vesalius.errors import RegionError
from vesalius.predict.select import Scale

METHODS = ["zscore", "robust", "minmax"]


@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_scikit_learn(method):
    from sklearn import preprocessing

    table, _ = made(40, 5)
    other, _ = made(15, 5, seed=3)
    theirs = {
        "zscore": preprocessing.StandardScaler(),
        "robust": preprocessing.RobustScaler(unit_variance=True),
        "minmax": preprocessing.MinMaxScaler(),
    }[method].fit(table.values)
    out = Scale(method).fit(table).transform(other)
    np.testing.assert_allclose(out.values, theirs.transform(other.values), rtol=1e-9, atol=1e-12)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.sampled_from(METHODS))
@settings(max_examples=40, deadline=None)
def test_does_not_see_the_unit(shift, factor, method):
    table, _ = made(20, 3)
    moved = table.with_values(table.values * factor + shift)
    a = Scale(method).fit(table).transform(table).values
    b = Scale(method).fit(moved).transform(moved).values
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_feature_becomes_nought(method):
    table, _ = made(12, 2)
    values = table.values.copy()
    values[:, 1] = 0.1
    table = table.with_values(values)
    assert np.all(Scale(method).fit(table).transform(table).values[:, 1] == 0)


@pytest.mark.parametrize("method", METHODS)
def test_keeps_gaps_and_learns_from_the_others(method):
    table, _ = made(20, 2)
    values = table.values.copy()
    values[0, 1] = np.nan
    gap = replace(table, values=values, reasons={("case000", "f01"): "too small"})
    out = Scale(method).fit(gap).transform(gap)
    assert np.isnan(out.values[0, 1])
    alone = Scale(method).fit(table.rows(range(1, 20))).transform(table.rows(range(1, 20)))
    np.testing.assert_allclose(out.values[1:, 1], alone.values[:, 1], rtol=1e-9, atol=1e-12)


def test_a_feature_that_nobody_has_stays_missing():
    table, _ = made(4, 2)
    values = table.values.copy()
    values[:, 1] = np.nan
    gap = replace(table, values=values, reasons={(c, "f01"): "too small" for c in table.cases})
    assert np.isnan(Scale().fit(gap).transform(gap).values[:, 1]).all()


def test_units_do_not_survive():
    table, _ = made(6, 2)
    table = replace(table, units={"f00": "mm"})
    assert Scale().fit(table).transform(table).units == {}


def test_refuses_one_case():
    with pytest.raises(RegionError, match="Scale must learn from at least 2 cases, got 1"):
        Scale().fit(made(5, 2)[0].rows([0]))


def test_a_feature_that_is_mostly_0_is_not_lost_by_its_quartiles():
    table, _ = made(40, 2)
    values = table.values.copy()
    values[:, 0] = np.arange(40) % 5 == 0
    found = Scale("robust").fit(table.with_values(values)).transform(table.with_values(values))
    np.testing.assert_allclose(found.values[:, 0], values[:, 0] / values[:, 0].std())
