"""Compare cards: two models on the same cases, in pairs: by rank, probability and decision."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from vesalius.predict._auc import AucDifference, difference_of_auc
from vesalius.predict._card import Estimate
from vesalius.predict._description import Description
from vesalius.predict._intervals import Clusters, clusters_of, difference, t_interval
from vesalius.predict._judged import Judged
from vesalius.predict._scores import log_losses
from vesalius.predict._table import Floats, Table


@final
@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Two models on the same cases; every difference is the first less the second.

    Attributes:
        auc: Of the ranking.
        differences: ``brier``, ``log_loss`` (below 0 the first is better), and ``net_benefit`` at
            the threshold of the decision where both have one and the same (above 0 it is).
        p_values: By the same names: chance of a difference as large where there is none.
    """

    auc: AucDifference
    differences: Mapping[str, Estimate]
    p_values: Mapping[str, float]


def compare_cards(one: Judged, other: Judged, *, table: Table, description: Description) -> Contest:
    """Compare two models of two classes on the same cases, in pairs.

    Such as a model with radiomics beside one without, or before and after a harmonisation. Folds
    and repetitions may differ; what a patient contributes is averaged over the repetitions.

    Args:
        one: Predictions of one model.
        other: Of the other, of the same cases.
        table: The cases.
        description: ``group`` names the patients.

    Returns:
        The differences with intervals over patients.

    Raises:
        ConfigError: The outcomes are not of two classes, or the cases are not the same.

    References:
        Vickers and Elkin (2006), doi:10.1177/0272989X06295361, for the net benefit.
    """
    auc = difference_of_auc(one, other, table=table, description=description)
    patients = [clusters_of(j, table=table, description=description) for j in (one, other)]
    found: dict[str, Estimate] = {}
    chance: dict[str, float] = {}
    for name in _names(one, other):
        parts = [_mean(_each(name, j), c) for j, c in zip((one, other), patients, strict=True)]
        gap = parts[0][0] - parts[1][0]
        error = difference(parts[0][1], parts[1][1])
        found[name], chance[name] = _judge(gap, error, patients[0].count)
    return Contest(auc, found, chance)


def _names(one: Judged, other: Judged) -> tuple[str, ...]:
    levels = np.unique(np.concatenate([one.thresholds, other.thresholds]))
    same = bool(one.thresholds.size and other.thresholds.size and len(levels) == 1)
    usable = same and 0 < levels[0] < 1
    return ("brier", "log_loss", *(("net_benefit",) if usable else ()))


def _each(name: str, judged: Judged) -> Floats:
    """Give what each prediction contributes to the mean."""
    events, p = judged.target.values > 0.5, judged.scores[:, 0]
    if name == "brier":
        return np.asarray(np.square(p - events), dtype=np.float64)
    if name == "log_loss":
        return log_losses(events, p)
    t = judged.thresholds
    worth = np.where(events, 1.0, -t / (1 - t))
    return np.asarray(worth * (p >= t), dtype=np.float64)


def _mean(values: Floats, clusters: Clusters) -> tuple[float, Floats]:
    mean = float(values.mean())
    pulls = clusters.sums((values - mean) / len(values)) * math.sqrt(clusters.widen)
    return mean, pulls


def _judge(gap: float, error: float, patients: int) -> tuple[Estimate, float]:
    from scipy.special import stdtr

    if error < 1e-12:
        return Estimate(gap, reason="the variance is zero"), float(abs(gap) < 1e-12)
    freedom = max(patients - 1.0, 1.0)
    return t_interval(gap, error, freedom=freedom), 2 * float(stdtr(freedom, -abs(gap) / error))
