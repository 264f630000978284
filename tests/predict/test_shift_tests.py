"""Tests of every feature between batches, against scipy one by one."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vesalius.predict._shift_tests import FeatureTest, false_discovery, shift_tests


def made(batches, cases, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, batches, cases)
    codes[:batches] = np.arange(batches)
    values = rng.normal(size=(cases, 8)) + np.linspace(0, 1.5, 8) * codes[:, None] / batches
    values[:, 3] = np.round(2 * values[:, 3])  # ties
    return values, codes


@pytest.mark.parametrize(("batches", "cases"), [(2, 20), (2, 61), (3, 90), (7, 150)])
def test_statistics_agree_with_scipy(batches, cases):
    values, codes = made(batches, cases)
    found = shift_tests(values, codes)
    for j in range(values.shape[1]):
        groups = [values[codes == k, j] for k in range(batches)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy says that its table has ended
            anderson = stats.anderson_ksamp(groups)
        kruskal = stats.kruskal(*groups)
        largest = max(
            stats.ks_2samp(groups[a], groups[b]).statistic for a in range(batches) for b in range(a)
        )
        assert found["anderson"][0][j] == pytest.approx(anderson.statistic, abs=1e-9)
        if 0.0015 < anderson.pvalue < 0.24:  # within its table
            assert found["anderson"][1][j] == pytest.approx(anderson.pvalue, rel=0.1)
        assert found["kruskal"][0][j] == pytest.approx(kruskal.statistic)
        assert found["kruskal"][1][j] == pytest.approx(kruskal.pvalue)
        assert found["ks"][0][j] == pytest.approx(largest)


def test_the_anderson_law_has_the_published_quantiles():
    # Scholz and Stephens (1987), table 1, two samples: 1.961 at 5 %, 3.752 at 1 %
    from vesalius.predict._shift_tests import _anderson_law

    grid, log_p = _anderson_law(1)
    for normal, p in ((0.326, 0.25), (1.225, 0.1), (1.961, 0.05), (2.718, 0.025), (3.752, 0.01)):
        assert np.exp(np.interp(normal, grid, log_p)) == pytest.approx(p, rel=0.05)
    assert (np.diff(log_p) <= 0).all()
    assert (np.diff(grid) > 0).all()


def test_p_values_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(4)
    found = shift_tests(rng.normal(size=(80, 2000)), np.arange(80) % 2)
    for name, share in (("anderson", 0.05), ("kruskal", 0.05), ("ks", 0.05)):
        assert (found[name][1] < 0.05).mean() == pytest.approx(share, abs=0.015), name
    assert (found["anderson"][1] < 0.001).mean() < 0.004


def test_the_distance_of_two_batches_has_scipys_p_value():
    values, codes = made(2, 200)
    found = shift_tests(values, codes)
    for j in range(8):
        exact = stats.ks_2samp(values[codes == 0, j], values[codes == 1, j]).pvalue
        assert found["ks"][1][j] == pytest.approx(exact, rel=0.25, abs=1e-3)


def test_a_difference_of_spread_is_seen_by_anderson_and_not_by_kruskal():
    rng = np.random.default_rng(5)
    codes = np.arange(200) % 2
    values = rng.normal(size=(200, 1)) * np.where(codes == 0, 1.0, 3.0)[:, None]
    found = shift_tests(values, codes)
    assert found["anderson"][1][0] < 1e-4 < 0.05 < found["kruskal"][1][0]


def test_far_apart_batches_have_a_tiny_p_and_not_the_end_of_a_table():
    codes = np.arange(100) % 2
    found = shift_tests(np.arange(100.0)[:, None] + 1000 * codes[:, None], codes)
    assert 0 < found["anderson"][1][0] < 1e-12
    assert found["ks"][0][0] == 1.0


def test_a_constant_feature_has_no_figure():
    values = np.column_stack((np.full(12, 3.5), np.arange(12.0)))
    for statistic, p in shift_tests(values, np.arange(12) % 2).values():
        assert np.isnan(statistic[0])
        assert np.isnan(p[0])
        assert np.isfinite(statistic[1])
        assert 0 <= p[1] <= 1


def test_no_features_give_no_figures():
    assert shift_tests(np.zeros((5, 0)), np.arange(5) % 2)["ks"][0].shape == (0,)


@given(st.integers(0, 2**32 - 1))
def test_order_of_cases_and_a_growing_map_change_nothing(seed):
    rng = np.random.default_rng(seed)
    values, codes = rng.integers(0, 9, (24, 3)).astype(float), np.arange(24) % 3
    order = rng.permutation(24)
    one, two = shift_tests(values, codes), shift_tests(np.exp(values[order]), codes[order])
    for name in one:
        np.testing.assert_allclose(one[name][0], two[name][0], atol=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_false_discovery_agrees_with_scipy(p):
    np.testing.assert_allclose(false_discovery(np.array(p)), stats.false_discovery_control(p))


def test_what_was_not_tested_does_not_count():
    found = false_discovery(np.array([0.01, np.nan, 0.04]))
    np.testing.assert_allclose(found, [0.02, np.nan, 0.04])
    test = FeatureTest(found, found, found)
    assert test.affected() == 1.0
    assert test.affected(0.03) == 0.5
    none = np.array([np.nan])
    assert FeatureTest(none, none, none).affected() == 0.0
