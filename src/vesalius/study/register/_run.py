"""Run: two images registered, everything written, and the report beside it."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vesalius import io
from vesalius.core import Image, Step, resample
from vesalius.core._provenance import Provenance
from vesalius.errors import ConvergenceError, GeometryError, VesaliusError
from vesalius.io import transforms
from vesalius.register import Registration, register
from vesalius.register.evaluate import RegistrationReport
from vesalius.study._folder import make_folder, put
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, render_page
from vesalius.study.register._job import Inputs, Job
from vesalius.study.register._loaded import Loaded, load_inputs
from vesalius.study.register._tell import TITLES, headline, page_of

OnStep = Callable[[Step], None]

REPORT = "report.html"


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What a run wrote.

    Attributes:
        registration: The transform and what must be known of it.
        metrics: How good it is.
        report: The report's file.
        files: Names of all files in the folder.
        headline: Name and value of what matters first.
        remarks: What must be known before the result is used.
    """

    registration: Registration
    metrics: RegistrationReport
    report: Path
    files: tuple[str, ...]
    headline: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


def run_register(inputs: Inputs, job: Job, out: Path, *, on_step: OnStep | None = None) -> Done:
    """Register two images and write transform, inverse, warped images, metrics and a report.

    Args:
        inputs: The files.
        job: What is to be done with them.
        out: The folder; made where absent. Files of an earlier run are replaced one by one, and
            an inverse or labels that this run does not write are removed.
        on_step: Told of each step.

    Returns:
        What was written.

    Raises:
        VesaliusError: An input was refused; the report then says so, and nothing else is written.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    try:
        loaded = load_inputs(inputs, job)
        found = register(
            loaded.fixed,
            loaded.moving,
            plan=job.preset,
            modality=job.modality,
            init=loaded.init,
            guides=loaded.guides,
            on_step=on_step,
        )
        metrics = found.evaluate(labels=loaded.labels, landmarks=loaded.points, mask=_mask(loaded))
    except VesaliusError as error:
        lead = "An input was refused; see below. Nothing else was written."
        heading = Heading("Nothing was registered", lead)
        page = Page(heading, errors=(str(error),), provenance=job.to_json(), titles=TITLES)
        put(out / REPORT, render_page(page))
        raise
    return _written(loaded, job, found, metrics, out)


def _mask(loaded: Loaded) -> Image | None:
    mask = loaded.guides.masks().fixed
    return None if mask is None else resample(mask, loaded.fixed.grid, fill=0)


def _written(
    loaded: Loaded, job: Job, found: Registration, metrics: RegistrationReport, out: Path
) -> Done:
    like, moving = found.fixed.grid, found.moving.grid
    remarks = [*loaded.remarks, *found.remarks]
    io.save(found.warped, out / "warped.nii.gz")
    transforms.save(found.transform, out / "transform.json", like=like)
    files = ["warped.nii.gz", "transform.json"]
    try:
        transforms.save(found.inverse, out / "inverse.json", like=moving)
        files.append("inverse.json")
    except (ConvergenceError, GeometryError) as error:
        _forget(out, "inverse.json", "inverse.*.nii.gz")
        remarks.append(f"No inverse was written: {error}")
    if loaded.labels is not None:
        io.save(found.pull_labels(loaded.labels[1]), out / "warped_labels.nii.gz")
        files.append("warped_labels.nii.gz")
    else:
        _forget(out, "warped_labels.nii.gz")
    record = _record(loaded, job, found)
    body = {**metrics.to_dict(), "remarks": remarks, "provenance": record}
    put(out / "metrics.json", json.dumps(body, indent=2, sort_keys=True) + "\n")
    page = page_of(loaded, job, found, metrics, remarks=tuple(remarks), record=record)
    put(out / REPORT, render_page(page))
    return Done(
        found,
        metrics,
        out / REPORT,
        (*files, "metrics.json", REPORT),
        headline(metrics),
        tuple(remarks),
    )


def _forget(out: Path, *patterns: str) -> None:
    """Remove what an earlier run wrote and this one does not: it belongs to another transform."""
    for pattern in patterns:
        for old in out.glob(pattern):
            old.unlink()


def _record(loaded: Loaded, job: Job, found: Registration) -> dict[str, object]:
    record = Provenance("register", job.to_json(), loaded.hashes())
    return {**record.to_json(), "transform": repr(found.transform), "seconds": found.seconds}
