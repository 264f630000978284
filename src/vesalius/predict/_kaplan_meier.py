"""Kaplan-Meier: the share of cases without the event over time, and whether groups differ in it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import RegionError, ShapeError
from vesalius.predict._survival_checks import steps_at
from vesalius.predict._table import Floats
from vesalius.predict._target import Bools, Target

_Z = 1.959963984540054


@final
@dataclass(frozen=True, slots=True, eq=False)
class KaplanMeier:
    """Survival of a group over time, as steps.

    Attributes:
        times: (times,) at which something happened, rising.
        survival: (times,) share without the event from each time on.
        low: (times,) lower end of the 95 % interval; NaN before the first event and from 0 on.
        high: (times,) upper end.
        at_risk: (times,) cases followed until just before each time.
        events: (times,) events at each time.
    """

    times: Floats = field(repr=False)
    survival: Floats = field(repr=False)
    low: Floats = field(repr=False)
    high: Floats = field(repr=False)
    at_risk: NDArray[np.int64] = field(repr=False)
    events: NDArray[np.int64] = field(repr=False)

    def at(self, times: Floats) -> Floats:
        """Give the share without the event at any times; after the last it stays as it is."""
        return steps_at(self.times, self.survival, times, before=1.0)

    @property
    def median(self) -> float:
        """First time at which at most half are without the event; NaN where it never comes."""
        below = np.flatnonzero(self.survival <= 0.5)
        return float(self.times[below[0]]) if below.size else float("nan")


@final
@dataclass(frozen=True, slots=True)
class LogRank:
    """Whether groups have the event at different times.

    Attributes:
        statistic: Chi square.
        freedom: Groups less one.
        p_value: Chance of a statistic as large where groups do not differ.
    """

    statistic: float
    freedom: int
    p_value: float


def kaplan_meier(target: Target) -> KaplanMeier:
    """Estimate survival without a model.

    Intervals are Greenwood's on the scale log(-log(survival)), so that they stay within 0 and 1.

    Args:
        target: Times and events of the cases.

    Returns:
        The estimate.

    Raises:
        RegionError: There is no case.

    References:
        Kaplan & Meier (1958), doi:10.1080/01621459.1958.10501452, eq. (2b); Kalbfleisch & Prentice
        (2002), The Statistical Analysis of Failure Time Data, 2nd ed., p. 18, for the intervals.
    """
    if not target.values.size:
        raise RegionError("survival must be estimated of at least one case, got none: add cases")
    times, at_risk, events = life_table(target.values, target.events)
    left = at_risk - events
    survival = np.cumprod(left / at_risk).astype(np.float64)
    known = (left > 0) & (events > 0)
    variance = np.cumsum(np.where(known, events / (at_risk * np.maximum(left, 1)), 0.0))
    inside = (survival > 0) & (survival < 1)
    logs = np.log(np.where(inside, survival, 0.5))
    half = _Z * np.sqrt(variance) / np.abs(logs)
    low = np.where(inside, np.exp(logs * np.exp(half)), np.nan)
    high = np.where(inside, np.exp(logs * np.exp(-half)), np.nan)
    return KaplanMeier(times, survival, low, high, at_risk, events)


def life_table(times: Floats, events: Bools) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Count who is at risk and who has the event at each time.

    Args:
        times: (cases,).
        events: (cases,).

    Returns:
        (times,) rising; (times,) at risk; (times,) events.
    """
    known, place, count = np.unique(times, return_inverse=True, return_counts=True)
    at_risk = np.cumsum(count[::-1])[::-1]
    seen = np.bincount(place.reshape(-1), weights=events, minlength=len(known))
    return known, at_risk.astype(np.int64), np.round(seen).astype(np.int64)


def censoring_survival(target: Target, wanted: Floats) -> Floats:
    """Estimate the probability that a case is still followed just before each time.

    It is the Kaplan-Meier estimate of the end of follow-up; of equal times events come first.

    Args:
        target: Times and events.
        wanted: (times,).

    Returns:
        (times,); 0 where nobody is followed so long.
    """
    times, at_risk, events = life_table(target.values, target.events)
    lost = at_risk - events - np.append(at_risk[1:], 0)
    share = 1 - lost / np.maximum(at_risk - events, 1)
    heights = np.concatenate([[1.0], np.cumprod(share)])
    return np.asarray(heights[np.searchsorted(times, wanted, side="left")])


def log_rank(
    target: Target, groups: NDArray[np.integer], *, strata: NDArray[np.integer] | None = None
) -> LogRank:
    """Test whether groups have the event at different times.

    Args:
        target: Times and events of all cases.
        groups: (cases,) number of the group.
        strata: (cases,) within which alone groups are compared; none for all together.

    Returns:
        The test.

    Raises:
        ShapeError: There is not one group, or one stratum, for each case.
        RegionError: There are fewer than two groups, or no event.

    References:
        Peto & Peto (1972), doi:10.2307/2344317, sec. 4; Kalbfleisch & Prentice (2002), The
        Statistical Analysis of Failure Time Data, 2nd ed., sec. 1.5, for strata.
    """
    from scipy.special import chdtrc

    size = len(target.values)
    within = np.zeros(size, dtype=np.int64) if strata is None else strata
    if groups.shape != (size,) or within.shape != (size,):
        raise ShapeError(
            f"each of {size} cases must have one group and one stratum, got {groups.shape} and "
            f"{within.shape}"
        )
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < 2 or not target.events.any():
        raise RegionError(
            f"a log-rank test must compare two groups or more with an event, got {len(names)} "
            f"groups and {int(target.events.sum())} events"
        )
    hot = np.eye(len(names))[place.reshape(-1)]
    excess, variance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for one in np.unique(within):
        rows = within == one
        more, spread = _excess(target.values[rows], target.events[rows], hot[rows])
        excess += more
        variance += spread
    statistic = float(excess @ np.linalg.pinv(variance, hermitian=True) @ excess)
    freedom = len(names) - 1
    return LogRank(statistic, freedom, float(chdtrc(freedom, statistic)))


def _excess(times: Floats, events: Bools, hot: Floats) -> tuple[Floats, Floats]:
    """Give (groups,) events less those expected, and their (groups, groups) covariance."""
    known, place = np.unique(times, return_inverse=True)
    counts, seen = np.zeros((2, len(known), hot.shape[1]))
    np.add.at(counts, place.reshape(-1), hot)
    np.add.at(seen, place.reshape(-1), hot * events[:, None])
    risk = np.cumsum(counts[::-1], axis=0)[::-1]
    total, died = risk.sum(axis=1), seen.sum(axis=1)
    share = risk / total[:, None]
    factor = died * (total - died) / np.maximum(total - 1, 1)
    spread = np.diag(factor @ share) - (share * factor[:, None]).T @ share
    return (seen - died[:, None] * share).sum(axis=0), spread
