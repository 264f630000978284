"""Survival scores: whether those who are said to be at risk have their event earlier."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.predict._auc import fold_keys
from vesalius.predict._card import Curve, Estimate
from vesalius.predict._concordance import ordered_pairs, uno_weights
from vesalius.predict._intervals import Clusters, t_interval
from vesalius.predict._judged import Judged
from vesalius.predict._kaplan_meier import KaplanMeier, kaplan_meier, log_rank
from vesalius.predict._table import Floats
from vesalius.predict._target import Target
from vesalius.predict._time_auc import at_time

NO_PAIR = "no pair of a fold can be ordered: one must have its event before the other's time"
EARLIEST_LAST = 0.9
"""Quantile of the times of events until which the weighed concordance looks."""


def survival_scores(judged: Judged, clusters: Clusters) -> dict[str, Estimate]:
    """Measure how well a risk orders times to an event.

    Pairs are of one fold; those of all folds count together. Intervals are by the influence of each
    patient on the share of pairs, on the logit scale by Student's t.

    Args:
        judged: The predictions.
        clusters: Patients.

    Returns:
        ``concordance`` (Harrell), ``concordance_ipcw`` (Uno, until the 90th percentile of the times
        of events), and ``auc_<time>`` for each time asked for.
    """
    target = judged.target
    found = {
        "concordance": _estimate(
            judged, clusters, target, target.events.astype(np.float64), NO_PAIR
        )
    }
    if not target.events.any():
        return found | {"concordance_ipcw": Estimate(math.nan, reason=NO_PAIR)} | _no_times(judged)
    until = float(np.quantile(target.values[target.events], EARLIEST_LAST))
    weight = uno_weights(target, until, _followed(judged))
    found["concordance_ipcw"] = _estimate(judged, clusters, target, weight, NO_PAIR)
    for time in judged.times:
        by_then, weight = at_time(target, time, _followed(judged))
        reason = (
            f"no fold holds both somebody with the event by {time:g} and somebody followed beyond"
        )
        found[f"auc_{time:g}"] = _estimate(judged, clusters, by_then, weight, reason)
    return found


def _no_times(judged: Judged) -> dict[str, Estimate]:
    return {f"auc_{time:g}": Estimate(math.nan, reason=NO_PAIR) for time in judged.times}


def _followed(judged: Judged) -> Target:
    """Give the outcome of each case once, to estimate the loss of follow-up."""
    return judged.target.rows(np.unique(judged.cases, return_index=True)[1])


def _estimate(
    judged: Judged, clusters: Clusters, target: Target, weight: Floats, reason: str
) -> Estimate:
    keys = fold_keys(judged)
    pulls, pairs = np.zeros(len(keys)), np.zeros(len(keys))
    for key in np.unique(keys):
        rows = np.flatnonzero(keys == key)
        pulls[rows], pairs[rows] = ordered_pairs(
            target.rows(rows), judged.scores[rows, 0], weight[rows]
        )
    total = float(pairs.sum()) / 2
    if not total:
        return Estimate(math.nan, reason=reason)
    value = float(pulls.sum() / pairs.sum())
    influence = clusters.sums((pulls - value * pairs) / total)
    error = math.sqrt(clusters.widen * float(np.square(influence).sum()))
    if error < 1e-9 or not 0 < value < 1:
        return Estimate(value, reason="no interval: the variance is zero")
    return t_interval(value, error, freedom=clusters.count - 1.0, logit=True)


@final
@dataclass(frozen=True, slots=True, eq=False)
class RiskGroups:
    """The half of the cases with the lower risk of its fold, and the half with the higher.

    Attributes:
        curves: ``kaplan_meier_low`` and ``kaplan_meier_high``; empty where no fold can be halved.
        remarks: What must be said of them.
    """

    curves: dict[str, Curve] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def risk_groups(judged: Judged, clusters: Clusters) -> RiskGroups:
    """Halve the cases at the median risk of their fold and follow both halves.

    The median looks at no outcome, and risks of different trainings are never compared. Of several
    repetitions the first is followed.

    Args:
        judged: The predictions.
        clusters: Patients.

    Returns:
        Both curves with Greenwood's intervals, and what the log-rank test says, folds as strata.
        With several trainings it is only a guide: cases that share trainings are not independent
        (Simon et al., 2011, doi:10.1093/bib/bbr001), so that its statistic is divided by the factor
        of every variance.
    """
    from scipy.special import chdtrc

    first = np.flatnonzero(judged.repeats == judged.repeats.min())
    own, keys = judged.rows(first), fold_keys(judged.rows(first))
    half = np.full(len(first), -1)
    for key in np.unique(keys):
        rows = np.flatnonzero(keys == key)
        risk = own.scores[rows, 0]
        if np.ptp(risk) > 0:
            middle = float(np.median(risk))
            # of ties at the median the higher half gets those above alone, unless there are none
            above = risk > middle if (risk > middle).any() else risk >= middle
            half[rows] = above
    parted = half >= 0
    if not parted.any():
        return RiskGroups({}, ("All risks of a fold are equal: there are no groups of risk.",))
    found = {
        f"kaplan_meier_{name}": curve_of(kaplan_meier(own.target.rows(np.flatnonzero(half == k))))
        for k, name in enumerate(("low", "high"))
    }
    kept = own.target.rows(np.flatnonzero(parted))
    if not kept.events.any():
        return RiskGroups(found, ())
    test = log_rank(kept, half[parted], strata=keys[parted])
    p = float(chdtrc(1, test.statistic / clusters.widen))
    return RiskGroups(found, (_told(p, cross=judged.cross_validated),))


def _told(p: float, *, cross: bool) -> str:
    text = f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
    guide = ", a guide only, since trainings share cases" if cross else ""
    if p < 0.05:
        return f"The halves of lower and higher risk differ (log-rank {text}{guide})."
    return f"The halves of lower and higher risk may have the event alike (log-rank {text}{guide})."


def curve_of(found: KaplanMeier) -> Curve:
    """Give a Kaplan-Meier estimate as a curve from time 0; where it has no interval, its own value.

    Args:
        found: The estimate.

    Returns:
        Steps: each value holds from its time on.
    """
    low = np.where(np.isnan(found.low), found.survival, found.low)
    high = np.where(np.isnan(found.high), found.survival, found.high)
    x = np.concatenate([[0.0], found.times])
    return Curve(x, *(np.concatenate([[1.0], part]) for part in (found.survival, low, high)))
