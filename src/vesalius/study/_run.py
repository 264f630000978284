"""Run: measure the regions of an image one by one, resumable, and write everything down."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vesalius._version import __version__
from vesalius.core import Image, Labels, Provenance, Step, hash_json, hash_samples
from vesalius.errors import OutputError, VesaliusError
from vesalius.io import atomic_write
from vesalius.measure import Config, Measurement
from vesalius.measure._measurement import (
    Inputs,
    Order,
    Target,
    as_table,
    hash_mask,
    hashed,
    inside,
    measure_target,
    targets,
)
from vesalius.study._figures import histograms_png, views_png
from vesalius.study._journal import Entry, code_digest, recall, record
from vesalius.study._map_files import Mapped, write_maps
from vesalius.study._part import Part
from vesalius.study._report import Heading, Report, Scene, build_report, render_html, render_json
from vesalius.study._tables import csv_text, parquet_bytes, wide_csv
from vesalius.study._views import Outline, outline

if TYPE_CHECKING:
    from pandas import DataFrame

OnStep = Callable[[Step], None]

JOURNAL = ".vesalius"
"""Folder inside the output folder in which finished regions are kept."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be measured, beside image and labels.

    Attributes:
        config: What to measure and how.
        name: What the regions are together, such as ``"organs"``.
        regions: Labels to measure; empty measures all.
        uncertainty: Whether every number gets an error bar.
        subject: Name of the case in the table; no patient name belongs there.
    """

    config: Config
    name: str = "regions"
    regions: tuple[int, ...] = ()
    uncertainty: bool = False
    subject: str = ""


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """One region that a run will measure.

    Attributes:
        name: Its name in the table.
        value: Its label.
        layer: Its layer.
        voxels: Its size.
        volume_mm3: Its size, mm^3, by counting voxels.
    """

    name: str
    value: int
    layer: int
    voxels: int
    volume_mm3: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a run gave.

    Attributes:
        report: The report.
        parts: The measurements.
        files: Names of the files written, relative to the output folder.
    """

    report: Report
    parts: tuple[Part, ...]
    files: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.report.errors


def plan(labels: Labels, regions: tuple[int, ...] = ()) -> tuple[RegionPlan, ...]:
    """List the regions that would be measured, without measuring.

    Args:
        labels: The labels.
        regions: Labels to measure, in any layer; empty takes all.

    Returns:
        One entry for each region, names made unique.

    Raises:
        RegionError: A label does not occur, or there is none at all.
    """
    size = labels.grid.voxel_volume_mm3
    plans = []
    for target in targets(labels, regions):
        voxels = int(np.count_nonzero(labels.data[target.layer].cpu().numpy() == target.value))
        plans.append(RegionPlan(target.name, target.value, target.layer, voxels, voxels * size))
    return tuple(plans)


def measure_part(
    image: Image,
    labels: Labels,
    task: Task,
    *,
    journal: Path,
    on_step: OnStep | None = None,
) -> Part:
    """Measure regions one after another; each finished one is kept in the journal.

    Args:
        image: One channel.
        labels: Regions on the same grid.
        task: What to measure.
        journal: Folder of finished regions; it exists.
        on_step: Called when a region begins, after every batch of its perturbations, and when all
            are done.

    Returns:
        The measurements. A region that cannot be measured stands in ``failures``.

    Raises:
        GeometryError: The grids differ.
        ShapeError: The image has several channels.
        RegionError: A label does not occur.
        OutputError: The journal cannot be written.
    """
    inputs = hashed(image, labels)
    wanted = targets(labels, task.regions)
    order = Order(task.config, task.uncertainty, task.subject)
    total = len(wanted) * order.pieces
    entries: list[Entry] = []
    counts: dict[str, int] = {}
    failures: dict[str, str] = {}
    for done, target in enumerate(wanted):
        _tell(on_step, target.name, done * order.pieces, total)
        key = _key(inputs, target, order)
        inner = inside(on_step, target.name, begun=done * order.pieces, total=total)
        try:
            entry = recall(journal, key) or record(
                journal, key, _entry(measure_target(inputs, target, order, on_step=inner))
            )
        except OutputError:
            raise
        except VesaliusError as error:
            failures[target.name] = f"{type(error).__name__}: {error}"
            continue
        entries.append(entry)
        counts |= {target.name: entry.perturbations} if entry.perturbations else {}
    _tell(on_step, task.name, total, total)
    table, findings = _joined(entries), _findings(entries)
    return Part(task.name, table, task.config, counts, findings, failures)


