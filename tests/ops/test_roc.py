"""ROC and precision-recall curves, beside scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.ops._calibration import auroc
from vesalius.ops._roc import average_precision, precision_recall, roc


def drawn(seed, digits, n=80):
    g = torch.Generator().manual_seed(seed)
    score = torch.rand(n, generator=g, dtype=torch.float64)
    positive = torch.rand(n, generator=g, dtype=torch.float64) < score
    positive[:2] = torch.tensor([True, False])
    return score.round(decimals=digits), positive


@pytest.mark.parametrize("digits", [1, 6])
@given(seed=st.integers(0, 500))
def test_the_roc_curve_is_that_of_scikit_learn(seed, digits):
    score, positive = drawn(seed, digits)
    false, true, levels = roc_curve(positive.numpy(), score.numpy(), drop_intermediate=False)
    found = roc(score, positive)
    np.testing.assert_allclose(found.false_positive, false, atol=1e-12)
    np.testing.assert_allclose(found.true_positive, true, atol=1e-12)
    np.testing.assert_allclose(found.thresholds, levels)


@given(st.integers(0, 500))
def test_the_area_below_it_is_the_chance_to_rank_right(seed):
    score, positive = drawn(seed, 1)
    found = roc(score, positive)
    below = float(torch.trapezoid(found.true_positive, found.false_positive))
    assert below == pytest.approx(auroc(score, positive), abs=1e-12)


@pytest.mark.parametrize("digits", [1, 6])
@given(seed=st.integers(0, 500))
def test_average_precision_is_that_of_scikit_learn(seed, digits):
    score, positive = drawn(seed, digits)
    expected = average_precision_score(positive.numpy(), score.numpy())
    assert average_precision(score, positive) == pytest.approx(expected, abs=1e-12)


def test_precision_and_recall_are_those_of_scikit_learn():
    score, positive = drawn(3, 1)
    precision, recall, levels = precision_recall_curve(positive.numpy(), score.numpy())
    found = precision_recall(score, positive)
    np.testing.assert_allclose(found.precision.flip(0), precision[:-1], atol=1e-12)
    np.testing.assert_allclose(found.recall.flip(0), recall[:-1], atol=1e-12)
    np.testing.assert_allclose(found.thresholds.flip(0), levels)


def test_equal_scores_give_the_share_of_positives():
    positive = torch.tensor([True, False, False, False])
    assert average_precision(torch.zeros(4, dtype=torch.float64), positive) == 0.25


def test_refuses_what_cannot_be_ranked():
    yes = torch.tensor([True, False])
    with pytest.raises(ShapeError, match=r"one length, got \(3,\) and \(2,\)"):
        roc(torch.zeros(3), yes)
    with pytest.raises(IntensityError, match="1 are not"):
        roc(torch.tensor([float("nan"), 0.0]), yes)
    with pytest.raises(RegionError, match="got 2 and 0"):
        roc(torch.zeros(2), torch.tensor([True, True]))
    with pytest.raises(RegionError, match="needs positives"):
        precision_recall(torch.zeros(2), torch.tensor([False, False]))
    with pytest.raises(RegionError, match="at least one sample"):
        roc(torch.zeros(0), torch.zeros(0, dtype=torch.bool))
