"""The AUC of folds, its interval and its difference, beside slow loops and published forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_cases import drawn, expit, judged, table
from sklearn.metrics import roc_auc_score

from vesalius.errors import ConfigError
from vesalius.predict import Description, Target
from vesalius.predict._auc import (
    area,
    auc_estimate,
    difference_of_auc,
    fold_keys,
    newcombe,
    placements,
)
from vesalius.predict._intervals import Clusters, dense, overlap

PLAIN = Description()


def of(judged):
    events, patients = judged.target.values > 0.5, dense(judged.cases)
    found = area(events, judged.scores[:, 0], keys=fold_keys(judged), clusters=patients)
    return found, auc_estimate(found, events, patients), patients


def kernel(yes, no):
    """1 where an event scores above another case, a half where they tie."""
    return (yes[:, None] > no) + 0.5 * (yes[:, None] == no)


def delong(truth, scores):
    """Variance by eqs. (4)-(6) of DeLong et al. (1988), with the matrix of all pairs."""
    v = kernel(scores[truth], scores[~truth])
    return v.mean(1).var(ddof=1) / truth.sum() + v.mean(0).var(ddof=1) / (~truth).sum()


@given(st.integers(0, 300), st.integers(1, 5))
@settings(max_examples=40)
def test_one_fold_has_the_area_of_scikit_learn_and_the_variance_of_delong(seed, digits):
    judged = drawn(seed, 50)
    truth, p = judged.target.values > 0.5, judged.scores[:, 0].round(digits)
    found, _, patients = of(replace(judged, scores=p[:, None]))
    assert found.value == pytest.approx(roc_auc_score(truth, p), abs=1e-12)
    variance = np.square(patients.sums(found.influence)).sum()
    assert variance == pytest.approx(delong(truth, p), rel=1e-9, abs=1e-15)


@given(st.integers(0, 300))
@settings(max_examples=20)
def test_folds_are_never_compared_with_each_other(seed):
    judged = drawn(seed, 60, folds=4)
    pushed = np.clip(judged.scores / 8 + judged.folds[:, None] * 0.2, 0, 1)
    one, other = of(judged)[0], of(replace(judged, scores=pushed))[0]
    assert one.value == pytest.approx(other.value, abs=1e-12)
    np.testing.assert_allclose(one.influence, other.influence, atol=1e-12)


def test_the_area_of_folds_is_the_share_of_right_pairs_within_them():
    judged = drawn(4, 61, folds=5)
    truth, p = judged.target.values > 0.5, judged.scores[:, 0]
    right = pairs = 0.0
    for fold in range(5):
        own = judged.folds == fold
        k = kernel(p[own & truth], p[own & ~truth])
        right, pairs = right + k.sum(), pairs + k.size
    assert of(judged)[0].value == pytest.approx(right / pairs, abs=1e-12)


def test_folds_of_equal_content_have_the_variance_of_ledell():
    """LeDell et al. (2015): the mean over folds of their variance, over the folds."""
    rng = np.random.default_rng(0)
    truth, folds = np.tile([1.0] * 8 + [0.0] * 12, 5), np.repeat(np.arange(5), 20)
    p = expit(rng.normal(truth, 1.0))
    found, _, patients = of(replace(judged(truth, p), folds=folds))
    expected = np.mean([delong(truth[folds == k] > 0.5, p[folds == k]) for k in range(5)]) / 5
    assert np.square(patients.sums(found.influence)).sum() == pytest.approx(expected, rel=1e-12)
    areas = [roc_auc_score(truth[folds == k], p[folds == k]) for k in range(5)]
    assert found.value == pytest.approx(np.mean(areas), abs=1e-12)


def test_a_repetition_of_the_same_predictions_adds_no_certainty():
    one = drawn(1, 80)
    twice = one.rows(np.tile(np.arange(80), 2))
    twice = replace(twice, repeats=np.repeat(np.arange(2), 80))
    first, second = of(one)[1], of(twice)[1]
    assert second.value == pytest.approx(first.value, abs=1e-12)
    assert second.low == pytest.approx(first.low, abs=1e-9)


def test_several_pictures_of_a_patient_widen_the_interval():
    """Obuchowski (1997): copies of a patient are one patient."""
    judged = drawn(2, 60)
    copied = judged.rows(np.repeat(np.arange(60), 3))
    events = copied.target.values > 0.5
    keys, alone = fold_keys(copied), dense(np.arange(180))
    patients = dense(copied.cases)
    grouped = area(events, copied.scores[:, 0], keys=keys, clusters=patients)
    naive = area(events, copied.scores[:, 0], keys=keys, clusters=alone)
    assert grouped.value == naive.value
    wide = np.square(patients.sums(grouped.influence)).sum()
    assert wide == pytest.approx(3 * np.square(naive.influence).sum(), rel=0.05)


def test_folds_of_one_class_are_left_out_and_counted():
    found = of(replace(judged([1, 0, 1, 1], [0.9, 0.2, 0.4, 0.5]), folds=np.array([0, 0, 1, 1])))[0]
    assert (found.value, found.folds, found.left_out) == (1.0, 1, 1)


def test_no_fold_of_both_classes_gives_a_reason():
    single = replace(judged([1, 0, 1], [0.9, 0.2, 0.4]), folds=np.arange(3))
    found, estimate, _ = of(single)
    assert math.isnan(found.value)
    assert estimate.reason == "no fold holds cases of both classes"
    assert math.isnan(estimate.value)


def test_equal_scores_are_chance_with_a_wide_interval():
    found, estimate, _ = of(judged([1, 0] * 20, np.full(40, 0.3)))
    assert found.constant == 1
    assert estimate.value == 0.5
    assert estimate.low < 0.35
    assert estimate.high > 0.65


def test_a_perfect_ranking_is_not_certain():
    estimate = of(judged([0] * 20 + [1] * 20, np.linspace(0.1, 0.9, 40)))[1]
    assert estimate.value == 1
    assert 0.8 < estimate.low < 0.95
    assert estimate.high == 1


@given(st.floats(0, 1), st.integers(2, 80), st.integers(2, 80))
@settings(max_examples=50)
def test_newcombes_interval_solves_its_equation(value, m, n):
    low, high = newcombe(value, m, n)
    assert 0 <= low <= value <= high <= 1
    for theta in (low, high):
        if 1e-9 < theta < 1 - 1e-9:
            half = (m + n) / 2 - 1
            spread = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
            variance = theta * (1 - theta) * spread / (m * n)
            assert abs(value - theta) == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-4)


def test_placements_are_shares_of_the_other_class():
    truth = np.array([True, True, False, False, False])
    p = np.array([0.5, 0.2, 0.2, 0.1, 0.9])
    assert placements(truth, p).tolist() == pytest.approx([2 / 3, 0.5, 0.75, 1.0, 0.0])
    expected = [2 / 3, 1.5 / 3, 1.5 / 2, 1.0, 0.0]
    np.testing.assert_allclose(placements(truth, p), expected)


@pytest.mark.parametrize(("gap", "n"), [(0.0, 60), (1.2, 60), (2.2, 100)])
def test_the_interval_holds_the_true_area_as_often_as_it_says(gap, n):
    """Binormal scores: the true area is Phi(gap / sqrt 2)."""
    rng = np.random.default_rng(5)
    true = 0.5 * (1 + math.erf(gap / 2))
    truth = np.r_[np.ones(n // 3), np.zeros(n - n // 3)] > 0.5
    patients, keys, held = dense(np.arange(n)), np.zeros(n, dtype=np.int64), 0
    for _ in range(400):
        scores = rng.normal(gap * truth, 1.0)
        found = auc_estimate(area(truth, scores, keys=keys, clusters=patients), truth, patients)
        held += found.low <= true <= found.high
    assert 0.92 <= held / 400 <= 0.99


def test_on_noise_the_interval_of_folds_holds_a_half():
    """A difference of means, fitted in each training to columns that say nothing."""
    rng, n, held, naive = np.random.default_rng(6), 100, 0, 0
    truth = np.arange(n) % 2 == 0
    for _ in range(200):
        x, folds, scores = rng.normal(size=(n, 20)), rng.permutation(n) % 5, np.zeros(n)
        for k in range(5):
            out = folds == k
            scores[out] = x[out] @ (x[~out & truth].mean(0) - x[~out & ~truth].mean(0))
        for widen in (1.0, 2.25):
            patients = Clusters(np.arange(n), n, widen)
            found = area(truth, scores, keys=folds, clusters=patients)
            estimate = auc_estimate(found, truth, patients)
            inside = estimate.low <= 0.5 <= estimate.high
            held, naive = held + (widen > 1 and inside), naive + (widen == 1 and inside)
    assert held >= 0.93 * 200
    assert naive < 0.93 * 200


def test_trainings_that_share_cases_are_no_independent_experiments():
    assert overlap(drawn(n=100), 100) == 1
    assert overlap(drawn(n=100, folds=5), 100) == pytest.approx(2.25)
    assert overlap(drawn(n=100, folds=5, repeats=3), 100) == pytest.approx(2.25)


def test_two_models_are_compared_in_pairs():
    """The variance is that of DeLong's eq. (8), from the matrices of all pairs."""
    one, rng = drawn(7, 90), np.random.default_rng(70)
    truth = one.target.values > 0.5
    noisy = expit(np.log(one.scores / (1 - one.scores)) + rng.normal(0, 0.8, one.scores.shape))
    other = replace(one, scores=noisy)
    found = difference_of_auc(one, other, table=table(90), description=PLAIN)
    v = kernel(*(one.scores[w, 0] for w in (truth, ~truth)))
    v = v - kernel(*(noisy[w, 0] for w in (truth, ~truth)))
    variance = v.mean(1).var(ddof=1) / truth.sum() + v.mean(0).var(ddof=1) / (~truth).sum()
    assert found.difference.value == pytest.approx(v.mean(), abs=1e-12)
    half = (found.difference.high - found.difference.low) / 2
    assert half == pytest.approx(1.959964 * math.sqrt(variance), rel=0.02)
    z = abs(v.mean()) / math.sqrt(variance)
    assert found.p_value == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.05)
    back = difference_of_auc(other, one, table=table(90), description=PLAIN)
    assert back.difference.value == pytest.approx(-found.difference.value)


