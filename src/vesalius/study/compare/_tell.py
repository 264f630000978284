"""Tell: the page and the table of a finished comparison."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from vesalius.core import Image, Labels
from vesalius.measure._compare import MEAN
from vesalius.measure.evaluate import (
    Comparison,
    Contest,
    ObjectComparison,
    Summary,
    pool_objects,
)
from vesalius.study._charts import Chart, Line, lines
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study._views import Outline, View, Window, outline, overview
from vesalius.study.compare._job import Job

TITLES = Titles(
    findings="Before you use the scores",
    views="Where they differ",
    views_note="White: they differ; grey: they agree. Outlines of all labels together: blue is the "
    "truth, red the prediction",
    charts="Scores",
    rows="Against the truth",
)

WORDS = {
    "dice": "Dice",
    "iou": "IoU",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "pred_mm3": "Predicted, mm³",
    "truth_mm3": "True, mm³",
    "volume_error_mm3": "Volume error, mm³",
    "volume_error": "Volume error",
    "hausdorff_mm": "Hausdorff, mm",
    "hd95_mm": "HD95, mm",
    "hd95_directed_mm": "HD95 directed, mm",
    "assd_mm": "ASSD, mm",
    "nsd": "Surface Dice",
    "nsd_area": "Surface Dice by area",
    "cldice": "clDice",
    "boundary_iou": "Boundary IoU",
    "mean_ap": "AP, mean of 0.5 to 0.95",
    "pred_objects": "Objects predicted",
    "truth_objects": "True objects",
    "rand_error": "Adapted Rand error",
    "rand_precision": "Rand precision",
    "rand_recall": "Rand recall",
    "split_bits": "Split, bits",
    "merge_bits": "Merge, bits",
}

SHORT = ("dice", "iou", "sensitivity", "precision", "volume_error", "hd95_mm", "assd_mm", "nsd")
EXTRA = ("nsd_area", "cldice", "boundary_iou")
MAIN = ("dice", "nsd", "hd95_mm", "volume_error")
OBJECT_MAIN = ("AP@0.5", "AP@0.75", "F1@0.5", "mean_ap", "rand_error")
OBJECT_SHORT = ("AP@0.5", "AP@0.75", "F1@0.5", "PQ@0.5", "mean_ap", "rand_error")


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What is told of a comparison.

    Attributes:
        job: What was asked for.
        cases: Scores by name of the case.
        summary: Over the cases.
        contests: Against another run.
        remarks: What must be known first.
        errors: Cases that failed.
        worst: Name, prediction and truth of the case with the lowest mean score.
        record: Of the run, JSON types.
    """

    job: Job
    cases: Mapping[str, Comparison | ObjectComparison]
    summary: tuple[Summary, ...]
    contests: tuple[Contest, ...]
    remarks: tuple[str, ...]
    errors: tuple[str, ...]
    worst: tuple[str, Labels, Labels]
    record: Mapping[str, object]


def table_of(told: Told) -> tuple[tuple[str, ...], ...]:
    """Give the main table, names of the columns first.

    Args:
        told: The comparison.

    Returns:
        For one case a row for each label, or for each threshold; for several a row for each label
        and score with its interval.
    """
    scores = tuple(told.cases.values())
    if len(scores) > 1:
        return _summary_rows(told)
    (only,) = scores
    if isinstance(only, ObjectComparison):
        return _threshold_rows(only)
    kept = [s for s in (*SHORT, *EXTRA) if s in only.scores]
    head = ("Label", *(WORDS[s] for s in kept))
    rows = [(r.name, *(number(getattr(r, s), s) for s in kept)) for r in only.labels]
    mean = (MEAN, *(number(only.mean(s), s) for s in kept))
    return (head, *rows, mean) if len(rows) > 1 else (head, *rows)


