"""Erratum 25: a convex problem may have many optima; optimal points need not have multipliers."""

import numpy as np
import pytest

from vesalius.predict import Target
from vesalius.predict.estimators import ElasticNet, Lasso


def twins(seed=0):
    """One feature given twice, another beside them, and a number that follows the first."""
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, 80))
    values = np.c_[one, one, other]
    return values, Target("number", 2 * one + 0.1 * rng.normal(size=80))


def objective(values, target, weights, strength):
    """The LASSO's: half the mean squared error and the sum of the sizes."""
    centred = values - values.mean(axis=0)
    left = target.values - target.values.mean() - centred @ weights
    return 0.5 * np.square(left).mean() + strength * np.abs(weights).sum()


def test_a_lasso_of_twins_has_as_many_optima_as_there_are_ways_to_share():
    values, target = twins()
    model = Lasso(weight=0.1).fit(values, target)
    found = np.linalg.lstsq(
        values - values.mean(axis=0),
        model.predict(values)[:, 0] - model.predict(values).mean(),
        rcond=None,
    )[0]
    total, rest = found[0] + found[1], found[2]
    shares = [np.array([a * total, (1 - a) * total, rest]) for a in (0.0, 0.3, 1.0)]
    costs = [objective(values, target, weights, 0.1) for weights in shares]
    np.testing.assert_allclose(costs, costs[0], rtol=1e-12)
    worse = objective(values, target, 1.05 * shares[0], 0.1)
    assert worse > costs[0]


def test_a_strictly_convex_net_shares_alike():
    values, target = twins()
    model = ElasticNet(weight=0.1, mix=0.5, tol=1e-9).fit(values, target)
    first, second, _ = model.importances()
    assert first == pytest.approx(second, rel=1e-4)
    assert first > 0


def test_without_an_inner_point_the_optimum_has_no_multiplier():
    """Least x with x^2 <= 0: the optimum is 0, and 1 + 2 m x = 0 has no solution m there."""
    multipliers = np.linspace(0, 1e6, 1001)
    assert (np.abs(1 + 2 * multipliers * 0.0) == 1).all()
    # the dual function -1 / (4 m) comes near its bound 0 but reaches it for no m
    assert (-1 / (4 * multipliers[1:]) < 0).all()
