"""Kaplan-Meier and log-rank, beside scikit-survival and by hand."""

import numpy as np
import pytest
from survival_cases import drawn, pairs, target

from vesalius.errors import RegionError, ShapeError
from vesalius.predict._kaplan_meier import censoring_survival, kaplan_meier, log_rank


@pytest.mark.parametrize("digits", [1, 6])
def test_is_the_estimate_of_scikit_survival(digits):
    their = pytest.importorskip("sksurv.nonparametric")
    _, outcome = drawn(100, 2, digits=digits)
    times, survival, band = their.kaplan_meier_estimator(
        outcome.events, outcome.values, conf_type="log-log"
    )
    found = kaplan_meier(outcome)
    np.testing.assert_array_equal(found.times, times)
    np.testing.assert_allclose(found.survival, survival, atol=1e-12)
    inside = (survival > 0) & (survival < 1)
    np.testing.assert_allclose(found.low[inside], band[0][inside], atol=1e-12)
    np.testing.assert_allclose(found.high[inside], band[1][inside], atol=1e-12)


def test_the_textbook_case_of_six_patients():
    # times 1, 2+, 3, 3, 5+, 6: 5/6, then 5/6 * 2/4, then 0
    found = kaplan_meier(target([1, 2, 3, 3, 5, 6], [1, 0, 1, 1, 0, 1]))
    np.testing.assert_allclose(found.survival, [5 / 6, 5 / 6, 5 / 12, 5 / 12, 0])
    np.testing.assert_array_equal(found.at_risk, [6, 5, 4, 2, 1])
    np.testing.assert_array_equal(found.events, [1, 0, 2, 0, 1])
    assert found.median == 3
    np.testing.assert_allclose(found.at(np.array([0.5, 1, 2.9, 9])), [1, 5 / 6, 5 / 6, 0])
    assert np.isnan(found.low[-1])


def test_without_an_event_nobody_is_lost():
    found = kaplan_meier(target([1, 2], [0, 0]))
    np.testing.assert_array_equal(found.survival, [1, 1])
    assert np.isnan(found.low).all()
    assert np.isnan(found.median)


def test_of_equal_times_events_come_before_the_end_of_follow_up():
    outcome = target([1, 2, 2, 3], [1, 0, 1, 1])
    # lost at 2: one of the two who are left after the event of that time
    np.testing.assert_allclose(
        censoring_survival(outcome, np.array([1.0, 2, 2.5, 3])), [1, 1, 0.5, 0.5]
    )


@pytest.mark.parametrize("digits", [1, 6])
@pytest.mark.parametrize("groups", [2, 3])
def test_is_the_log_rank_test_of_scikit_survival(digits, groups):
    compare = pytest.importorskip("sksurv.compare")
    values, outcome = drawn(90, 2, digits=digits)
    group = np.digitize(values[:, 0], [0.0, 1.0][: groups - 1])
    statistic, p = compare.compare_survival(pairs(outcome), group)
    found = log_rank(outcome, group)
    assert found.statistic == pytest.approx(statistic, rel=1e-9)
    assert found.p_value == pytest.approx(p, rel=1e-9)
    assert found.freedom == groups - 1


def test_strata_are_compared_within():
    values, outcome = drawn(90, 2)
    group = (values[:, 0] > 0).astype(int)
    shifted = target(outcome.values + 100 * (np.arange(90) % 3), outcome.events)
    strata = np.arange(90) % 3
    assert log_rank(shifted, group, strata=strata).statistic == pytest.approx(
        log_rank(outcome, group, strata=strata).statistic, rel=1e-9
    )
    alone = log_rank(outcome.rows(np.flatnonzero(strata == 0)), group[strata == 0])
    twice = outcome.rows(np.tile(np.flatnonzero(strata == 0), 2))
    doubled = log_rank(twice, np.tile(group[strata == 0], 2), strata=np.repeat([0, 1], 30))
    assert doubled.statistic == pytest.approx(2 * alone.statistic, rel=1e-9)


def test_holds_its_level_where_groups_are_alike():
    rng = np.random.default_rng(0)
    found = [
        log_rank(target(rng.exponential(size=40), rng.random(40) < 0.7), np.arange(40) % 2).p_value
        for _ in range(200)
    ]
    assert 2 <= sum(p < 0.05 for p in found) <= 20


def test_refuses_no_case():
    with pytest.raises(RegionError, match="at least one case"):
        kaplan_meier(target([], []))


@pytest.mark.parametrize("groups", [np.zeros(3, int), np.arange(2)])
def test_refuses_groups_that_cannot_be_compared(groups):
    with pytest.raises((RegionError, ShapeError), match=r"two groups or more|one group and one"):
        log_rank(target([1, 2, 3], [1, 0, 1]), groups)


def test_refuses_to_compare_without_an_event():
    with pytest.raises(RegionError, match="2 groups and 0 events"):
        log_rank(target([1, 2, 3], [0, 0, 0]), np.array([0, 1, 1]))
