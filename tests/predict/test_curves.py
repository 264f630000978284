"""Curves of a report card, beside slow loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from judged_cases import drawn, judged
from sklearn.metrics import roc_curve as sklearn_roc

from vesalius.predict import Target
from vesalius.predict._auc import area, fold_keys
from vesalius.predict._curves import (
    agreement,
    binary_curves,
    calibration_bins,
    decision_curves,
    roc_curve,
)
from vesalius.predict._intervals import dense
from vesalius.predict._judged import judged_once


def generator():
    return torch.Generator().manual_seed(0)


def test_one_fold_has_the_roc_curve_of_scikit_learn():
    given = drawn(0, 80)
    false, true, _ = sklearn_roc(given.target.values, given.scores[:, 0])
    found = roc_curve(given, dense(given.cases), generator=generator())
    expected = [true[false <= x + 1e-12].max() for x in found.x]
    steps = np.isclose(found.y, expected) | (found.y <= np.array(expected) + 1 / 30)
    assert steps.all()
    np.testing.assert_allclose(found.y[[0, -1]], [expected[0], 1.0])


@pytest.mark.parametrize("folds", [1, 4])
def test_the_area_below_the_curve_is_the_auc(folds):
    given = drawn(1, 200, folds=folds)
    events, patients = given.target.values > 0.5, dense(given.cases)
    found = roc_curve(given, patients, generator=generator())
    expected = area(events, given.scores[:, 0], keys=fold_keys(given), clusters=patients).value
    assert np.trapezoid(found.y, found.x) == pytest.approx(expected, abs=0.006)


def test_the_band_holds_the_curve():
    given = drawn(2, 80, folds=2)
    found = roc_curve(given, dense(given.cases), generator=generator())
    inside = (found.low <= found.y + 1e-9) & (found.y <= found.high + 1e-9)
    assert inside.mean() > 0.95
    assert (found.high - found.low).max() > 0.1


def test_no_fold_of_both_classes_has_an_empty_curve():
    single = replace(judged([1, 0, 1], [0.9, 0.2, 0.4]), folds=np.arange(3))
    assert not roc_curve(single, dense(single.cases), generator=generator()).x.size


def test_net_benefit_is_what_a_loop_counts():
    given = drawn(3, 70)
    truth, p = given.target.values, given.scores[:, 0]
    found = decision_curves(truth > 0.5, p, dense(np.arange(70)))
    for k, t in enumerate(found["net_benefit"].x):
        hits = sum(1 for y, q in zip(truth, p, strict=True) if q >= t and y)
        alarms = sum(1 for y, q in zip(truth, p, strict=True) if q >= t and not y)
        expected = hits / 70 - alarms / 70 * t / (1 - t)
        assert found["net_benefit"].y[k] == pytest.approx(expected, abs=1e-12)
        share = truth.mean()
        everybody = share - (1 - share) * t / (1 - t)
        assert found["net_benefit_all"].y[k] == pytest.approx(everybody, abs=1e-12)


def test_net_benefit_of_a_worked_example():
    """At a threshold of one half a false alarm costs what a hit gains."""
    p = np.array([0.9, 0.8, 0.7, 0.2])
    found = decision_curves(np.array([1, 1, 0, 0]) > 0, p, dense(np.arange(4)))["net_benefit"]
    assert found.y[found.x == 0.5] == pytest.approx(0.25)


def test_the_band_of_net_benefit_is_its_standard_error():
    """Means over many tables vary as the band of one says."""
    means, widths = [], []
    for seed in range(150):
        given = drawn(seed, 100)
        found = decision_curves(
            given.target.values > 0.5, given.scores[:, 0], dense(np.arange(100))
        )["net_benefit"]
        means.append(found.y[29])
        widths.append((found.high - found.low)[29] / 3.92)
    assert np.mean(widths) == pytest.approx(np.std(means), rel=0.2)


def test_bins_hold_equal_counts_and_their_means():
    rng = np.random.default_rng(4)
    p = rng.random(300)
    events = rng.random(300) < p
    found = calibration_bins(events, p, dense(np.arange(300)))
    assert len(found.x) == 10
    order = np.argsort(p)
    np.testing.assert_allclose(found.x, p[order].reshape(10, 30).mean(1), atol=1e-12)
    np.testing.assert_allclose(found.y, events[order].reshape(10, 30).mean(1), atol=1e-12)
    assert (found.low <= found.y).all()
    assert (found.y <= found.high).all()


def test_equal_scores_are_one_bin():
    found = calibration_bins(np.arange(40) % 2 > 0, np.full(40, 0.3), dense(np.arange(40)))
    assert found.x.tolist() == pytest.approx([0.3])
    assert found.y.tolist() == [0.5]


def test_one_class_has_bins_alone():
    given = judged([0.0] * 30, np.linspace(0, 1, 30))
    found = binary_curves(given, dense(given.cases), generator=generator())
    assert set(found) == {"calibration_bins"}


def test_two_classes_have_every_curve():
    given = drawn(5, 100, folds=5)
    found = binary_curves(given, dense(given.cases), generator=generator())
    assert set(found) == {
        *("roc", "precision_recall", "calibration", "calibration_bins"),
        *("net_benefit", "net_benefit_all"),
    }
    for curve in found.values():
        assert len(curve.x) == len(curve.y)
        assert np.isfinite(curve.y).all()


def test_agreement_compares_means_of_bins():
    rng = np.random.default_rng(6)
    truth = rng.normal(size=150)
    given = judged_once(Target("number", truth), (truth + rng.normal(0, 0.3, 150))[:, None])
    found = agreement(given, dense(given.cases))
    assert len(found.x) == 10
    order = np.argsort(given.scores[:, 0])
    np.testing.assert_allclose(found.y, truth[order].reshape(10, 15).mean(1), atol=1e-12)
    assert ((found.low <= found.x) & (found.x <= found.high)).sum() >= 7


def test_a_bin_of_one_case_has_no_interval():
    given = judged_once(Target("number", np.array([1.0, 2.0])), np.array([[1.0], [3.0]]))
    found = agreement(given, dense(given.cases))
    assert np.isnan(found.low).all()


def test_the_same_generator_gives_the_same_band():
    given = drawn(7, 60)
    bands = [roc_curve(given, dense(given.cases), generator=generator()).low for _ in "ab"]
    assert (bands[0] == bands[1]).all()
