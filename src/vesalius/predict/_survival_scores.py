"""Survival scores: whether those who are said to be at risk have their event earlier."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np

from vesalius.predict._auc import fold_keys
from vesalius.predict._card import Estimate
from vesalius.predict._intervals import Clusters, t_interval
from vesalius.predict._judged import Judged
from vesalius.predict._table import Floats
from vesalius.predict._target import Bools


def survival_scores(judged: Judged, clusters: Clusters) -> dict[str, Estimate]:
    """Measure how well a risk orders times to an event.

    Args:
        judged: The predictions.
        clusters: Patients.

    Returns:
        ``concordance`` within folds, pairs of all folds together.
    """
    keys, total, gained = fold_keys(judged), 0.0, 0.0
    pulls, pairs = np.zeros(len(keys)), np.zeros(len(keys))
    for key in np.unique(keys):
        rows = np.flatnonzero(keys == key)
        won, held = _pairs(
            judged.target.values[rows], judged.target.events[rows], judged.scores[rows, 0]
        )
        pulls[rows], pairs[rows] = won, held
        total, gained = total + held.sum() / 2, gained + won.sum() / 2
    if not total:
        reason = "no pair of a fold can be ordered: one must have its event before the other's time"
        return {"concordance": Estimate(math.nan, reason=reason)}
    value = gained / total
    influence = clusters.sums((pulls - value * pairs) / total)
    error = math.sqrt(clusters.widen * float(np.square(influence).sum()))
    if error < 1e-9 or not 0 < value < 1:
        return {"concordance": Estimate(value, reason="no interval: the variance is zero")}
    return {"concordance": t_interval(value, error, freedom=clusters.count - 1.0, logit=True)}


def _pairs(times: Floats, events: Bools, risks: Floats) -> tuple[Floats, Floats]:
    """Count for each case the pairs that can be ordered, and how many of them are in order.

    References:
        Harrell et al. (1996), doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4.
    """
    first = events[:, None] & (
        (times[:, None] < times[None]) | ((times[:, None] == times[None]) & ~events[None])
    )
    right = np.where(risks[:, None] == risks[None], 0.5, risks[:, None] > risks[None]) * first
    return right.sum(axis=0) + right.sum(axis=1), (first.sum(axis=0) + first.sum(axis=1)) * 1.0
