"""Univariate: features that, each alone, go with the outcome."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import made

from vesalius.errors import ConfigError, RegionError
from vesalius.predict import Target
from vesalius.predict.select import Univariate, p_values, q_values


@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_agrees_with_the_f_test_of_scipy(kind):
    from scipy.stats import f_oneway

    table, target = made(45, 6, kind=kind)
    groups = [table.values[target.values == k] for k in np.unique(target.values)]
    np.testing.assert_allclose(p_values(table.values, target), f_oneway(*groups).pvalue, rtol=1e-9)


def test_agrees_with_the_test_of_a_correlation_for_a_number():
    from scipy.stats import pearsonr

    table, target = made(45, 6, kind="number")
    wanted = [pearsonr(column, target.values).pvalue for column in table.values.T]
    np.testing.assert_allclose(p_values(table.values, target), wanted, rtol=1e-9)


def test_agrees_with_the_score_of_a_cox_model_by_a_loop():
    from scipy.stats import chi2

    table, target = made(40, 3, kind="survival")
    times = np.round(target.values, 1)  # with ties
    target = Target("survival", times, target.classes, target.events)
    for j, p in enumerate(p_values(table.values, target)):
        x, score, information = table.values[:, j], 0.0, 0.0
        for i in np.flatnonzero(target.events):
            at_risk = x[times >= times[i]]
            score += x[i] - at_risk.mean()
            information += at_risk.var()
        assert p == pytest.approx(chi2.sf(score**2 / information, 1), rel=1e-9)


def test_the_score_of_a_cox_model_is_the_log_rank_test_of_two_groups():
    from scipy.stats import logrank, CensoredData  # isort: skip

    rng = np.random.default_rng(0)
    times = rng.permutation(40) + rng.uniform(size=40)
    events, group = rng.uniform(size=40) < 0.7, np.arange(40) % 2
    parts = [CensoredData.right_censored(times[group == g], ~events[group == g]) for g in (0, 1)]
    target = Target("survival", times, ("censored", "event"), events)
    found = p_values(group[:, None].astype(float), target)[0]
    # scipy's variance is hypergeometric, which without ties is the same
    assert found == pytest.approx(logrank(*parts).pvalue, rel=1e-9)


def test_by_ranks_only_the_order_counts():
    table, target = made(40, 5)
    bent = table.with_values(np.exp(3 * table.values))
    a = p_values(table.values, target, kind="ranks")
    np.testing.assert_allclose(a, p_values(bent.values, target, kind="ranks"), rtol=1e-9)
    assert not np.allclose(p_values(table.values, target), p_values(bent.values, target))


@given(st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_q_values_agree_with_scipy(p):
    from scipy.stats import false_discovery_control

    np.testing.assert_allclose(q_values(np.array(p)), false_discovery_control(p), rtol=1e-12)


def test_keeps_the_best_in_the_order_of_the_table():
    table, target = made(120, 8, shift=3.0)
    assert Univariate(2).fit(table, target).kept_ == ("f00", "f01")


def test_keeps_few_discoveries_on_noise():
    table, target = made(100, 300, shift=0.0)
    assert len(Univariate(0, most_q=0.05).fit(table, target).kept_) <= 2
    assert len(Univariate(0).fit(table, target).kept_) == 300


def test_tells_the_q_values_of_what_it_keeps():
    table, target = made(60, 8)
    step = Univariate(0, most_q=0.5).fit(table, target)
    assert len(step.q_) == len(step.kept_)
    assert step.q_.max() <= 0.5


def test_a_constant_feature_tells_nothing_and_a_perfect_one_everything():
    _, target = made(30, 2)
    p = p_values(np.c_[np.full(30, 0.1), target.values], target)
    assert p[0] == 1
    assert p[1] < 1e-30


def test_takes_the_stronger_of_two_where_both_p_values_are_0():
    truth = np.arange(2000.0)
    noise = np.random.default_rng(0).normal(size=(2000, 2))
    values = truth[:, None] + noise * (40.0, 20.0)
    target = Target("number", truth)
    assert p_values(values, target).max() == 0.0
    table = made(2000, 2)[0].with_values(values)
    assert Univariate(1).fit(table, target).kept_ == ("f01",)


def test_refuses_no_outcome():
    with pytest.raises(ConfigError, match="Univariate must be given the outcome"):
        Univariate().fit(made(9, 3)[0])


def test_refuses_one_class():
    table, target = made(30, 3)
    rows = np.flatnonzero(target.values == 1)
    with pytest.raises(RegionError, match="must see outcomes that differ"):
        Univariate().fit(table.rows(rows), target.rows(rows))


def test_refuses_censored_cases_alone():
    table, target = made(30, 3, kind="survival")
    rows = np.flatnonzero(~target.events)
    with pytest.raises(RegionError, match="must see an event"):
        Univariate().fit(table.rows(rows), target.rows(rows))


@pytest.mark.parametrize("bad", [{"features": -1}, {"most_q": 0.0}, {"most_q": 1.5}])
def test_refuses_a_count_or_share_that_cannot_be(bad):
    table, target = made(9, 3)
    with pytest.raises(ConfigError, match="or more features at a q-value in"):
        Univariate(**bad).fit(table, target)
