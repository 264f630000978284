"""Two models on the same cases: paired differences, and how often they are false alarms."""

from dataclasses import replace

import numpy as np
import pytest
from judged_cases import drawn, expit, table
from scipy.stats import ttest_rel

from vesalius.errors import ConfigError
from vesalius.predict import Description
from vesalius.predict._compare_cards import compare_cards

PLAIN = Description()


def noisy(given, seed, spread=0.8):
    rng = np.random.default_rng(1000 + seed)
    eta = np.log(given.scores / (1 - given.scores)) + rng.normal(0, spread, given.scores.shape)
    return replace(given, scores=expit(eta))


def contest(one, other, n=100, **columns):
    description = Description(group="p") if columns else PLAIN
    return compare_cards(one, other, table=table(n, **columns), description=description)


def test_the_brier_scores_are_compared_as_by_a_paired_t_test():
    one = drawn(0, 100)
    other, truth = noisy(one, 0), one.target.values
    found = contest(one, other)
    losses = [np.square(j.scores[:, 0] - truth) for j in (one, other)]
    expected = ttest_rel(*losses)
    assert found.differences["brier"].value == pytest.approx(np.mean(losses[0] - losses[1]))
    assert found.p_values["brier"] == pytest.approx(expected.pvalue, rel=1e-6)
    low, high = expected.confidence_interval()
    assert found.differences["brier"].low == pytest.approx(low, rel=1e-6)
    assert found.differences["brier"].high == pytest.approx(high, rel=1e-6)


def test_a_better_model_wins_in_everything():
    one = drawn(1, 600)
    found = contest(one, noisy(one, 1, 2.0), 600)
    assert found.auc.difference.low > 0
    assert found.differences["brier"].high < 0
    assert found.differences["log_loss"].high < 0
    assert found.differences["net_benefit"].low > 0


def test_the_net_benefit_is_weighed_by_the_odds_of_the_threshold():
    one = replace(drawn(2, 100), thresholds=np.full(100, 0.2))
    other = replace(noisy(one, 2), thresholds=np.full(100, 0.2))

    def benefit(judged):
        called, truth = judged.scores[:, 0] >= 0.2, judged.target.values > 0.5
        return (called & truth).mean() - (called & ~truth).mean() * 0.25

    expected = benefit(one) - benefit(other)
    assert contest(one, other).differences["net_benefit"].value == pytest.approx(expected)


def test_different_thresholds_have_no_net_benefit_in_common():
    one = drawn(3, 100)
    other = replace(one, thresholds=np.full(100, 0.3))
    assert set(contest(one, other).differences) == {"brier", "log_loss"}
    without = replace(one, thresholds=np.zeros(0))
    assert set(contest(one, without).differences) == {"brier", "log_loss"}


def test_a_model_equals_itself():
    one = drawn(4, 100, folds=5)
    found = contest(one, one)
    assert set(found.p_values.values()) == {1.0}
    assert all("variance is zero" in gap.reason for gap in found.differences.values())


def test_equal_models_are_seldom_told_apart():
    alarms = 0
    for seed in range(10_000, 10_200):
        base = drawn(seed, 80)
        found = contest(noisy(base, seed), noisy(base, seed + 5000), 80)
        alarms += found.p_values["brier"] < 0.05
    assert 0.01 <= alarms / 200 <= 0.09


def test_copies_of_a_patient_add_no_certainty():
    one = drawn(5, 50)
    twice = np.repeat(np.arange(50), 2)
    first = contest(one, noisy(one, 5), 50)
    both = [replace(j.rows(twice), cases=np.arange(100)) for j in (one, noisy(one, 5))]
    second = contest(*both, p=[f"p{k // 2}" for k in range(100)])
    assert second.p_values["brier"] == pytest.approx(first.p_values["brier"], rel=1e-9)


def test_refuses_other_cases():
    one = drawn(6, 100)
    with pytest.raises(ConfigError, match="judged on the same cases"):
        contest(one, one.rows(np.arange(99)))
