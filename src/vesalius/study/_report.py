"""Report: one self-contained HTML file, and the same content as JSON."""
# SPDX-License-Identifier: Apache-2.0

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from vesalius._version import __version__
from vesalius.core import Image
from vesalius.measure import Config, dump_config
from vesalius.study._content import (
    KEYS,
    FamilyTable,
    Histogram,
    KeyRow,
    Truth,
    TruthRow,
    family_tables,
    friendly,
    histograms,
    key_rows,
    truth_rows,
    undefined,
)
from vesalius.study._methods import Reference, methods_text, references
from vesalius.study._part import Part
from vesalius.study._render import NOTICE, render
from vesalius.study._views import Outline, View, choose_window, close_up, overview


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What a report shows in pictures.

    Attributes:
        image: The image as it came.
        outlines: The regions on its grid.
        focus: Name of a region to be shown magnified; empty for none.
    """

    image: Image
    outlines: tuple[Outline, ...]
    focus: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """What a report is about, in words.

    Attributes:
        title: Title.
        lead: One or two sentences: what was measured on what.
        source: Where the image comes from; no path, no name of a person.
        subject: Name that the user gave, or empty.
    """

    title: str
    lead: str
    source: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """One reconstruction of a slice that was measured again, against the slice itself, HU.

    Attributes:
        name: How it was reconstructed.
        rmse: Root mean square difference inside the field of view.
        spot: Mean difference inside the region of interest.
        noise: Standard deviation of the difference in soft tissue.
    """

    name: str
    rmse: float
    spot: float
    noise: float


@dataclass(frozen=True, slots=True, eq=False)
class LowDose:
    """A slice measured again with few photons.

    Attributes:
        repeats: Each reconstruction.
        views: The slice, then each reconstruction.
        note: What was simulated.
        focus_name: Region of interest.
    """

    repeats: tuple[Repeat, ...]
    views: tuple[View, ...]
    note: str
    focus_name: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """One quantity of a follow-up whose truth is known.

    Attributes:
        name: What it is.
        truth: What it is in truth.
        found: What was measured.
        unit: Unit, or empty.
    """

    name: str
    truth: float
    found: float
    unit: str


@dataclass(frozen=True, slots=True, eq=False)
class FollowUp:
    """A second visit, registered to the first.

    Attributes:
        rows: Motion and growth, found against true.
        views: First visit, second visit, second registered, and the difference.
        note: What was simulated and how it was registered.
    """

    rows: tuple[Recovered, ...]
    views: tuple[View, ...]
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that a report says, ready to be rendered.

    Attributes:
        heading: What it is about.
        errors: What went wrong; shown first.
        findings: What must be known before a number is used.
        facts: The image in figures: name and value.
        views: Overview slices.
        focus: Magnified slices.
        focus_name: Region that they show.
        keys: Quantities of the first page.
        truths: Comparison with what is known.
        low_dose: A slice measured again with few photons; none where it was not.
        follow_up: A second visit registered to the first; none where there was none.
        histograms: Intensities of each region.
        families: Every measured value.
        missing: Reasons of values that could not be given, and how many there are of each.
        methods: Paragraphs for a methods section.
        references: Works cited.
        configs: YAML text of each configuration, by part.
        provenance: The record of the run, JSON types.
    """

    heading: Heading
    errors: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    views: tuple[View, ...] = ()
    focus: tuple[View, ...] = ()
    focus_name: str = ""
    keys: tuple[KeyRow, ...] = ()
    truths: tuple[TruthRow, ...] = ()
    low_dose: LowDose | None = None
    follow_up: FollowUp | None = None
    histograms: tuple[Histogram, ...] = ()
    families: tuple[FamilyTable, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    configs: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)


def build_report(
    heading: Heading,
    scene: Scene,
    parts: tuple[Part, ...],
    *,
    truths: tuple[Truth, ...] = (),
    provenance: Mapping[str, object],
) -> Report:
    """Put a report together from pictures and measurements.

    Args:
        heading: What it is about.
        scene: What it shows.
        parts: Measurements; failures in them come first in the report.
        truths: Known values to compare with.
        provenance: The record of the run, JSON types.

    Returns:
        The report.
    """
    window = choose_window(scene.image, scene.outlines)
    focus = next((o for o in scene.outlines if o.name == scene.focus), None)
    colours = {outline.name: outline.colour for outline in scene.outlines}
    return Report(
        heading,
        errors=tuple(f"{name}: {text}" for p in parts for name, text in p.failures.items()),
        findings=_findings(parts),
        facts=image_facts(scene.image),
        views=overview(scene.image, scene.outlines, window=window),
        focus=close_up(scene.image, scene.outlines, focus=focus, window=window) if focus else (),
        focus_name=scene.focus if focus else "",
        keys=key_rows(parts, colours),
        truths=truth_rows(parts, truths),
        histograms=histograms(scene.image, scene.outlines),
        families=family_tables(parts),
        missing=undefined(parts),
        methods=tuple(methods_text(part) for part in parts),
        references=references(parts),
        configs={part.name: config_text(part.config) for part in parts},
        provenance=provenance,
    )


