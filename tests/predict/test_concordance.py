"""Concordance, AUC at a time and Brier score of survival, beside scikit-survival and slow loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from survival_cases import drawn, pairs, target

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.predict._concordance import concordance, concordance_ipcw, ordered_pairs
from vesalius.predict._cox import Cox
from vesalius.predict._survival_brier import integrated_brier, survival_brier
from vesalius.predict._time_auc import time_auc

TIMES = np.array([0.3, 0.8, 1.5])


def case(seed=0, digits=6):
    values, outcome = drawn(120, 4, seed=seed, digits=digits)
    noise = np.random.default_rng(seed + 1).normal(size=120)
    return values, outcome, (values[:, 0] + noise).round(1)


def slowly(outcome, risk, weight):
    won, held = np.zeros((2, len(risk)))
    for i in np.flatnonzero(outcome.events):
        for j in range(len(risk)):
            t, u = outcome.values[[i, j]]
            if t < u or (t == u and not outcome.events[j]):
                right = 0.5 if risk[i] == risk[j] else float(risk[i] > risk[j])
                for k in (i, j):
                    won[k] += weight[i] * right
                    held[k] += weight[i]
    return won, held


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_pairs_are_those_of_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    outcome = target(rng.integers(1, 8, 25), rng.random(25) < 0.6)
    risk, weight = rng.integers(0, 5, 25).astype(float), rng.random(25)
    for found, wanted in zip(
        ordered_pairs(outcome, risk, weight), slowly(outcome, risk, weight), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-10)


@pytest.mark.parametrize("digits", [1, 6])
def test_is_harrells_of_scikit_survival(digits):
    metrics = pytest.importorskip("sksurv.metrics")
    _, outcome, risk = case(digits=digits)
    wanted = metrics.concordance_index_censored(outcome.events, outcome.values, risk, tied_tol=0)
    assert concordance(outcome, risk) == pytest.approx(wanted[0], abs=1e-12)


def test_is_unos_of_scikit_survival():
    metrics = pytest.importorskip("sksurv.metrics")
    _, outcome, risk = case()
    other = drawn(90, 4, seed=7)[1]
    for seen in (outcome, other):
        wanted = metrics.concordance_index_ipcw(
            pairs(seen), pairs(outcome), risk, tau=1.5, tied_tol=0
        )
        found = concordance_ipcw(outcome, risk, until=1.5, censoring=seen)
        assert found == pytest.approx(wanted[0], abs=1e-12)


def test_without_loss_unos_is_harrells():
    values, outcome = drawn(50, 3, seen=1.1)
    late = float(outcome.values.max()) + 1
    assert concordance_ipcw(outcome, values[:, 0], until=late) == pytest.approx(
        concordance(outcome, values[:, 0]), abs=1e-12
    )


def test_turning_the_risk_round_turns_the_concordance_round():
    _, outcome, risk = case()
    assert concordance(outcome, -risk) == pytest.approx(1 - concordance(outcome, risk), abs=1e-12)


def test_auc_is_that_of_scikit_survival():
    metrics = pytest.importorskip("sksurv.metrics")
    _, outcome, risk = case()
    wanted, _ = metrics.cumulative_dynamic_auc(pairs(outcome), pairs(outcome), risk, TIMES)
    np.testing.assert_allclose(time_auc(outcome, risk, TIMES), wanted, atol=1e-12)


def test_brier_is_that_of_scikit_survival():
    metrics = pytest.importorskip("sksurv.metrics")
    values, outcome, _ = case()
    survival = Cox(weight=0.1).fit(values, outcome).survival(values, TIMES)
    both = pairs(outcome), pairs(outcome)
    wanted = metrics.brier_score(*both, survival, TIMES)[1]
    np.testing.assert_allclose(survival_brier(outcome, survival, TIMES), wanted, atol=1e-12)
    whole = metrics.integrated_brier_score(*both, survival, TIMES)
    assert integrated_brier(outcome, survival, TIMES) == pytest.approx(whole, abs=1e-12)


def test_a_coin_has_a_brier_score_of_a_quarter_where_nobody_is_lost():
    _, outcome = drawn(50, 2, seen=1.1)
    found = survival_brier(outcome, np.full((50, 3), 0.5), TIMES)
    np.testing.assert_allclose(found, 0.25, atol=1e-12)


@pytest.mark.parametrize(
    "figure",
    [
        lambda outcome, risk: concordance(outcome, risk),
        lambda outcome, risk: concordance_ipcw(outcome, risk, until=1.0),
        lambda outcome, risk: time_auc(outcome, risk, TIMES),
    ],
)
def test_refuses_another_number_of_risks(figure):
    _, outcome, risk = case()
    with pytest.raises(ShapeError, match=r"each of 120 cases must have a risk, got \(4,\)"):
        figure(outcome, risk[:4])


def test_refuses_what_is_in_no_order():
    with pytest.raises(RegionError, match="at least one pair"):
        concordance(target([1, 1], [1, 1]), np.arange(2.0))


def test_refuses_a_time_with_nobody_before_it_or_after():
    _, outcome, risk = case()
    for time in (0.01, 1e9):
        with pytest.raises(RegionError, match="choose another time"):
            time_auc(outcome, risk, np.array([time]))


def test_refuses_brier_of_other_shapes_values_and_times():
    _, outcome, _ = case()
    good = np.full((120, 3), 0.5)
    with pytest.raises(ShapeError, match=r"\(cases, times\) = \(120, 3\)"):
        survival_brier(outcome, good[:, :2], TIMES)
    with pytest.raises(IntensityError, match="probabilities, 0 to 1"):
        survival_brier(outcome, 3 * good, TIMES)
    with pytest.raises(RegionError, match="before the last follow-up"):
        survival_brier(outcome, good, TIMES + 1e6)
    with pytest.raises(ConfigError, match="times must be a row"):
        survival_brier(outcome, good, -TIMES)
    with pytest.raises(ConfigError, match="two or more and rise"):
        integrated_brier(outcome, good, TIMES[::-1].copy())


def test_refuses_risks_that_are_no_numbers():
    _, outcome, risk = case()
    risk[3] = np.nan
    for figure in (
        lambda: concordance(outcome, risk),
        lambda: concordance_ipcw(outcome, risk, until=1.0),
        lambda: time_auc(outcome, risk, TIMES),
    ):
        with pytest.raises(IntensityError, match="1 of 120 are NaN"):
            figure()


def test_refuses_no_cases():
    none = target(np.zeros(0), np.zeros(0, dtype=bool))
    with pytest.raises(RegionError, match="at least one pair of cases must be ordered"):
        concordance(none, np.zeros(0))
    with pytest.raises(RegionError, match="some must have the event by 1"):
        time_auc(none, np.zeros(0), np.ones(1))
