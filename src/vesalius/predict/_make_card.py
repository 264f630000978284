"""Make card: turn predictions of held-out cases into a report card."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from vesalius.predict._auc import ONE_CLASS, area, fold_keys
from vesalius.predict._card import Card, Curve, Estimate, Subgroup
from vesalius.predict._curves import agreement, binary_curves
from vesalius.predict._description import Description
from vesalius.predict._fairness import gap_remarks, other_subgroups, subgroups
from vesalius.predict._intervals import Clusters, clusters_of
from vesalius.predict._judged import Judged
from vesalius.predict._recalibrate import EDGE
from vesalius.predict._scores import binary_scores, class_scores, number_scores
from vesalius.predict._survival_scores import risk_groups, survival_scores
from vesalius.predict._table import Table
from vesalius.predict._threshold import words_of

_ENOUGH = 100
"""Events, and others, that a calibration curve of some precision needs."""


def make_card(
    judged: Judged, *, table: Table, description: Description, generator: torch.Generator
) -> Card:
    """Judge predictions of held-out cases.

    Patients are the unit everywhere: several predictions of one patient, be it images or
    repetitions, never make an interval narrower than that many patients would. Intervals of
    predictions by several trainings are widened for the cases that these share.

    Args:
        judged: The predictions and their truth.
        table: The cases that ``judged.cases`` counts.
        description: What the columns mean: ``group`` names patients, which are resampled whole;
            ``subgroups`` and ``site`` are compared.
        generator: For the bootstrap.

    Returns:
        The report card.
    """
    clusters = clusters_of(judged, table=table, description=description)
    if judged.target.kind == "binary":
        return _binary(judged, clusters, table, description, generator)
    if judged.target.kind == "classes":
        made = _classes(judged, clusters, generator)
    elif judged.target.kind == "number":
        made = _number(judged, clusters, generator)
    else:
        made = _survival(judged, clusters)
    parts = other_subgroups(judged, clusters, table=table, description=description)
    return replace(made, subgroups=parts)


def _binary(
    judged: Judged,
    clusters: Clusters,
    table: Table,
    description: Description,
    generator: torch.Generator,
) -> Card:
    events = judged.target.values > 0.5
    scores = binary_scores(judged, clusters, generator=generator)
    curves = binary_curves(judged, clusters, generator=generator)
    parts = subgroups(judged, clusters, table=table, description=description)
    threshold, rule = _threshold(judged)
    return Card(
        "binary",
        len(np.unique(judged.cases)),
        len(np.unique(judged.cases[events])),
        scores,
        curves,
        threshold,
        rule,
        _confusion(judged),
        judged.target.classes,
        parts,
        binary_remarks(judged, clusters, scores, curves, parts),
    )


def _threshold(judged: Judged) -> tuple[float, str]:
    t = judged.thresholds
    if not t.size:
        return math.nan, ""
    words = words_of(judged.rule)
    if np.ptp(t) > 1e-12:
        words += f", on the training cases of each fold ({t.min():.3g} to {t.max():.3g})"
    return float(np.median(t)), words


def _confusion(judged: Judged) -> tuple[tuple[int, ...], ...]:
    """Count predictions: all repetitions are counted."""
    truth = judged.target.values.astype(np.int64)
    if judged.target.kind == "binary":
        if not judged.thresholds.size:
            return ()
        named, k = (judged.scores[:, 0] >= judged.thresholds).astype(np.int64), 2
    else:
        named, k = judged.scores.argmax(axis=1), judged.scores.shape[1]
    counts = np.bincount(truth * k + named, minlength=k * k).reshape(k, k)
    return tuple(tuple(int(c) for c in row) for row in counts)


def _classes(judged: Judged, clusters: Clusters, generator: torch.Generator) -> Card:
    absent = np.setdiff1d(np.arange(len(judged.target.classes)), judged.target.values)
    remarks = tuple(
        f"The class {judged.target.classes[int(k)]!r} does not occur among the cases judged."
        for k in absent
    )
    return Card(
        "classes",
        len(np.unique(judged.cases)),
        0,
        class_scores(judged, clusters, generator=generator),
        confusion=_confusion(judged),
        classes=judged.target.classes,
        remarks=(*_common(judged, clusters), *remarks),
    )


def _number(judged: Judged, clusters: Clusters, generator: torch.Generator) -> Card:
    scores = number_scores(judged, clusters, generator=generator)
    remarks = list(_common(judged, clusters))
    if scores["r2"].value <= 0:
        remarks.append("The model predicts no better than the mean of the cases would (R2 <= 0).")
    bias = scores["bias"]
    if bias.low > 0 or bias.high < 0:
        side = "too high" if bias.value > 0 else "too low"
        remarks.append(f"Predictions are {side} by {abs(bias.value):.3g} on average.")
    curves = {"agreement": agreement(judged, clusters)}
    cases = len(np.unique(judged.cases))
    return Card("number", cases, 0, scores, curves, remarks=tuple(remarks))


def _survival(judged: Judged, clusters: Clusters) -> Card:
    scores = survival_scores(judged, clusters)
    seen = len(np.unique(judged.cases[judged.target.events]))
    cases = len(np.unique(judged.cases))
    groups = risk_groups(judged, clusters)
    remarks = (*_order(scores["concordance"]), *groups.remarks, *_common(judged, clusters))
    return Card("survival", cases, seen, scores, groups.curves, remarks=remarks)


def _order(found: Estimate) -> tuple[str, ...]:
    if found.high < 0.5:
        return (
            f"Those said to be at risk have the event later (concordance {found.value:.2f}): look "
            "for a risk of the wrong sign, or for an effect that is reversed here.",
        )
    if found.low <= 0.5:
        return (
            f"The order may be chance: the interval of the concordance ({found.low:.2f} to "
            f"{found.high:.2f}) holds 0.5.",
        )
    return ()


def _common(judged: Judged, clusters: Clusters) -> tuple[str, ...]:
    cases = len(np.unique(judged.cases))
    said = []
    if clusters.count < 30:
        said.append(
            f"With {clusters.count} patients the intervals are too narrow, wide as they are."
        )
    if clusters.count < cases:
        said.append(f"{cases} cases are of {clusters.count} patients; intervals are over patients.")
    return tuple(said)


def binary_remarks(
    judged: Judged,
    clusters: Clusters,
    scores: Mapping[str, Estimate],
    curves: Mapping[str, Curve],
    parts: tuple[Subgroup, ...],
) -> tuple[str, ...]:
    """Say in sentences what must be known before the figures are used.

    Args:
        judged: The predictions.
        clusters: Patients.
        scores: Of the card.
        curves: Of the card.
        parts: Subgroups.

    Returns:
        Sentences, the gravest first.
    """
    return (
        *_ranking(judged, clusters, scores["auc"]),
        *_probabilities(judged, clusters, scores),
        *_worth(judged, curves),
        *gap_remarks(parts),
        *_common(judged, clusters),
    )


def _ranking(judged: Judged, clusters: Clusters, auc: Estimate) -> tuple[str, ...]:
    events, by = judged.target.values > 0.5, judged.ranked_by
    if events.all() or not events.any():
        which = "has" if events.all() else "lacks"
        return (f"Every case judged {which} the event: nothing can be said of telling them apart.",)
    found = area(events, by, keys=fold_keys(judged), clusters=clusters)
    said = []
    if auc.reason == ONE_CLASS:
        return (
            "No fold holds cases of both classes, so that cases of one training can be ranked: "
            "take fewer folds.",
        )
    if found.constant:
        where = f"In {found.constant} of {found.folds} folds all" if found.folds > 1 else "All"
        said.append(f"{where} scores are equal: the model found nothing to tell cases by.")
    if auc.high < 0.5:
        said.append(
            f"Events score lower than others (AUC {auc.value:.2f}): look for swapped classes, or "
            "for an effect that is reversed here."
        )
    elif auc.low <= 0.5:
        said.append(
            f"The ranking may be chance: the interval of the AUC ({auc.low:.2f} to {auc.high:.2f}) "
            "holds 0.5."
        )
    if found.left_out:
        said.append(
            f"{found.left_out} of {found.folds + found.left_out} folds hold one class only and are "
            "not in the AUC."
        )
    return tuple(said)


def _probabilities(
    judged: Judged, clusters: Clusters, scores: Mapping[str, Estimate]
) -> tuple[str, ...]:
    events, p = judged.target.values > 0.5, judged.scores[:, 0]
    large, slope = scores["calibration_intercept"], scores["calibration_slope"]
    said = []
    if large.low > 0 or large.high < 0:
        side = "more" if large.value > 0 else "less"
        said.append(
            f"The event is {side} frequent ({100 * events.mean():.0f} %) than stated "
            f"({100 * p.mean():.0f} %): recalibrate before a probability is read as one."
        )
    if slope.high < 1:
        said.append(
            f"Probabilities are too extreme (calibration slope {slope.value:.2f}): the model is "
            "overfitted, or made for other patients; recalibrate."
        )
    elif slope.low > 1:
        said.append(f"Probabilities are not extreme enough (calibration slope {slope.value:.2f}).")
    if scores["brier_skill"].high < 0:
        said.append("Stating the share of events for everybody would be better (Brier skill < 0).")
    edge = int(((p < EDGE) | (p > 1 - EDGE)).sum())
    if edge:
        said.append(
            f"{edge} of {len(p)} probabilities are 0 or 1 to six digits; their logits were taken "
            f"at {EDGE:g} for the calibration."
        )
    fewest = min(len(np.unique(clusters.of[w])) for w in (events, ~events))
    if 0 < fewest < _ENOUGH:
        said.append(
            f"With {fewest} patients in the smaller class calibration is measured coarsely; "
            f"{_ENOUGH} are advised."
        )
    return tuple(said)


def _worth(judged: Judged, curves: Mapping[str, Curve]) -> tuple[str, ...]:
    if "net_benefit" not in curves or not judged.thresholds.size:
        return ()
    at = float(np.median(judged.thresholds))
    curve, everybody = curves["net_benefit"], curves["net_benefit_all"]
    mine = float(np.interp(at, curve.x, curve.y))
    other = max(float(np.interp(at, everybody.x, everybody.y)), 0.0)
    if mine >= other or not 0.01 <= at <= 0.99:
        return ()
    which = "everybody" if other > 0 else "nobody"
    return (
        f"At the threshold {at:.2f} to treat {which} would do more good than the model (net "
        f"benefit {other:.3f} against {mine:.3f}).",
    )
