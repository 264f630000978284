"""Charts of a stage's report: lines and pictures, small, readable on white and on black."""
# SPDX-License-Identifier: Apache-2.0

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.study._figures import figure_png

INK = "#7a838b"
"""Grey that can be read on white and on black: the page follows the reader's choice."""

COLOURS = (
    *("#0b7a75", "#e07a5f", "#6d6ab1", "#c9a227"),
    *("#3d7ea6", "#a04668", "#6b8e3d", "#b5651d", "#56707c", "#c06c9d"),
)


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture with its words.

    Attributes:
        title: What is shown.
        note: What to read from it.
        png: The picture.
    """

    title: str
    note: str
    png: bytes = field(repr=False)

    @property
    def data_uri(self) -> str:
        """The picture as a URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line of a chart.

    Attributes:
        name: What it is; empty for no legend.
        x: Where.
        y: How much.
    """

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


def lines(
    title: str, note: str, of: Sequence[Line], *, axes: tuple[str, str], log: bool = False
) -> Chart:
    """Draw lines over each other.

    Args:
        title: What is shown.
        note: What to read from it.
        of: The lines; the first is the one in question.
        axes: Names of the x and y axis, with units.
        log: Whether y is logarithmic.

    Returns:
        The chart.
    """
    figure, ax = _figure()
    for line, colour in zip(of, COLOURS, strict=False):
        few = len(line.x) == 1
        ax.plot(line.x, line.y, "o" if few else "-", color=colour, lw=1.5, label=line.name)
    if log:
        ax.set_yscale("log")
    ax.set_xlabel(axes[0])
    ax.set_ylabel(axes[1])
    if any(line.name for line in of):
        ax.legend(frameon=False, labelcolor=INK, fontsize=8)
    return Chart(title, note, figure_png(figure))


def scatter(title: str, note: str, of: Sequence[Line], *, axes: tuple[str, str]) -> Chart:
    """Draw groups of points.

    Args:
        title: What is shown.
        note: What to read from it.
        of: The groups; those beyond the tenth are drawn in grey.
        axes: Names of the x and y axis, with units.

    Returns:
        The chart.
    """
    figure, ax = _figure()
    for k, group in enumerate(of):
        colour = COLOURS[k] if k < len(COLOURS) else INK
        name = group.name if k < len(COLOURS) else "_"
        ax.scatter(group.x, group.y, s=9, color=colour, alpha=0.65, linewidths=0, label=name or "_")
    ax.set_xlabel(axes[0])
    ax.set_ylabel(axes[1])
    if any(group.name for group in of):
        many = len(of) > 4  # their names would cover the points
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if many else {}
        ax.legend(
            frameon=False,
            labelcolor=INK,
            fontsize=8,
            handletextpad=0.1,
            borderaxespad=0.1,
            markerscale=1.8,
            **beside,
        )
    return Chart(title, note, figure_png(figure))


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """One value for each name.

    Attributes:
        name: What they are; empty for no legend.
        values: In the order of the names.
    """

    name: str
    values: npt.NDArray[np.float64]


def bars(title: str, note: str, names: Sequence[str], *, of: Sequence[Bars], axis: str) -> Chart:
    """Draw lying bars, groups beside each other, the first name at the top.

    Args:
        title: What is shown.
        note: What to read from it.
        names: Of the rows.
        of: The groups, each with a value for every name.
        axis: Name of the values, with unit.

    Returns:
        The chart.
    """
    figure, ax = _figure()
    rows = np.arange(len(names), dtype=np.float64)
    height = 0.8 / max(len(of), 1)
    for k, group in enumerate(of):
        place = rows - 0.4 + (k + 0.5) * height
        ax.barh(place, group.values, height * 0.9, color=COLOURS[k], label=group.name or "_")
    ax.set_yticks(rows, [name if len(name) < 24 else name[:22] + "…" for name in names])
    ax.invert_yaxis()
    ax.set_xlabel(axis)
    if any(group.name for group in of):  # above, where no bar is
        above = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": len(of)}
        ax.legend(frameon=False, labelcolor=INK, fontsize=8, borderaxespad=0.0, **above)
    return Chart(title, note, figure_png(figure))


def picture(
    title: str,
    note: str,
    samples: npt.NDArray[np.floating[Any]],
    *,
    axes: tuple[str, str],
    extent: tuple[float, float, float, float],
) -> Chart:
    """Draw a plane of samples in grey.

    Args:
        title: What is shown.
        note: What to read from it.
        samples: (rows, columns).
        axes: Names of the x and y axis, with units.
        extent: Left, right, bottom, top of the plane in those units.

    Returns:
        The chart.
    """
    figure, ax = _figure()
    low, high = np.percentile(samples, (0.5, 99.5))
    drawn = ax.imshow(
        samples,
        cmap="gray",
        aspect="auto",
        extent=extent,
        vmin=low,
        vmax=max(high, low + 1e-12),
        interpolation="antialiased",
    )
    bar = figure.colorbar(drawn, ax=ax, pad=0.02)
    bar.ax.tick_params(colors=INK, labelsize=8)
    bar.outline.set_visible(False)
    ax.set_xlabel(axes[0])
    ax.set_ylabel(axes[1])
    return Chart(title, note, figure_png(figure))


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 2.9), dpi=160, layout="constrained", facecolor="none")
    ax = figure.subplots()
    dress(ax)
    return figure, ax


def dress(ax: Any) -> None:
    """Give axes of matplotlib the look of the house: no box, grey ink, small letters."""
    ax.set_facecolor("none")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(INK)
    ax.tick_params(colors=INK, labelsize=8)
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)
    ax.xaxis.label.set_fontsize(9)
    ax.yaxis.label.set_fontsize(9)