def test_a_model_does_not_differ_from_itself():
    one = drawn(8, 60, folds=3)
    found = difference_of_auc(one, one, table=table(60), description=PLAIN)
    assert found.p_value == 1
    assert found.difference.value == 0
    assert found.difference.reason == "the variance is zero"


def test_the_order_of_the_rows_does_not_matter():
    one, other = drawn(9, 60, folds=3), drawn(10, 60)
    turned = other.rows(np.arange(60)[::-1])
    first = difference_of_auc(one, other, table=table(60), description=PLAIN)
    second = difference_of_auc(one, turned, table=table(60), description=PLAIN)
    assert first.p_value == pytest.approx(second.p_value, abs=1e-12)


def test_models_on_other_cases_are_not_compared():
    one = drawn(n=60)
    with pytest.raises(ConfigError, match="1 are in one only, such as 'c59'"):
        difference_of_auc(one, one.rows(np.arange(59)), table=table(60), description=PLAIN)
    number = replace(one, target=Target("number", one.target.values))
    with pytest.raises(ConfigError, match=r"must predict two classes .* got 'number'"):
        difference_of_auc(one, number, table=table(60), description=PLAIN)


def test_models_without_a_ranking_differ_by_nothing_known():
    single = replace(judged([1, 0, 1], [0.9, 0.2, 0.4]), folds=np.arange(3))
    found = difference_of_auc(single, single, table=table(3), description=PLAIN)
    assert math.isnan(found.p_value)
    assert found.difference.reason
