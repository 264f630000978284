"""Scores: the figures of a report card with their intervals, for each kind of outcome."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch

from vesalius.ops._calibration import reliability
from vesalius.predict._auc import Area, area, auc_estimate, fold_keys
from vesalius.predict._card import Estimate
from vesalius.predict._intervals import Bootstrap, Clusters, bootstrap, percentile, share
from vesalius.predict._judged import Ints, Judged
from vesalius.predict._recalibrate import calibration
from vesalius.predict._table import Floats
from vesalius.predict._target import Bools

NO_THRESHOLD = "no threshold was chosen"
ONE_CLASS = "one class only"
NO_EVENT, NO_OTHER = "no case with the event", "no case without the event"
AT_THRESHOLD = (
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "mcc",
)
ECE_BINS = 10
EVERYTHING = (-math.inf, math.inf)
WITHIN: Mapping[str, tuple[float, float]] = {
    "brier": (0.0, 1.0),
    "brier_skill": (-math.inf, 1.0),
    "log_loss": (0.0, math.inf),
    "balanced_accuracy": (0.0, 1.0),
    "f1": (0.0, 1.0),
    "mcc": (-1.0, 1.0),
    "r2": (-math.inf, 1.0),
    "mae": (0.0, math.inf),
    "rmse": (0.0, math.inf),
}
"""Smallest and largest value that a figure can have."""
_ROOM = 2_000_000
"""Weights that are worked on at a time."""
_TINY = float(np.finfo(np.float64).eps)


def binary_scores(
    judged: Judged, clusters: Clusters, *, generator: torch.Generator
) -> dict[str, Estimate]:
    """Measure predictions of two classes.

    Args:
        judged: The predictions.
        clusters: Patients.
        generator: For the bootstrap.

    Returns:
        The figures by name; see :class:`vesalius.predict.Card`.
    """
    events, p = judged.target.values > 0.5, judged.scores[:, 0]
    found: dict[str, Estimate] = {}
    ranked = area(events, judged.ranked_by, keys=fold_keys(judged), clusters=clusters)
    found["auc"] = auc_estimate(ranked, events, clusters)
    drawn = bootstrap(clusters, _of_all(judged), generator=generator)
    found["average_precision"] = _average_precision(judged, clusters, drawn)
    losses = np.column_stack([np.square(p - events), log_losses(events, p), events, ~events])
    found |= _from_sums(losses.astype(np.float64), clusters, drawn, _LOSSES)
    if events.all() or not events.any():
        found["brier_skill"] = Estimate(math.nan, reason=ONE_CLASS)
    found["ece"] = _ece(events, p)
    found["calibration_intercept"], found["calibration_slope"] = calibration(
        events, p, clusters=clusters
    )
    return found | decision_scores(judged, clusters, drawn)


def _of_all(judged: Judged) -> Ints:
    """One stratum: losses vary with the share of events too, which a table has but by chance."""
    return np.zeros(len(judged.cases), dtype=np.int64)


def decision_scores(judged: Judged, clusters: Clusters, drawn: Bootstrap) -> dict[str, Estimate]:
    """Measure decisions at the threshold.

    Args:
        judged: The predictions, with thresholds or without.
        clusters: Patients.
        drawn: Draws of them.

    Returns:
        The figures by name; NaN with a reason where no threshold was chosen.
    """
    if not judged.thresholds.size:
        return dict.fromkeys(AT_THRESHOLD, Estimate(math.nan, reason=NO_THRESHOLD))
    y = (judged.target.values > 0.5).astype(np.float64)
    called = (judged.scores[:, 0] >= judged.thresholds).astype(np.float64)
    right = (y == called).astype(np.float64)
    found = {
        "sensitivity": share(called, y, clusters, nothing=NO_EVENT),
        "specificity": share(1 - called, 1 - y, clusters, nothing=NO_OTHER),
        "ppv": share(y, called, clusters, nothing="no case was called an event"),
        "npv": share(1 - y, 1 - called, clusters, nothing="every case was called an event"),
        "accuracy": share(right, np.ones_like(y), clusters, nothing=NO_EVENT),
    }
    counts = np.stack([y * called, (1 - y) * called, y * (1 - called), (1 - y) * (1 - called)], 1)
    return found | _from_sums(counts, clusters, drawn, _COUNTS)


def log_losses(events: Bools, probability: Floats) -> Floats:
    """Give minus the log of the probability of what happened; of nothing below 2.2e-16."""
    own = np.where(events, probability, 1 - probability)
    return np.asarray(-np.log(np.clip(own, _TINY, 1.0)), dtype=np.float64)


Formula = Callable[[Floats], Floats]
"""From sums (draws, columns) to a figure (draws,)."""


def _from_sums(
    columns: Floats, clusters: Clusters, drawn: Bootstrap, formulas: Mapping[str, Formula]
) -> dict[str, Estimate]:
    """Make figures of sums over rows, and their intervals of sums over drawn patients."""
    sums = clusters.sums(columns)
    whole, draws = sums.sum(axis=0)[None], drawn.weights @ sums
    found = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, formula in formulas.items():
            value = float(formula(whole)[0])
            spread = drawn.stretched(value, formula(draws))
            found[name] = percentile(value, spread, within=WITHIN.get(name, EVERYTHING))
            if not math.isfinite(value):
                found[name] = Estimate(math.nan, reason="a class or a decision does not occur")
    return found


def _skill(s: Floats) -> Floats:
    n = s[:, 2] + s[:, 3]
    return 1 - s[:, 0] * n / (s[:, 2] * s[:, 3])


_LOSSES: Mapping[str, Formula] = {
    "brier": lambda s: s[:, 0] / (s[:, 2] + s[:, 3]),
    "brier_skill": _skill,
    "log_loss": lambda s: s[:, 1] / (s[:, 2] + s[:, 3]),
}


def _mcc(s: Floats) -> Floats:
    tp, fp, fn, tn = s.T
    below = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.where(below > 0, (tp * tn - fp * fn) / np.where(below > 0, below, 1.0), 0.0)


_COUNTS: Mapping[str, Formula] = {
    "balanced_accuracy": lambda s: (
        (s[:, 0] / (s[:, 0] + s[:, 2]) + s[:, 3] / (s[:, 1] + s[:, 3])) / 2
    ),
    "f1": lambda s: 2 * s[:, 0] / (2 * s[:, 0] + s[:, 1] + s[:, 2]),
    "mcc": _mcc,
}


def _ece(events: Bools, probability: Floats) -> Estimate:
    p = torch.from_numpy(np.clip(probability, 0, 1))
    value = reliability(p, torch.from_numpy(events), bins=ECE_BINS).ece
    return Estimate(
        value, reason="no interval: draws of a binned error lie above it; see the curve's band"
    )


def _average_precision(judged: Judged, clusters: Clusters, drawn: Bootstrap) -> Estimate:
    """Average over the repetitions; predictions of all folds of one are pooled."""
    events = judged.target.values > 0.5
    if not events.any():
        return Estimate(math.nan, reason=NO_EVENT)
    values, draws = [], []
    ones = np.ones((1, clusters.count))
    for repeat in np.unique(judged.repeats):
        rows = np.flatnonzero(judged.repeats == repeat)
        given = (events[rows], judged.ranked_by[rows], clusters.of[rows])
        if not given[0].any():
            continue
        values.append(float(weighted_average_precision(*given, ones)[0]))
        chunks = np.array_split(drawn.weights, 1 + drawn.weights.size // _ROOM)
        draws.append(np.concatenate([weighted_average_precision(*given, c) for c in chunks]))
    value = float(np.mean(values))
    return percentile(value, drawn.stretched(value, np.mean(draws, axis=0)), within=(0.0, 1.0))


def weighted_average_precision(
    events: Bools, scores: Floats, patients: Ints, weights: Floats
) -> Floats:
    """Average the precision over the recall, for many weightings of the patients at once.

    Args:
        events: (rows,).
        scores: (rows,).
        patients: (rows,) column of ``weights`` of each.
        weights: (draws, patients).

    Returns:
        (draws,); NaN where no event was drawn. With weights of one it is
        ``ops.average_precision``.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    own = weights[:, patients[order]]
    yes = np.cumsum(own * events[order], axis=1)[:, ends]
    called = np.cumsum(own, axis=1)[:, ends]
    gained = np.diff(yes, axis=1, prepend=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(called > 0, yes / called, 0.0)
        return np.asarray((gained * precision).sum(axis=1) / yes[:, -1], dtype=np.float64)


def class_scores(
    judged: Judged, clusters: Clusters, *, generator: torch.Generator
) -> dict[str, Estimate]:
    """Measure predictions of several classes.

    Args:
        judged: The predictions.
        clusters: Patients.
        generator: For the bootstrap.

    Returns:
        The figures by name; the AUC is the mean over classes of one against the rest.
    """
    truth = judged.target.values.astype(np.int64)
    p, rows = judged.scores, np.arange(len(truth))
    named = p.argmax(axis=1)
    right = (named == truth).astype(np.float64)
    drawn = bootstrap(clusters, _of_all(judged), generator=generator)
    hot = np.eye(p.shape[1])[truth]
    columns = np.column_stack(
        [-np.log(np.clip(p[rows, truth], _TINY, 1.0)), hot * right[:, None], hot]
    )
    k = p.shape[1]
    formulas: dict[str, Formula] = {
        "balanced_accuracy": lambda s: np.nanmean(s[:, 1 : k + 1] / s[:, k + 1 :], axis=1),
        "log_loss": lambda s: s[:, 0] / s[:, k + 1 :].sum(axis=1),
    }
    found = {"auc": _mean_auc(judged, clusters)}
    found["accuracy"] = share(right, np.ones_like(right), clusters, nothing="no case")
    return found | _from_sums(columns, clusters, drawn, formulas)


def _mean_auc(judged: Judged, clusters: Clusters) -> Estimate:
    truth, keys = judged.target.values.astype(np.int64), fold_keys(judged)
    parts: list[Area] = []
    for k in range(judged.scores.shape[1]):
        found = area(truth == k, judged.scores[:, k], keys=keys, clusters=clusters)
        if math.isnan(found.value):
            reason = f"no fold holds the class {judged.target.classes[k]!r} and another"
            return Estimate(math.nan, reason=reason)
        parts.append(found)
    value = float(np.mean([one.value for one in parts]))
    influence = np.mean([one.influence for one in parts], axis=0)
    smallest = min(min(one.events, one.others) for one in parts)
    whole = Area(value, influence, smallest, smallest, parts[0].folds, 0, 0)
    return auc_estimate(whole, truth == np.bincount(truth).argmax(), clusters)


_NUMBERS: Mapping[str, Formula] = {
    "r2": lambda s: 1 - s[:, 1] / (s[:, 4] - np.square(s[:, 3]) / s[:, 5]),
    "mae": lambda s: s[:, 2] / s[:, 5],
    "rmse": lambda s: np.sqrt(s[:, 1] / s[:, 5]),
    "bias": lambda s: s[:, 0] / s[:, 5],
}


def number_scores(
    judged: Judged, clusters: Clusters, *, generator: torch.Generator
) -> dict[str, Estimate]:
    """Measure predictions of a number.

    Args:
        judged: The predictions.
        clusters: Patients.
        generator: For the bootstrap.

    Returns:
        The figures by name; the bias is predicted less true, R2 is against the mean of the cases
        judged.
    """
    truth, e = judged.target.values, judged.scores[:, 0] - judged.target.values
    y = truth - truth.mean()  # for the digits of the sum of squares
    columns = np.column_stack([e, e**2, np.abs(e), y, y**2, np.ones_like(y)])
    drawn = bootstrap(clusters, _of_all(judged), generator=generator)
    found = _from_sums(columns, clusters, drawn, _NUMBERS)
    if np.ptp(truth) == 0:
        found["r2"] = Estimate(math.nan, reason="every case has the same true value")
    return found
