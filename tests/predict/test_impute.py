"""Impute: gaps filled by what is usual among training cases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import made

from vesalius.errors import ConfigError, RegionError
from vesalius.predict import Table
from vesalius.predict.select import Impute


def with_gaps(table: Table, holes) -> Table:
    values = table.values.copy()
    reasons = {}
    for i, j in holes:
        values[i, j] = np.nan
        reasons[table.cases[i], table.features[j]] = "the region was too small"
    return replace(table, values=values, reasons=reasons)


@given(st.sets(st.tuples(st.integers(0, 19), st.integers(0, 3)), max_size=30))
@settings(max_examples=30, deadline=None)
def test_fills_with_the_median_of_what_is_there(holes):
    table = with_gaps(made(24, 4)[0], holes)
    out = Impute().fit(table).transform(table)
    for j in range(4):
        there = table.values[:, j][~np.isnan(table.values[:, j])]
        was = np.isnan(table.values[:, j])
        np.testing.assert_array_equal(out.values[was, j], np.median(there))
        np.testing.assert_array_equal(out.values[~was, j], table.values[~was, j])
    assert out.reasons == {}


def test_agrees_with_scikit_learn():
    from sklearn.impute import SimpleImputer

    table = with_gaps(made(30, 5)[0], [(0, 0), (3, 0), (4, 2)])
    for ours, theirs in (("mean", "mean"), ("median", "median")):
        wanted = SimpleImputer(strategy=theirs).fit_transform(table.values)
        out = Impute(ours).fit(table).transform(table)
        np.testing.assert_allclose(out.values, wanted, rtol=1e-12)


def test_fills_new_cases_with_what_training_cases_had():
    table, _ = made(30, 3)
    step = Impute("mean").fit(table)
    new = with_gaps(made(30, 3, seed=5)[0], [(2, 1)])
    assert step.transform(new).values[2, 1] == pytest.approx(table.values[:, 1].mean())


def test_fills_with_a_constant():
    table = with_gaps(made(10, 2)[0], [(1, 1)])
    assert Impute("constant", constant=-7.0).fit(table).transform(table).values[1, 1] == -7.0


def test_drops_a_feature_that_nobody_has_and_says_why():
    table = with_gaps(made(6, 3)[0], [(i, 1) for i in range(6)])
    step = Impute().fit(table)
    assert step.features_ == ("f00", "f02")
    assert step.dropped_ == {"f01": "missing in all training cases"}
    assert step.transform(table).features == ("f00", "f02")


def test_an_indicator_tells_where_the_gap_was():
    table = with_gaps(made(12, 3)[0], [(4, 2), (5, 2)])
    out = Impute(indicator=True).fit(table).transform(table)
    assert out.features == ("f00", "f01", "f02", "f02_missing")
    assert list(np.flatnonzero(out.values[:, 3])) == [4, 5]


def test_new_cases_get_the_indicators_of_training():
    step = Impute(indicator=True).fit(with_gaps(made(12, 2)[0], [(4, 1)]))
    assert step.transform(made(12, 2)[0]).values[:, 2].tolist() == [0.0] * 12


def test_refuses_a_table_without_cases():
    with pytest.raises(RegionError, match="must learn from cases, got none"):
        Impute().fit(made(5, 2)[0].rows([]))


def test_refuses_an_infinite_constant():
    with pytest.raises(ConfigError, match="constant must be finite, got inf"):
        Impute("constant", constant=np.inf).fit(made(5, 2)[0])


def test_refuses_an_indicator_that_is_a_feature_already():
    table = with_gaps(made(6, 2)[0], [(0, 0)])
    table = replace(
        table,
        features=("a", "a_missing"),
        reasons={("case000", "a"): "too small"},
    )
    with pytest.raises(ConfigError, match="an indicator must have a new name"):
        Impute(indicator=True).fit(table)
