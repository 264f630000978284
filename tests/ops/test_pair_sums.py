"""Sums over pairs of samples: NumPy's numbers, derivatives, far values, constants."""

import numpy as np
import pytest
import torch

from vesalius.ops import _pair_sums
from vesalius.ops._pair_sums import correlation, mean_square


def pair(generator, *, channels=2, n=200, dtype=torch.float64):
    a, b = torch.rand(2, channels, n, generator=generator, dtype=dtype)
    w = torch.rand(n, generator=generator, dtype=dtype)
    return a, a + 0.5 * b, torch.where(w < 0.3, 0, w)


def test_the_mean_square_is_the_weighted_average_of_numpy(generator):
    a, b, w = pair(generator)
    expected = np.mean([np.average((y - x) ** 2, weights=w) for x, y in zip(a, b, strict=True)])
    assert mean_square(a, b, w)[0] == pytest.approx(expected, rel=1e-12)


def test_the_correlation_is_that_of_numpy(generator):
    a, b, w = pair(generator)
    for x, y, r in zip(a, b, correlation(a, b, w)[0], strict=True):
        cov = np.cov(x, y, aweights=w, ddof=0)
        assert float(r) == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]), rel=1e-10)


@pytest.mark.parametrize("function", [mean_square, correlation])
def test_the_slope_is_the_difference_quotient(function, generator):
    a, b, w = pair(generator, channels=1, n=12)
    slope = function(a, b, w)[1]
    for k in range(12):
        step = torch.zeros_like(b)
        step[0, k] = 1e-6
        up, down = (float(function(a, b + s, w)[0]) for s in (step, -step))
        assert float(slope[0, k]) == pytest.approx((up - down) / 2e-6, abs=1e-8)


@pytest.mark.parametrize("function", [mean_square, correlation])
def test_samples_without_weight_are_not_read(function, generator):
    a, b, w = pair(generator)
    value, slope = function(a, b, w)
    holes = b.where(w > 0, torch.nan)
    same, same_slope = function(a, holes, w)
    torch.testing.assert_close(torch.as_tensor(same), torch.as_tensor(value))
    torch.testing.assert_close(same_slope, slope)


def test_a_large_offset_costs_no_accuracy(generator):
    a, b, w = pair(generator, dtype=torch.float32)
    plain = correlation(a.double(), b.double(), w.double())[0]
    far = correlation(a.double() + 1e5, b.double() - 1e5, w.double())[0]
    torch.testing.assert_close(far, plain, rtol=1e-8, atol=0)


def test_a_constant_correlates_with_nothing(generator):
    a, b, w = pair(generator)
    for x, y in ((torch.full_like(a, 0.1), b), (a, torch.full_like(b, 1e6))):
        value, slope = correlation(x, y, w)
        assert not value.any()
        assert not slope.any()


@pytest.mark.parametrize("function", [mean_square, correlation])
def test_many_threads_give_what_one_gives(function, generator, monkeypatch):
    monkeypatch.setattr(_pair_sums, "LEAST", 10)
    a, b, w = pair(generator)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = function(a, b, w)
        torch.set_num_threads(3)
        three = function(a, b, w)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(torch.as_tensor(three[0]), torch.as_tensor(one[0]))
    torch.testing.assert_close(three[1], one[1])


@pytest.mark.gpu
@pytest.mark.parametrize("function", [mean_square, correlation])
def test_the_gpu_agrees_with_the_cpu(function, generator):
    a, b, w = pair(generator, dtype=torch.float32)
    value, slope = function(a, b, w)
    there, there_slope = function(a.cuda(), b.cuda(), w.cuda())
    torch.testing.assert_close(torch.as_tensor(there), torch.as_tensor(value), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(there_slope.cpu(), slope, rtol=1e-4, atol=1e-7)
