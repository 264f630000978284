"""Curve charts: curves with bands, and figures with intervals below each other."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vesalius.study._charts import COLOURS, INK, Chart, dress
from vesalius.study._figures import figure_png

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Banded:
    """A curve of a chart.

    Attributes:
        name: What it is; empty for no legend.
        x: Where.
        y: How much.
        low: Lower end of a band around it; empty for none.
        high: Upper end.
        style: Drawn through, dashed in grey as a reference, or as dots with whiskers.
    """

    name: str
    x: Floats
    y: Floats
    low: Floats = field(default_factory=lambda: np.zeros(0))
    high: Floats = field(default_factory=lambda: np.zeros(0))
    style: Literal["line", "dashed", "dots"] = "line"


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a forest plot.

    Attributes:
        name: What it is; a row without a value is a heading.
        value: How much.
        low: Lower end of its interval; NaN for none.
        high: Upper end.
        note: Said at its right, such as the number of cases.
    """

    name: str
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    note: str = ""


def open_figure(
    size: tuple[float, float] = (4.6, 3.4), *, heights: tuple[float, ...] = (1.0,)
) -> tuple[Any, tuple[Any, ...]]:
    """Open a figure of one or more rows, readable on white and on black.

    Args:
        size: Width and height, inches.
        heights: Share of each row; rows have one x axis.

    Returns:
        The figure and the axes of its rows, from the top.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=160, layout="constrained", facecolor="none")
    rows = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for ax in rows[:, 0]:
        dress(ax)
    return figure, tuple(rows[:, 0])


def curves(
    title: str,
    note: str,
    of: Sequence[Banded],
    *,
    axes: tuple[str, str],
    limits: tuple[float, float, float, float],
) -> Chart:
    """Draw curves with their bands over each other.

    Args:
        title: What is shown.
        note: What to read from it.
        of: The curves; the first is the one in question.
        axes: Names of the x and y axis, with units.
        limits: Left, right, bottom, top.

    Returns:
        The chart.
    """
    figure, (ax,) = open_figure()
    draw(ax, of)
    ax.set_xlim(limits[0], limits[1])
    ax.set_ylim(limits[2], limits[3])
    ax.set_xlabel(axes[0])
    ax.set_ylabel(axes[1])
    return Chart(title, note, figure_png(figure))


def draw(ax: Any, of: Sequence[Banded]) -> None:
    """Draw curves on axes of matplotlib.

    Args:
        ax: The axes.
        of: The curves: references in grey, others in the colours of the house.
    """
    drawn = 0
    for curve in of:
        colour = INK if curve.style == "dashed" else COLOURS[drawn % len(COLOURS)]
        drawn += curve.style != "dashed"
        name = curve.name or "_"
        if curve.style == "dots":
            if curve.low.size:
                ax.vlines(curve.x, curve.low, curve.high, color=colour, lw=1)
            ax.plot(curve.x, curve.y, "o", ms=4, color=colour, label=name)
            continue
        if curve.low.size:
            ax.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, lw=0)
        style, width = ("--", 1.0) if curve.style == "dashed" else ("-", 1.8)
        ax.plot(curve.x, curve.y, style, color=colour, lw=width, label=name)
    if any(curve.name for curve in of):
        ax.legend(frameon=False, labelcolor=INK, fontsize=8)


def forest(
    title: str, note: str, of: Sequence[Bar], *, axis: str, reference: float = float("nan")
) -> Chart:
    """Draw figures with intervals below each other.

    Args:
        title: What is shown.
        note: What to read from it.
        of: The rows, from the top.
        axis: Name of the x axis, with its unit.
        reference: Where a line is drawn to compare with; NaN for none.

    Returns:
        The chart.
    """
    figure, (ax,) = open_figure((4.6, 0.9 + 0.24 * len(of)))
    if np.isfinite(reference):
        ax.axvline(reference, color=INK, lw=1, ls="--")
    for k, bar in enumerate(of):
        if np.isfinite(bar.low):
            ax.hlines(k, bar.low, bar.high, color=COLOURS[0], lw=1.6)
        if np.isfinite(bar.value):
            ax.plot(bar.value, k, "s", ms=4.5, color=COLOURS[0])
        ax.text(
            1.02,
            k,
            bar.note,
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=7.5,
            color=INK,
        )
    ax.set_yticks(range(len(of)), [bar.name for bar in of])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(of) - 0.5, -0.5)
    ax.set_xlabel(axis)
    return Chart(title, note, figure_png(figure))
