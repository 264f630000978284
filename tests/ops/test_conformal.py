"""Conformal intervals: cover as stated, whatever the distribution and the bias."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.ops._conformal import cross_conformal, least_cases, ratio_interval


def cases(n: int, seed: int, *, bias: float = 1.0) -> tuple[Tensor, Tensor]:
    """Volumes over two decades with skewed errors; predictions are too small by ``bias``."""
    rng = np.random.default_rng(seed)
    true = np.exp(rng.normal(7, 1, n))
    predicted = true / bias * np.exp(0.2 * (rng.exponential(size=n) - 1))
    return torch.from_numpy(predicted), torch.from_numpy(true)


@pytest.mark.parametrize("bias", [1.0, 1.5])
@pytest.mark.parametrize("n", [19, 60])
def test_covers_new_cases_as_stated(n, bias):
    hits, trials = 0, 1500
    for seed in range(trials):
        predicted, true = cases(n + 1, seed, bias=bias)
        found = ratio_interval(predicted[:n], true[:n])
        hits += bool(found.low * predicted[n] <= true[n] <= found.high * predicted[n])
    slack = 3 * math.sqrt(0.09 / trials)
    assert 0.9 - slack <= hits / trials <= 0.9 + 2 / (n + 1) + slack


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_cross_conformal_covers_as_stated(coverage):
    found = []
    for seed in range(60):
        predicted, true = cases(150, seed)
        folds = torch.arange(150) % 5
        found.append(cross_conformal(predicted, true, folds, coverage=coverage).coverage)
    assert coverage - 0.01 <= np.mean(found) <= coverage + 0.03


def test_cross_conformal_uses_the_other_folds_alone():
    predicted, true = cases(100, 0)
    folds = torch.arange(100) % 5
    found = cross_conformal(predicted, true, folds)
    for fold in range(5):
        here = folds == fold
        ratios = ratio_interval(predicted[~here], true[~here])
        torch.testing.assert_close(found.low[here], ratios.low * predicted[here])
        torch.testing.assert_close(found.high[here], ratios.high * predicted[here])
    assert torch.equal(found.inside, (found.low <= true) & (true <= found.high))


@given(n=st.integers(19, 80), seed=st.integers(0, 99))
def test_ranks_are_those_of_the_definition(n, seed):
    predicted, true = cases(n, seed)
    found = ratio_interval(predicted, true)
    ratios = sorted((true / predicted).tolist())
    below = sum(r < found.low for r in ratios)
    above = sum(r > found.high for r in ratios)
    assert below == math.floor((n + 1) / 20 + 1e-9) - 1
    assert above == n - math.ceil((n + 1) * 0.95 - 1e-9)


@given(factor=st.floats(0.1, 10))
def test_the_unit_of_the_volume_does_not_matter(factor):
    predicted, true = cases(40, 1)
    one = ratio_interval(predicted, true)
    two = ratio_interval(factor * predicted, factor * true)
    assert one.low == pytest.approx(two.low)
    assert one.high == pytest.approx(two.high)


def test_a_constant_bias_is_undone():
    predicted = torch.linspace(10, 100, 40)
    found = ratio_interval(predicted, 1.25 * predicted)
    assert found.low == pytest.approx(1.25)
    assert found.high == pytest.approx(1.25)
    assert found.cases == 40


def test_cases_in_which_nothing_was_found_are_left_out():
    predicted, true = cases(40, 2)
    more = ratio_interval(
        torch.cat([predicted, torch.zeros(3)]), torch.cat([true, torch.tensor([0.0, 5.0, 9.0])])
    )
    assert more == ratio_interval(predicted, true)


@pytest.mark.parametrize(("coverage", "least"), [(0.9, 19), (0.8, 9), (0.95, 39), (0.5, 3)])
def test_the_fewest_cases_give_the_outermost_ratios(coverage, least):
    assert least_cases(coverage) == least
    predicted, true = cases(least, 3)
    found = ratio_interval(predicted, true, coverage=coverage)
    ratios = true / predicted
    assert (found.low, found.high) == (float(ratios.min()), float(ratios.max()))
    with pytest.raises(RegionError, match=f"needs at least {least} cases that were not learned"):
        ratio_interval(predicted[1:], true[1:], coverage=coverage)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90.0])
def test_refuses_a_coverage_out_of_range(coverage):
    with pytest.raises(ConfigError, match="coverage must lie between 0 and 1"):
        ratio_interval(torch.ones(30), torch.ones(30), coverage=coverage)


def test_refuses_different_numbers_of_cases():
    with pytest.raises(ShapeError, match="each case must have one predicted and one true"):
        ratio_interval(torch.ones(30), torch.ones(29))


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_refuses_quantities_that_are_none(wrong):
    values = torch.ones(30)
    values[3] = wrong
    with pytest.raises(IntensityError, match="quantities must be finite and not negative"):
        ratio_interval(values, torch.ones(30))
