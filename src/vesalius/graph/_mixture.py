"""Gaussian mixtures: soft groups of points by expectation and maximisation."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.graph._kmeans import check_points, kmeans

Covariance = Literal["full", "diagonal", "tied"]
Points = Float[Tensor, "n d"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A weighted sum of normal densities.

    Attributes:
        weights: Share of each component; they add up to 1.
        means: Of each component.
        covariances: Of each component; equal ones where the covariance is tied.
        log_likelihoods: Mean log density of the points before each round; it never falls.
    """

    weights: Float[Tensor, " k"]
    means: Float[Tensor, "k d"]
    covariances: Float[Tensor, "k d d"]
    log_likelihoods: tuple[float, ...] = ()

    def log_joint(self, x: Points) -> Float[Tensor, "n k"]:
        """Log of weight times density of each component at each point (float64)."""
        points, d = x.to(self.means), x.shape[1]
        factor = torch.linalg.cholesky(self.covariances)
        columns = []
        for mean, root, weight in zip(self.means, factor, self.weights, strict=True):
            white = torch.linalg.solve_triangular(root, (points - mean).T, upper=False)
            log_det = root.diagonal().log().sum()
            log_norm = weight.log() - log_det - 0.5 * d * math.log(2 * math.pi)
            columns.append(log_norm - 0.5 * white.square().sum(dim=0))
        return torch.stack(columns, dim=1)

    def log_density(self, x: Points) -> Float[Tensor, " n"]:
        """Log density of the mixture at each point."""
        return torch.logsumexp(self.log_joint(x), dim=1)

    def posterior(self, x: Points) -> Float[Tensor, "n k"]:
        """Probability of each component at each point; rows add up to 1."""
        return torch.softmax(self.log_joint(x), dim=1)


@final
@dataclass(frozen=True, slots=True)
class Fitting:
    """How a mixture is fitted.

    Attributes:
        covariance: ``"full"``, ``"diagonal"``, or ``"tied"`` (one full matrix for all).
        steps: Rounds at most.
        tol: Stop where a round raises the mean log density by less.
        ridge: Added to the variances, as a share of the points' own mean variance; keeps a
            component from collapsing onto one point.
    """

    covariance: Covariance = "full"
    steps: int = 100
    tol: float = 1e-4
    ridge: float = 1e-6

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.tol >= 0 or not self.ridge > 0:
            raise ConfigError(
                "steps must be at least 1, tol at least 0 and ridge positive, got "
                f"{self.steps}, {self.tol} and {self.ridge}"
            )


def fit_mixture(
    x: Points, count: int, *, generator: torch.Generator, fitting: Fitting | None = None
) -> Mixture:
    """Fit a Gaussian mixture by expectation and maximisation, from a k-means start.

    Args:
        x: (n, d).
        count: Number of components, 1 to the number of points.
        generator: Of the k-means start.
        fitting: How; full covariances where none is given.

    Returns:
        The mixture, float64, on the device of ``x``.

    Raises:
        RegionError: There are fewer points than components.
        IntensityError: A coordinate is not finite.
        ConfigError: ``count`` is below 1.

    References:
        Dempster, Laird & Rubin (1977), doi:10.1111/j.2517-6161.1977.tb01600.x.
        Responsibilities are normalised in the log domain.
    """
    rule = Fitting() if fitting is None else fitting
    check_points(x, count)
    points = x.detach().double()
    groups = kmeans(points, count, generator=generator, steps=20)
    spread = float(points.var(dim=0, unbiased=False).mean())
    ridge = rule.ridge * spread if spread > 0 else rule.ridge
    share = torch.nn.functional.one_hot(groups.labels, count).to(points)
    history: list[float] = []
    for _ in range(rule.steps):
        model = _maximise(points, share, rule.covariance, ridge)
        joint = model.log_joint(points)
        density = torch.logsumexp(joint, dim=1)
        history.append(float(density.mean()))
        if len(history) > 1 and history[-1] - history[-2] < rule.tol:
            break
        share = (joint - density[:, None]).exp()
    return Mixture(model.weights, model.means, model.covariances, tuple(history))


def _maximise(x: Points, share: Tensor, covariance: Covariance, ridge: float) -> Mixture:
    """Fit weights, means and covariances to responsibilities."""
    n, d = x.shape
    sizes = share.sum(dim=0).clamp_min(torch.finfo(x.dtype).tiny)
    means = (share.T @ x) / sizes[:, None]
    eye = ridge * torch.eye(d).to(x)
    matrices = []
    for k, mean in enumerate(means):
        away = x - mean
        weighted = away * share[:, k : k + 1]
        if covariance == "diagonal":
            matrices.append(torch.diag((weighted * away).sum(dim=0) / sizes[k]) + eye)
        else:
            matrices.append(weighted.T @ away / sizes[k] + eye)
    full = torch.stack(matrices)
    if covariance == "tied":
        full = (full * (sizes / n)[:, None, None]).sum(dim=0).expand(len(means), d, d)
    return Mixture((sizes / sizes.sum()), means, full)
