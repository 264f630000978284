"""The figures of a report card, beside scikit-learn."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_cases import drawn, judged, table
from sklearn import metrics

from vesalius.predict import Description, Target
from vesalius.predict._intervals import clusters_of, dense
from vesalius.predict._judged import judged_once
from vesalius.predict._scores import (
    AT_THRESHOLD,
    binary_scores,
    class_scores,
    number_scores,
    weighted_average_precision,
)


def generator():
    return torch.Generator().manual_seed(0)


def binary(of):
    asked = table(int(of.cases.max()) + 1)
    clusters = clusters_of(of, table=asked, description=Description())
    return binary_scores(of, clusters, generator=generator())


@given(st.integers(0, 300), st.integers(1, 5))
@settings(max_examples=15)
def test_two_classes_score_as_in_scikit_learn(seed, digits):
    given_ = drawn(seed, 60)
    p = given_.scores[:, 0].round(digits)
    truth, found = given_.target.values, binary(replace(given_, scores=p[:, None]))
    called = p >= 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "auc": metrics.roc_auc_score(truth, p),
            "average_precision": metrics.average_precision_score(truth, p),
            "brier": metrics.brier_score_loss(truth, p),
            "log_loss": metrics.log_loss(truth, p),
            "sensitivity": metrics.recall_score(truth, called),
            "specificity": metrics.recall_score(truth, called, pos_label=0),
            "ppv": metrics.precision_score(truth, called),
            "npv": metrics.precision_score(truth, called, pos_label=0),
            "accuracy": metrics.accuracy_score(truth, called),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, called),
            "f1": metrics.f1_score(truth, called),
            "mcc": metrics.matthews_corrcoef(truth, called),
        }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-9), name
    share = truth.mean()
    skill = 1 - expected["brier"] / (share * (1 - share))
    assert found["brier_skill"].value == pytest.approx(skill, abs=1e-12)


def test_every_interval_holds_its_figure():
    for name, score in binary(drawn(1, 100, folds=5)).items():
        if not score.reason:
            assert score.low <= score.value <= score.high, name
    assert binary(drawn(1, 100))["ece"].reason


def test_folds_widen_every_interval():
    one = drawn(1, 100)
    many = replace(one, folds=np.arange(100) % 5)
    narrow, wide = binary(one), binary(many)
    for name in ("brier", "sensitivity", "calibration_slope", "average_precision", "mcc"):
        ratio = (wide[name].high - wide[name].low) / (narrow[name].high - narrow[name].low)
        assert 1.3 < ratio < 1.6, name


def test_nothing_is_missing_without_a_reason():
    for truth in ([0.0] * 12, [1.0] * 12, [0.0] * 6 + [1.0] * 6):
        for p in (np.full(12, 0.4), np.linspace(0, 1, 12)):
            for name, score in binary(judged(truth, p)).items():
                assert math.isfinite(score.value) or score.reason, (truth, name)
                assert math.isfinite(score.low) or score.reason, (truth, name)


def test_one_class_has_no_ranking():
    found = binary(judged([0.0] * 12, np.linspace(0, 1, 12)))
    assert found["brier_skill"].reason == "one class only"
    assert found["sensitivity"].reason == "no case with the event"
    assert found["average_precision"].reason == "no case with the event"
    assert found["specificity"].value == 0.5


def test_decisions_need_a_threshold():
    found = binary(replace(drawn(), thresholds=np.zeros(0)))
    assert {found[name].reason for name in AT_THRESHOLD} == {"no threshold was chosen"}
    assert found["brier"].value > 0


def test_the_threshold_of_each_fold_is_its_own():
    one = drawn(2, 60, folds=2)
    apart = replace(one, thresholds=np.where(one.folds == 0, 2.0, 0.0))
    assert binary(apart)["sensitivity"].value == pytest.approx(
        (one.folds == 1)[one.target.values == 1].mean()
    )


def test_repetitions_are_averaged():
    first, second = drawn(3, 50), drawn(3, 50)
    second = replace(second, scores=1 - second.scores, repeats=np.ones(50, dtype=np.int64))
    both = replace(
        first.rows(np.tile(np.arange(50), 2)),
        scores=np.concatenate([first.scores, second.scores]),
        repeats=np.repeat(np.arange(2), 50),
    )
    assert binary(both)["auc"].value == pytest.approx(0.5)
    alone = [
        binary(one)["average_precision"].value
        for one in (first, replace(second, repeats=first.repeats))
    ]
    assert binary(both)["average_precision"].value == pytest.approx(np.mean(alone))


def test_a_certain_mistake_has_a_finite_loss():
    found = binary(judged([1.0, 0.0, 1.0, 0.0], np.array([0.0, 0.0, 1.0, 1.0])))
    assert 17 < found["log_loss"].value < 19


@given(st.integers(0, 300))
@settings(max_examples=15)
def test_a_drawn_patient_counts_as_often_as_it_was_drawn(seed):
    given_ = drawn(seed, 30)
    truth, p = given_.target.values > 0.5, given_.scores[:, 0].round(1)
    weights = np.random.default_rng(seed).integers(0, 3, (4, 30)).astype(float)
    found = weighted_average_precision(truth, p, np.arange(30), weights)
    for k in range(4):
        if weights[k, truth].sum():
            expected = metrics.average_precision_score(truth, p, sample_weight=weights[k])
            assert found[k] == pytest.approx(expected, abs=1e-9)


def classes(seed=0, n=90):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    p = rng.dirichlet([1, 1, 1], n) + np.eye(3)[truth] * 0.3
    target = Target("classes", truth.astype(float), ("a", "b", "c"))
    return judged_once(target, p / p.sum(1, keepdims=True))


def test_several_classes_score_as_in_scikit_learn():
    given_ = classes()
    truth, p = given_.target.values, given_.scores
    found = class_scores(given_, dense(given_.cases), generator=generator())
    named = p.argmax(1)
    assert found["auc"].value == pytest.approx(metrics.roc_auc_score(truth, p, multi_class="ovr"))
    assert found["accuracy"].value == pytest.approx(metrics.accuracy_score(truth, named))
    expected = metrics.balanced_accuracy_score(truth, named)
    assert found["balanced_accuracy"].value == pytest.approx(expected)
    assert found["log_loss"].value == pytest.approx(metrics.log_loss(truth, p))
    for score in found.values():
        assert score.low < score.value < score.high


def test_a_class_that_does_not_occur_is_named():
    given_ = classes()
    kept = given_.rows(np.flatnonzero(given_.target.values != 2))
    found = class_scores(kept, dense(kept.cases), generator=generator())
    assert found["auc"].reason == "no fold holds the class 'c' and another"
    assert math.isfinite(found["balanced_accuracy"].value)


def test_a_number_scores_as_in_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.normal(1e6, 3, 80)
    said = truth + rng.normal(0.5, 1, 80)
    given_ = judged_once(Target("number", truth), said[:, None])
    found = number_scores(given_, dense(given_.cases), generator=generator())
    assert found["r2"].value == pytest.approx(metrics.r2_score(truth, said), abs=1e-9)
    assert found["mae"].value == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert found["rmse"].value == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert found["bias"].value == pytest.approx((said - truth).mean())
    assert found["bias"].low < 0.5 < found["bias"].high


def test_one_true_value_has_no_share_of_variance():
    given_ = judged_once(Target("number", np.ones(20)), np.linspace(0, 2, 20)[:, None])
    found = number_scores(given_, dense(given_.cases), generator=generator())
    assert found["r2"].reason == "every case has the same true value"


def test_bootstrap_intervals_hold_the_true_brier_score_as_often_as_they_say():
    """Of a calibrated model: the expected Brier score is the mean of p (1 - p)."""
    rng, held = np.random.default_rng(1), 0
    true = float(np.mean((q := 1 / (1 + np.exp(-rng.normal(0, 1.3, 200_000)))) * (1 - q)))
    for seed in range(90):
        score = binary(drawn(seed, 60))["brier"]
        held += score.low <= true <= score.high
    assert held >= 0.87 * 90


@pytest.mark.parametrize("name", ["brier", "log_loss"])
def test_the_interval_of_a_loss_is_that_of_a_mean_over_cases(name):
    """The share of events varies from table to table, and the loss of an event is larger."""
    rng = np.random.default_rng(3)
    p = 1 / (1 + np.exp(-rng.normal(-1.5, 0.7, 400)))
    truth = rng.random(400) < p
    own = np.where(truth, p, 1 - p)
    loss = np.square(1 - own) if name == "brier" else -np.log(own)
    error = loss.std(ddof=1) / math.sqrt(400)
    found = binary(judged(truth, p))[name]
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)
