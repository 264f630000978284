"""Pictures: a registration's figure data, laid upright as a radiologist expects, at one scale."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vesalius.core import Grid, Image, Transform
from vesalius.register import Registration
from vesalius.register._registration import pull
from vesalius.register.evaluate import (
    Plane,
    checkerboard,
    deformed_grid,
    edge_overlay,
    jacobian_map,
)
from vesalius.study import _planes
from vesalius.study._charts import Chart
from vesalius.study._figures import figure_png

INK = "#7a838b"
TILES = 9  # of a checkerboard, along the longer side
LINES = 28  # of the bent grid, along the longer side


@dataclass(frozen=True, slots=True)
class Cut:
    """One slice of the fixed grid, and how it lies on the screen.

    Attributes:
        plane: The slice, in array axes.
        upright: How it lies on the screen.
        size_mm: Height and width on the screen.
    """

    plane: Plane
    upright: _planes.Plane
    size_mm: tuple[float, float]

    def turn(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Lay an array (rows, columns, ...) of array axes upright."""
        _, row, column = self.upright.axes
        laid = picture.swapaxes(0, 1) if row > column else picture
        down, right = (slice(None, None, -1 if flip else 1) for flip in self.upright.flips)
        return laid[down, right]

    def place(self, line: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Lay points (row, column), in samples, upright: (down, right), mm."""
        _, row, column = self.upright.axes
        laid = line[:, ::-1] if row > column else line
        pixel = np.asarray(self.upright.pixel_mm)
        size = np.asarray(self.size_mm)
        at = (laid + 0.5) * pixel
        placed: npt.NDArray[np.float64] = np.where(np.asarray(self.upright.flips), size - at, at)
        return placed


Draw = Callable[[Any, Cut], None]


def pictures(found: Registration) -> tuple[Chart, ...]:
    """Draw what a registration did, on the middle slice of each plane.

    Args:
        found: The registration.

    Returns:
        Checkerboards and edges before and after, the change of volume, and the bent grid.
    """
    fixed = found.fixed
    before, after = _on(found, found.start), _on(found, found.transform)
    cuts = _cuts(fixed.grid)
    span = max(max(cut.size_mm) for cut in cuts)
    tile, step = span / TILES, span / LINES

    def board(warped: Image) -> Draw:
        return _shown(lambda plane: checkerboard(fixed, warped, plane, tile_mm=tile))

    def edges(warped: Image) -> Draw:
        return _shown(lambda plane: edge_overlay(fixed, warped, plane))

    def change(plane: Plane) -> npt.NDArray[Any]:
        return jacobian_map(found.transform, fixed.grid, plane)

    def bent(ax: Any, cut: Cut) -> None:
        for line in deformed_grid(found.transform, fixed.grid, cut.plane, step_mm=step):
            placed = cut.place(line)
            ax.plot(placed[:, 1], placed[:, 0], color=INK, linewidth=0.6)

    sheets = (
        ("Checkerboard, before", "fixed and moving image in turn", board(before)),
        ("Checkerboard, after", "structures run on where the images agree", board(after)),
        ("Edges, before", "edges of the moving image on the fixed one", edges(before)),
        ("Edges, after", "edges of the warped image on the fixed one", edges(after)),
        (
            "Change of volume",
            "red grows from fixed to moving (full: twice), blue shrinks (half), yellow folds",
            _shown(change),
        ),
        ("Bent grid", "where a square grid lands, its best affine fit taken out", bent),
    )
    return tuple(_sheet(title, note, cuts, draw) for title, note, draw in sheets)


def _on(found: Registration, transform: Transform) -> Image:
    first = Image(found.moving.data[:1], found.moving.grid, found.moving.unit)
    return pull(first, found.fixed.grid, transform)


def _shown(make: Callable[[Plane], npt.NDArray[Any]]) -> Draw:
    def draw(ax: Any, cut: Cut) -> None:
        height, width = cut.size_mm
        picture = cut.turn(make(cut.plane))
        grey = picture.ndim == 2
        ax.imshow(
            picture,
            extent=(0, width, height, 0),
            interpolation="bilinear" if grey else "nearest",
            cmap="gray" if grey else None,
            vmin=0,
            vmax=1 if grey else 255,
        )

    return draw


def _cuts(grid: Grid) -> tuple[Cut, ...]:
    found = []
    for upright in _planes.planes(grid):
        normal, row, column = upright.axes
        height, width = (
            grid.shape[axis] * mm for axis, mm in zip((row, column), upright.pixel_mm, strict=True)
        )
        found.append(Cut(Plane(normal, grid.shape[normal] // 2), upright, (height, width)))
    tall = max(max(cut.size_mm) for cut in found)
    # a few slices from the side are a line
    return tuple(cut for cut in found if min(cut.size_mm) > 0.08 * tall) or tuple(found[:1])


def _sheet(title: str, note: str, cuts: tuple[Cut, ...], draw: Draw) -> Chart:
    """Draw the same thing on every slice, beside each other and at one scale."""
    from matplotlib.figure import Figure

    widths = [cut.size_mm[1] for cut in cuts]
    tallest = max(cut.size_mm[0] for cut in cuts)
    across = 7.2
    figure = Figure(
        figsize=(across, min(across, across * tallest / sum(widths))), dpi=150, facecolor="none"
    )
    grid = figure.add_gridspec(
        1, len(widths), width_ratios=widths, left=0, right=1, top=1, bottom=0, wspace=0.03
    )
    for k, cut in enumerate(cuts):
        ax = figure.add_subplot(grid[0, k])
        draw(ax, cut)
        height, width = cut.size_mm
        ax.set_xlim(0, width)
        ax.set_ylim(height, 0)
        ax.set_aspect("equal")
        ax.set_axis_off()
    return Chart(title, note, figure_png(figure))
