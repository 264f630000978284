"""Combat's shrinkage: a batch's effect on each feature drawn towards that on all features."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.errors import ConfigError, ConvergenceError, RegionError
from vesalius.predict._table import Floats

_BLOCK = 1 << 20
"""Likelihoods that are held at once by the non-parametric method."""


@final
@dataclass(frozen=True, slots=True)
class Shrinkage:
    """How the effect of a batch is estimated.

    Attributes:
        parametric: Priors are a normal and an inverse gamma distribution; else the effects on the
            other features are the prior.
        empirical_bayes: Estimates are shrunk at all.
        mean_only: The scale is left alone.
        tol: Relative change at which the parametric iteration stops.
        steps: Iterations at most.

    Raises:
        ConfigError: ``tol`` or ``steps`` is not positive.
    """

    parametric: bool = True
    empirical_bayes: bool = True
    mean_only: bool = False
    tol: float = 1e-4
    steps: int = 10_000

    def __post_init__(self) -> None:
        if not self.tol > 0 or self.steps < 1:
            raise ConfigError(
                "tol and steps of ComBat must be positive, got "
                f"{self.tol} and {self.steps}: take 1e-4 and 10000"
            )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Naive:
    """What the standardised features of one batch say by themselves.

    Attributes:
        cases: How many.
        location: (features,) mean.
        squares: (features,) sum of squares about it.
        scale: (features,) variance; 1 where the batch has none, or where it is left alone.
    """

    cases: int
    location: Floats = field(repr=False)
    squares: Floats = field(repr=False)
    scale: Floats = field(repr=False)


def naive(cases: int, location: Floats, squares: Floats, *, mean_only: bool) -> Naive:
    """Estimate location and scale of each feature from its own values.

    Args:
        cases: How many.
        location: (features,) mean of the standardised values.
        squares: (features,) sum of squares about it.
        mean_only: Leave the scale alone.

    Returns:
        The estimates.
    """
    if mean_only:
        return Naive(cases, location, squares, np.ones_like(location))
    variance = squares / (cases - 1)
    # as the published implementations: a feature that is constant in this batch keeps its scale
    return Naive(cases, location, squares, np.where(variance < 1e-20, 1.0, variance))


def shrunk(hat: Naive, options: Shrinkage) -> tuple[Floats, Floats]:
    """Shrink the estimates of one batch towards those of all its features.

    Args:
        hat: What the features say by themselves.
        options: How.

    Returns:
        (features,) location and scale.

    Raises:
        RegionError: Fewer than two features, from which no prior can be learned.
        ConvergenceError: The iteration did not stop.

    References:
        Johnson, Li & Rabinovic (2007), doi:10.1093/biostatistics/kxj037, sections 3.1 and 3.2;
        the supplement for the non-parametric priors. Differs from it, as all published code does,
        in one place: with ``mean_only`` the likelihood has the weight of one case.
    """
    if len(hat.location) < 2:
        raise RegionError(
            "empirical Bayes must have at least 2 features to learn its priors from, got "
            f"{len(hat.location)}: set empirical_bayes to false"
        )
    if not options.parametric:
        return _nonparametric(hat)
    centre, spread = hat.location.mean(), hat.location.var(ddof=1)
    if options.mean_only:
        return (spread * hat.location + centre) / (spread + 1.0), hat.scale
    return _parametric(hat, options, float(centre), float(spread))


def _parametric(
    hat: Naive, options: Shrinkage, centre: float, spread: float
) -> tuple[Floats, Floats]:
    """Alternate the two posterior means (paper, eq. 3.1) for all features at once.

    Sums of squares about a new location follow from those about the mean, so that an iteration
    costs nothing for each case. The inverse gamma prior enters through its mean and variance: no
    division by a variance that may be 0.
    """
    n, mean, variance = hat.cases, float(hat.scale.mean()), float(hat.scale.var(ddof=1))
    location, scale = hat.location, hat.scale
    for _ in range(options.steps):
        weight = n * spread
        new = (weight * hat.location + scale * centre) / (weight + scale)
        squares = hat.squares + n * (hat.location - new) ** 2
        rate = 0.5 * squares * variance + mean * variance + mean**3
        wide = rate / ((n / 2 + 1) * variance + mean**2)
        moved = np.abs(new - location) > options.tol * np.abs(location)
        changed = np.abs(wide - scale) > options.tol * scale
        location, scale = new, wide
        if not (moved.any() or changed.any()):
            return location, scale
    raise ConvergenceError(
        f"ComBat's iteration must settle to {options.tol} within {options.steps} steps, it did "
        "not: look for features with extreme values, or raise tol"
    )


def _nonparametric(hat: Naive) -> tuple[Floats, Floats]:
    """Average the effects on all other features, weighted by how likely each is for this one."""
    count, n = len(hat.location), hat.cases
    location, scale = np.empty(count), np.empty(count)
    constant = -0.5 * n * np.log(2.0 * np.pi * hat.scale)
    rate = 0.5 / hat.scale
    rows = max(1, _BLOCK // count)
    for first in range(0, count, rows):
        own = np.arange(first, min(first + rows, count))
        away = np.square(hat.location[own, None] - hat.location)
        away *= n
        away += hat.squares[own, None]
        away *= -rate
        away += constant
        away[own - first, own] = -np.inf  # a feature is no prior of itself
        # the largest is taken out: likelihoods of many cases underflow
        away -= away.max(axis=1, keepdims=True)
        np.exp(away, out=away)
        total = away.sum(axis=1)
        location[own] = (away @ hat.location) / total
        scale[own] = (away @ hat.scale) / total
    return location, scale
