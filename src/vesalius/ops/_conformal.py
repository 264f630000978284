"""Conformal intervals: how far a true quantity may lie from the predicted one, from past cases."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError


class Ratios(NamedTuple):
    """Ends of an interval, as multiples of the predicted quantity.

    Attributes:
        low: Lower end; the true quantity is below in at most half of the cases that are missed.
        high: Upper end.
        coverage: Stated share of cases whose truth lies within.
        cases: How many it was learned from.
    """

    low: float
    high: float
    coverage: float
    cases: int


class CrossConformal(NamedTuple):
    """Interval of every case, learned from the cases of the other folds.

    Attributes:
        low: Lower end for each case, unit of the quantity.
        high: Upper end.
        inside: Whether the truth lies within.
    """

    low: Float[Tensor, " n"]
    high: Float[Tensor, " n"]
    inside: Bool[Tensor, " n"]

    @property
    def coverage(self) -> float:
        """Observed share of cases whose truth lies within."""
        return float(self.inside.double().mean())


def least_cases(coverage: float) -> int:
    """Give the fewest cases from which an interval of a coverage can be learned.

    Args:
        coverage: Stated, above 0 and below 1.

    Raises:
        ConfigError: The coverage is out of range.

    Example:
        >>> least_cases(0.9)
        19
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"coverage must lie between 0 and 1, got {coverage}: 0.9 is usual")
    return math.ceil(2 / (1 - coverage) - 1 - 1e-9)


def ratio_interval(
    predicted: Float[Tensor, " n"], true: Float[Tensor, " n2"], *, coverage: float = 0.9
) -> Ratios:
    """Learn an interval for the true quantity by split conformal prediction.

    The ratios of true to predicted quantity are ranked; with ``n`` cases, the ends are the ratios
    of rank ``floor((n + 1) a / 2)`` and ``ceil((n + 1) (1 - a / 2))``, ``a = 1 - coverage``. If a
    new case is drawn like those, its truth lies within with a chance of at least ``coverage`` and,
    without ties, at most ``coverage + 2 / (n + 1)``, whatever the distribution. A ratio, since
    errors of volumes grow with the volume; two ends, so that a bias of the prediction is undone.

    Args:
        predicted: Of cases that the predictor has not learned from. Cases with 0 are left out:
            nothing was found, and no ratio can be told.
        true: Of the same cases; 0 or more.
        coverage: Wanted.

    Returns:
        Ends as multiples of the predicted quantity.

    Raises:
        ShapeError: The numbers of cases differ.
        IntensityError: A quantity is negative, NaN or infinite.
        ConfigError: The coverage is out of range.
        RegionError: There are too few cases.

    References:
        Lei et al. (2018), doi:10.1080/01621459.2017.1307116, algorithm 2 and theorem 2. Differs
        from it in: ratios for residuals, each end has its own quantile.
    """
    _check(predicted, true)
    least, found = least_cases(coverage), predicted > 0
    ratios = (true[found].double() / predicted[found].double()).sort().values
    n, half = len(ratios), (1 - coverage) / 2
    if n < least:
        raise RegionError(
            f"an interval of coverage {coverage:g} needs at least {least} cases that were not "
            f"learned from, got {n}: hold out more, train with folds, or state a smaller coverage"
        )
    low = math.floor((n + 1) * half + 1e-9)
    high = math.ceil((n + 1) * (1 - half) - 1e-9)
    return Ratios(float(ratios[low - 1]), float(ratios[high - 1]), coverage, n)


def cross_conformal(
    predicted: Float[Tensor, " n"],
    true: Float[Tensor, " n2"],
    folds: Integer[Tensor, " n3"],
    *,
    coverage: float = 0.9,
) -> CrossConformal:
    """Give each case an interval that was learned from the cases of the other folds.

    Args:
        predicted: Of each case, by the network that did not learn from its fold.
        true: Of the same cases.
        folds: To which fold each case belongs.
        coverage: Wanted.

    Returns:
        Intervals and whether they hold the truth: an honest estimate of the coverage.

    Raises:
        ShapeError: The numbers of cases differ.
        IntensityError: A quantity is negative, NaN or infinite.
        ConfigError: The coverage is out of range.
        RegionError: There are too few cases outside of a fold.

    References:
        Vovk (2015), doi:10.1007/s10472-013-9368-4 (cross-conformal predictors).
    """
    _check(predicted, folds)
    low, high = predicted.double().clone(), predicted.double().clone()
    for fold in sorted(set(folds.tolist())):
        here = folds == fold
        found = ratio_interval(predicted[~here], true[~here], coverage=coverage)
        low[here] *= found.low
        high[here] *= found.high
    truth = true.double()
    return CrossConformal(low, high, (low <= truth) & (truth <= high))


def _check(one: Tensor, two: Tensor) -> None:
    if one.shape != two.shape:
        raise ShapeError(
            f"each case must have one predicted and one true quantity, got {len(one)} and "
            f"{len(two)}"
        )
    for values in (one, two):
        if values.is_floating_point() and not bool((torch.isfinite(values) & (values >= 0)).all()):
            raise IntensityError(
                "quantities must be finite and not negative, got "
                f"{float(values[~(torch.isfinite(values) & (values >= 0))][0])}"
            )
