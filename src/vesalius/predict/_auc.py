"""AUC: area under the ROC curve within folds, its interval, and its difference between models."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._card import Estimate
from vesalius.predict._description import Description
from vesalius.predict._intervals import Clusters, clusters_of, difference, t_interval
from vesalius.predict._judged import Ints, Judged
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Bools

ONE_CLASS = "no fold holds cases of both classes"
_Z = 1.959963984540054


@final
@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """An AUC with what each prediction contributes to its error.

    Attributes:
        value: The area; NaN where no fold holds both classes.
        influence: (rows,) sums to 0; the sum of its squares over patients is the variance.
        events: Patients with an event that were ranked.
        others: Patients without.
        folds: Folds that were ranked.
        left_out: Folds that hold one class only.
        constant: Folds in which all scores are equal.
    """

    value: float
    influence: Floats = field(repr=False)
    events: int
    others: int
    folds: int
    left_out: int
    constant: int


def fold_keys(judged: Judged) -> Ints:
    """Number the folds of all repetitions: predictions of one number are ranked with each other."""
    keys = np.stack([judged.repeats, judged.folds], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def placements(events: Bools, scores: Floats) -> Floats:
    """Give each event the share of the others below it, each other the share of events above it.

    Args:
        events: (rows,) which are events; some, not all.
        scores: (rows,).

    Returns:
        (rows,) shares; ties count half.

    References:
        Sun and Xu (2014), doi:10.1109/LSP.2014.2337313, whose mid-ranks these are.
    """
    levels, place = np.unique(scores, return_inverse=True)
    yes = np.bincount(place, weights=events, minlength=len(levels))
    no = np.bincount(place, weights=~events, minlength=len(levels))
    below = np.cumsum(no) - no / 2
    above = yes.sum() - np.cumsum(yes) + yes / 2
    shares = np.where(events, below[place] / no.sum(), above[place] / yes.sum())
    return np.asarray(shares, dtype=np.float64)


def area(events: Bools, scores: Floats, *, keys: Ints, clusters: Clusters) -> Area:
    """Measure how often an event scores above another case of the same fold.

    Folds count by their pairs, so that the area is the share of all pairs within folds; scores of
    different trainings are never compared. With one fold and one prediction a patient the variance
    is DeLong's; with folds that of LeDell's influence curve; with several predictions a patient
    (or several repetitions) that of Obuchowski.

    Args:
        events: (rows,) which are events.
        scores: (rows,) any finite numbers.
        keys: (rows,) fold of each.
        clusters: Patients.

    Returns:
        The area.

    References:
        DeLong et al. (1988), doi:10.2307/2531595, eqs. (4)-(6); LeDell et al. (2015),
        doi:10.1214/15-EJS1035, sec. 5; Obuchowski (1997), doi:10.2307/2533958. Differs from
        LeDell's in: folds weigh by their pairs, squares are divided by one less than the patients
        of the class in the fold; ``clusters.widen`` widens it for trainings that share cases.
    """
    influence = np.zeros(len(scores))
    total, gained, held, constant = 0.0, 0.0, 0, 0
    names = np.unique(keys)
    for key in names:
        rows = np.flatnonzero(keys == key)
        yes = events[rows]
        m, n = int(yes.sum()), int((~yes).sum())
        if not m or not n:
            continue
        held += 1
        place = placements(yes, scores[rows])
        own = float(place[yes].mean())
        constant += bool(np.ptp(scores[rows]) == 0)
        own_patients = clusters.of[rows]
        influence[rows] = (place - own) * np.where(
            yes, n * _lost(own_patients[yes]), m * _lost(own_patients[~yes])
        )
        total += m * n
        gained += m * n * own
    value = gained / total if total else math.nan
    counted = np.isin(keys, keys[influence != 0]) if total else np.zeros(len(keys), dtype=bool)
    return Area(
        value,
        influence * math.sqrt(clusters.widen) / total if total else influence,
        len(np.unique(clusters.of[counted & events])),
        len(np.unique(clusters.of[counted & ~events])),
        held,
        len(names) - held,
        constant,
    )


def _lost(patients: Ints) -> float:
    """Widen for the mean that was taken off: count / (count - 1), as a factor of the deviation."""
    count = len(np.unique(patients))
    return math.sqrt(count / (count - 1)) if count > 1 else 1.0


def auc_estimate(found: Area, events: Bools, clusters: Clusters) -> Estimate:
    """Give the area with its interval.

    The interval is laid on the logit scale by Student's t with Satterthwaite's degrees of freedom
    of the two classes; where the variance is zero (perfect ranking, or no ranking at all), by
    Newcombe's score method.

    Args:
        found: The area.
        events: (rows,) which are events.
        clusters: Patients.

    Returns:
        The area, or NaN with a reason.

    References:
        Newcombe (2006), doi:10.1002/sim.2324, method 5.
    """
    if math.isnan(found.value):
        return Estimate(math.nan, reason=ONE_CLASS)
    variance = float(np.square(clusters.sums(found.influence)).sum())
    inside = 1e-9 < found.value < 1 - 1e-9
    if variance < 1e-18 or not inside:
        m, n = (len(np.unique(clusters.of[w])) / clusters.widen for w in (events, ~events))
        return Estimate(found.value, *newcombe(found.value, max(m, 1.0), max(n, 1.0)))
    parts = [
        float(np.square(clusters.sums(np.where(which, found.influence, 0.0))).sum())
        for which in (events, ~events)
    ]
    rest = (max(found.events - 1, 1), max(found.others - 1, 1))
    freedom = sum(parts) ** 2 / sum(p**2 / r for p, r in zip(parts, rest, strict=True))
    return t_interval(found.value, math.sqrt(variance), freedom=freedom, logit=True)


def newcombe(value: float, events: float, others: float) -> tuple[float, float]:
    """Lay a score interval around an area, which has a width even at 0 and 1.

    Args:
        value: The area.
        events: Cases with the event.
        others: Cases without.

    Returns:
        Lower and upper end.

    References:
        Newcombe (2006), doi:10.1002/sim.2324, method 5.
    """
    from scipy.optimize import brentq

    half = (events + others) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (value - theta) ** 2 - _Z**2 * theta * (1 - theta) * spread / (events * others)

    low = brentq(excess, 0.0, min(value, 1 - 1e-12)) if value > 1e-9 else 0.0
    high = brentq(excess, max(value, 1e-12), 1.0) if value < 1 - 1e-9 else 1.0
    return float(low), float(high)


@final
@dataclass(frozen=True, slots=True)
class AucDifference:
    """Two models on the same cases.

    Attributes:
        one: AUC of the first.
        other: AUC of the second.
        difference: First less second.
        p_value: Chance of a difference as large where there is none.
        cases: How many patients were compared.
    """

    one: Estimate
    other: Estimate
    difference: Estimate
    p_value: float
    cases: int


def difference_of_auc(
    one: Judged, other: Judged, *, table: Table, description: Description
) -> AucDifference:
    """Compare the AUC of two models on the same cases, in pairs.

    Args:
        one: Predictions of one model.
        other: Of the other, of the same cases; folds may differ.
        table: The cases.
        description: ``group`` names the patients.

    Returns:
        The comparison; with equal variance zero the p-value is 1 or 0.

    Raises:
        ConfigError: The outcomes are not of two classes, or the cases are not the same.

    References:
        DeLong et al. (1988), doi:10.2307/2531595, eq. (8), with clusters as in
        Obuchowski (1997), doi:10.2307/2533958.
    """
    from scipy.special import ndtr

    for judged in (one, other):
        if judged.target.kind != "binary":
            raise ConfigError(
                f"models must predict two classes to compare their AUC, got {judged.target.kind!r}"
            )
    only = np.setxor1d(one.cases, other.cases)
    if only.size:
        raise ConfigError(
            f"both models must be judged on the same cases, {only.size} are in one only, such as "
            f"{table.cases[int(only[0])]!r}: judge them again"
        )
    # both hold the same cases, so their patients have the same numbers
    patients = clusters_of(one, table=table, description=description)
    first, mine = _summed(one, patients)
    second, theirs = _summed(other, clusters_of(other, table=table, description=description))
    gap, error = first.value - second.value, difference(mine, theirs)
    if math.isnan(gap):
        return AucDifference(
            first, second, Estimate(gap, reason=ONE_CLASS), math.nan, patients.count
        )
    if error < 1e-12:
        p, between = float(abs(gap) < 1e-12), Estimate(gap, reason="the variance is zero")
    else:
        p, between = 2 * float(ndtr(-abs(gap) / error)), t_interval(gap, error)
    return AucDifference(first, second, between, p, patients.count)


def _summed(judged: Judged, clusters: Clusters) -> tuple[Estimate, Floats]:
    events = judged.target.values > 0.5
    found = area(events, judged.ranked_by, keys=fold_keys(judged), clusters=clusters)
    return auc_estimate(found, events, clusters), clusters.sums(found.influence)
