"""Pictures: both images over each other before and after, change of volume, and the bent grid."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vesalius.core import Grid, Image, Transform
from vesalius.ops._jacobian import determinants
from vesalius.register import Registration
from vesalius.register._registration import pull
from vesalius.study._charts import Chart
from vesalius.study._figures import figure_png
from vesalius.study._planes import Plane, planes
from vesalius.study._views import choose_window

Plate = npt.NDArray[np.float64]
Draw = Callable[[Any, "Cut"], None]

INK = "#7a838b"
EDGE = "#ff6b6b"
SQUARES = 8  # of a checkerboard, along the longer side
LINES = 28  # of the bent grid, along the longer side
LARGEST = 1.0  # change of volume at which the colours end: doubled, or halved (log2)


@dataclass(frozen=True, slots=True)
class Cut:
    """One slice of the fixed grid.

    Attributes:
        plane: How it lies on the screen.
        index: Along the normal axis.
        size_mm: Height and width.
    """

    plane: Plane
    index: int
    size_mm: tuple[float, float]

    def of(self, volume: Plate) -> Plate:
        """Take the slice (rows, columns) of a volume."""
        return np.asarray(self.plane.cut(volume, self.index), np.float64)


def pictures(found: Registration) -> tuple[Chart, ...]:
    """Draw what a registration did, on the middle slice of each plane.

    Args:
        found: The registration.

    Returns:
        Checkerboards and edges before and after, the change of volume, and the bent grid.
    """
    fixed = _grey(found.fixed)
    before = _grey(_on(found, found.start))
    after = _grey(_on(found, found.transform))
    cuts = _cuts(found.fixed.grid)
    chart = _Sheet(cuts)
    return (
        chart.draw("Checkerboard, before", "fixed and moving image in turn", _board(fixed, before)),
        chart.draw("Checkerboard, after", "edges go on across the squares", _board(fixed, after)),
        chart.draw(
            "Edges, before", "outlines of the fixed image on the moving one", _edges(fixed, before)
        ),
        chart.draw(
            "Edges, after", "outlines of the fixed image on the warped one", _edges(fixed, after)
        ),
        chart.draw(
            "Change of volume",
            "Jacobian determinant: red grows from fixed to moving, blue shrinks, black folds",
            _change(found),
        ),
        chart.draw("Bent grid", "where a regular grid of the fixed image lands", _bent(found)),
    )


def _on(found: Registration, transform: Transform) -> Image:
    first = Image(found.moving.data[:1], found.moving.grid, found.moving.unit)
    return pull(first, found.fixed.grid, transform)


def _grey(image: Image) -> Plate:
    """Bring the first channel to 0 to 1 by a reader's window."""
    first = Image(image.data[:1].float(), image.grid, image.unit)
    window = choose_window(first, ())
    scaled = (first.data[0].double() - window.low) / (window.high - window.low)
    return np.asarray(scaled.clamp(0, 1).cpu().numpy(), np.float64)