def open_folder(out: Path) -> Path:
    """Make the output folder and its journal, before anything costly is done.

    Args:
        out: The output folder; its parents are made too.

    Returns:
        The journal.

    Raises:
        OutputError: It cannot be made or written.
    """
    journal = out / JOURNAL
    try:
        journal.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"output folder must be writable, {out.name!r} cannot be made: {error.strerror}: "
            "choose another one with -o"
        ) from error
    probe = journal / "writable"
    with atomic_write(probe) as file:
        file.write(b"")
    probe.unlink(missing_ok=True)
    return journal


def outlines(
    labels: Labels, plans: tuple[RegionPlan, ...], *, first: int = 0
) -> tuple[Outline, ...]:
    """Give each region a colour.

    Args:
        labels: The labels.
        plans: Regions to draw.
        first: Place of the first colour in the palette.

    Returns:
        One outline for each region.
    """
    regions = tuple((p.layer, p.value) for p in plans)
    return outline(labels, regions, names=tuple(p.name for p in plans), first=first)


def run_measure(
    image: Image,
    labels: Labels,
    out: Path,
    *,
    task: Task,
    findings: tuple[str, ...] = (),
    on_step: OnStep | None = None,
) -> Outcome:
    """Measure an image and write tables, maps, report and pictures into a folder.

    Run again after an interruption, it measures only what is missing and writes the same bytes.

    Args:
        image: One channel.
        labels: Regions on the same grid.
        out: The output folder; made where absent.
        task: What to measure.
        findings: What is already known to matter, such as a resampling of the labels.
        on_step: Called when a region begins, and when all are done.

    Returns:
        The report and what was written.

    Raises:
        GeometryError: The grids differ.
        ShapeError: The image has several channels.
        RegionError: A label does not occur.
        OutputError: The folder cannot be written.
    """
    journal = open_folder(out)
    part = measure_part(image, labels, task, journal=journal, on_step=on_step)
    plans = plan(labels, task.regions)
    maps = write_maps(
        image,
        labels,
        regions=_mapped(plans, part),
        out=out,
        config=task.config,
        on_step=on_step,
    )
    part = replace(part, findings=findings + part.findings + maps.findings)
    count = len(plans) - len(part.failures)
    heading = Heading(
        f"Measurement of {count} region{'s' * (count != 1)}",
        f"{'Each number with its error bar, by' if task.uncertainty else 'By'} the definitions of "
        "the Image Biomarker Standardisation Initiative.",
        subject=task.subject,
    )
    record_ = provenance_record(image, {"labels": labels}, (part,))
    scene = Scene(image, outlines(labels, plans))
    report = build_report(heading, scene, (part,), provenance=record_.to_json())
    return Outcome(report, (part,), write_study(out, report, (part,)) + maps.files)


def _mapped(plans: tuple[RegionPlan, ...], part: Part) -> list[Mapped]:
    """Name the files of the regions that could be measured: by name, label and layer."""
    found = []
    for region in plans:
        layer = f"{region.layer}_" if region.layer else ""
        stem = f"{_slug(region.name)}_{layer}{region.value}"
        if region.name not in part.failures:
            found.append(Mapped(region.name, stem, region.value, region.layer))
    return found


