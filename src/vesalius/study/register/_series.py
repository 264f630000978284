"""Series: the frames of a file aligned, written, and their motion reported."""
# SPDX-License-Identifier: Apache-2.0

import csv
import io as text
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vesalius import io
from vesalius.core import Image, Step, hash_samples
from vesalius.core._provenance import Provenance
from vesalius.errors import FormatError
from vesalius.io import transforms
from vesalius.register import Preset
from vesalius.register.atlas import SeriesMotion, register_series
from vesalius.study._charts import Chart, Line, lines
from vesalius.study._folder import make_folder, put
from vesalius.study._report import Heading, image_facts
from vesalius.study._stage_page import Page, Titles, render_page
from vesalius.study._views import choose_window, overview
from vesalius.study.register._run import REPORT

TITLES = Titles(
    findings="Before you use the series",
    views="The reference",
    views_note="What each frame was brought onto",
    charts="Motion",
    rows="Motion of each frame",
)

JERK_MM = 0.5
"""Framewise displacement above which a frame is often left out of an analysis."""


@dataclass(frozen=True, slots=True, eq=False)
class DoneSeries:
    """What a run wrote.

    Attributes:
        motion: The transforms and the motion.
        report: The report's file.
        lead: What was found, in a sentence.
    """

    motion: SeriesMotion
    report: Path
    lead: str


def run_series(
    images: Path,
    out: Path,
    *,
    reference: int | Literal["mean"] = 0,
    preset: Preset = "rigid",
    on_step: Callable[[Step], None] | None = None,
) -> DoneSeries:
    """Align each frame of a series to one of them, and write frames, transforms and a report.

    Args:
        images: A file that holds a series.
        out: The folder; made where absent.
        reference: The frame that stays, counted from 0; or the mean of the aligned frames.
        preset: What is searched for in each frame.
        on_step: Told of each frame.

    Returns:
        What was written.

    Raises:
        FormatError: The file holds no series.
        ConfigError: There is no such frame.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    handle = io.open(images)
    if handle.content.frames == 1:
        raise FormatError(
            f"{images.name!r} must hold a series of images, it holds one: two images are "
            "registered with 'vesalius register FIXED MOVING'"
        )
    series = handle.read_series()
    motion = register_series(series, reference=reference, plan=preset, on_step=on_step)
    io.save(motion.corrected, out / "aligned.nii.gz")
    for k, transform in enumerate(motion.transforms):
        transforms.save(transform, out / f"transform_{k:04d}.json", like=series.grid)
    put(out / "motion.csv", _table(motion))
    lead = _lead(motion, reference)
    record = Provenance(
        "register series",
        {"reference": reference, "preset": preset},
        {"series": hash_samples(series.data, series.grid.affine)},
    )
    page = _page(motion, lead, record.to_json())
    put(out / REPORT, render_page(page))
    return DoneSeries(motion, out / REPORT, lead)


def _lead(motion: SeriesMotion, reference: int | Literal["mean"]) -> str:
    onto = "the mean of the aligned frames" if reference == "mean" else f"frame {reference}"
    moved = motion.mean_displacement_mm
    text = (
        f"{len(moved)} frames were brought onto {onto}; from one frame to the next points moved by "
        f"{float(np.mean(moved[1:] or moved)):.3g} mm on average and {max(moved):.3g} mm at most."
    )
    power = motion.framewise_displacement_mm
    if power:
        above = sum(v > JERK_MM for v in power)
        text += f" Framewise displacement is above {JERK_MM:g} mm in {above} frames."
    return text


def _page(motion: SeriesMotion, lead: str, record: dict[str, object]) -> Page:
    reference = Image(motion.reference.data[:1].float(), motion.reference.grid)
    return Page(
        Heading("A series, aligned", lead),
        facts=image_facts(reference),
        views=overview(reference, (), window=choose_window(reference, ())),
        charts=(_chart(motion),),
        columns=("Frame", "Framewise displacement, mm", "Mean motion of a point, mm"),
        rows=tuple((str(k), f"{a:.3f}", f"{b:.3f}") for k, a, b in _rows(motion)),
        rows_note="From the frame before. Framewise displacement: Power et al. 2012, 50 mm sphere.",
        provenance=record,
        titles=TITLES,
    )


def _rows(motion: SeriesMotion) -> list[tuple[int, float, float]]:
    moved = motion.mean_displacement_mm
    power = motion.framewise_displacement_mm or (float("nan"),) * len(moved)
    return [(k, a, b) for k, (a, b) in enumerate(zip(power, moved, strict=True))]


def _chart(motion: SeriesMotion) -> Chart:
    frames = np.arange(len(motion.mean_displacement_mm), dtype=np.float64)
    drawn = [Line("mean motion of a point", frames, np.array(motion.mean_displacement_mm))]
    if motion.framewise_displacement_mm:
        power = np.array(motion.framewise_displacement_mm)
        drawn.insert(0, Line("framewise displacement", frames, power))
    note = "how much the patient moved since the frame before"
    return lines("Motion", note, drawn, axes=("frame", "mm"))


def _table(motion: SeriesMotion) -> str:
    out = text.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("frame", "framewise_displacement_mm", "mean_displacement_mm"))
    for k, a, b in _rows(motion):
        writer.writerow((k, "" if a != a else f"{a:.6g}", f"{b:.6g}"))
    return out.getvalue()
