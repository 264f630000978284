"""Demo: a chest CT with a nodule of known size put in, found again, and everything measured."""
# SPDX-License-Identifier: Apache-2.0

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vesalius.core import Image, Labels, Step
from vesalius.measure import parse_config
from vesalius.measure._config import Compute
from vesalius.study._content import Truth
from vesalius.study._part import Part
from vesalius.study._report import FollowUp, Heading, LowDose, Repeat, Scene, build_report
from vesalius.study._run import (
    OnStep,
    Outcome,
    Task,
    measure_part,
    open_folder,
    outlines,
    plan,
    provenance_record,
    write_study,
)
from vesalius.study._sample import ORGANS, Sample, cache_folder, phantom_sample, sample_or_phantom
from vesalius.study._views import Outline, Window, overview

Point = tuple[float, float, float]

NODULE_RADIUS_MM = 9.0
NODULE_HU = 40.0
NODULE_PSF_MM = 0.8
NODULE_NOISE_HU = 12.0
ORGAN_SPACING_MM = 2.0
SEARCH_RADIUS_MM = 15.0
CLICK_OFF_MM: Point = (1.5, -1.0, 1.5)
"""How far from the centre the simulated reader clicks: the segmentation is not given the truth."""

COARSE_TEXT = (
    f"Image and organ labels were first brought to a grid of {ORGAN_SPACING_MM:g} mm (linear "
    "interpolation after an anti-aliasing Gaussian; labels by nearest neighbour)."
)
FOUND_TEXT = (
    "The nodule was segmented from a click that misses its centre, at half its contrast to its "
    "surroundings."
)

ORGANS_YAML = """
modality: CT
discretise: {method: bin_width, bin_width: 25}
features:
  families: [morphology, statistics, histogram, ivh, glcm]
  aggregations: [3D_comb]
  spatial_autocorrelation: false
perturb: {count: 20}
"""
"""Whole organs, on a coarse grid: fewer perturbations, no zone families, no Moran and Geary."""

NODULE_YAML = """
modality: CT
discretise: {method: bin_width, bin_width: 25}
features:
  aggregations: [3D_avg, 3D_comb, 3D]
perturb: {count: 30}
"""
"""The nodule, on the scan's own grid: all families, more perturbations."""


_PHANTOM = (
    "closed form of the phantom",
    "closed form of the phantom; a mesh of thin rods on this grid loses volume",
)


@dataclass(frozen=True, slots=True, eq=False)
class Nodule:
    """A nodule put into a scan, and what a segmentation that was not told found.

    Attributes:
        image: The scan with the nodule.
        labels: What half-contrast segmentation found around the click; value 1.
        volume_mm3: Exact volume.
        centre_mm: Where it is, (L, P, S).
    """

    image: Image
    labels: Labels
    volume_mm3: float
    centre_mm: Point


def run_demo(out: Path, *, phantom: bool = False, on_step: OnStep | None = None) -> Outcome:
    """Measure the sample CT with an inserted nodule, and write tables, report and pictures.

    Args:
        out: The output folder; made where absent.
        phantom: Measure the analytic chest phantom, and fetch nothing.
        on_step: Called when a piece of the work begins.

    Returns:
        The report and what was written.

    Raises:
        OutputError: The folder cannot be written.
    """
    journal = open_folder(out)
    total = 6 + _pieces(NODULE_YAML, 1) + _pieces(ORGANS_YAML, len(ORGANS))
    steps = _Steps(on_step, total)
    steps.next("bring the scan")
    sample = phantom_sample() if phantom else sample_or_phantom(cache_folder())
    return measure_sample(sample, out, journal=journal, steps=steps)


def measure_sample(
    sample: Sample, out: Path, *, journal: Path, steps: "_Steps | None" = None
) -> Outcome:
    """Do the demo on a sample that is at hand.

    Args:
        sample: A chest CT with regions named as ``ORGANS``.
        out: The output folder; it exists.
        journal: Folder of finished regions; it exists.
        steps: Who is told about progress.

    Returns:
        The report and what was written.

    Raises:
        OutputError: A file cannot be written.
    """
    tell = steps or _Steps(None, 1)
    tell.next("put in a nodule")
    nodule = insert(sample)
    fine = (nodule.image, nodule.labels)
    found = _measured(fine, NODULE_YAML, "nodule, own grid", journal=journal, tell=tell)
    tell.next("resample for the organs")
    coarse = _coarse(nodule.image, sample.labels)
    organs = _measured(
        coarse, ORGANS_YAML, f"organs, {ORGAN_SPACING_MM:g} mm grid", journal=journal, tell=tell
    )
    found = replace(found, findings=_notes(sample) + found.findings, preparation=FOUND_TEXT)
    organs = replace(organs, preparation=COARSE_TEXT)
    tell.next("measure a slice again at low dose")
    again = low_dose(nodule)
    tell.next("scan again at a second visit, and register")
    later = second_visit(sample, nodule)
    tell.next("write the report")
    outcome = _written(sample, nodule, (found, organs), (again, later), out)
    tell.next("done")
    return outcome


