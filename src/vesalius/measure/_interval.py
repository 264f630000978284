"""Intervals: how sure a mean over cases is, and whether one run is better than another."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad

from vesalius.errors import IntensityError, ShapeError, UnitError

_PIECE = 1 << 22  # draws that are held at once
_EXACT = 50  # cases up to which p is counted out


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where it may lie.

    Attributes:
        mean: Of the values.
        low: Lower end; NaN for fewer than two values.
        high: Upper end; NaN for fewer than two values.
        coverage: Stated.
        count: Values.
    """

    mean: float
    low: float
    high: float
    coverage: float
    count: int


@final
@dataclass(frozen=True, slots=True)
class PairedTest:
    """Two runs on the same cases.

    Attributes:
        difference: Mean of first less second, with its bootstrap interval.
        p_value: Of the two-sided Wilcoxon signed-rank test; 1 where no case differs.
        wins: Cases in which the first is larger.
        ties: Cases in which both are equal.
        losses: Cases in which the second is larger.
    """

    difference: Interval
    p_value: float
    wins: int
    ties: int
    losses: int


def bootstrap_interval(
    values: Sequence[float],
    *,
    generator: torch.Generator,
    coverage: float = 0.95,
    draws: int = 10_000,
) -> Interval:
    """Give the mean of cases with its percentile bootstrap interval.

    Cases are drawn, not voxels or labels: give one value for each independent case (a patient).
    With fewer than about ten cases the interval is too narrow.

    Args:
        values: One for each case, finite.
        generator: For the draws.
        coverage: Share of repetitions in which the interval should hold the true mean.
        draws: Number of resamples.

    Returns:
        The interval.

    Raises:
        ShapeError: There is no value.
        IntensityError: A value is not finite.
        UnitError: ``coverage`` is not between 0 and 1, or ``draws`` is below 1.

    References:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    if not 0 < coverage < 1 or draws < 1:
        raise UnitError(
            "coverage must be between 0 and 1 and draws at least 1, got "
            f"coverage {coverage} and {draws} draws"
        )
    x = _column(values)
    n = len(x)
    if n < 2:
        return Interval(float(x.mean()), math.nan, math.nan, coverage, n)
    rows = max(1, _PIECE // n)
    means = torch.cat(
        [
            x[torch.randint(n, (min(rows, draws - k), n), generator=generator)].mean(dim=1)
            for k in range(0, draws, rows)
        ]
    )
    tail = (1 - coverage) / 2
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=x.dtype)).tolist()
    return Interval(float(x.mean()), low, high, coverage, n)


def paired_test(
    first: Sequence[float],
    second: Sequence[float],
    *,
    generator: torch.Generator,
    coverage: float = 0.95,
) -> PairedTest:
    """Ask whether two runs differ on the same cases.

    Args:
        first: One value for each case, finite.
        second: The same cases in the same order.
        generator: For the interval.
        coverage: Of the interval.

    Returns:
        The difference and the test.

    Raises:
        ShapeError: The cases do not pair, or there are none.
        IntensityError: A value is not finite.
        UnitError: ``coverage`` is not between 0 and 1.

    References:
        Wilcoxon (1945), doi:10.2307/3001968; zero differences are left out. Up to 50 cases p is
        exact over all signs, mean ranks where differences tie; above, normal.
    """
    if len(first) != len(second):
        raise ShapeError(
            f"runs must have the same cases to be paired, got {len(first)} and {len(second)} values"
        )
    apart = _column(first) - _column(second)
    moved = apart[apart != 0]
    return PairedTest(
        bootstrap_interval(apart.tolist(), generator=generator, coverage=coverage),
        _signed_rank(moved) if len(moved) else 1.0,
        int((apart > 0).sum()),
        int((apart == 0).sum()),
        int((apart < 0).sum()),
    )


def _signed_rank(moved: Tensor) -> float:
    """Give the two-sided p of differences that are not 0."""
    from scipy.stats import rankdata, wilcoxon

    if len(moved) > _EXACT:
        return float(wilcoxon(moved.numpy()).pvalue)
    doubled = (2 * rankdata(moved.abs().numpy())).astype(int).tolist()  # mean ranks are halves
    chance = torch.ones(1, dtype=torch.float64)
    for rank in doubled:  # each rank is added or not, both with one half
        chance = (pad(chance, (0, rank)) + pad(chance, (rank, 0))) / 2
    reached = sum(r for r, x in zip(doubled, moved.tolist(), strict=True) if x > 0)
    below, above = float(chance[: reached + 1].sum()), float(chance[reached:].sum())
    return min(1.0, 2 * min(below, above))


def _column(values: Sequence[float]) -> Tensor:
    x = torch.tensor(list(values), dtype=torch.float64)
    if not len(x):
        raise ShapeError("there must be at least one case to take a mean of, got none")
    if not bool(torch.isfinite(x).all()):
        raise IntensityError(
            f"values must be finite to be averaged, {int((~torch.isfinite(x)).sum())} of {len(x)} "
            "are not: leave out cases without the label, and count missed ones apart"
        )
    return x
