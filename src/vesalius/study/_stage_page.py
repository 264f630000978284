"""Page: everything that the report of one stage says, and its rendering."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from vesalius.study._charts import Chart
from vesalius.study._render import render
from vesalius.study._report import Heading
from vesalius.study._views import View


@dataclass(frozen=True, slots=True)
class Titles:
    """What the sections of a page are called.

    Attributes:
        findings: What must be known first.
        views: Slices.
        views_note: How to read them.
        charts: Pictures.
        rows: The table.
    """

    findings: str = "Before you use the image"
    views: str = "The image"
    views_note: str = "Slices of the reconstructed image, nothing interpolated, at one scale"
    charts: str = "From measurement to image"
    rows: str = "Against the truth"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is folded away until it is asked for.

    Attributes:
        title: What it lists.
        columns: Names of its columns.
        rows: Its cells, as text.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """The report of one stage: a reconstruction, a registration.

    Attributes:
        heading: What it is about.
        errors: What went wrong; shown first.
        findings: What must be known before the image is used.
        facts: Name and value of what was measured and how.
        views: Slices of the image.
        charts: Pictures with their words: measurement, profile, residual and what else there is.
        pictures: Wide pictures, which come before the charts.
        columns: Names of the columns of the table.
        rows: Its cells, as text; empty for no table.
        rows_note: What the table compares.
        tables: Longer tables below it.
        methods: Paragraphs for a methods section.
        provenance: The record of the run, JSON types.
        titles: What the sections are called.
    """

    heading: Heading
    errors: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    views: tuple[View, ...] = ()
    charts: tuple[Chart, ...] = ()
    pictures: tuple[Chart, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    rows_note: str = ""
    tables: tuple[Table, ...] = ()
    methods: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    titles: Titles = Titles()


def render_page(page: Page) -> str:
    """Render the report as one HTML file: no network, no script.

    Args:
        page: The report.

    Returns:
        The text; all data in it is escaped.
    """
    record = json.dumps(page.provenance, indent=2, sort_keys=True)
    return render("stage.html.j2", {"report": page, "provenance": record})
