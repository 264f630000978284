"""Run: images segmented one after another, each with its labels, its record and its report."""
# SPDX-License-Identifier: Apache-2.0

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import cast

import torch

from vesalius import io
from vesalius.core import Step, hash_samples
from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError, FormatError, OutputError, VesaliusError
from vesalius.io import formats
from vesalius.segment import Method, Segmentation, segment
from vesalius.study._folder import make_folder, put
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, render_page
from vesalius.study.segment._job import HintFiles, Job
from vesalius.study.segment._loaded import Loaded, load
from vesalius.study.segment._tell import TITLES, headline, page_of, regions
from vesalius.study.segment._words import build, method_class

OnStep = Callable[[Step], None]

REPORT, RECORD, SUMMARY = "report.html", "segmentation.json", "summary.csv"
NO_HINTS = HintFiles()


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What became of one image.

    Attributes:
        name: Of the image.
        labels: The file with the labels; None where it failed.
        report: The report; None where only labels were asked for.
        headline: Name and value of what matters first.
        remarks: What must be known before the labels are used.
        error: Why it failed, or empty.
    """

    name: str
    labels: Path | None
    report: Path | None
    headline: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    error: str = ""


def run_segment(
    images: tuple[Path, ...],
    job: Job,
    out: Path,
    *,
    hints: HintFiles = NO_HINTS,
    on_step: OnStep | None = None,
) -> tuple[Done, ...]:
    """Segment images, and write labels, maps, a record and a report for each.

    One image and an ``out`` with the suffix of a format write that file of labels alone. Else
    ``out`` is a folder; several images have a folder each in it, beside a ``summary.csv``, and one
    that fails does not stop the others.

    Args:
        images: Files, or folders with one DICOM series.
        job: How.
        out: A file or a folder; what is there from an earlier run is replaced file by file.
        hints: What is known beside the image; for one image alone.
        on_step: Told of each step.

    Returns:
        What became of each image.

    Raises:
        VesaliusError: The job cannot be done at all, or the only image was refused.
        OutputError: The folder cannot be written.
        ConfigError: Two images would have one name, or hints are given for several images.
    """
    _check(images, hints)
    method = make_method(job)
    only_labels = len(images) == 1 and out.name.lower().endswith(formats())
    if only_labels:
        found, loaded = _found(images[0], job, method, hints, on_step)
        io.save(found.labels, out)
        remarks = (*loaded.remarks, *found.remarks)
        return (Done(images[0].name, out, None, headline(found), remarks),)
    make_folder(out)
    if len(images) == 1:
        return (_one(images[0], job, method, hints, out, on_step),)
    done = tuple(
        _survived(path, job, method, out / name, on_step)
        for path, name in zip(images, stems(images), strict=True)
    )
    put(out / SUMMARY, _summary(done))
    return done


def make_method(job: Job) -> Method:
    """Make the method that a job asks for; a model is read from its files.

    Args:
        job: How.

    Returns:
        The method.

    Raises:
        ConfigError: A word or a setting is unknown.
        FormatError: The model cannot be read.
    """
    if job.method:
        return cast(Method, build(method_class(job.method), job.settings))
    from vesalius.segment.networks import Inference, Trained, load_model, load_packaged

    inference = build(Inference, job.settings)
    named = not Path(job.model).exists() and Path(job.model).name == job.model
    model = load_packaged(job.model) if named else load_model(job.model)
    method: Method = Trained(model, inference)
    return method


def stems(images: tuple[Path, ...]) -> tuple[str, ...]:
    """Give the name of each image without the suffix of its format.

    Args:
        images: Files or folders.

    Returns:
        One name each.

    Raises:
        ConfigError: Two are equal.
    """
    names = tuple(_stem(path) for path in images)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"images must have different names, {', '.join(twice)} occurs twice: segment them in "
            "two runs, with two folders"
        )
    return names


def _stem(path: Path) -> str:
    known = sorted(formats(), key=len, reverse=True)
    suffix = next((s for s in known if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(suffix)] or path.name


def _check(images: tuple[Path, ...], hints: HintFiles) -> None:
    if not images:
        raise ConfigError("at least one image must be given, got none")
    if len(images) > 1 and hints != NO_HINTS:
        raise ConfigError(
            f"seeds, marks and masks belong to one image, got {len(images)} images: segment each "
            "in a run of its own"
        )


def _found(
    path: Path, job: Job, method: Method, hints: HintFiles, on_step: OnStep | None
) -> tuple[Segmentation, Loaded]:
    loaded = load(path, job, hints)
    return segment(loaded.image, method, hints=loaded.hints, on_step=on_step), loaded


def _survived(path: Path, job: Job, method: Method, out: Path, on_step: OnStep | None) -> Done:
    try:
        make_folder(out)
        return _one(path, job, method, NO_HINTS, out, on_step)
    except OutputError:
        raise
    except VesaliusError as error:
        return Done(path.name, None, out / REPORT, error=str(error))


def _one(
    path: Path, job: Job, method: Method, hints: HintFiles, out: Path, on_step: OnStep | None
) -> Done:
    try:
        found, loaded = _found(path, job, method, hints, on_step)
    except VesaliusError as error:
        lead = "The image was refused; see below. Nothing else was written."
        heading = Heading("Nothing was segmented", lead)
        page = Page(heading, errors=(str(error),), provenance=job.to_json(), titles=TITLES)
        put(out / REPORT, render_page(page))
        raise
    labels = out / f"labels{_suffix(path)}"
    _save_labels(found, labels)
    for name, image in found.maps.items():
        io.save(image, out / f"{name.replace(' ', '_')}.nii.gz")
    record = _record(job, method, hints, found, loaded)
    remarks = (*loaded.remarks, *found.remarks)
    body = {
        "values": dict(found.values),
        "regions": [
            dict(zip(("label", "name", "voxels", "volume_mm3"), row, strict=True))
            for row in regions(found.labels)
        ],
        "quantities": [_quantity(found, k) for k in range(len(found.quantities))],
        "remarks": list(remarks),
        "provenance": record,
    }
    put(out / RECORD, json.dumps(body, indent=2, sort_keys=True) + "\n")
    page = page_of(_stem(path), loaded, job, found, record=record)
    put(out / REPORT, render_page(page))
    return Done(path.name, labels, out / REPORT, headline(found), remarks)


def _save_labels(found: Segmentation, path: Path) -> None:
    """Write labels in the image's own format, or as NIfTI where that one cannot hold them."""
    try:
        io.save(found.labels, path)
    except FormatError:
        io.save(found.labels, path.parent / "labels.nii.gz")


