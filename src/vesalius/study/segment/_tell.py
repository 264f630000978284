"""Tell: the page of a finished segmentation, made of its image and its result."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.core import Image, Labels
from vesalius.segment import Curve, Segmentation
from vesalius.study._charts import Chart, Line, lines
from vesalius.study._report import Heading, image_facts
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study._views import choose_window, outline, overview
from vesalius.study.segment._job import Job
from vesalius.study.segment._loaded import Loaded
from vesalius.study.segment._overlay import doubts, objects_picture

TITLES = Titles(
    findings="Before you use the labels",
    views="The image with its labels",
    views_note="Slices that meet the labels best, outlines as they are, nothing smoothed",
    charts="What was decided, and by what",
    rows="What was found",
)

_OUTLINED = 24
"""So many regions are drawn as outlines with a name; more are drawn as coloured objects."""

_DRAWN = 2000
"""Points of a line that a page draws; a histogram of 16 bits has 65,536."""

_LISTED = 500
"""So many regions are listed in the report; the files hold all."""

Row = tuple[int, str, int, float]


def page_of(
    name: str, loaded: Loaded, job: Job, found: Segmentation, *, record: Mapping[str, object]
) -> Page:
    """Make the page.

    Args:
        name: Of the image.
        loaded: What was segmented.
        job: How.
        found: What came of it.
        record: The record of the run.

    Returns:
        The page.
    """
    image = _first_channel(loaded.image)
    table = regions(found.labels)
    few = len(table) <= _OUTLINED
    keys = tuple((0, row[0]) for row in table)
    drawn = outline(found.labels, keys, names=tuple(r[1] for r in table)) if few else ()
    window = choose_window(image, drawn)
    by = f"the model {job.to_json()['model']!r}" if job.model else f"the method {job.method!r}"
    count = f"{len(table)} region{'s' * (len(table) != 1)}"
    lead = f"{count} found by {by}. Research use only: look at the labels before you use them."
    listed = tuple(_row(row, loaded.image) for row in table[:_LISTED])
    more = (Table(f"The first {len(listed)} of {len(table)} regions", COLUMNS, listed),)
    return Page(
        Heading(f"Segmentation of {name}", lead),
        findings=(*found.remarks, *loaded.remarks),
        facts=(*image_facts(image), *headline(found)),
        views=overview(image, drawn, window=window),
        charts=(*(_chart(curve) for curve in found.curves), *doubts(image, found, window=window)),
        pictures=() if few else (objects_picture(image, found.labels, window=window),),
        columns=COLUMNS if few else ("Quantity", "Value"),
        rows=listed if few else _spread(table, loaded.image),
        rows_note=_note(found, few=few),
        tables=(*_intervals(found), *(() if few else more)),
        methods=(_methods(job, found),),
        provenance=record,
        titles=TITLES,
    )


COLUMNS = ("Region", "Label", "Voxels", "Size")


def regions(labels: Labels) -> tuple[Row, ...]:
    """Count the voxels of each region.

    Args:
        labels: One layer.

    Returns:
        Label, name, voxels and volume in mm3 of each, by label.
    """
    values, counts = torch.unique(labels.data[0], return_counts=True)
    voxel = float(np.prod(labels.grid.spacing_mm))
    return tuple(
        (value, labels.names.get((0, value), f"label {value}"), count, count * voxel)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        if value != 0
    )


def headline(found: Segmentation) -> tuple[tuple[str, str], ...]:
    """Say the figures that matter first.

    Args:
        found: The result.

    Returns:
        Name and value of each.
    """
    said = [("regions", str(len(found.labels.values)))]
    said += [(name, f"{value:.6g}") for name, value in found.values.items()]
    for one in found.quantities:
        sure = f"{one.low:.4g} to {one.high:.4g}, {100 * one.coverage:.0f} %"
        between = f" ({sure})" if one.coverage else ""
        said.append((f"{one.what} of {one.name}", f"{one.value:.4g} {one.unit}{between}"))
    return tuple(said[:12])


def _row(row: Row, image: Image) -> tuple[str, str, str, str]:
    label, name, voxels, mm3 = row
    return name, str(label), f"{voxels:,}", _size(mm3, image)


def _size(mm3: float, image: Image) -> str:
    dz, dy, _ = image.grid.spacing_mm
    if image.grid.shape[0] == 1:
        area = mm3 / dz
        return f"{area * 1e6:.4g} µm²" if dy < 0.01 else f"{area:.4g} mm²"
    return f"{mm3 * 1e9:.4g} µm³" if dy < 0.01 else f"{mm3 / 1000:.4g} mL"


def _spread(table: tuple[Row, ...], image: Image) -> tuple[tuple[str, str], ...]:
    sizes = np.array([row[3] for row in table])
    five = np.percentile(sizes, (5, 25, 50, 75, 95))
    names = ("5th percentile", "25th", "median", "75th", "95th")
    spread = [(f"size, {n}", _size(float(v), image)) for n, v in zip(names, five, strict=True)]
    return (("regions", f"{len(table):,}"), *spread)


def _note(found: Segmentation, *, few: bool) -> str:
    if few:
        return "Size counts whole voxels; 'vesalius measure' gives volumes with their error bars."
    return "Sizes count whole voxels; 'vesalius measure --objects' gives a row for each object."


def _intervals(found: Segmentation) -> tuple[Table, ...]:
    known = [one for one in found.quantities if one.coverage]
    if not known:
        return ()
    rows = tuple(
        (
            one.name,
            one.what,
            f"{one.value:.5g} {one.unit}",
            f"{one.low:.5g} to {one.high:.5g}",
            f"{100 * one.coverage:.0f} %",
        )
        for one in known
    )
    columns = ("Region", "Quantity", "Value", "Interval", "Coverage")
    return (Table("How sure the sizes are", columns, rows),)


def _chart(curve: Curve) -> Chart:
    x, y = curve.x.double().cpu().numpy(), curve.y.double().cpu().numpy()
    kept = thinned(y)
    drawn = [Line("", x[kept], y[kept])]
    for mark in curve.marks[:3]:
        low, high = float(np.min(y, initial=0.0)), float(np.max(y, initial=1.0))
        drawn.append(Line(f"{mark:.5g}", np.array([mark, mark]), np.array([low, high])))
    note = "The upright line is where the decision fell." if curve.marks else ""
    return lines(curve.title, note, drawn, axes=(curve.x_name, curve.y_name))


def thinned(y: NDArray[np.float64], *, most: int = _DRAWN) -> NDArray[np.int64]:
    """Choose the points of a line that are drawn: of many the lowest and highest of each stretch.

    Args:
        y: (n,) ordinates.
        most: Points that are kept, about.

    Returns:
        Their places, ascending: all, or the ends and two of each stretch, peaks among them.
    """
    if len(y) <= most:
        return np.arange(len(y))
    edges = np.linspace(0, len(y), (most - 2) // 2 + 1).astype(np.int64)
    places = [0, len(y) - 1]
    for a, b in itertools.pairwise(edges.tolist()):
        places += [a + int(np.argmin(y[a:b])), a + int(np.argmax(y[a:b]))]
    return np.unique(np.array(places, np.int64))


def _methods(job: Job, found: Segmentation) -> str:
    from vesalius._version import __version__

    said = ", ".join(f"{k} {v}" for k, v in sorted(found.settings.items()) if _short(v))
    how = f"the packaged or trained model {job.to_json()['model']!r}" if job.model else job.method
    text = f"The image was segmented with vesalius {__version__} by {how}"
    return f"{text} ({said})." if said else f"{text}."


def _short(value: object) -> bool:
    return isinstance(value, int | float | str | bool) and len(str(value)) < 40


def _first_channel(image: Image) -> Image:
    return Image(image.data[:1], image.grid, image.unit)
