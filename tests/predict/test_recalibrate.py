"""Calibration: intercept, slope and curve, beside scikit-learn and a slow search."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_cases import drawn, expit
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from vesalius.errors import ConvergenceError
from vesalius.predict._intervals import dense
from vesalius.predict._recalibrate import (
    calibration,
    calibration_curve,
    logistic,
    logits,
    spline_columns,
)


def parts(judged):
    return judged.target.values > 0.5, judged.scores[:, 0], dense(judged.cases)


@given(st.integers(0, 200))
@settings(max_examples=15)
def test_the_slope_is_that_of_a_regression_without_penalty(seed):
    events, p, patients = parts(drawn(seed, 150, slope=0.7, shift=0.4))
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits(p)[:, None], events)
    slope = calibration(events, p, clusters=patients)[1]
    assert slope.value == pytest.approx(fit.coef_[0, 0], abs=1e-4)


def test_the_intercept_is_where_the_likelihood_is_largest():
    events, p, patients = parts(drawn(3, 150, shift=0.8))

    def loss(a):
        q = expit(logits(p) + a[0])
        return -np.log(np.where(events, q, 1 - q)).sum()

    expected = minimize(loss, [0.0], tol=1e-12).x[0]
    found = calibration(events, p, clusters=patients)[0]
    assert found.value == pytest.approx(expected, abs=1e-5)
    assert expit(logits(p) + found.value).sum() == pytest.approx(events.sum(), abs=1e-6)


def test_what_is_calibrated_holds_zero_and_one_as_often_as_it_says():
    right = np.zeros(2)
    for seed in range(200):
        events, p, patients = parts(drawn(seed, 100))
        found = calibration(events, p, clusters=patients)
        right += [a.low <= v <= a.high for a, v in zip(found, (0.0, 1.0), strict=True)]
    assert (right >= 0.91 * 200).all()


def test_too_extreme_and_shifted_probabilities_are_seen():
    events, p, patients = parts(drawn(1, 4000, slope=0.5, shift=-1.0))
    intercept, slope = calibration(events, p, clusters=patients)
    assert slope.low < 0.5 < slope.high < 1
    assert intercept.high < 0


def test_copies_of_a_patient_add_no_certainty():
    events, p, _ = parts(drawn(2, 80))
    once = calibration(events, p, clusters=dense(np.arange(80)))[1]
    many = calibration(
        np.tile(events, 4), np.tile(p, 4), clusters=dense(np.tile(np.arange(80), 4))
    )[1]
    assert many.value == pytest.approx(once.value, abs=1e-8)
    assert many.low == pytest.approx(once.low, abs=1e-6)


def test_what_has_no_finite_slope_has_a_reason():
    patients, p = dense(np.arange(6)), np.linspace(0.1, 0.9, 6)
    apart = calibration(p > 0.5, p, clusters=patients)
    assert math.isfinite(apart[0].value)
    assert "part the classes" in apart[1].reason
    equal = calibration(p > 0.5, np.full(6, 0.4), clusters=patients)
    assert equal[1].reason == "all scores are equal"
    assert equal[0].value == pytest.approx(math.log(1.5), abs=1e-6)
    assert {a.reason for a in calibration(p > 2, p, clusters=patients)} == {"one class only"}


def test_certain_probabilities_have_finite_logits():
    assert np.isfinite(logits(np.array([0.0, 1.0]))).all()


def test_a_likelihood_without_a_largest_value_is_refused():
    x = np.column_stack([np.ones(6), np.arange(6.0)])
    with pytest.raises(ConvergenceError, match="6 rows with 3 events"):
        logistic(x, x[:, 1] > 2, offset=np.zeros(6), clusters=dense(np.arange(6)))


def test_columns_that_say_the_same_are_refused():
    x = np.ones((6, 2))
    with pytest.raises(ConvergenceError, match="must have a largest likelihood"):
        logistic(x, np.arange(6) > 2, offset=np.zeros(6), clusters=dense(np.arange(6)))


def test_the_spline_is_straight_outside_of_its_knots_and_smooth_within():
    knots = np.array([-1.0, 0.0, 0.5, 2.0])
    x = np.linspace(-4, 5, 2001)
    columns = spline_columns(x, knots)
    assert columns.shape == (2001, 4)
    second = np.diff(columns[:, 2:], n=2, axis=0) / np.diff(x)[0] ** 2
    outside = (x[1:-1] < -1.01) | (x[1:-1] > 2.01)
    np.testing.assert_allclose(second[outside], 0, atol=1e-6)
    assert np.abs(second[~outside]).max() > 0.1
    assert np.abs(np.diff(second, axis=0)).max() < 0.05


def test_the_smoothed_curve_finds_the_true_one():
    events, p, patients = parts(drawn(5, 5000, slope=0.6, shift=0.3))
    found = calibration_curve(events, p, clusters=patients)
    true = expit(0.6 * logits(found.x) + 0.3)
    inside = (found.x > 0.05) & (found.x < 0.95)
    assert np.abs(found.y - true)[inside].max() < 0.05
    assert ((found.low <= true) & (true <= found.high))[inside].mean() > 0.8
    assert (found.low <= found.y).all()
    assert (found.y <= found.high).all()


def test_few_different_scores_give_a_straight_line():
    events, p = (
        np.tile([True, False, True, False, True], 12),
        np.tile([0.7, 0.7, 0.7, 0.3, 0.3], 12),
    )
    found = calibration_curve(events, p, clusters=dense(np.arange(60)))
    assert found.x.size == 101


def test_a_curve_that_cannot_be_drawn_is_empty():
    p = np.linspace(0.1, 0.9, 10)
    assert not calibration_curve(p > 0.5, p, clusters=dense(np.arange(10))).x.size