def _suffix(path: Path) -> str:
    known = sorted(formats(), key=len, reverse=True)
    return next((s for s in known if path.name.lower().endswith(s)), ".nii.gz")


def _quantity(found: Segmentation, k: int) -> dict[str, object]:
    one = found.quantities[k]
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def _record(
    job: Job, method: Method, files: HintFiles, found: Segmentation, loaded: Loaded
) -> dict[str, object]:
    """Say what the result was made from: image, model and hints by their content."""
    from vesalius.segment._predict import Trained
    from vesalius.segment._store import model_hash

    image, hints = loaded.image, loaded.hints
    hashes = {"image": hash_samples(image.data, image.grid.affine)}
    if isinstance(method, Trained):
        hashes["model"] = model_hash(method.model)
    for name in ("marks", "mask", "start"):
        labels = getattr(hints, name)
        if labels is not None:
            hashes[name] = hash_samples(labels.data, labels.grid.affine)
    for name in ("contour", "fixed"):
        points = getattr(hints, name)
        if points is not None:
            hashes[name] = hash_samples(points.data, torch.eye(4))
    said = {"seeds_mm": files.seeds_mm, "outside_mm": files.outside_mm}
    parameters = job.to_json() | {k: [list(p) for p in v] for k, v in said.items() if v}
    record = Provenance("segment", parameters, hashes)
    return {**record.to_json(), "settings": dict(found.settings)}


def _summary(done: tuple[Done, ...]) -> str:
    """Write one line for each image; what fails is a line too."""
    names = [name for one in done for name, _ in one.headline]
    columns = list(dict.fromkeys(names))
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", *columns, "remarks", "error"])
    for one in done:
        said = dict(one.headline)
        cells = [said.get(name, "") for name in columns]
        table.writerow([one.name, *cells, "; ".join(one.remarks), one.error])
    return text.getvalue()
