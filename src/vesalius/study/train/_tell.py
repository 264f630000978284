"""Telling: the report page of a training and of an evaluation."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vesalius.core import Image, Labels
from vesalius.segment.networks import Evaluation, Fingerprint, Model, Plan, TrainingRun
from vesalius.study._charts import Chart, Line, lines
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study._views import View, choose_window, outline, overview
from vesalius.study.segment._overlay import objects_picture

TITLES = Titles(
    findings="Before you use the model",
    views="The worst cases",
    views_note="Truth and result as outlines, on the slices that have most of them",
    charts="How it learned",
    rows="Scores",
)
OUTLINED = 24
"""So many regions are outlined; more are drawn as coloured objects."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a page shows of an evaluation.

    Attributes:
        evaluation: Scores of each case.
        worst: Name, image, result and truth of the worst cases, worst first.
        what: Which cases were scored.
    """

    evaluation: Evaluation
    worst: tuple[tuple[str, Image, Labels, Labels], ...]
    what: str


def training_page(
    found: Fingerprint,
    run: TrainingRun,
    shown: Shown,
    *,
    remarks: tuple[str, ...],
    record: Mapping[str, object],
) -> Page:
    """Make the page of a training.

    Args:
        found: Of the data set.
        run: What was trained.
        shown: How good it is.
        remarks: What must be known.
        record: Of the run.

    Returns:
        The page.
    """
    plan = run.model.plan
    lead = (
        f"Trained on {found.dataset} and scored on {shown.what}: mean "
        f"{shown.evaluation.score:.3f}. Research use only, not a medical device."
    )
    page = _page(Heading(f"Model of {found.dataset}", lead), plan, shown)
    reasons = tuple((name, why) for name, why in sorted(plan.reasons.items()))
    return replace(
        page,
        findings=remarks,
        facts=(*_facts(plan), ("Training", run.model.card.training)),
        charts=_curves(run),
        tables=(
            *page.tables,
            Table("Why the plan is as it is", ("Choice", "Reason"), reasons),
            _cases(found),
        ),
        methods=(_methods(run),),
        provenance=record,
    )


def evaluation_page(model: Model, shown: Shown, *, record: Mapping[str, object]) -> Page:
    """Make the page of an evaluation.

    Args:
        model: That was scored.
        shown: How good it is.
        record: Of the run.

    Returns:
        The page.
    """
    lead = (
        f"Scored on {shown.what}: mean {shown.evaluation.score:.3f}. Research use only, not a "
        "medical device."
    )
    page = _page(Heading(f"Evaluation of {model.card.name}", lead), model.plan, shown)
    return replace(page, facts=_facts(model.plan), provenance=record)


def _page(heading: Heading, plan: Plan, shown: Shown) -> Page:
    parts = tuple(shown.evaluation.means)
    rows = tuple(
        (case.case, f"{case.score:.4f}", *(_number(case.parts, name) for name in parts))
        for case in shown.evaluation.worst
    )
    columns = ("Case", "Score", *parts)
    drawn = [_drawn(plan, told) for told in shown.worst]
    return Page(
        heading,
        views=tuple(view for views, _ in drawn for view in views),
        pictures=tuple(picture for _, pictures in drawn for picture in pictures),
        columns=("Figure", "Mean"),
        rows=tuple((name, f"{shown.evaluation.means[name]:.4f}") for name in parts),
        rows_note=f"Means over {shown.what}.",
        tables=(Table("Every case, worst first", columns, rows),),
        titles=TITLES,
    )


def _number(parts: Mapping[str, float], name: str) -> str:
    return f"{parts[name]:.4f}" if name in parts else "–"


def _drawn(
    plan: Plan, told: tuple[str, Image, Labels, Labels]
) -> tuple[tuple[View, ...], tuple[Chart, ...]]:
    """Outlines of truth and result; coloured objects where there are many."""
    name, image, found, truth = told
    image = Image(image.data[:1].float(), image.grid, image.unit)
    truth = replace(truth, data=truth.data.clamp_min(0))
    values = sorted({value for _, value in (*found.values, *truth.values)})
    if plan.head == "classes" and 0 < len(values) <= OUTLINED // 2:
        keys = tuple((0, value) for value in values)
        names = [plan.names.get(value, str(value)) for value in values]
        true = outline(truth, keys, names=tuple(f"{n}, truth" for n in names))
        ours = outline(found, keys, names=tuple(f"{n}, found" for n in names), first=len(keys))
        both = (*true, *ours)
        views = overview(image, both, window=choose_window(image, both))
        return tuple(replace(v, title=f"{name}: {v.title}") for v in views), ()
    window = choose_window(image, ())
    pictures = [objects_picture(image, labels, window=window) for labels in (found, truth)]
    words = (f"{name}: found", f"{name}: truth")
    return (), tuple(replace(one, title=word) for one, word in zip(pictures, words, strict=True))


def _facts(plan: Plan) -> tuple[tuple[str, str], ...]:
    network = plan.network
    spacing = " x ".join(f"{s:g}" for s in plan.spacing_mm) if all(plan.spacing_mm) else ""
    return (
        ("Head", plan.head),
        ("Labels", ", ".join(plan.names[value] for value in sorted(plan.names))),
        ("Channels", ", ".join(plan.channels)),
        ("Lattice", f"{spacing} mm (z, y, x)" if spacing else "of each image"),
        ("Patches", f"{plan.batch} of {' x '.join(map(str, plan.patch))}"),
        ("Network", f"{network.block}, {network.levels} levels, width {network.width}"),
        ("Precision", plan.precision),
    )


def _curves(run: TrainingRun) -> tuple[Chart, ...]:
    """Loss and score over the steps, a line for each network."""
    losses, scores = [], []
    for i, looks in enumerate(run.looks):
        name = f"network {i}" if len(run.looks) > 1 else ""
        steps = np.array([look.step for look in looks], dtype=np.float64)
        losses.append(Line(name, steps, np.array([look.loss for look in looks])))
        scores.append(Line(name, steps, np.array([look.score for look in looks])))
    word = "Dice" if run.model.plan.head == "classes" else "AP@.5"
    seen = len(run.splits[0].watched)
    return (
        lines("Loss", "Mean between two looks.", losses, axes=("step", "loss")),
        lines(
            f"{word} on patches of the watched cases",
            f"Averaged weights, {min(seen, 12)} patches: a guide on the way, not the result.",
            scores,
            axes=("step", word),
        ),
    )


def _cases(found: Fingerprint) -> Table:
    rows = tuple(
        (
            case.name,
            " x ".join(map(str, case.shape)),
            " x ".join(f"{s:.4g}" for s in case.spacing_mm),
            case.orientation,
            str(len([v for v in case.counts if v > 0])),
        )
        for case in found.cases
    )
    columns = ("Case", "Samples (z, y, x)", "Spacing, mm", "Orientation", "Labels")
    return Table(f"The {len(rows)} cases that it was planned by", columns, rows)


def _methods(run: TrainingRun) -> str:
    from vesalius._version import __version__

    plan = run.model.plan
    kind = "residual " if plan.network.block == "residual" else ""
    return (
        f"A {kind}U-Net of {plan.network.levels} levels was trained with vesalius {__version__} "
        f"({plan.optimiser}, learning rate {plan.learning_rate:g}, {plan.precision}): "
        f"{run.model.card.training} {run.model.card.data}"
    )
