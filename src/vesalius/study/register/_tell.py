"""Tell: the page of a finished registration, made of its files and its result."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping

import numpy as np

from vesalius.core import Composite, Image, Linear, Transform
from vesalius.register import Registration
from vesalius.register.evaluate import RegistrationReport
from vesalius.study._charts import Chart, Line, lines
from vesalius.study._report import Heading, image_facts
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study._views import choose_window, overview
from vesalius.study.register._job import Job
from vesalius.study.register._loaded import Loaded
from vesalius.study.register._pictures import pictures

TITLES = Titles(
    findings="Before you use the transform",
    views="The warped image",
    views_note="The moving image, pulled once from its own samples onto the fixed grid",
    charts="Before and after",
    rows="How well it lies",
)

WORDS = {
    "rigid": "a rigid transform",
    "affine": "an affine transform",
    "smooth": "an affine transform and a smooth deformation",
    "accurate": "an affine transform and a deformation",
    "freeform": "an affine transform and a B-spline free-form deformation",
    "crossmodal": "an affine transform and a deformation between modalities",
    "landmarks": "a thin-plate spline through the landmarks",
}


def page_of(
    loaded: Loaded,
    job: Job,
    found: Registration,
    metrics: RegistrationReport,
    *,
    remarks: tuple[str, ...],
    record: Mapping[str, object],
) -> Page:
    """Make the page.

    Args:
        loaded: What was registered.
        job: How.
        found: What came of it.
        metrics: How good it is.
        remarks: What must be known first.
        record: The record of the run.

    Returns:
        The page.
    """
    lead = (
        f"The moving image was laid on the fixed one by {WORDS[job.preset]}, found in "
        f"{found.seconds:.1f} s. The transform maps points of the fixed world to the moving world "
        "(mm, LPS); the moving image is pulled through it."
    )
    warped = _first_channel(found.warped)
    window = choose_window(warped, ())
    return Page(
        Heading("A registration", lead),
        findings=(*_warnings(metrics), *remarks),
        facts=(*image_facts(_first_channel(found.fixed)), *_facts(found)),
        views=overview(warped, (), window=window),
        charts=_charts(found, metrics),
        pictures=pictures(found),
        columns=("Measure", "Before", "After", "Unit"),
        rows=tuple((r.name, r.before, r.after, r.unit) for r in metrics.rows()),
        tables=_structures(metrics),
        rows_note="Before is the start; after is what was found. Distances are in millimetres.",
        methods=(_methods(job, found),),
        provenance=record,
        titles=TITLES,
    )


def _structures(metrics: RegistrationReport) -> tuple[Table, ...]:
    if not metrics.after:
        return ()
    rows = tuple(
        (s.name, _three(b.dice), _three(s.dice), _three(s.jaccard), _mm(s.hd95_mm), _mm(s.assd_mm))
        for s, b in zip(metrics.after, metrics.before, strict=True)
    )
    columns = ("Structure", "Dice before", "Dice", "Jaccard", "HD95, mm", "ASSD, mm")
    return (Table(f"Each of the {len(rows)} structures", columns, rows),)


def headline(metrics: RegistrationReport) -> tuple[tuple[str, str], ...]:
    """Say the figures that matter first.

    Args:
        metrics: How good a registration is.

    Returns:
        Name and value of each.
    """
    one, two = metrics.similarity_before, metrics.similarity_after
    said = [("correlation", f"{one.ncc:.4f} before, {two.ncc:.4f} after")]
    if metrics.after:
        said.append(
            ("mean Dice", f"{metrics.mean_dice_before:.4f} before, {metrics.mean_dice:.4f} after")
        )
    if metrics.landmarks_before is not None and metrics.landmarks_after is not None:
        first, last = metrics.landmarks_before.median_mm, metrics.landmarks_after.median_mm
        said.append(("landmark error, median", f"{first:.3g} mm before, {last:.3g} mm after"))
    said.append(("folded voxels", f"{metrics.folding.folded_percent:.3g} %"))
    if math.isfinite(metrics.consistency.mean_mm):
        said.append(("inverse leads back within", f"{metrics.consistency.mean_mm:.2g} mm (mean)"))
    return tuple(said)


def _warnings(metrics: RegistrationReport) -> tuple[str, ...]:
    notes = []
    fold = metrics.folding
    if fold.folded_percent > 0 or fold.folded_cells_percent > 0:
        notes.append(
            f"The transform folds: {fold.folded_percent:.3g} % of the voxels have a determinant of "
            f"0 or less, and {fold.folded_cells_percent:.3g} % of the cells a tetrahedron turned "
            "over. Volumes and inverses there mean nothing."
        )
    if metrics.similarity_after.ncc < metrics.similarity_before.ncc - 0.01:
        notes.append(
            "The images correlate less after than before. Between modalities that may be right; "
            "look at the pictures."
        )
    if metrics.similarity_after.shared < 0.5:
        notes.append(
            f"Only {100 * metrics.similarity_after.shared:.0f} % of the fixed image meets the "
            "moving one."
        )
    return tuple(notes)


def _facts(found: Registration) -> tuple[tuple[str, str], ...]:
    return (
        ("Moving image (x, y, z)", " × ".join(str(n) for n in reversed(found.moving.grid.shape))),
        ("Transform", kind(found.transform)),
        ("Steps", str(len(found.history))),
    )


def kind(transform: Transform) -> str:
    """Say in a few words what a transform is made of."""
    if isinstance(transform, Composite):
        return ", after ".join(kind(part) for part in transform.parts)
    if isinstance(transform, Linear):
        return "linear"
    return type(transform).__name__.lower()


def _charts(found: Registration, metrics: RegistrationReport) -> tuple[Chart, ...]:
    charts = []
    by_stage: dict[int, list[float]] = {}
    for entry in found.history:
        by_stage.setdefault(entry.stage, []).append(entry.loss)
    drawn = [
        Line(f"stage {k + 1}", np.arange(1, len(v) + 1, dtype=np.float64), np.array(v))
        for k, v in by_stage.items()
        if len(v) > 1
    ]
    if drawn:
        note = "falls within one scale; another scale compares other samples, hence the jumps"
        charts.append(lines("The loss", note, drawn, axes=("step", "loss")))
    if len(metrics.after) > 1:
        order = np.argsort([-s.dice for s in metrics.after])
        place = np.arange(1, len(order) + 1, dtype=np.float64)
        after = np.array([metrics.after[k].dice for k in order])
        before = np.array([metrics.before[k].dice for k in order])
        both = [Line("after", place, after), Line("before", place, before)]
        charts.append(
            lines(
                "Overlap of each structure",
                "sorted by what was reached",
                both,
                axes=("structure", "Dice"),
            )
        )
    return tuple(charts)


def _methods(job: Job, found: Registration) -> str:
    if found.plan is None:
        return "Landmarks were interpolated by a thin-plate spline with vesalius."
    said = []
    for stage in found.plan.stages:
        model = stage.model if isinstance(stage.model, str) else type(stage.model).__name__
        scales = ", ".join(f"{s.spacing_mm:g}" for s in stage.scales)
        said.append(
            f"{model} ({type(stage.similarity).__name__}, {type(stage.optimiser).__name__}, scales "
            f"of {scales} mm)"
        )
    return (
        f"The moving image was registered to the fixed one with vesalius (preset {job.preset}): "
        + "; then ".join(said)
        + "."
    )


def _first_channel(image: Image) -> Image:
    return Image(image.data[:1].float(), image.grid, image.unit)


def _three(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.3f}"


def _mm(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.2f}"
