"""Run: objects measured, their table written, and the report beside it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vesalius.core import Image, Labels, hash_samples
from vesalius.core._provenance import Provenance
from vesalius.measure.objects import Objects, measure_objects
from vesalius.study._charts import Chart, Line, lines
from vesalius.study._folder import make_folder, put
from vesalius.study._report import Heading, image_facts
from vesalius.study._stage_page import Page, Table, Titles, render_page
from vesalius.study._views import choose_window, overview

if TYPE_CHECKING:
    import pandas as pd

TABLE, REPORT = "objects.csv", "report.html"

TITLES = Titles(
    findings="Before you use the table",
    views="The image",
    views_note="Slices that meet most objects",
    charts="How the objects are distributed",
    rows="Over all objects",
)

_LISTED = 100
_DRAWN = ("area", "volume", "roundness", "eccentricity", "solidity", "mean", "nearest")


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What a run wrote.

    Attributes:
        objects: The table and what was noticed.
        table: Its file.
        report: The report's file.
    """

    objects: Objects
    table: Path
    report: Path


def run_objects(
    image: Image,
    labels: Labels,
    out: Path,
    *,
    inside: Labels | None = None,
    findings: tuple[str, ...] = (),
) -> Done:
    """Measure each object and write ``objects.csv`` and ``report.html``.

    Args:
        image: The image.
        labels: One layer on its grid.
        out: The folder; made where absent.
        inside: Other objects that are counted in each, such as spots in cells.
        findings: What was noticed while reading.

    Returns:
        What was written.

    Raises:
        VesaliusError: The objects cannot be measured; nothing is written then.
        OutputError: The folder cannot be written.
    """
    found = measure_objects(image, labels, inside=inside)
    make_folder(out)
    hashes = {
        "image": hash_samples(image.data, image.grid.affine),
        "labels": hash_samples(labels.data, labels.grid.affine),
    }
    record = Provenance("measure objects", {"contains": inside is not None}, hashes).to_json()
    put(out / TABLE, found.table.to_csv(index=False, lineterminator="\n"))
    put(out / REPORT, render_page(_page(image, labels, found, findings, record)))
    return Done(found, out / TABLE, out / REPORT)


def _page(
    image: Image,
    labels: Labels,
    found: Objects,
    findings: tuple[str, ...],
    record: dict[str, Any],
) -> Page:
    table = found.table
    first = Image(image.data[:1], image.grid, image.unit)
    window = choose_window(first, ())
    count = f"{len(table):,} object{'s' * (len(table) != 1)}"
    lead = f"{count} measured; '{TABLE}' holds a row for each. Research use only."
    middle = _numbers(table).describe(percentiles=[0.05, 0.5, 0.95]).T
    rows = tuple(
        (str(name), *(f"{value:.5g}" for value in row))
        for name, row in zip(
            middle.index, middle[["mean", "std", "5%", "50%", "95%"]].to_numpy(), strict=True
        )
    )
    from vesalius.study.segment._overlay import objects_picture

    return Page(
        Heading("Objects", lead),
        findings=(*findings, *found.findings),
        facts=image_facts(first),
        views=overview(first, (), window=window),
        pictures=(objects_picture(first, labels, window=window),),
        charts=tuple(_chart(table, word) for word in _DRAWN if _column(table, word)),
        columns=("Quantity", "Mean", "SD", "5th percentile", "Median", "95th"),
        rows=rows,
        rows_note="Each object counts once. The unit stands in the name of the quantity.",
        tables=(_listed(table),),
        methods=(_methods(table),),
        provenance=record,
        titles=TITLES,
    )


def _numbers(table: "pd.DataFrame") -> "pd.DataFrame":
    dropped = [
        c for c in table if c in ("label", "name") or str(c).startswith(("bbox", "centroid"))
    ]
    return table.drop(columns=dropped)


def _column(table: "pd.DataFrame", word: str) -> str:
    """Find the column of a quantity, whatever its unit; empty where it is absent or undefined."""
    named = [str(c) for c in table if str(c) == word or str(c).startswith(f"{word}_")]
    known = [c for c in named if bool(np.isfinite(table[c]).any())]
    return known[0] if known else ""


def _chart(table: "pd.DataFrame", word: str) -> Chart:
    name = _column(table, word)
    values = table[name].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values, bins=min(40, max(5, round(len(values) ** 0.5))))
    steps = np.repeat(edges, 2)
    heights = np.concatenate([[0], np.repeat(counts, 2), [0]]).astype(np.float64)
    note = f"median {np.median(values):.4g}"
    return lines(name, note, [Line("", steps, heights)], axes=(name, "objects"))


def _listed(table: "pd.DataFrame") -> Table:
    shown = table.head(_LISTED)
    rows = tuple(
        tuple(f"{v:.5g}" if isinstance(v, float) else str(v) for v in row)
        for row in shown.itertuples(index=False)
    )
    title = f"The first {len(shown)} of {len(table)} objects"
    return Table(title, tuple(str(c) for c in table), rows)


def _methods(table: "pd.DataFrame") -> str:
    from vesalius._version import __version__

    return (
        f"{len(table)} objects were measured with vesalius {__version__}: area or volume from "
        "whole samples, axes of the ellipse with the same second moments, perimeter from border "
        "pixels (Benkrid and Crookes 2000), solidity against the convex hull."
    )