def failed_report(heading: Heading, error: str) -> Report:
    """Make the report of a run that could not measure anything: the error, and what was tried.

    Args:
        heading: What it would have been about.
        error: What must hold, what came, what to do.

    Returns:
        The report.
    """
    return Report(heading, errors=(error,))


def render_html(report: Report) -> str:
    """Render the report as one HTML file: no network, no script.

    Args:
        report: The report.

    Returns:
        The text; the same for the same report. All data in it is escaped.
    """
    content = {
        "report": report,
        "keys": KEYS,
        "spans": key_spans(report.keys),
        "friendly": friendly,
        "provenance": json.dumps(report.provenance, indent=2, sort_keys=True),
        "graded": any(cell.grade for row in report.keys for cell in row.cells),
    }
    return render("report.html.j2", content)


def render_json(report: Report) -> str:
    """Render the report's content as JSON text; missing numbers are null, pictures are left out.

    Args:
        report: The report.

    Returns:
        Indented JSON, keys sorted.
    """
    content = {
        "notice": NOTICE,
        "version": __version__,
        "heading": asdict(report.heading),
        "errors": report.errors,
        "findings": report.findings,
        "facts": dict(report.facts),
        "views": [_view_json(view) for view in report.views],
        "focus": {"name": report.focus_name, "views": [_view_json(v) for v in report.focus]},
        "key_numbers": [_key_json(row) for row in report.keys],
        "truth": [asdict(row) for row in report.truths],
        "low_dose": None if report.low_dose is None else _low_dose_json(report.low_dose),
        "follow_up": None if report.follow_up is None else _follow_up_json(report.follow_up),
        "histograms": [asdict(histogram) for histogram in report.histograms],
        "missing": dict(report.missing),
        "features": [asdict(table) for table in report.families],
        "methods": report.methods,
        "references": [asdict(reference) for reference in report.references],
        "configs": dict(report.configs),
        "provenance": report.provenance,
    }
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def config_text(config: Config) -> str:
    """Write what decides a value as YAML: how the work was spread over a machine is left out."""
    import yaml

    kept = {k: v for k, v in yaml.safe_load(dump_config(config)).items() if k != "compute"}
    text: str = yaml.safe_dump(kept, sort_keys=False)
    return text


def image_facts(image: Image) -> tuple[tuple[str, str], ...]:
    """Say in figures what an image is.

    Args:
        image: The image.

    Returns:
        Name and value of each fact.
    """
    grid = image.grid
    size = " × ".join(str(n) for n in reversed(grid.shape))
    spacing = " × ".join(f"{s:.4g}" for s in reversed(grid.spacing_mm))
    extent = " × ".join(
        f"{n * s:.4g}" for n, s in zip(reversed(grid.shape), reversed(grid.spacing_mm), strict=True)
    )
    letters = ", ".join(
        f"{axis} to {letter}" for axis, letter in zip("zyx", grid.orientation, strict=True)
    )
    return (
        ("Size (x, y, z)", f"{size} voxels"),
        ("Voxel (x, y, z)", f"{spacing} mm"),
        ("Extent (x, y, z)", f"{extent} mm"),
        ("Axes run", letters),
        ("Unit", image.unit if image.unit != "1" else "none stated"),
    )


def key_spans(rows: tuple[KeyRow, ...]) -> tuple[float, ...]:
    """Give, for each column of the first page, what the end of a drawn bar stands for.

    Args:
        rows: The first page.

    Returns:
        A round number that no bar of the column exceeds, in percent or in the column's unit; 0
        where there are no bars.
    """
    columns = zip(*(row.cells for row in rows), strict=True)
    return tuple(
        _round_up(max(cell.reach(key.bars) for cell in column))
        for key, column in zip(KEYS, columns, strict=False)
    )


def _round_up(percent: float) -> float:
    if percent <= 0 or not math.isfinite(percent):
        return 0.0
    power = 10.0 ** math.floor(math.log10(percent))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= percent * (1 - 1e-9)))


def _findings(parts: tuple[Part, ...]) -> tuple[str, ...]:
    found = [text for part in parts for text in part.findings]
    missing = undefined(parts)
    if missing:
        count = sum(missing.values())
        kinds = "each with its reason, listed below the features"
        found.append(f"{count} value{'s' * (count != 1)} could not be given, {kinds}.")
    return tuple(dict.fromkeys(found))


def _view_json(view: View) -> dict[str, object]:
    return {
        "title": view.title,
        "position": view.position,
        "window": view.window.text,
        "size_mm": [round(s, 4) for s in view.size_mm],
        "letters": dict(zip(("left", "right", "top", "bottom"), view.plane.letters, strict=True)),
        "regions": [contour.name for contour in view.contours],
    }


def _key_json(row: KeyRow) -> dict[str, object]:
    cells = {key.title: asdict(cell) for key, cell in zip(KEYS, row.cells, strict=True)}
    return {"label": row.label, "quantities": cells}


def _low_dose_json(part: LowDose) -> dict[str, object]:
    return {
        "note": part.note,
        "region": part.focus_name,
        "reconstructions": [asdict(repeat) for repeat in part.repeats],
        "views": [_view_json(view) for view in part.views],
    }


def _follow_up_json(part: FollowUp) -> dict[str, object]:
    return {"note": part.note, "quantities": [asdict(row) for row in part.rows]}
