"""Reliability: published values, a slow analysis of variance, grades."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import IntensityError, ShapeError
from vesalius.measure._reliability import agreement, grade, icc

SHROUT_FLEISS = torch.tensor(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    dtype=torch.float64,
)
"""Table 2 of Shrout & Fleiss (1979), doi:10.1037/0033-2909.86.2.420: 6 targets, 4 judges."""


def test_agrees_with_the_published_example():
    found = icc(SHROUT_FLEISS)
    assert found.value == pytest.approx(0.17, abs=0.005)  # Shrout & Fleiss, table 4
    assert (found.low, found.high) == pytest.approx((-0.133, 0.723), abs=5e-4)
    assert found.grade == "poor"
    assert (found.subjects, found.repeats) == (6, 4)


def test_agrees_with_a_slow_analysis_of_variance(generator):
    x = torch.randn(9, 1, generator=generator) + 0.4 * torch.randn(9, 5, generator=generator)
    grand = sum(float(v) for v in x.flatten()) / 45
    means = [sum(float(v) for v in row) / 5 for row in x]
    between = 5 * sum((m - grand) ** 2 for m in means) / 8
    within = sum((float(v) - m) ** 2 for row, m in zip(x, means, strict=True) for v in row) / 36
    expected = (between - within) / (between + 4 * within)
    assert icc(x).value == pytest.approx(expected, rel=1e-5)


def test_the_interval_covers_the_truth_as_often_as_it_says(generator):
    truth, hits = 0.8, 0
    for _ in range(300):
        subject = math.sqrt(truth) * torch.randn(20, 1, generator=generator)
        x = subject + math.sqrt(1 - truth) * torch.randn(20, 4, generator=generator)
        found = icc(x)
        hits += found.low <= truth <= found.high
    assert 0.91 <= hits / 300 <= 0.985


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(0.01, 100))
def test_does_not_depend_on_unit_or_offset(offset, factor):
    moved = icc(SHROUT_FLEISS * factor + offset)
    assert moved.value == pytest.approx(icc(SHROUT_FLEISS).value, rel=1e-6)
    assert moved.low == pytest.approx(icc(SHROUT_FLEISS).low, rel=1e-6)


def test_a_large_offset_does_not_cancel():
    assert icc(SHROUT_FLEISS + 1e9).value == pytest.approx(0.16574, abs=1e-4)


def test_perfect_repeats_are_excellent():
    x = torch.arange(5.0)[:, None].expand(5, 3)
    found = icc(x)
    assert (found.value, found.low, found.high, found.grade) == (1.0, 1.0, 1.0, "excellent")


def test_equal_values_have_a_reason_and_no_number():
    found = icc(torch.ones(4, 3))
    assert math.isnan(found.value)
    assert found.reason == "all values are equal"
    assert found.grade == ""


def test_wider_confidence_gives_a_wider_interval():
    wide, narrow = icc(SHROUT_FLEISS, confidence=0.99), icc(SHROUT_FLEISS, confidence=0.5)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


@pytest.mark.parametrize(
    ("low", "word"),
    [
        (-0.2, "poor"),
        (0.49, "poor"),
        (0.5, "moderate"),
        (0.74, "moderate"),
        (0.75, "good"),
        (0.89, "good"),
        (0.9, "excellent"),
        (1.0, "excellent"),
        (math.nan, ""),
    ],
)
def test_grades_are_those_of_koo_and_li(low, word):
    assert grade(low) == word


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (1, 1)])
def test_refuses_a_cohort_of_one_or_a_single_measurement(shape):
    with pytest.raises(ShapeError, match="at least two subjects and two repeats"):
        icc(torch.ones(shape))


def test_refuses_nan():
    x = SHROUT_FLEISS.clone()
    x[0, 0] = math.nan
    with pytest.raises(IntensityError, match="must be finite"):
        icc(x)


def test_agreement_gives_bias_and_limits():
    test = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    found = agreement(test, test + torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
    assert found.bias == pytest.approx(0.5)
    assert found.sd == pytest.approx(1.0)
    assert (found.low, found.high) == pytest.approx((0.5 - 1.96, 0.5 + 1.96))
    # within-subject variance is half the mean square difference
    assert found.repeatability_coefficient == pytest.approx(1.96 * math.sqrt(2) * math.sqrt(0.5))


def test_agreement_refuses_unpaired_measurements():
    with pytest.raises((ShapeError, TypeError)):
        agreement(torch.ones(3), torch.ones(4))
