"""Concordance of a card, beside a slow loop and scikit-survival."""

import math
from dataclasses import replace

import numpy as np
import pytest

from vesalius.predict import Target
from vesalius.predict._intervals import dense
from vesalius.predict._judged import judged_once
from vesalius.predict._survival_scores import survival_scores


def drawn(seed=0, n=60, digits=1):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n).round(digits)
    times = rng.exponential(np.exp(-risk) * 4).round(digits) + 0.1
    target = Target("survival", times, events=rng.random(n) < 0.6)
    return judged_once(target, risk[:, None])


def scored(given):
    return survival_scores(given, dense(given.cases))["concordance"]


@pytest.mark.parametrize("seed", range(4))
def test_is_the_concordance_of_scikit_survival(seed):
    metrics = pytest.importorskip("sksurv.metrics")
    given = drawn(seed)
    found = metrics.concordance_index_censored(
        given.target.events, given.target.values, given.scores[:, 0], tied_tol=0
    )
    assert scored(given).value == pytest.approx(found[0], abs=1e-9)


def test_pairs_of_different_folds_do_not_count():
    given = replace(drawn(1), folds=np.arange(60) % 3)
    pushed = replace(given, scores=given.scores + given.folds[:, None] * 100.0)
    assert scored(given).value == pytest.approx(scored(pushed).value, abs=1e-12)


def test_the_interval_holds_a_half_of_what_says_nothing():
    held, rng = 0, np.random.default_rng(2)
    for seed in range(100):
        given = drawn(seed, digits=6)
        found = scored(replace(given, scores=rng.normal(size=(60, 1))))
        held += found.low <= 0.5 <= found.high
    assert held >= 88


def test_no_pair_has_a_reason():
    given = drawn(3)
    target = Target("survival", given.target.values, events=np.zeros(60, dtype=bool))
    found = scored(replace(given, target=target))
    assert math.isnan(found.value)
    assert "no pair" in found.reason


def test_a_perfect_order_has_no_variance():
    times = np.arange(1.0, 9.0)
    target = Target("survival", times, events=np.ones(8, dtype=bool))
    found = scored(judged_once(target, -times[:, None]))
    assert found.value == 1
    assert "variance is zero" in found.reason
