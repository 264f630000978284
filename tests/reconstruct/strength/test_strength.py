"""Rules that choose a strength, on problems small enough to know the best one."""

import math

import pytest
import torch

from vesalius.core import Diagonal, Identity
from vesalius.errors import ConfigError, ConvergenceError
from vesalius.reconstruct.solve import Huber, fista
from vesalius.reconstruct.strength import bilevel_gradient, discrepancy, gcv, l_curve, sure

N = 400
OP = Identity((N,))
WEIGHTS = tuple(8.0 / 2**k for k in range(9))


def ridge(y, weight, start):
    """Minimum of 1/2 |x - y|^2 + weight / 2 |x|^2: its freedom is n / (1 + weight)."""
    return y / (1.0 + weight)


def data(sigma=1.0):
    generator = torch.Generator().manual_seed(9)
    truth = 1.5 * torch.randn(N, generator=generator, dtype=torch.float64)
    return truth, truth + sigma * torch.randn(N, generator=generator, dtype=torch.float64)


def test_sure_estimates_the_error_that_it_cannot_see():
    truth, y = data()
    found = sure(ridge, OP, y, weights=WEIGHTS)
    for weight, score in zip(found.weights, found.scores, strict=True):
        error = float((ridge(y, weight, None) - truth).square().mean())
        assert score == pytest.approx(error, abs=0.25)
    errors = [float((ridge(y, w, None) - truth).square().mean()) for w in WEIGHTS]
    best = WEIGHTS[errors.index(min(errors))]
    assert 0.5 <= found.weight / best <= 2.0
    torch.testing.assert_close(found.x, ridge(y, found.weight, None))
    assert len(found.weights) < len(WEIGHTS)


def test_the_discrepancy_rule_meets_the_level_of_the_noise():
    _, y = data()
    found = discrepancy(ridge, OP, y, start=100.0, sigma=1.0, tol=1e-3, steps=30)
    assert float((found.x - y).square().mean()) == pytest.approx(1.0, rel=1e-3)
    assert found.weights[0] == 100.0
    assert found.scores[-1] == pytest.approx(1.0, rel=1e-3)


def test_cross_validation_finds_the_strength_without_the_noise_level():
    generator = torch.Generator().manual_seed(5)
    scale = torch.linspace(0.05, 3.0, N, dtype=torch.float64)
    truth = torch.randn(N, generator=generator, dtype=torch.float64)
    y = scale * truth + 0.7 * torch.randn(N, generator=generator, dtype=torch.float64)

    def solve(data, weight, start):
        return scale * data / (scale**2 + weight)

    tried = tuple(8.0 / 2**k for k in range(10))
    found = gcv(solve, Diagonal(scale), y, weights=tried)
    errors = [float((solve(y, w, None) - truth).mul(scale).square().sum()) for w in tried]
    assert 0.25 <= found.weight / tried[errors.index(min(errors))] <= 4.0


def test_the_corner_of_an_l_is_found_in_either_order():
    generator = torch.Generator().manual_seed(5)
    scale = torch.logspace(0, -6, N, dtype=torch.float64)
    truth = torch.ones(N, dtype=torch.float64)
    y = scale * truth + 1e-3 * torch.randn(N, generator=generator, dtype=torch.float64)

    def solve(data, weight, start):
        return scale * data / (scale**2 + weight)

    def error(weight):
        return float((solve(y, weight, None) - truth).norm())

    weights = tuple(10.0**k for k in range(-11, 3))
    for order in (weights, weights[::-1]):
        found = l_curve(
            solve, Diagonal(scale), y, weights=order, roughness=lambda x: float(x.norm())
        )
        assert 1e-7 <= found.weight <= 1e-3
        assert error(found.weight) < 0.1 * error(weights[0])
        assert max(found.scores) == found.scores[order.index(found.weight)]


def test_the_derivative_of_a_loss_agrees_with_finite_differences():
    generator = torch.Generator().manual_seed(2)
    truth = torch.zeros(6, 6, dtype=torch.float64)
    truth[2:, 3:] = 1.0
    y = truth + 0.2 * torch.randn(6, 6, generator=generator, dtype=torch.float64)
    op, prior = Identity((6, 6)), Huber(0.5, steps=4000, tol=0.0)

    def solve(weight):
        return fista(op, y, prior, weight=weight, steps=3).x

    def loss(weight):
        return 0.5 * float((solve(weight) - truth).square().sum())

    x = solve(0.2)
    found = bilevel_gradient(op, prior.penalty, x, weight=0.2, slope=x - truth)
    expected = (loss(0.2 + 1e-4) - loss(0.2 - 1e-4)) / 2e-4
    assert found == pytest.approx(expected, rel=2e-2)


def test_refuses_strengths_and_noise_that_cannot_be():
    _, y = data()
    with pytest.raises(ConfigError, match="strengths and sigma must be positive"):
        sure(ridge, OP, y, weights=())
    with pytest.raises(ConfigError, match="strengths and sigma must be positive"):
        discrepancy(ridge, OP, y, start=1.0, sigma=0.0)
    with pytest.raises(ConfigError, match="an L-curve must have at least three strengths"):
        l_curve(ridge, OP, y, weights=(1.0, 2.0), roughness=lambda x: 1.0)
    with pytest.raises(ConvergenceError, match="brings the residual to the"):
        discrepancy(ridge, OP, y, start=1.0, sigma=1e3)
    with pytest.raises(ConfigError, match="weight must be at least 0 for its derivative"):
        bilevel_gradient(OP, lambda x: x.sum(), y, weight=-math.inf, slope=y)
