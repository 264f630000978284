"""Redundancy: of features that say the same, one is kept."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import made

from vesalius.errors import ConfigError, IntensityError, RegionError
from vesalius.predict.select import Redundancy, correlations


def repeating(seed, cases=40, sources=4, features=15):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(cases, sources))
    values = base[:, rng.integers(0, sources, features)] * rng.choice([-1, 1], features)
    table, target = made(cases, features)
    return table.with_values(values + 0.2 * rng.normal(size=values.shape)), target


@given(st.integers(0, 50), st.floats(0.3, 0.99), st.sampled_from(["pearson", "spearman"]))
@settings(max_examples=25, deadline=None)
def test_no_two_kept_are_alike_and_each_dropped_has_one_that_stands_for_it(seed, most, kind):
    table, _ = repeating(seed)
    step = Redundancy(most, kind).fit(table)
    strength = np.abs(correlations(table.values, kind))
    place = {name: j for j, name in enumerate(table.features)}
    kept = [place[name] for name in step.kept_]
    among = strength[np.ix_(kept, kept)] - np.eye(len(kept))
    assert among.max(initial=0) <= most
    assert set(step.stands_for_) == set(table.features) - set(step.kept_)
    for gone, stays in step.stands_for_.items():
        assert stays in step.kept_
        assert strength[place[gone], place[stays]] > most


def test_correlates_as_numpy_and_scipy_do():
    from scipy.stats import spearmanr

    table, _ = repeating(1)
    np.testing.assert_allclose(
        correlations(table.values), np.corrcoef(table.values, rowvar=False), atol=1e-12
    )
    np.testing.assert_allclose(
        correlations(table.values, "spearman"), spearmanr(table.values).statistic, atol=1e-12
    )


def test_a_constant_feature_goes_with_nothing():
    values = np.c_[np.full(6, 0.1), np.arange(6.0)]
    np.testing.assert_array_equal(correlations(values), np.eye(2))


def test_keeps_the_more_reliable_of_two():
    table, _ = repeating(2, sources=1, features=3)
    for best in table.features:
        icc = tuple((name, 0.9 if name == best else 0.5) for name in table.features)
        assert Redundancy(0.7, icc=icc).fit(table).kept_ == (best,)


def test_a_feature_of_known_reliability_goes_before_one_of_unknown():
    table, _ = repeating(2, sources=1, features=3)
    assert Redundancy(0.7, icc=(("f02", 0.1),)).fit(table).kept_ == ("f02",)


def test_without_reliability_the_least_correlated_is_kept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    noise = rng.normal(size=(3, 200))
    values = np.c_[x + 0.2 * noise[0], x + 0.2 * noise[1], x, noise[2]]
    table = made(200, 4)[0].with_values(values)
    mean = np.abs(np.corrcoef(values, rowvar=False)).mean(axis=0)[:3]
    kept = Redundancy(0.9).fit(table).kept_
    assert kept == (table.features[int(mean.argmin())], "f03")


def test_sees_a_bent_relation_by_ranks_alone():
    x = np.linspace(1, 8, 40)
    table = made(40, 2)[0].with_values(np.c_[x, np.exp(2 * x)])
    assert len(Redundancy(0.95).fit(table).kept_) == 2
    assert len(Redundancy(0.95, "spearman").fit(table).kept_) == 1


@pytest.mark.parametrize("most", [0.0, 1.2, float("nan")])
def test_refuses_what_is_no_correlation(most):
    with pytest.raises(ConfigError, match="most must be a correlation"):
        Redundancy(most).fit(made(9, 3)[0])


def test_refuses_two_cases():
    with pytest.raises(RegionError, match="Redundancy must learn from at least 3 cases"):
        Redundancy().fit(made(9, 3)[0].rows([0, 1]))


def test_refuses_a_gap_and_names_it():
    table, _ = made(9, 3)
    values = table.values.copy()
    values[4, 1] = np.nan
    table = replace(table, values=values, reasons={("case004", "f01"): "the region is flat"})
    with pytest.raises(IntensityError, match=r"every value.*'f01' of case 'case004' \(the region"):
        Redundancy().fit(table)
