"""Card charts: the pictures of a report card."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vesalius.predict import Card, Curve, Estimate, Subgroup, Validation
from vesalius.study._charts import COLOURS, INK, Bars, Chart, bars
from vesalius.study._curve_charts import Banded, Bar, curves, draw, forest, open_figure
from vesalius.study._figures import figure_png
from vesalius.study.predict._survival_chart import survival_chart

Floats = npt.NDArray[np.float64]
_UNIT = (-0.02, 1.02, -0.02, 1.02)
_DIAGONAL = np.array([0.0, 1.0])
MOST = 12
"""Features whose stability is drawn."""
AXES = {
    "auc": ("AUC of each part", "AUC", 0.5),
    "sensitivity": ("Sensitivity of each part", "sensitivity", math.nan),
    "specificity": ("Specificity of each part", "specificity", math.nan),
    "accuracy": ("Accuracy of each part", "accuracy", math.nan),
    "mae": ("Error of each part", "mean absolute error", math.nan),
    "bias": ("Bias of each part", "predicted less true", 0.0),
    "concordance": ("Concordance of each part", "C-index", 0.5),
}


def card_charts(found: Validation, *, time: str = "") -> tuple[Chart, ...]:
    """Draw everything that a validation has a curve for.

    Args:
        found: The validation.
        time: Column of times, for survival.

    Returns:
        The charts, the most important first.
    """
    card = found.card
    drawn: list[Chart] = []
    if "roc" in card.curves:
        drawn += [_roc(card), _precision_recall(card)]
    if card.kind == "binary" and "calibration_bins" in card.curves:
        drawn.append(_calibration(found))
    if "net_benefit" in card.curves:
        drawn.append(_decision(card))
    if "agreement" in card.curves:
        drawn.append(_agreement(found))
    drawn += survival_chart(card, time=time)
    for name in AXES:
        drawn += _forest(card, name)
    drawn += _fold_chart(found)
    if "learning" in card.curves:
        drawn.append(_learning(card.curves["learning"]))
    return (*drawn, *_stability(found.stability))


def _banded(name: str, of: Curve) -> Banded:
    return Banded(name, of.x, of.y, of.low, of.high)


def _said(score: Estimate) -> str:
    if math.isnan(score.low):
        return f"{score.value:.2f}"
    return f"{score.value:.2f} ({score.low:.2f} to {score.high:.2f})"


def _roc(card: Card) -> Chart:
    chance = Banded("", _DIAGONAL, _DIAGONAL, style="dashed")
    of = [_banded("", card.curves["roc"]), chance]
    at = card.scores.get("sensitivity"), card.scores.get("specificity")
    if at[0] and at[1] and math.isfinite(at[0].value) and math.isfinite(at[1].value):
        point = (np.array([1 - at[1].value]), np.array([at[0].value]))
        of.append(Banded("at the threshold", *point, style="dots"))
    note = f"area {_said(card.scores['auc'])}; the dashed line is chance"
    return curves("ROC", note, of, axes=("1 − specificity", "sensitivity"), limits=_UNIT)


def _precision_recall(card: Card) -> Chart:
    share = card.events / max(card.cases, 1)
    curve = card.curves["precision_recall"]
    stairs = np.repeat(np.concatenate([[0.0], curve.x]), 2)[1:-1]
    of = [
        Banded("", stairs, np.repeat(curve.y, 2)),
        Banded("", _DIAGONAL, np.array([share, share]), style="dashed"),
    ]
    note = (
        f"average precision {_said(card.scores['average_precision'])}; the dashed line, "
        f"{share:.2f}, is chance"
    )
    axes = ("sensitivity (recall)", "positive predictive value")
    return curves("Precision and recall", note, of, axes=axes, limits=_UNIT)


def _calibration(found: Validation) -> Chart:
    """Draw stated against observed above the histograms of both classes."""
    card = found.card
    figure, (top, below) = open_figure((4.6, 4.0), heights=(3.0, 1.0))
    points = card.curves["calibration_bins"]
    of = [Banded("", _DIAGONAL, _DIAGONAL, style="dashed")]
    smooth = card.curves.get("calibration")
    if smooth is not None:
        of.append(_banded("smoothed", smooth))
    else:
        of.append(Banded("", np.zeros(0), np.zeros(0)))
    of.append(Banded("bins", points.x, points.y, points.low, points.high, style="dots"))
    draw(top, of)
    top.set_ylim(-0.02, 1.02)
    top.set_ylabel("observed share")
    truth = found.held_out["truth"].to_numpy(dtype=np.float64) > 0.5
    score = found.held_out["score"].to_numpy(dtype=np.float64)
    edges = np.linspace(0, 1, 31)
    for which, sign, colour in ((truth, 1, COLOURS[0]), (~truth, -1, INK)):
        counts = np.histogram(score[which], edges)[0]
        below.bar(edges[:-1], sign * counts, np.diff(edges), align="edge", color=colour)
    below.axhline(0, color=INK, lw=0.6)
    below.set_yticks([])
    below.spines["left"].set_visible(False)
    below.set_xlim(-0.02, 1.02)
    below.set_xlabel("stated probability")
    slope, large = card.scores["calibration_slope"], card.scores["calibration_intercept"]
    note = (
        f"slope {_slope(slope)} (1 is right), intercept {_slope(large)} (0 is right); the dashed "
        "line is perfect. Below: how many were given each probability, with the event upwards, "
        "without it downwards"
    )
    return Chart("Calibration", note, figure_png(figure))


def _slope(score: Estimate) -> str:
    return (score.reason if math.isnan(score.value) else _said(score)).replace("-", "−")


def _decision(card: Card) -> Chart:
    mine, everybody = card.curves["net_benefit"], card.curves["net_benefit_all"]
    share = card.events / max(card.cases, 1)
    of = [
        _banded("the model", mine),
        Banded("treat all", everybody.x, everybody.y),
        Banded("treat none", mine.x, np.zeros_like(mine.x), style="dashed"),
    ]
    floor = -0.12 * max(share, 0.1)
    limits = (0.0, 1.0, floor, 1.25 * max(share, float(mine.y.max()), 0.05))
    note = "true positives a case, less false ones at the odds of the threshold; higher is better"
    return curves("Decision curve", note, of, axes=("threshold", "net benefit"), limits=limits)


def _agreement(found: Validation) -> Chart:
    truth = found.held_out["truth"].to_numpy(dtype=np.float64)
    score = found.held_out["score"].to_numpy(dtype=np.float64)
    ends = np.array([min(truth.min(), score.min()), max(truth.max(), score.max())])
    pad = 0.03 * max(float(np.ptp(ends)), 1e-12)
    figure, (ax,) = open_figure()
    ax.scatter(score, truth, s=8, color=INK, alpha=0.45, linewidths=0)
    points = found.card.curves["agreement"]
    binned = Banded("mean of a bin", points.x, points.y, points.low, points.high, style="dots")
    draw(ax, [Banded("", ends, ends, style="dashed"), binned])
    ax.set_xlim(ends[0] - pad, ends[1] + pad)
    ax.set_ylim(ends[0] - pad, ends[1] + pad)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    note = "each case, and means of bins with their intervals; the dashed line is perfect"
    return Chart("Agreement", note, figure_png(figure))


def _forest(card: Card, name: str) -> list[Chart]:
    known = [one for one in card.subgroups if name in one.scores]
    if not any(math.isfinite(one.scores[name].value) for one in known):
        return []
    title, axis, reference = AXES[name]
    whole = card.scores[name]
    rows = [Bar("all", whole.value, whole.low, whole.high, f"n = {card.cases}")]
    last = ""
    for one in known:
        if one.column != last:
            rows.append(Bar(one.column))
            last = one.column
        rows.append(_bar(one, one.scores[name]))
    note = "with intervals; a part without a mark has too few cases, see the table"
    return [forest(title, note, rows, axis=axis, reference=reference)]


def _bar(part: Subgroup, score: Estimate) -> Bar:
    value = part.value if len(part.value) < 22 else part.value[:20] + "…"
    return Bar(f"   {value}", score.value, score.low, score.high, f"n = {part.cases}")


def _fold_chart(found: Validation) -> list[Chart]:
    known = [fold for fold in found.folds if math.isfinite(fold.score)]
    if not 2 <= len(known) <= 30:
        return []
    rows = [Bar(_fold_name(f.repeat, f.fold, found), f.score, note=f"n = {f.test}") for f in known]
    what = {"binary": "AUC", "classes": "AUC", "number": "R²", "survival": "C-index"}
    axis = what[found.card.kind]
    note = "of its test cases; how far they scatter is how much one split would have said by chance"
    return [forest(f"{axis} of each training", note, rows, axis=axis)]


def _fold_name(repeat: int, fold: str, found: Validation) -> str:
    if any(one.repeat for one in found.folds):
        return f"{repeat + 1}: {fold}"
    return str(fold)


def _learning(of: Curve) -> Chart:
    low = float(min(of.low.min() if of.low.size else of.y.min(), 0.5))
    limits = (0.0, float(of.x.max()) * 1.05, low - 0.02, 1.02)
    note = "score on held-out cases against the number of training cases"
    axes = ("training cases", "score")
    return curves("Learning curve", note, [_banded("", of)], axes=axes, limits=limits)


def _stability(shares: Mapping[str, float]) -> list[Chart]:
    first = list(shares.items())[:MOST]
    if not first:
        return []
    rest = f", the first {MOST} of {len(shares)}" if len(shares) > MOST else ""
    note = f"share of the trainings in which a feature was used{rest}"
    values = np.array([share for _, share in first])
    names = [_short(name) for name, _ in first]
    of = [Bars("", values)]
    return [bars("Stability of the selection", note, names, of=of, axis="share of trainings")]


def _short(name: str) -> str:
    return name if len(name) < 24 else "…" + name[-22:]
