"""Curves: what a report card draws, with bands over patients."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import torch

from vesalius.ops._roc import precision_recall
from vesalius.predict._auc import fold_keys
from vesalius.predict._card import Curve
from vesalius.predict._intervals import COVERAGE, Clusters, bootstrap, wilson
from vesalius.predict._judged import Ints, Judged
from vesalius.predict._recalibrate import calibration_curve
from vesalius.predict._table import Floats
from vesalius.predict._target import Bools

_Z = 1.959963984540054
ROC_DRAWS = 400
_GRID = 101
_LARGEST = 20_000
"""Predictions beyond which the ROC curve has no band: it would be thinner than the line."""


def binary_curves(
    judged: Judged, clusters: Clusters, *, generator: torch.Generator
) -> dict[str, Curve]:
    """Draw predictions of two classes.

    Args:
        judged: The predictions.
        clusters: Patients.
        generator: For the band of the ROC curve.

    Returns:
        The curves by name; without those that need two classes where there is one.
    """
    events, p = judged.target.values > 0.5, judged.scores[:, 0]
    found = {"calibration_bins": calibration_bins(events, p, clusters)}
    if events.all() or not events.any():
        return found
    found["roc"] = roc_curve(judged, clusters, generator=generator)
    pr = precision_recall(torch.from_numpy(judged.ranked_by), torch.from_numpy(events))
    found["precision_recall"] = Curve(pr.recall.numpy(), pr.precision.numpy())
    smooth = calibration_curve(events, p, clusters=clusters)
    if smooth.x.size:
        found["calibration"] = smooth
    return found | decision_curves(events, p, clusters)


def roc_curve(judged: Judged, clusters: Clusters, *, generator: torch.Generator) -> Curve:
    """Average the ROC curves of the folds, at equal shares of false alarms.

    Folds count by their pairs, as for the AUC, which is the area under this curve up to the width
    of its grid. The band is pointwise, of draws of patients.

    Args:
        judged: The predictions.
        clusters: Patients.
        generator: For the band.

    Returns:
        The curve at 101 shares of false alarms, each but the last joined to the next; empty where
        no fold holds both classes.

    References:
        Fawcett (2006), doi:10.1016/j.patrec.2005.10.010, sec. 7 (vertical averaging).
    """
    events, keys = judged.target.values > 0.5, fold_keys(judged)
    x = np.linspace(0.0, 1.0, _GRID)
    draws = bootstrap(clusters, events.astype(np.int64), generator=generator, draws=ROC_DRAWS)
    count = len(draws.weights) if len(events) <= _LARGEST else 0
    weights = np.concatenate([np.ones((1, clusters.count)), draws.weights[:count]])
    total = np.zeros(len(weights))
    heights = np.zeros((len(weights), _GRID))
    for key in np.unique(keys):
        rows = np.flatnonzero(keys == key)
        given = (events[rows], judged.ranked_by[rows], weights[:, clusters.of[rows]])
        pairs, curve = _weighted_roc(*given, x)
        total += pairs
        heights += pairs[:, None] * curve
    if not total[0]:
        return Curve(np.zeros(0), np.zeros(0))
    known = heights[total > 0] / total[total > 0][:, None]
    if not count:
        return Curve(x, known[0])
    spread = draws.stretched(known[0], known[1:]).clip(0.0, 1.0)
    low, high = np.quantile(spread, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2), axis=0)
    return Curve(x, known[0], low, high)


def _weighted_roc(
    events: Bools, scores: Floats, weights: Floats, x: Floats
) -> tuple[Floats, Floats]:
    """Give the pairs and the curve (draws, x) of each weighting (draws, rows) of one fold."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    yes = np.cumsum(weights[:, order] * events[order], axis=1)[:, ends]
    no = np.cumsum(weights[:, order] * ~events[order], axis=1)[:, ends]
    pairs = yes[:, -1] * no[:, -1]
    curve = np.zeros((len(weights), len(x)))
    for k in np.flatnonzero(pairs):
        false = np.concatenate([[0.0], no[k] / no[k, -1]])
        curve[k] = np.interp(x, false, np.concatenate([[0.0], yes[k] / yes[k, -1]]))
    return pairs, curve


def calibration_bins(events: Bools, probability: Floats, clusters: Clusters) -> Curve:
    """Compare mean stated probability and observed share in bins of equal count.

    Args:
        events: (rows,).
        probability: (rows,) stated.
        clusters: Patients.

    Returns:
        Up to ten bins, none of fewer than 15 patients where there are 30, with Wilson's intervals;
        equal scores are never parted.
    """
    wanted = int(np.clip(clusters.count // 15, 2, 10))
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, wanted + 1)[1:-1]))
    place = np.searchsorted(edges, probability, side="left")
    x, y, low, high = [], [], [], []
    for k in np.unique(place):
        own = place == k
        observed = float(events[own].mean())
        ends = wilson(observed, len(np.unique(clusters.of[own])) / clusters.widen)
        x.append(float(probability[own].mean()))
        y.append(observed)
        low.append(ends[0])
        high.append(ends[1])
    return Curve(np.array(x), np.array(y), np.array(low), np.array(high))


def decision_curves(events: Bools, probability: Floats, clusters: Clusters) -> dict[str, Curve]:
    """Weigh true against false alarms at the odds of each threshold.

    Args:
        events: (rows,).
        probability: (rows,) stated.
        clusters: Patients.

    Returns:
        ``net_benefit`` with a pointwise band, and ``net_benefit_all`` of treating everybody; to
        treat nobody has no benefit.

    References:
        Vickers and Elkin (2006), doi:10.1177/0272989X06295361, eq. (1).
    """
    t = np.arange(1, 100) / 100
    odds = t / (1 - t)
    y, total = events.astype(np.float64)[:, None], float(len(events))
    worth = y - (1 - y) * odds
    own = worth * (probability[:, None] >= t)
    benefit = own.mean(axis=0)
    spread = clusters.sums((own - benefit) / total)
    factor = clusters.widen * clusters.count / max(clusters.count - 1, 1)
    error = np.sqrt(np.square(spread).sum(axis=0) * factor)
    return {
        "net_benefit": Curve(t, benefit, benefit - _Z * error, benefit + _Z * error),
        "net_benefit_all": Curve(t, worth.mean(axis=0)),
    }


def agreement(judged: Judged, clusters: Clusters) -> Curve:
    """Compare the mean of a predicted number with the mean of the true one, in bins of equal count.

    Args:
        judged: The predictions.
        clusters: Patients.

    Returns:
        Predicted against true, with intervals by Student's t over the predictions of a bin.
    """
    from scipy.special import stdtrit

    predicted, truth = judged.scores[:, 0], judged.target.values
    wanted = int(np.clip(clusters.count // 15, 2, 10))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, wanted + 1)[1:-1]))
    place: Ints = np.searchsorted(edges, predicted, side="left").astype(np.int64)
    found = []
    for k in np.unique(place):
        own = truth[place == k]
        n = len(np.unique(clusters.of[place == k]))
        spread = own.std(ddof=1) if n > 1 else np.nan
        half = float(stdtrit(max(n - 1, 1), 0.975) * spread * np.sqrt(clusters.widen / n))
        middle = float(own.mean())
        found.append((float(predicted[place == k].mean()), middle, middle - half, middle + half))
    x, y, low, high = np.array(found).T
    return Curve(x, y, low, high)
