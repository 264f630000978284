"""Run: a plan carried out, its image and its report written."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vesalius import io
from vesalius.core import Step
from vesalius.errors import VesaliusError
from vesalius.reconstruct import Reconstruction
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, render_page
from vesalius.study.reconstruct._plan import Plan
from vesalius.study.reconstruct._tell import page_of

OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What a run wrote.

    Attributes:
        reconstruction: The image and what must be known of it.
        image: The image's file.
        report: The report's file.
    """

    reconstruction: Reconstruction
    image: Path
    report: Path


def run_plan(
    plan: Plan,
    out: Path,
    *,
    report: Path | None = None,
    truth: Path | None = None,
    on_step: OnStep | None = None,
) -> Done:
    """Reconstruct, and write the image and a report beside it.

    Args:
        plan: From :func:`open_plan`.
        out: The image file; its suffix is its format.
        report: The HTML file; ``None`` is the image's name with ``.report.html``.
        truth: An image to compare the result with, on the result's grid.
        on_step: Told of each step.

    Returns:
        What was written.

    Raises:
        VesaliusError: An input was refused; the report then says so, and no image is written.
    """
    page_file = beside(out) if report is None else report
    known = None if truth is None else io.open(truth).read()
    try:
        begun = time.perf_counter()
        found = plan.run(on_step)
        took = time.perf_counter() - begun
        page = page_of(plan, found, truth=known, seconds=took)
    except VesaliusError as error:
        lead = "An input was refused; see below. No image was written."
        asked = {"asked": plan.job.to_json()}
        _write(
            page_file,
            Page(
                Heading("Nothing was reconstructed", lead), errors=(str(error),), provenance=asked
            ),
        )
        raise
    io.save(found.image, out)
    _write(page_file, page)
    return Done(found, out, page_file)


def beside(out: Path) -> Path:
    """Give the name of the report that belongs to an image file."""
    name = out.name
    for suffix in sorted(io.formats(), key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return out.with_name(f"{name}.report.html")


def _write(path: Path, page: Page) -> None:
    with io.atomic_write(path) as file:
        file.write(render_page(page).encode())
