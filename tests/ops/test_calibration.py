"""Calibration and ranking, beside slow loops and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from vesalius.errors import IntensityError, RegionError, ShapeError, UnitError
from vesalius.ops._calibration import auroc, brier_binary, brier_score, reliability


def drawn(seed, size=500):
    g = torch.Generator().manual_seed(seed)
    p = torch.rand(size, generator=g, dtype=torch.float64)
    return p, torch.rand(size, generator=g, dtype=torch.float64) < p


def slow_ece(p, right, bins):
    total = 0.0
    for k in range(bins):
        low, high = k / bins, (k + 1) / bins
        inside = [i for i, v in enumerate(p) if (low < v <= high) or (k == 0 and v == 0)]
        if inside:
            gap = np.mean([right[i] for i in inside]) - np.mean([p[i] for i in inside])
            total += abs(gap) * len(inside)
    return total / len(p)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_error_equals_a_slow_loop(bins):
    p, right = drawn(1)
    found = reliability(p, right, bins=bins)
    assert found.ece == pytest.approx(slow_ece(p.tolist(), right.tolist(), bins), abs=1e-12)
    assert int(found.samples.sum()) == len(p)
    assert found.largest >= found.ece


def test_what_means_what_it_says_has_a_small_error():
    p, right = drawn(2, 200_000)
    assert reliability(p, right).ece < 0.01
    assert reliability(p, ~right).ece > 0.3


def test_an_overconfident_answer_is_off_by_its_overconfidence():
    right = torch.tensor([True, False, True, False])
    found = reliability(torch.full((4,), 0.9), right, bins=10)
    assert found.ece == pytest.approx(0.4)
    assert found.stated[8].item() == pytest.approx(0.9)
    assert found.observed[8].item() == 0.5
    assert found.stated.isnan().sum() == 9


@given(st.integers(0, 1000))
def test_the_two_brier_scores_agree_for_two_classes(seed):
    p, truth = drawn(seed, 20)
    both = brier_score(torch.stack([1 - p, p]), truth.long())
    assert both == pytest.approx(2 * brier_binary(p, truth), abs=1e-12)


def test_brier_equals_scikit_learn_and_its_definition():
    p, truth = drawn(3)
    assert brier_binary(p, truth) == pytest.approx(brier_score_loss(truth.numpy(), p.numpy()))
    g = torch.Generator().manual_seed(4)
    several = torch.rand(3, 4, 5, generator=g).softmax(dim=0)
    label = torch.randint(0, 3, (4, 5), generator=g)
    hot = torch.nn.functional.one_hot(label, 3).movedim(-1, 0)
    expected = float((several - hot).square().sum(dim=0).mean())
    assert brier_score(several, label) == pytest.approx(expected, rel=1e-6)


def test_sure_and_wrong_is_the_worst():
    assert brier_score(torch.tensor([[1.0], [0.0]]), torch.tensor([1])) == 2
    assert brier_binary(torch.tensor([1.0]), torch.tensor([False])) == 1


@pytest.mark.parametrize("digits", [1, 6])
def test_ranking_equals_scikit_learn_with_and_without_ties(digits):
    g = torch.Generator().manual_seed(5)
    score = (torch.randn(400, generator=g).double() * 10**digits).round() / 10**digits
    positive = torch.rand(400, generator=g) < torch.sigmoid(score)
    expected = roc_auc_score(positive.numpy(), score.numpy())
    assert auroc(score.reshape(20, 20), positive.reshape(20, 20)) == pytest.approx(expected)


def test_turned_scores_turn_the_ranking():
    score, positive = drawn(6)
    assert auroc(-score, positive) == pytest.approx(1 - auroc(score, positive))
    assert auroc(torch.ones(4), torch.tensor([True, False, True, False])) == 0.5


def test_one_kind_alone_cannot_be_ranked():
    assert math.isnan(auroc(torch.rand(3), torch.ones(3, dtype=torch.bool)))


def test_refuses_what_does_not_fit():
    p, right = drawn(7, 5)
    with pytest.raises(ShapeError, match="stated and observed must have one shape"):
        reliability(p, right[:3])
    with pytest.raises(RegionError, match="at least one sample to be judged"):
        reliability(p[:0], right[:0])
    with pytest.raises(UnitError, match="bins must be at least 1"):
        reliability(p, right, bins=0)


@pytest.mark.parametrize("value", [-0.2, 1.2, math.nan])
def test_refuses_what_is_no_probability(value):
    p, right = torch.tensor([0.5, value]), torch.tensor([True, False])
    with pytest.raises(IntensityError, match="probabilities must lie between 0 and 1"):
        reliability(p, right)
    with pytest.raises(IntensityError, match="apply softmax or sigmoid"):
        brier_binary(p, right)
    with pytest.raises(IntensityError, match="probabilities must lie between 0 and 1"):
        brier_score(torch.stack([torch.ones(2), p]), torch.zeros(2, dtype=torch.int64))


def test_refuses_a_class_without_a_channel_and_a_score_that_is_no_number():
    with pytest.raises(IntensityError, match="must have a channel, 0 to 1"):
        brier_score(torch.full((2, 3), 0.5), torch.tensor([0, 1, 2]))
    with pytest.raises(IntensityError, match="scores must be finite to be ranked"):
        auroc(torch.tensor([0.0, math.inf]), torch.tensor([True, False]))