def number(value: float, score: str = "") -> str:
    """Write a figure for people: three decimals, lengths two, a share of volume in percent."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    if score == "volume_error":
        return f"{100 * value:+.1f} %".replace("-", "−")
    if score.endswith("_mm3"):
        return f"{value:.4g}".replace("-", "−")
    if score.endswith("objects"):
        return f"{value:.4g}"
    return f"{value:.2f}" if score.endswith("_mm") else f"{value:.3f}".replace("-", "−")


def page_of(told: Told) -> Page:
    """Make the page.

    Args:
        told: The comparison.

    Returns:
        The page.
    """
    head, *rows = table_of(told)
    name, pred, truth = told.worst
    return Page(
        Heading("Labels against the truth", _lead(told)),
        errors=told.errors,
        findings=(*told.remarks, *_findings(told)),
        facts=_facts(told),
        views=_views(_renumbered(pred, told), truth),
        charts=_charts(told),
        columns=head,
        rows=tuple(rows),
        rows_note=_note(told),
        tables=_tables(told),
        methods=(_methods(told.job, len(told.cases)),),
        provenance=told.record,
        titles=Titles(
            findings=TITLES.findings,
            views=TITLES.views if len(told.cases) == 1 else f"Where the worst case differs: {name}",
            views_note=TITLES.views_note,
            charts=TITLES.charts,
            rows=TITLES.rows,
        ),
    )


def _lead(told: Told) -> str:
    n = len(told.cases)
    what = "objects" if told.job.objects else "labels"
    many = f"The {what} of {n} cases were" if n > 1 else f"The {what} of one case were"
    return f"{many} scored against the truth. Cases count alike, whatever their size."


def _findings(told: Told) -> tuple[str, ...]:
    missed = [s for s in told.summary if s.infinite and s.score == "hd95_mm" and s.label != MEAN]
    found = [
        f"{s.label}: in {s.infinite} of {len(told.cases)} cases it is in the prediction or the "
        "truth only. Overlaps are 0 there; distances are infinite and in no mean."
        for s in missed
    ]
    if 1 < len(told.cases) < 10:
        found.append(f"With {len(told.cases)} cases the intervals are too narrow.")
    return tuple(found)


def _facts(told: Told) -> tuple[tuple[str, str], ...]:
    facts = [("Cases", str(len(told.cases)))]
    if not told.job.objects:
        return (*facts, ("Tolerance of the surface Dice", f"{told.job.tau_mm:g} mm"))
    objects = [c for c in told.cases.values() if isinstance(c, ObjectComparison)]
    facts.append(("True objects", str(sum(c.truth_objects for c in objects))))
    facts.append(("Objects predicted", str(sum(c.pred_objects for c in objects))))
    pooled = pool_objects(tuple(objects))
    facts.append(("AP@0.5, all objects alike", f"{pooled[0].average_precision:.3f}"))
    return tuple(facts)


def _renumbered(pred: Labels, told: Told) -> Labels:
    """Give each predicted object the number of the true one it was matched with, others -1."""
    scores = told.cases[told.worst[0]]
    if not isinstance(scores, ObjectComparison):
        return pred
    values, place = np.unique(pred.data.cpu().numpy(), return_inverse=True)
    numbers = torch.where(torch.from_numpy(values.astype(np.int64)) != 0, -1, 0)
    for found, true in scores.matchings[0].matched.tolist():
        numbers[int(np.searchsorted(values, found))] = true
    return Labels(numbers[torch.from_numpy(place.reshape(pred.data.shape))], pred.grid)


def _views(pred: Labels, truth: Labels) -> tuple[View, ...]:
    one, two = pred.data.long(), truth.data.long()
    either = ((one != 0) | (two != 0)).any(dim=0, keepdim=True)
    apart = (one != two).any(dim=0, keepdim=True)
    shown = Image(torch.where(apart, 1.0, 0.35) * either, truth.grid)
    drawn: list[Outline] = []
    for k, (name, labels) in enumerate((("truth", two), ("prediction", one))):
        inside = (labels != 0).any(dim=0, keepdim=True).to(torch.uint8)
        if bool(inside.any()):
            mask = Labels(inside, truth.grid)
            drawn += outline(mask, ((0, 1),), names=(name,), first=k)
    return overview(shown, tuple(drawn), window=Window(0.0, 1.0, "1"))


def _charts(told: Told) -> tuple[Chart, ...]:
    objects = [c for c in told.cases.values() if isinstance(c, ObjectComparison)]
    if objects:
        pooled = pool_objects(tuple(objects))
        x = np.array([f.threshold for f in pooled])
        y = np.array([f.average_precision for f in pooled])
        note = "the further it reaches to the right, the truer the outlines"
        axes = ("intersection over union", "average precision")
        return (lines("Objects found", note, [Line("", x, y)], axes=axes),)
    return tuple(chart for score in ("dice", "nsd") for chart in _sorted_chart(told, score))


def _sorted_chart(told: Told, score: str) -> tuple[Chart, ...]:
    """Draw the values of all cases (or labels of one case), best first."""
    scored = [c for c in told.cases.values() if isinstance(c, Comparison)]
    by_label: dict[str, list[float]] = {}
    for comparison in scored:
        for label in comparison.labels:
            name = label.name if len(scored) > 1 else ""
            by_label.setdefault(name, []).append(float(getattr(label, score)))
    drawn = []
    for name, values in list(by_label.items())[:4]:
        known = np.sort([v for v in values if math.isfinite(v)])[::-1]
        if len(known) > 2:
            place = np.arange(1, len(known) + 1, dtype=np.float64)
            drawn.append(Line(name, place, np.asarray(known, dtype=np.float64)))
    what = "case" if len(scored) > 1 else "label"
    note = f"each {what}, best first" + ("; the first four labels" if len(by_label) > 4 else "")
    return (lines(WORDS[score], note, drawn, axes=(what, WORDS[score])),) if drawn else ()


def _summary_rows(told: Told) -> tuple[tuple[str, ...], ...]:
    """Give a row for each label with the main scores and their intervals."""
    wanted = OBJECT_MAIN if told.job.objects else MAIN
    table = {(s.label, s.score): s for s in told.summary}
    head = ("Label", *(WORDS.get(score, score) for score in wanted), "Cases", "In one only")
    rows = []
    for label in dict.fromkeys(s.label for s in told.summary):
        own = [table[label, score] for score in wanted]
        cells = [_with_interval(s) for s in own]
        count = max(s.interval.count + s.infinite for s in own)
        rows.append((label, *cells, str(count), str(max(s.infinite for s in own) or "")))
    return (head, *rows)


def _with_interval(s: Summary) -> str:
    low, high = s.interval.low, s.interval.high
    mean = number(s.interval.mean, s.score)
    if math.isnan(low):
        return mean
    return f"{mean} ({number(low, s.score)} to {number(high, s.score)})"


def _score_table(told: Told) -> Table:
    wanted = OBJECT_SHORT if told.job.objects else tuple(WORDS)
    columns = ("Label", "Score", "Mean", "95 % interval", "Median", "Cases", "In one only")
    rows = tuple(
        (
            s.label,
            WORDS.get(s.score, s.score),
            number(s.interval.mean, s.score),
            f"{number(s.interval.low, s.score)} to {number(s.interval.high, s.score)}",
            number(s.median, s.score),
            str(s.interval.count),
            str(s.infinite) if s.infinite else "",
        )
        for s in told.summary
        if s.score in wanted
    )
    return Table("Every score", columns, rows)


def _threshold_rows(only: ObjectComparison) -> tuple[tuple[str, ...], ...]:
    head = ("IoU from", "AP", "Precision", "Recall", "F1", "SQ", "PQ", "TP", "FP", "FN")
    rows = [
        (
            f"{f.threshold:g}",
            number(f.average_precision),
            number(f.precision),
            number(f.recall),
            number(f.f1),
            number(f.segmentation_quality),
            number(f.panoptic_quality),
            str(f.true_positives),
            str(f.false_positives),
            str(f.false_negatives),
        )
        for f in only.found
    ]
    return (head, *rows)


def _tables(told: Told) -> tuple[Table, ...]:
    found = []
    if told.contests:
        found.append(_contest_table(told))
    if len(told.cases) > 1:
        found += [_score_table(told), _case_table(told)]
    elif told.job.objects:
        rows = tuple(
            (WORDS.get(s.score, s.score), number(s.interval.mean, s.score))
            for s in told.summary
            if s.score in WORDS
        )
        found.append(Table("Partition of the samples", ("Score", "Value"), rows))
    else:
        every = tuple(
            (s.label, WORDS[s.score], number(s.interval.mean, s.score)) for s in told.summary
        )
        found.append(Table("Every score", ("Label", "Score", "Value"), every))
    return tuple(found)


def _contest_table(told: Told) -> Table:
    wanted = OBJECT_SHORT if told.job.objects else (*SHORT, *EXTRA)
    columns = ("Label", "Score", "Difference", "95 % interval", "p", "Higher", "Equal", "Lower")
    rows = tuple(
        (
            c.label,
            WORDS.get(c.score, c.score),
            number(c.test.difference.mean, c.score),
            f"{number(c.test.difference.low, c.score)} to "
            f"{number(c.test.difference.high, c.score)}",
            f"{c.test.p_value:.2g}",
            str(c.test.wins),
            str(c.test.ties),
            str(c.test.losses),
        )
        for c in told.contests
        if c.score in wanted
    )
    return Table("Against the other run (this less the other, cases in pairs)", columns, rows)


def _case_table(told: Told) -> Table:
    wanted = OBJECT_SHORT if told.job.objects else (*SHORT, *EXTRA)
    of = "objects" if told.job.objects else MEAN
    kept = [s.score for s in told.summary if s.label == of and s.score in wanted]
    rows = []
    for name, scores in told.cases.items():
        figures = scores.figures()
        rows.append((name, *(number(figures.get((of, s), math.nan), s) for s in kept)))
    columns = ("Case", *(WORDS.get(s, s) for s in kept))
    return Table(f"Each of the {len(rows)} cases, {of}", columns, tuple(rows))


def _note(told: Told) -> str:
    if told.job.objects:
        return (
            "AP is TP / (TP + FP + FN): Cellpose's average precision, StarDist's accuracy; COCO's "
            "is another figure. A dash: nothing to find and nothing found."
        )
    return (
        "HD95 pools the distances of both ways. A dash: the label is in neither, or nothing can "
        "be said; ∞: it is in one only."
    )


def _methods(job: Job, cases: int) -> str:
    many = (
        " Intervals are percentile bootstrap intervals (95 %) over cases; runs are compared by the "
        "Wilcoxon signed-rank test."
    )
    return _what_was_done(job) + (many if cases > 1 else "")


def _what_was_done(job: Job) -> str:
    if job.objects:
        return (
            "Objects were matched one to one by intersection over union with vesalius; average "
            "precision is TP / (TP + FP + FN) at each threshold, panoptic quality the product of "
            "F1 and the mean overlap of matched pairs."
        )
    return (
        "Labels were compared with vesalius: Dice, surface distances between voxel centres of the "
        f"two surfaces in mm, and surface Dice at {job.tau_mm:g} mm (surface voxels weighted "
        "alike)."
    )
