"""Inner score: how good the predictions of many settings are at once, greater is better."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vesalius.predict._table import Floats
from vesalius.predict._target import Target

Score = Literal["auc", "log_loss", "brier", "r2", "mae", "concordance", "accuracy"]

FITTING: dict[str, tuple[Score, ...]] = {
    "binary": ("log_loss", "auc", "brier", "accuracy"),
    "classes": ("log_loss", "auc", "brier", "accuracy"),
    "number": ("r2", "mae"),
    "survival": ("concordance",),
}
"""Scores of each kind of outcome; the first is taken where none is named: a setting chosen by AUC
may rank well and state probabilities that mean nothing."""


def inner_scores(predicted: Floats, target: Target, score: Score) -> Floats:
    """Score the predictions of several settings for the same cases.

    Args:
        predicted: (settings, cases, outputs).
        target: What came.
        score: One that fits the kind of outcome.

    Returns:
        (settings,), losses with their sign turned; NaN where the score is not defined, as AUC is
        for cases of one class.
    """
    truth = target.values
    if target.kind == "survival":
        return _concordance(predicted[..., 0], truth, target.events)
    if target.kind == "number":
        miss = predicted[..., 0] - truth
        if score == "mae":
            return np.asarray(-np.abs(miss).mean(axis=1))
        spread = np.square(truth - truth.mean()).sum()
        share = np.square(miss).sum(axis=1) / spread if spread else np.full(len(miss), np.nan)
        return np.asarray(1 - share)
    if target.kind == "binary":
        predicted = np.concatenate([1 - predicted, predicted], axis=2)
    return _of_classes(predicted, truth.astype(np.int64), score)


def _of_classes(predicted: Floats, truth: NDArray[np.int64], score: Score) -> Floats:
    hot = np.eye(predicted.shape[2])[truth]
    if score == "accuracy":
        return np.asarray((predicted.argmax(axis=2) == truth).mean(axis=1))
    if score == "brier":
        return np.asarray(-np.square(predicted - hot).sum(axis=2).mean(axis=1))
    if score == "log_loss":
        own = np.clip((predicted * hot).sum(axis=2), 1e-15, 1.0)
        return np.asarray(np.log(own).mean(axis=1))
    each = [_auc(predicted[..., k], truth == k) for k in range(predicted.shape[2])]
    defined = [one for one in each if not np.isnan(one).any()]
    # of two classes both have the same AUC
    return np.mean(defined, axis=0) if defined else np.full(len(predicted), np.nan)


def _auc(risk: Floats, event: NDArray[np.bool_]) -> Floats:
    from scipy.stats import rankdata

    positive = int(event.sum())
    negative = event.size - positive
    if not positive or not negative:
        return np.full(len(risk), np.nan)
    ranks = rankdata(risk, axis=1)[:, event].sum(axis=1)
    return np.asarray((ranks - positive * (positive + 1) / 2) / (positive * negative))


def _concordance(risk: Floats, time: Floats, event: NDArray[np.bool_]) -> Floats:
    """Give Harrell's concordance (1982), doi:10.1001/jama.1982.03320430047030."""
    first, later = np.nonzero(
        event[:, None] & ((time[:, None] < time) | ((time[:, None] == time) & ~event))
    )
    if not first.size:
        return np.full(len(risk), np.nan)
    each = [np.sign(one[first] - one[later]).mean() for one in risk]
    return (np.asarray(each) + 1) / 2
