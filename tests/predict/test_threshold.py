"""Thresholds: each rule beside a search over all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_cases import drawn

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.predict import Threshold
from vesalius.predict._threshold import choose_threshold, words_of


def best(truth, scores, worth):
    levels = np.unique(scores)
    return max(worth(scores >= t) for t in (*levels, np.inf))


@given(st.integers(0, 300), st.integers(1, 6))
def test_youden_reaches_the_best_of_all_thresholds(seed, digits):
    judged = drawn(seed, 40)
    truth, p = judged.target.values, judged.scores[:, 0].round(digits)
    if 0 < truth.sum() < 40:
        t = choose_threshold(truth, p, rule=Threshold("youden"))

        def index(called):
            return called[truth == 1].mean() - called[truth == 0].mean()

        assert index(p >= t) == pytest.approx(best(truth, p, index))


@given(st.integers(0, 300), st.floats(0.1, 20))
def test_cost_reaches_the_least_of_all_thresholds(seed, ratio):
    judged = drawn(seed, 40)
    truth, p = judged.target.values, judged.scores[:, 0].round(1)
    if 0 < truth.sum() < 40:
        t = choose_threshold(truth, p, rule=Threshold("cost", cost_ratio=ratio))

        def saved(called):
            return -ratio * (truth * ~called).sum() - ((1 - truth) * called).sum()

        assert saved(p >= t) == pytest.approx(best(truth, p, saved))


@given(st.integers(0, 300), st.floats(0.05, 1))
def test_sensitivity_takes_the_largest_threshold_that_reaches_it(seed, wanted):
    judged = drawn(seed, 40)
    truth, p = judged.target.values, judged.scores[:, 0].round(1)
    if 0 < truth.sum() < 40:
        t = choose_threshold(truth, p, rule=Threshold("sensitivity", sensitivity=wanted))
        assert (p[truth == 1] >= t).mean() >= wanted - 1e-9
        assert (p[truth == 1] > t).mean() < wanted


def test_a_new_case_need_not_fall_on_an_old_one():
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    assert choose_threshold(truth, np.array([0.1, 0.3, 0.5, 0.9]), rule=Threshold()) == 0.4


def test_a_ranking_that_is_upside_down_calls_nobody_or_everybody():
    truth, p = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.1, 0.3, 0.5, 0.9])
    assert choose_threshold(truth, p, rule=Threshold()) > 0.9
    dear = Threshold("cost", cost_ratio=10.0)
    assert choose_threshold(truth, p, rule=dear) == 0.1


def test_a_given_threshold_looks_at_nothing():
    fixed = Threshold("fixed", value=0.3)
    assert choose_threshold(np.array([1.0]), np.array([np.nan]), rule=fixed) == 0.3


def test_says_how_it_was_chosen():
    assert words_of(Threshold("cost", cost_ratio=5)) == (
        "least cost, a missed event costing 5 false alarms"
    )
    assert words_of(Threshold("sensitivity", sensitivity=0.95)).endswith("of 0.95")


def test_refuses_what_has_no_threshold():
    p = np.array([0.2, 0.4])
    with pytest.raises(RegionError, match="got 2 with and 0 without"):
        choose_threshold(np.ones(2), p, rule=Threshold())
    with pytest.raises(ShapeError, match=r"got \(3,\) and \(2,\)"):
        choose_threshold(np.ones(3), p, rule=Threshold())
    with pytest.raises(IntensityError, match="1 are not"):
        choose_threshold(np.array([0.0, 1.0]), np.array([0.2, np.nan]), rule=Threshold())
    with pytest.raises(ConfigError, match="cost_ratio must be positive, got 0"):
        choose_threshold(np.ones(2), p, rule=Threshold("cost", cost_ratio=0.0))
    with pytest.raises(ConfigError, match=r"sensitivity of a threshold .* got 1\.5"):
        choose_threshold(np.ones(2), p, rule=Threshold("sensitivity", sensitivity=1.5))