def insert(sample: Sample) -> Nodule:
    """Put a nodule into the right lung and find it again from a click that misses its centre.

    Args:
        sample: A chest CT.

    Returns:
        The scan, the segmentation and the truth.
    """
    from vesalius.physics import Ellipsoid, insert_nodule
    from vesalius.segment import half_contrast

    centre = quiet_place(sample.image, sample.labels, reach_mm=NODULE_RADIUS_MM + 8.0)
    ball = Ellipsoid.sphere(centre, 2 * NODULE_RADIUS_MM, value=NODULE_HU, name="nodule")
    inserted = insert_nodule(
        sample.image,
        ball,
        psf_mm=NODULE_PSF_MM,
        noise=NODULE_NOISE_HU,
        generator=torch.Generator().manual_seed(7),
    )
    seed = tuple(c + d for c, d in zip(centre, CLICK_OFF_MM, strict=True))
    labels = half_contrast(inserted.image, (seed[0], seed[1], seed[2]), radius_mm=SEARCH_RADIUS_MM)
    named = Labels(labels.data, labels.grid, {(0, 1): "nodule"})
    return Nodule(inserted.image, named, inserted.volume_mm3, centre)


def quiet_place(image: Image, labels: Labels, *, reach_mm: float) -> Point:
    """Find a place in the right lung away from its wall and from large vessels.

    Args:
        image: A chest CT, HU.
        labels: Value 1 is the right lung.
        reach_mm: Radius that must be lung, mm.

    Returns:
        World point (L, P, S), mm.
    """
    from scipy import ndimage

    step = tuple(max(1, round(3.0 / s)) for s in image.grid.spacing_mm)
    spacing = tuple(k * s for k, s in zip(step, image.grid.spacing_mm, strict=True))
    every = tuple(slice(None, None, k) for k in step)
    lung = (labels.data[0][every] == 1).cpu().numpy()
    depth = ndimage.distance_transform_edt(np.pad(lung, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    hu = image.data[0][every].float().cpu().numpy()
    size = tuple(int(2 * reach_mm / s) | 1 for s in spacing)
    crowd = ndimage.uniform_filter(np.clip(hu, -1000, 200), size)
    crowd[depth < min(reach_mm, depth.max())] = np.inf
    index = np.array(np.unravel_index(int(np.argmin(crowd)), crowd.shape)) * step
    point = image.grid.to_world(torch.tensor(index, dtype=torch.float64)).tolist()
    return (round(point[0], 3), round(point[1], 3), round(point[2], 3))


class _Steps:
    """Counts the pieces of the demo for whoever watches."""

    def __init__(self, on_step: OnStep | None, total: int) -> None:
        self._on_step = on_step
        self._total = total
        self._done = 0

    def next(self, what: str) -> None:
        """Say that the next piece begins."""
        self._tell(what, self._done)
        self._done += 1

    def part(self, pieces: int) -> OnStep:
        """Give what to call with the steps of a part of so many pieces."""
        begun = self._done
        self._done += pieces

        def tell(step: Step) -> None:
            if step.done < step.total:
                self._tell(f"measure: {step.what}", begun + step.done)

        return tell

    def _tell(self, what: str, done: int) -> None:
        if self._on_step is not None:
            self._on_step(Step(what, min(done, self._total), self._total))


def _coarse(image: Image, labels: Labels) -> tuple[Image, Labels]:
    from vesalius.core import Grid, resample, resample_labels

    grid = image.grid
    shape = tuple(
        max(1, int(n * s / ORGAN_SPACING_MM))
        for n, s in zip(grid.shape, grid.spacing_mm, strict=True)
    )
    affine = grid.affine.clone()
    affine[:3, :3] = grid.direction * ORGAN_SPACING_MM
    like = Grid((shape[0], shape[1], shape[2]), affine)
    smooth = resample(image.map(lambda x: x.float()), like=like)
    return smooth.map(lambda x: x.round()), resample_labels(labels, like=like)


def _measured(
    pair: tuple[Image, Labels], text: str, name: str, *, journal: Path, tell: _Steps
) -> Part:
    threads = min(8, os.cpu_count() or 1)
    config = parse_config(text).model_copy(update={"compute": Compute(threads=threads)})
    task = Task(config, name, uncertainty=True)
    on_step = tell.part(_pieces(text, len(plan(pair[1]))))
    return measure_part(*pair, task, journal=journal, on_step=on_step)


def _pieces(text: str, regions: int) -> int:
    return regions * (1 + parse_config(text).perturb.count)


def _notes(sample: Sample) -> tuple[str, ...]:
    note = (sample.note,) if sample.note else ()
    return (
        *note,
        f"The nodule is not the patient's: a ball of {2 * NODULE_RADIUS_MM:g} mm and {NODULE_HU:g} "
        "HU was put into the right lung, so that the truth is known.",
        f"Whole organs were measured on a {ORGAN_SPACING_MM:g} mm grid with fewer perturbations, "
        "to keep the demo short; the nodule on the scan's own grid.",
    )


def low_dose(nodule: Nodule) -> LowDose:
    """Measure the slice through the nodule again with few photons, and reconstruct it three ways.

    Args:
        nodule: The scan and where the nodule is.

    Returns:
        The errors and the pictures.
    """
    from vesalius.study.reconstruct import rescan

    again = rescan(nodule.image, nodule.centre_mm, radius_mm=0.7 * NODULE_RADIUS_MM)
    window = Window(-1000.0, 250.0, "HU")
    names = ("the slice itself", *(way.name for way in again.ways))
    views = tuple(
        replace(overview(image, (), window=window)[0], title=name)
        for image, name in zip(again.images, names, strict=True)
    )
    repeats = tuple(Repeat(w.name, w.rmse, w.spot, w.noise) for w in again.ways)
    return LowDose(repeats, views, again.note, "nodule")


def second_visit(sample: Sample, nodule: Nodule) -> FollowUp:
    """Scan the patient again after a breath, with a grown nodule, and compare the visits.

    Args:
        sample: A chest CT whose labels 1 and 2 are the lungs.
        nodule: The scan and where the nodule is.

    Returns:
        Motion and growth, found against true.
    """
    from vesalius.study._follow_up import Visit, follow_up

    both = (sample.labels.data == 1) | (sample.labels.data == 2)
    lungs = Labels(both.to(torch.uint8), sample.labels.grid)
    return follow_up(
        Visit(
            nodule.image,
            nodule.centre_mm,
            NODULE_RADIUS_MM,
            lungs,
            flat=bool(sample.volumes_mm3),
        )
    )


def _written(
    sample: Sample,
    nodule: Nodule,
    parts: tuple[Part, ...],
    extra: tuple[LowDose, FollowUp],
    out: Path,
) -> Outcome:
    heading = Heading(
        "A chest CT, measured",
        "Lungs, heart, aorta, liver, spleen, vertebrae, ribs and one nodule of known size: every "
        "number with its error bar.",
        source=sample.source,
    )
    scene = Scene(nodule.image, _outlines(sample, nodule), "nodule")
    inputs = {"organs": sample.labels, "nodule": nodule.labels}
    record = provenance_record(nodule.image, inputs, parts).to_json()
    record["made"] = {
        "nodule": {
            "centre_mm": list(nodule.centre_mm),
            "radius_mm": NODULE_RADIUS_MM,
            "value_HU": NODULE_HU,
            "psf_mm": NODULE_PSF_MM,
            "noise_HU": NODULE_NOISE_HU,
            "click_off_mm": list(CLICK_OFF_MM),
        },
        "organ_grid_mm": ORGAN_SPACING_MM,
        "source": sample.source,
    }
    report = build_report(heading, scene, parts, truths=_truths(sample, nodule), provenance=record)
    report = replace(report, low_dose=extra[0], follow_up=extra[1])
    return Outcome(report, parts, write_study(out, report, parts))


def _outlines(sample: Sample, nodule: Nodule) -> tuple[Outline, ...]:
    found = outlines(nodule.labels, plan(nodule.labels), first=1)
    rest = outlines(sample.labels, plan(sample.labels), first=2)
    return (*found, *rest)


def _truths(sample: Sample, nodule: Nodule) -> tuple[Truth, ...]:
    known = "inserted ball"
    corners = "inserted ball; a mask's corners reach beyond it by up to a slice"
    ball = (
        Truth("nodule", "morph_volume", "Volume", nodule.volume_mm3, known),
        Truth("nodule", "morph_diam", "Maximum diameter", 2 * NODULE_RADIUS_MM, corners),
        Truth("nodule", "stat_median", "Median intensity", NODULE_HU, known),
    )
    organs = tuple(
        Truth(name, "morph_volume", "Volume", volume, _PHANTOM[name == "ribs"])
        for name, volume in sample.volumes_mm3.items()
    )
    return ball + organs
