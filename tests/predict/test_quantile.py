"""Quantile: each feature with one distribution in all batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_combat import as_table, cases, groups

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, RegionError
from vesalius.predict import Table
from vesalius.predict._quantile import mapped
from vesalius.predict.harmonise import Quantile

seeds = st.integers(0, 10_000)


def step(**settings):
    return Quantile(**({"batch": "scanner"} | settings))


@settings(max_examples=25)
@given(seeds)
def test_gives_all_batches_one_distribution(seed):
    table = cases(seed, sizes=(120, 150), features=2)
    a, b = groups(step().fit(table).transform(table))
    for j in range(2):
        assert stats.ks_2samp(a[:, j], b[:, j]).statistic < 0.04


@settings(max_examples=25)
@given(seeds)
def test_keeps_the_order_within_a_batch(seed):
    table = cases(seed)
    out = step().fit(table).transform(table)
    for before, after in zip(groups(table), groups(out), strict=True):
        np.testing.assert_array_equal(before.argsort(axis=0), after.argsort(axis=0))


@settings(max_examples=25)
@given(seeds, st.floats(-50, 50), st.floats(0.1, 20))
def test_undoes_a_shift_and_a_stretch_of_one_batch(seed, shift, stretch):
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(30, 3))
    table = as_table(np.vstack([own, stretch * own + shift]), scanner=np.repeat(["a", "b"], 30))
    a, b = groups(step(reference="a").fit(table).transform(table))
    np.testing.assert_array_equal(a, own)
    np.testing.assert_allclose(b, own, atol=1e-6)


def test_is_nothing_where_batches_are_alike():
    own = np.random.default_rng(0).normal(size=(30, 3))
    table = as_table(np.vstack([own, own]), scanner=np.repeat(["a", "b"], 30))
    np.testing.assert_allclose(step().fit(table).transform(table).values, table.values, atol=1e-12)


def test_agrees_with_ranks_where_every_case_is_a_quantile():
    # Bolstad: the k-th smallest of each batch becomes the mean of the k-th smallest of all
    values = np.random.default_rng(1).normal(size=(22, 1)) * np.repeat([1.0, 3.0], 11)[:, None]
    table = as_table(values, scanner=np.repeat(["a", "b"], 11))
    out = step(points=11).fit(table).transform(table)
    wanted = np.sort(values.reshape(2, 11), axis=1).mean(axis=0)
    for own in groups(out):
        np.testing.assert_allclose(np.sort(own[:, 0]), wanted, atol=1e-12)


def test_weighs_batches_by_their_cases():
    table = as_table(np.arange(8.0)[:, None], scanner=["a"] * 2 + ["b"] * 6)
    common = step(points=2).fit(table).common_[:, 0]
    np.testing.assert_allclose(common, [(2 * 0 + 6 * 2) / 8, (2 * 1 + 6 * 7) / 8])


def test_moves_a_value_beyond_the_range_as_the_end_is_moved():
    source, onto = np.array([[0.0], [1.0], [2.0]]), np.array([[10.0], [20.0], [40.0]])
    found = mapped(np.array([[-1.0], [0.5], [2.0], [5.0]]), source, onto)
    np.testing.assert_allclose(found[:, 0], [9, 15, 40, 43])


def test_puts_a_value_that_many_share_in_their_middle():
    source = np.array([[0.0], [1.0], [1.0], [1.0], [2.0]])
    onto = np.arange(5.0)[:, None]
    np.testing.assert_allclose(mapped(np.array([[1.0]]), source, onto), [[2.0]])
    same = np.ones((5, 1))
    np.testing.assert_allclose(mapped(np.array([[1.0]]), same, onto), [[2.0]])


def test_treats_a_new_batch_by_its_own_quantiles():
    table = cases(2, sizes=(60, 60, 60), features=2)
    fitted = step().fit(table.rows(np.arange(120)))
    out = fitted.transform(table.rows(np.arange(120, 180)))
    for j in range(2):
        assert (
            np.abs(
                np.quantile(out.values[:, j], np.linspace(0, 1, 101)) - fitted.common_[:, j]
            ).max()
            < 0.2
        )


def test_treats_new_cases_of_a_batch_one_by_one():
    table = cases(3)
    fitted = step().fit(table)
    whole = fitted.transform(table).values
    alone = [fitted.transform(table.rows([i])).values[0] for i in range(34)]
    np.testing.assert_allclose(alone, whole)


class TestRefusals:
    def test_refuses_to_guess_the_batch(self):
        with pytest.raises(ConfigError, match="Quantile must know the column of the batch"):
            Quantile().fit(cases())

    def test_refuses_a_batch_of_one(self):
        table = cases(sizes=(5, 1))
        with pytest.raises(RegionError, match=r"Quantile must have at least 2 .* got 1 of 'b'"):
            step().fit(table)
        fitted = step().fit(table.rows(np.arange(5)))
        with pytest.raises(RegionError, match=r"Quantile must have at least 2 .* got 1 of 'b'"):
            fitted.transform(table.rows([5]))

    def test_refuses_one_point(self):
        with pytest.raises(ConfigError, match="points of Quantile must be 2 or more, got 1"):
            step(points=1).fit(cases())

    def test_refuses_a_reference_that_is_none(self):
        with pytest.raises(ConfigError, match="one of the batches, got 'z' and batches 'a', 'b'"):
            step(reference="z").fit(cases())

    def test_refuses_a_gap(self):
        table = cases()
        values = table.values.copy()
        values[0, 0] = np.nan
        holed = Table(
            table.cases, table.features, values, table.columns, {("case0", "f0"): "not given"}
        )
        with pytest.raises(IntensityError, match="Quantile must have every value"):
            step().fit(holed)
        with pytest.raises(IntensityError, match="Quantile must have every value"):
            step().fit(table).transform(holed)

    def test_refuses_to_be_used_unfitted(self):
        with pytest.raises(ConvergenceError, match="Quantile must be fitted before"):
            step().transform(cases())
