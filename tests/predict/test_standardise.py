"""ZScore: each batch centred and scaled by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_combat import as_table, cases, groups

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, RegionError
from vesalius.predict import Table
from vesalius.predict.harmonise import ZScore

seeds = st.integers(0, 10_000)


@settings(max_examples=25)
@given(seeds)
def test_gives_each_batch_mean_0_and_spread_1(seed):
    table = cases(seed)
    for own in groups(ZScore("scanner").fit(table).transform(table)):
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(own.std(axis=0, ddof=1), 1)


@settings(max_examples=25)
@given(seeds, st.floats(-50, 50), st.floats(0.1, 20))
def test_does_not_see_a_shift_or_a_stretch_of_a_batch(seed, shift, stretch):
    table = cases(seed)
    moved = table.values.copy()
    moved[:9] = stretch * moved[:9] + shift
    other = table.with_values(moved)
    a = ZScore("scanner").fit(table).transform(table).values
    b = ZScore("scanner").fit(other).transform(other).values
    np.testing.assert_allclose(a, b, atol=1e-8)


def test_treats_new_cases_of_a_batch_as_learned():
    table = cases(1)
    fitted = ZScore("scanner").fit(table)
    new = as_table(np.full((1, 6), 2.0), scanner=["b"])
    own = groups(table)[1]
    wanted = (2.0 - own.mean(axis=0)) / own.std(axis=0, ddof=1)
    np.testing.assert_allclose(fitted.transform(new).values[0], wanted)


def test_treats_a_new_batch_by_its_own_moments():
    table = cases(2)
    fitted = ZScore("scanner").fit(table.rows(np.arange(23)))
    out = fitted.transform(table.rows(np.arange(23, 34))).values
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(out.std(axis=0, ddof=1), 1)


def test_makes_a_feature_0_where_it_is_constant_in_a_batch():
    table = cases(3)
    values = table.values.copy()
    values[:9, 2] = 0.1
    table = table.with_values(values)
    fitted = ZScore("scanner").fit(table)
    np.testing.assert_array_equal(fitted.transform(table).values[:9, 2], 0)
    new = as_table(np.ones((1, 6)), scanner=["a"])
    assert fitted.transform(new).values[0, 2] == 0


def test_drops_units():
    table = cases(4)
    with_unit = Table(table.cases, table.features, table.values, table.columns, {}, {"f0": "mm"})
    assert ZScore("scanner").fit(with_unit).transform(with_unit).units == {}


class TestRefusals:
    def test_refuses_to_guess_the_batch(self):
        with pytest.raises(ConfigError, match="ZScore must know the column of the batch"):
            ZScore().fit(cases())

    def test_refuses_a_batch_of_one(self):
        table = cases(sizes=(5, 1))
        with pytest.raises(RegionError, match=r"ZScore must have at least 2 .* got 1 of 'b'"):
            ZScore("scanner").fit(table)
        fitted = ZScore("scanner").fit(table.rows(np.arange(5)))
        with pytest.raises(RegionError, match=r"ZScore must have at least 2 .* got 1 of 'b'"):
            fitted.transform(table.rows([5]))

    def test_refuses_a_gap(self):
        table = cases()
        values = table.values.copy()
        values[0, 0] = np.nan
        holed = Table(
            table.cases, table.features, values, table.columns, {("case0", "f0"): "not given"}
        )
        with pytest.raises(IntensityError, match="ZScore must have every value"):
            ZScore("scanner").fit(holed)
        with pytest.raises(IntensityError, match="ZScore must have every value"):
            ZScore("scanner").fit(table).transform(holed)

    def test_refuses_to_be_used_unfitted(self):
        with pytest.raises(ConvergenceError, match="ZScore must be fitted before"):
            ZScore("scanner").transform(cases())