def _cuts(grid: Grid) -> tuple[Cut, ...]:
    found = []
    for plane in planes(grid):
        normal, row, column = plane.axes
        height, width = (
            grid.shape[axis] * mm for axis, mm in zip((row, column), plane.pixel_mm, strict=True)
        )
        found.append(Cut(plane, grid.shape[normal] // 2, (height, width)))
    tall = max(max(cut.size_mm) for cut in found)
    # a few slices from the side are a line
    return tuple(cut for cut in found if min(cut.size_mm) > 0.08 * tall) or tuple(found[:1])


class _Sheet:
    """Draws one chart of several slices beside each other, at one scale."""

    def __init__(self, cuts: tuple[Cut, ...]) -> None:
        self._cuts = cuts

    def draw(self, title: str, note: str, draw: Draw) -> Chart:
        """Draw the same thing on every slice."""
        from matplotlib.figure import Figure

        widths = [cut.size_mm[1] for cut in self._cuts]
        tallest = max(cut.size_mm[0] for cut in self._cuts)
        across = 7.2
        figure = Figure(
            figsize=(across, min(across, across * tallest / sum(widths))), dpi=150, facecolor="none"
        )
        grid = figure.add_gridspec(
            1, len(widths), width_ratios=widths, left=0, right=1, top=1, bottom=0, wspace=0.03
        )
        for k, cut in enumerate(self._cuts):
            ax = figure.add_subplot(grid[0, k])
            draw(ax, cut)
            height, width = cut.size_mm
            ax.set_xlim(0, width)
            ax.set_ylim(height, 0)
            ax.set_aspect("equal")
            ax.set_axis_off()
        return Chart(title, note, figure_png(figure))


@dataclass(frozen=True, slots=True)
class Tone:
    """How numbers become colours: a colour map between two values."""

    colours: Any
    low: float
    high: float


GREY = Tone("gray", 0.0, 1.0)


def _show(ax: Any, cut: Cut, plate: Plate, tone: Tone = GREY) -> None:
    height, width = cut.size_mm
    ax.imshow(
        plate,
        extent=(0, width, height, 0),
        interpolation="bilinear",
        cmap=tone.colours,
        vmin=tone.low,
        vmax=tone.high,
    )


def _board(one: Plate, two: Plate) -> Draw:
    def draw(ax: Any, cut: Cut) -> None:
        a, b = cut.of(one), cut.of(two)
        side = max(cut.size_mm) / SQUARES
        rows, columns = (
            np.floor((np.arange(n) + 0.5) * mm / side).astype(int)
            for n, mm in zip(a.shape, cut.plane.pixel_mm, strict=True)
        )
        turn = (rows[:, None] + columns[None, :]) % 2 == 0
        _show(ax, cut, np.where(turn, a, b))

    return draw


def _edges(one: Plate, two: Plate) -> Draw:
    def draw(ax: Any, cut: Cut) -> None:
        from scipy.ndimage import gaussian_filter

        _show(ax, cut, cut.of(two))
        smooth = gaussian_filter(cut.of(one), 1.0)
        if np.ptp(smooth) == 0:
            return
        height, width = cut.size_mm
        rows, columns = smooth.shape
        x = (np.arange(columns) + 0.5) * width / columns
        y = (np.arange(rows) + 0.5) * height / rows
        levels = np.unique(np.quantile(smooth[smooth > smooth.min()], (0.25, 0.75)))
        ax.contour(x, y, smooth, levels=levels, colors=EDGE, linewidths=0.7)

    return draw


def _change(found: Registration) -> Draw:
    flow = found.transform.to_field(found.fixed.grid).flow()
    ratio = determinants(flow).double().cpu().numpy()
    middle = float(np.median(ratio))  # a linear part that scales all would hide the rest
    relative = ratio / (middle if middle > 0 else 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(relative > 0, np.log2(relative), np.nan)

    def draw(ax: Any, cut: Cut) -> None:
        import matplotlib

        colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="black")
        _show(ax, cut, cut.of(drawn), Tone(colours, -LARGEST, LARGEST))

    return draw


def _bent(found: Registration) -> Draw:
    def draw(ax: Any, cut: Cut) -> None:
        height, width = cut.size_mm
        ax.add_patch(_frame(width, height))
        step = max(cut.size_mm) / LINES
        for line in _lines(cut, step):
            across = _landed(found, cut, line)
            ax.plot(across[:, 1], across[:, 0], color=INK, linewidth=0.6)

    return draw


def _frame(width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((0, 0), width, height, fill=False, edgecolor=INK, linewidth=0.4)


def _lines(cut: Cut, step: float) -> list[Plate]:
    """Give the lines of a regular grid as (n, 2) points (down, right), mm."""
    height, width = cut.size_mm
    down, right = np.arange(step / 2, height, step), np.arange(step / 2, width, step)
    fine = np.linspace(0, 1, 120)
    across = [np.stack([np.full(120, y), fine * width], axis=1) for y in down]
    return across + [np.stack([fine * height, np.full(120, x)], axis=1) for x in right]


def _landed(found: Registration, cut: Cut, line: Plate) -> Plate:
    """Map points of a slice by the deformation alone, and lay them on the slice again."""
    grid, plane = found.fixed.grid, cut.plane
    index = np.zeros((len(line), 3))
    index[:, plane.axes[0]] = cut.index
    for k, (axis, flip) in enumerate(zip(plane.axes[1:], plane.flips, strict=True)):
        at = line[:, k] / plane.pixel_mm[k] - 0.5
        index[:, axis] = (grid.shape[axis] - 1 - at) if flip else at
    world = grid.to_world(torch.from_numpy(index))
    # what the search added to its start, so that a turned header does not turn the grid
    back = grid.to_index(found.start.inverse()(found.transform(world))).numpy()
    out = np.empty_like(line)
    for k, (axis, flip) in enumerate(zip(plane.axes[1:], plane.flips, strict=True)):
        at = (grid.shape[axis] - 1 - back[:, axis]) if flip else back[:, axis]
        out[:, k] = (at + 0.5) * plane.pixel_mm[k]
    return out