def provenance_record(
    image: Image, labels: Mapping[str, Labels], parts: tuple[Part, ...]
) -> Provenance:
    """Write down how the numbers came to be.

    Args:
        image: What was measured.
        labels: Where, by role.
        parts: The measurements.

    Returns:
        The record: hashes of the inputs, the configuration of each part, the version.
    """
    inputs = {"image": hash_samples(image.data, image.grid.affine)}
    inputs |= {role: hash_samples(x.data, x.grid.affine) for role, x in labels.items()}
    parameters = {
        part.name: part.config.model_dump(mode="json", exclude={"compute"}) for part in parts
    }
    return Provenance("measure", parameters, inputs)


def write_study(out: Path, report: Report, parts: tuple[Part, ...]) -> tuple[str, ...]:
    """Write tables, provenance, pictures and the report, each whole or not at all.

    Args:
        out: The output folder; it exists.
        report: The report.
        parts: The measurements; the ``output`` section of the first one's configuration decides.

    Returns:
        Names of the files, relative to ``out``.

    Raises:
        OutputError: A file cannot be written.
    """
    contents = _table_files(parts) if parts else {}
    contents["provenance.json"] = _json_bytes(report.provenance)
    if not parts or parts[0].config.output.report:
        contents |= _picture_files(report)
        contents["report.json"] = render_json(report).encode()
        contents["report.html"] = render_html(report).encode()
    for name, content in contents.items():
        _write(out / name, content)
    return tuple(contents)


def write_failure(out: Path, report: Report) -> tuple[str, ...]:
    """Write the report of a run that could not measure anything.

    A folder that holds the tables of an earlier run keeps its report too: the new one is then
    called ``failure`` instead of ``report``.

    Args:
        out: The output folder; it exists.
        report: The report.

    Returns:
        Names of the files, relative to ``out``.

    Raises:
        OutputError: A file cannot be written.
    """
    stem = "failure" if (out / "features.csv").exists() else "report"
    _write(out / f"{stem}.json", render_json(report).encode())
    _write(out / f"{stem}.html", render_html(report).encode())
    return (f"{stem}.json", f"{stem}.html")


def _tell(on_step: OnStep | None, what: str, done: int, total: int) -> None:
    if on_step is not None:
        on_step(Step(what, done, total))


def _key(inputs: Inputs, target: Target, order: Order) -> str:
    mask = inputs.labels.mask(target.value, target.layer)
    return hash_json(
        {
            "image": inputs.image_hash,
            "unit": inputs.image.unit,
            "mask": hash_mask(mask, inputs.labels),
            "label": target.name,
            "config": order.config.digest,
            "uncertainty": order.uncertainty,
            "subject": order.subject,
            "version": __version__,
            "code": code_digest(),
        }
    )


def _entry(found: Measurement) -> Entry:
    return Entry(found.table, found.findings, sum(found.perturbations.values()))


def _joined(entries: list[Entry]) -> "DataFrame":
    import pandas as pd

    if not entries:
        return as_table([])
    return pd.concat([entry.table for entry in entries], ignore_index=True)


def _findings(entries: list[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for entry in entries for text in entry.findings))


def _table_files(parts: tuple[Part, ...]) -> dict[str, bytes]:
    import pandas as pd

    output = parts[0].config.output
    table = pd.concat([part.table for part in parts], ignore_index=True)
    contents: dict[str, bytes] = {}
    if output.csv:
        contents["features.csv"] = csv_text(table).encode()
    if output.parquet:
        contents["features.parquet"] = parquet_bytes(table)
    if output.wide and len(table):
        contents["features_wide.csv"] = wide_csv(table).encode()
    return contents


def _picture_files(report: Report) -> dict[str, bytes]:
    contents = {}
    if report.views:
        contents["figures/overview.png"] = views_png(report.views)
    if report.focus:
        contents[f"figures/{_slug(report.focus_name)}.png"] = views_png(report.focus, legend=False)
    if report.histograms:
        contents["figures/histograms.png"] = histograms_png(report.histograms)
    return contents


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in name) or "region"


def _json_bytes(value: object) -> bytes:
    import json

    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"output folder {path.parent.name!r} must be writable: {error.strerror}: "
            "free space or permissions there"
        ) from error
    with atomic_write(path) as file:
        file.write(content)
