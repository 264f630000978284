"""Page: everything that the report of a reconstruction says, and its rendering."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from vesalius.study._render import render
from vesalius.study._report import Heading
from vesalius.study._views import View
from vesalius.study.reconstruct._charts import Chart


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """The report of one reconstruction.

    Attributes:
        heading: What it is about.
        errors: What went wrong; shown first.
        findings: What must be known before the image is used.
        facts: Name and value of what was measured and how.
        views: Slices of the image.
        charts: Measurement, profile, residual and what else there is.
        columns: Names of the columns of the table against the truth.
        rows: Its cells, as text; empty where no truth is known.
        rows_note: What the table compares.
        methods: Paragraphs for a methods section.
        provenance: The record of the run, JSON types.
    """

    heading: Heading
    errors: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    views: tuple[View, ...] = ()
    charts: tuple[Chart, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    rows_note: str = ""
    methods: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)


def render_page(page: Page) -> str:
    """Render the report as one HTML file: no network, no script.

    Args:
        page: The report.

    Returns:
        The text; all data in it is escaped.
    """
    record = json.dumps(page.provenance, indent=2, sort_keys=True)
    return render("reconstruct.html.j2", {"report": page, "provenance": record})
