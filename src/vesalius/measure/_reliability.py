"""Reliability over a cohort: ICC(1,1) with its interval and grade, bias and limits of agreement."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError

Grade = Literal["poor", "moderate", "good", "excellent", ""]
"""In words, after Koo & Li; ``""`` where there is no ICC."""


@dataclass(frozen=True, slots=True)
class Icc:
    """Intraclass correlation of one feature: the part of the spread that is between subjects.

    Attributes:
        value: ICC(1,1); NaN only with a reason.
        low: Lower end of the interval.
        high: Upper end of the interval.
        grade: Of the lower end: poor below .5, moderate below .75, good below .9, else excellent.
        subjects: Number of subjects.
        repeats: Number of measurements of each.
        reason: Why there is no value; ``""`` if there is one.
    """

    value: float
    low: float
    high: float
    grade: Grade
    subjects: int
    repeats: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Test against retest of one feature.

    Attributes:
        bias: Mean of retest minus test.
        sd: Standard deviation of the differences.
        low: Lower 95% limit of agreement, bias - 1.96 sd.
        high: Upper 95% limit of agreement.
        repeatability_coefficient: 1.96 sqrt(2) within-subject sd: the difference of two
            measurements of one subject stays below it 95 times in 100.
    """

    bias: float
    sd: float
    low: float
    high: float
    repeatability_coefficient: float


def icc(table: Float[Tensor, "subjects repeats"], *, confidence: float = 0.95) -> Icc:
    """Compute ICC(1,1), one-way random effects, single measurement, absolute agreement.

    Args:
        table: One row for each subject, one column for each repeated measurement.
        confidence: Of the interval.

    Returns:
        The ICC with its interval and grade; a reason instead where all values are equal.

    Raises:
        ShapeError: Fewer than two subjects or two repeats.
        IntensityError: A value is NaN or infinite.

    References:
        Shrout & Fleiss (1979), doi:10.1037/0033-2909.86.2.420; the interval by the F distribution
        and the grades as in Koo & Li (2016), doi:10.1016/j.jcm.2016.02.012.
    """
    _check(table)
    subjects, repeats = table.shape
    x = table.detach().cpu().to(torch.float64)
    x = x - x.mean()
    rows = x.mean(dim=1)
    between = repeats * float((rows**2).sum()) / (subjects - 1)
    within = float(((x - rows[:, None]) ** 2).sum()) / (subjects * (repeats - 1))
    if between + within <= 0:
        nan = math.nan
        return Icc(nan, nan, nan, "", subjects, repeats, "all values are equal")
    value = (between - within) / (between + (repeats - 1) * within)
    low, high = _interval(between, within, (subjects, repeats), confidence)
    return Icc(value, low, high, grade(low), subjects, repeats)


def grade(low: float) -> Grade:
    """Say an ICC in words, by the lower end of its interval (Koo & Li 2016).

    Args:
        low: Lower end of the interval.

    Returns:
        ``"poor"`` below .5, ``"moderate"`` below .75, ``"good"`` below .9, else ``"excellent"``;
        ``""`` for NaN.
    """
    if math.isnan(low):
        return ""
    if low < 0.5:
        return "poor"
    if low < 0.75:
        return "moderate"
    return "good" if low < 0.9 else "excellent"


def agreement(test: Float[Tensor, " subjects"], retest: Float[Tensor, " subjects"]) -> Agreement:
    """Compare two measurements of the same subjects (Bland and Altman).

    Args:
        test: First measurement of each subject.
        retest: Second measurement, same order.

    Returns:
        Bias, limits of agreement and repeatability coefficient.

    Raises:
        ShapeError: The lengths differ, or there are fewer than two subjects.
        IntensityError: A value is NaN or infinite.

    References:
        Bland & Altman (1999), doi:10.1177/096228029900800204.
    """
    if test.shape != retest.shape:
        raise ShapeError(f"test and retest must be as long, got {len(test)} and {len(retest)}")
    pair = torch.stack([test, retest], dim=1).to(torch.float64)
    _check(pair)
    difference = pair[:, 1] - pair[:, 0]
    bias, sd = float(difference.mean()), float(difference.std())
    within = math.sqrt(float((difference**2).mean()) / 2)
    reach = 1.96 * sd
    return Agreement(bias, sd, bias - reach, bias + reach, 1.96 * math.sqrt(2) * within)


def _check(table: Tensor) -> None:
    if table.ndim != 2 or min(table.shape) < 2:
        raise ShapeError(
            f"table must hold at least two subjects and two repeats, got {tuple(table.shape)}: "
            "reliability is a property of a cohort"
        )
    if not bool(torch.isfinite(table).all()):
        raise IntensityError("values must be finite for reliability: leave undefined ones out")


def _interval(
    between: float, within: float, size: tuple[int, int], confidence: float
) -> tuple[float, float]:
    from scipy.stats import f

    subjects, repeats = size
    if within == 0:
        return 1.0, 1.0
    ratio = between / within
    tail = 0.5 + confidence / 2
    rows, rest = subjects - 1, subjects * (repeats - 1)
    low = ratio / float(f.ppf(tail, rows, rest))
    high = ratio * float(f.ppf(tail, rest, rows))
    ends = (np.array([low, high]) - 1) / (np.array([low, high]) + repeats - 1)
    return float(ends[0]), float(ends[1])
