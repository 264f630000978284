"""Figures: the views and histograms of a report as PNG files."""
# SPDX-License-Identifier: Apache-2.0

import io
from typing import Any

import numpy as np

from vesalius.study._content import Histogram
from vesalius.study._views import View

_INK = "#e8eaed"


def views_png(views: tuple[View, ...], *, legend: bool = True) -> bytes:
    """Draw views side by side at one scale, in millimetres.

    Args:
        views: One to three views.
        legend: Whether the regions are named below.

    Returns:
        A PNG file; the same bytes for the same views.
    """
    from matplotlib.figure import Figure

    widths = [view.size_mm[1] for view in views]
    tallest = max(view.size_mm[0] for view in views)
    across = 12.0
    height = across * tallest / sum(widths) + 0.8
    figure = Figure(figsize=(across, height), dpi=160, facecolor="#0b0d10")
    grid = figure.add_gridspec(
        1,
        len(views),
        width_ratios=widths,
        left=0.01,
        right=0.99,
        top=0.93,
        bottom=0.09,
        wspace=0.03,
    )
    for k, view in enumerate(views):
        _draw_view(figure.add_subplot(grid[0, k]), view)
    if legend:
        _legend(figure, views)
    return figure_png(figure)


def histograms_png(histograms: tuple[Histogram, ...]) -> bytes:
    """Draw the histogram of each region, one above the other.

    Args:
        histograms: At least one.

    Returns:
        A PNG file; the same bytes for the same histograms.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(histograms))
    rows = -(-len(histograms) // columns)
    figure = Figure(figsize=(3.6 * columns, 1.9 * rows), dpi=160, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, histogram in zip(axes, histograms, strict=False):
        _draw_histogram(ax, histogram)
    for ax in axes[len(histograms) :]:
        ax.set_axis_off()
    return figure_png(figure)


def _draw_view(ax: Any, view: View) -> None:
    height, width = view.size_mm
    ax.imshow(
        view.picture,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(0, width, height, 0),
        interpolation="bilinear",
    )
    for contour in view.contours:
        for line in contour.lines:
            xy = np.asarray([*line, line[0]])
            ax.plot(xy[:, 0], xy[:, 1], color=contour.colour, linewidth=1.0)
    _letters(ax, view)
    x, y = 0.04 * width, 0.955 * height
    ax.plot([x, x + view.bar_mm], [y, y], color=_INK, linewidth=2, solid_capstyle="butt")
    text = f"{view.bar_mm:g} mm"
    ax.text(x, y - 0.015 * height, text, va="bottom", fontsize=7, **_lettering())
    ax.set_title(f"{view.title} · {view.position}", color=_INK, fontsize=8, loc="left")
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_axis_off()


def _letters(ax: Any, view: View) -> None:
    left, right, top, bottom = view.plane.letters
    places = (
        (left, 0.015, 0.5, "left", "center"),
        (right, 0.985, 0.5, "right", "center"),
        (top, 0.5, 0.985, "center", "top"),
        (bottom, 0.5, 0.015, "center", "bottom"),
    )
    for text, x, y, ha, va in places:
        ax.text(x, y, text, transform=ax.transAxes, ha=ha, va=va, fontsize=9, **_lettering())


def _lettering() -> dict[str, Any]:
    """Light ink with a dark edge, to be read on bone and on air."""
    from matplotlib.patheffects import withStroke

    return {"color": _INK, "path_effects": [withStroke(linewidth=2, foreground="#000000")]}


def _legend(figure: Any, views: tuple[View, ...]) -> None:
    from matplotlib.lines import Line2D

    named = {c.name: c.colour for view in views for c in view.contours}
    if not named:
        return
    handles = [Line2D([], [], color=colour, linewidth=2) for colour in named.values()]
    figure.legend(
        handles,
        [name.replace("_", " ") for name in named],
        loc="lower center",
        ncols=min(10, len(named)),
        frameon=False,
        fontsize=8,
        labelcolor=_INK,
    )


def _draw_histogram(ax: Any, histogram: Histogram) -> None:
    edges = np.linspace(histogram.low, histogram.high, len(histogram.heights) + 1)
    ax.stairs(histogram.heights, edges, fill=True, color=histogram.colour)
    unit = "" if histogram.unit == "1" else f" ({histogram.unit})"
    ax.set_title(histogram.label.replace("_", " "), fontsize=8, loc="left")
    ax.set_xlabel("intensity" + unit, fontsize=7)
    ax.set_yticks([])
    ax.tick_params(labelsize=7)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)


def figure_png(figure: Any) -> bytes:
    """Draw a figure as a PNG file; the same bytes for the same figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    FigureCanvasAgg(figure)
    # without the writer's name and version the bytes depend on the picture alone
    figure.savefig(out, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None})
    return out.getvalue()
