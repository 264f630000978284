"""Gaussian mixtures: density and fit as scikit-learn's, likelihood that never falls."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from vesalius.errors import ConfigError, IntensityError, RegionError
from vesalius.graph import Fitting, Mixture, fit_mixture


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def points(seed=1):
    """Two groups of unlike shape and size."""
    g = seeded(seed)
    wide = torch.randn(300, 2, generator=g, dtype=torch.float64) * torch.tensor([2.0, 0.5])
    small = torch.randn(100, 2, generator=g, dtype=torch.float64) * 0.4 + torch.tensor([5.0, 2.0])
    return torch.cat([wide, small])


@pytest.mark.parametrize("covariance", ["full", "diagonal", "tied"])
def test_reaches_the_likelihood_of_scikit_learn(covariance):
    from sklearn.mixture import GaussianMixture

    x = points()
    fitting = Fitting(covariance, tol=1e-9, steps=500)
    ours = fit_mixture(x, 2, generator=seeded(), fitting=fitting)
    kind = {"diagonal": "diag"}.get(covariance, covariance)
    theirs = GaussianMixture(2, covariance_type=kind, tol=1e-9, max_iter=500, random_state=0)
    score = theirs.fit(x.numpy()).score(x.numpy())
    assert ours.log_likelihoods[-1] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("covariance", ["full", "diagonal", "tied"])
def test_the_likelihood_never_falls(covariance):
    fitting = Fitting(covariance, tol=0.0, steps=30)
    history = fit_mixture(points(), 3, generator=seeded(), fitting=fitting).log_likelihoods
    assert np.diff(history).min() > -1e-5


def test_the_density_is_that_of_scipy():
    covariances = torch.tensor([[[2.0, 0.3], [0.3, 1.0]], [[0.5, 0.0], [0.0, 0.2]]]).double()
    means = torch.tensor([[0.0, 1.0], [3.0, -1.0]]).double()
    model = Mixture(torch.tensor([0.3, 0.7]).double(), means, covariances)
    x = points()[:20]
    expected = sum(
        w * multivariate_normal(m.numpy(), c.numpy()).pdf(x.numpy())
        for w, m, c in zip((0.3, 0.7), means, covariances, strict=True)
    )
    np.testing.assert_allclose(model.log_density(x).exp().numpy(), expected, rtol=1e-6)


def test_probabilities_add_up_even_far_from_all_components():
    model = fit_mixture(points(), 2, generator=seeded())
    share = model.posterior(torch.tensor([[1e4, -1e4], [0.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(share.sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_equal_points_do_not_collapse():
    model = fit_mixture(torch.ones(8, 2), 2, generator=seeded())
    assert bool(torch.isfinite(model.covariances).all())
    assert float(model.weights.sum()) == pytest.approx(1.0)


def test_a_tied_covariance_is_the_same_for_all():
    model = fit_mixture(points(), 2, generator=seeded(), fitting=Fitting("tied"))
    assert torch.equal(model.covariances[0], model.covariances[1])


def test_refuses_what_cannot_be_fitted():
    with pytest.raises(RegionError, match="at least as many points as groups"):
        fit_mixture(torch.zeros(1, 1), 2, generator=seeded())
    with pytest.raises(IntensityError, match="points must be finite"):
        fit_mixture(torch.full((3, 1), float("inf")), 2, generator=seeded())
    with pytest.raises(ConfigError, match="steps must be at least 1, tol at least 0 and ridge"):
        Fitting(ridge=0.0)
