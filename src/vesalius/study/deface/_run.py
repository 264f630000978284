"""Run: a scan's face removed, from files to a file, and a page to check it by."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import final

import torch

from vesalius import io
from vesalius.core import Image, Labels, hash_samples
from vesalius.core._provenance import Provenance
from vesalius.errors import OutputError
from vesalius.study._folder import put
from vesalius.study._report import Heading, image_facts
from vesalius.study._stage_page import Page, Titles, render_page
from vesalius.study._views import View, choose_window, outline, overview
from vesalius.study.deface._deface import STRICT, Defaced, Rules, Template, deface
from vesalius.study.deface._gate import OnStep
from vesalius.study.deface._head import head_of
from vesalius.study.register._loaded import open_image

TITLES = Titles(
    findings="Before you pass the scan on",
    views="Before and after",
    views_note="The outline is removed tissue; look for what it missed, ears and neck too",
    rows="What was done",
)

SECRET = (
    "This page shows the face. Keep it apart from the scan without a face, and delete it when you "
    "have looked."
)


@final
@dataclass(frozen=True, slots=True)
class Files:
    """The files of a scan, a template and what is to be kept.

    Attributes:
        image: The scan: a file, or a folder with one DICOM series.
        template: A head.
        face: Its face: labels in the template's world.
        keep: Labels of which no voxel is touched; None for none.
    """

    image: Path
    template: Path
    face: Path
    keep: Path | None = None


def run_deface(
    files: Files,
    out: Path,
    *,
    report: Path | None = None,
    rules: Rules = STRICT,
    on_step: OnStep | None = None,
) -> Defaced:
    """Remove the face from a scan and write what is left.

    Nothing is written unless the face was found; the output then appears whole.

    Args:
        files: Scan, template and what is to be kept.
        out: The file to write; its suffix names the format.
        report: Page with pictures before and after. It shows the face: None writes none.
        rules: How the face is found, and when it is refused.
        on_step: Told of each step.

    Returns:
        What was done.

    Raises:
        VesaliusError: An input was refused, or the face was not found for sure.
        OutputError: The page would take the scan's place, or a file cannot be written.
    """
    if not out.name.lower().endswith(io.formats()):
        raise OutputError(
            f"a scan without a face is written to one file that ends in "
            f"{', '.join(io.formats())}, got {out.name!r}"
        )
    if report is not None and report.resolve() == out.resolve():
        raise OutputError(f"page and scan must be two files, got {out.name!r} for both")
    image = open_image(files.image).read()
    template = Template(open_image(files.template).read(), io.open_labels(files.face))
    keep = None if files.keep is None else io.open_labels(files.keep)
    done = deface(image, template, keep=keep, rules=rules, on_step=on_step)
    if report is not None:
        # first: a scan that is there has been documented
        put(report, render_page(page_of(image, template, done, rules)))
    io.save(done.image, out)
    return done


def figures(done: Defaced) -> tuple[tuple[str, str], ...]:
    """Say what was done in figures.

    Args:
        done: What was done.

    Returns:
        Name and value of each.
    """
    rows = [
        ("removed", f"{100 * done.head_share:.1f} % of the head"),
        ("correlation with the template", f"{done.fit.alike:.2f}"),
        ("both ways agree within", f"{done.fit.apart_mm:.2f} mm"),
    ]
    if math.isfinite(done.kept_mm):
        rows.append(("distance to what was kept", f"{done.kept_mm:.1f} mm"))
    return tuple(rows)


def page_of(image: Image, template: Template, done: Defaced, rules: Rules) -> Page:
    """Make the page by which a person checks that the face is gone.

    Args:
        image: The scan as it was.
        template: The head it was compared with.
        done: What was done.
        rules: How.

    Returns:
        The page.
    """
    inputs = {
        role: hash_samples(x.data, x.grid.affine)
        for role, x in (("image", image), ("template", template.image), ("face", template.face))
    }
    record = Provenance("deidentify face", asdict(rules), inputs)
    return Page(
        Heading(
            "A face, removed",
            f"{100 * done.head_share:.1f} % of the head was removed by a template's face mask, "
            f"which an affine registration carried to the scan. It was set to {_values(done)}.",
        ),
        findings=(SECRET, *done.findings),
        facts=image_facts(image),
        views=_views(image, done),
        columns=("Measure", "Value"),
        rows=figures(done),
        rows_note="Both ways: scan to template, and template to scan, at the face (95 %).",
        provenance=record.to_json(),
        titles=TITLES,
    )


def _values(done: Defaced) -> str:
    unit = "" if done.image.unit == "1" else f" {done.image.unit}"
    return ", ".join(f"{value:g}{unit}" for value in dict.fromkeys(done.fill))


def _views(image: Image, done: Defaced) -> tuple[View, ...]:
    # of the tissue alone: the mask reaches into the air, where no slice is worth showing
    tissue = done.removed.data * head_of(image).to(torch.uint8)
    lines = outline(Labels(tissue, image.grid), ((0, 1),), names=("removed",))
    window = choose_window(image, ())
    both = (("before", image), ("after", done.image))
    return tuple(
        replace(view, title=f"{view.title}, {when}")
        for when, scan in both
        for view in overview(scan, lines, window=window)
    )
