"""Planes: how a volume with any order and direction of axes is shown as a radiologist expects."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vesalius.core import Grid

PlaneName = Literal["axial", "coronal", "sagittal"]

# normal, row and column direction on the screen: (world axis, sign), world = L, P, S;
# rows run down and columns to the right, so the patient's right is on the left (radiological)
_LAYOUT: dict[PlaneName, tuple[int, tuple[int, int], tuple[int, int]]] = {
    "axial": (2, (1, 1), (0, 1)),
    "coronal": (1, (2, -1), (0, 1)),
    "sagittal": (0, (2, -1), (1, 1)),
}
_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))
_OBLIQUE = 0.17  # a second letter from ten degrees of tilt on


@dataclass(frozen=True, slots=True)
class Plane:
    """One way to cut a grid: along which array axis, and how the cut lies on the screen.

    Attributes:
        name: ``"axial"``, ``"coronal"`` or ``"sagittal"``: the nearest one where oblique.
        axes: Array axes (0 is z) of normal, rows (down) and columns (to the right).
        flips: Whether rows and columns run against the array.
        pixel_mm: Height and width of a pixel, mm.
        letters: Patient directions at the left, right, top and bottom edge.
        oblique: Whether the cut is tilted by more than ten degrees from the body's plane.
    """

    name: PlaneName
    axes: tuple[int, int, int]
    flips: tuple[bool, bool]
    pixel_mm: tuple[float, float]
    letters: tuple[str, str, str, str]
    oblique: bool

    def cut(self, volume: npt.NDArray[np.generic], index: int) -> npt.NDArray[np.generic]:
        """Take one slice (rows, columns) as it lies on the screen.

        Args:
            volume: (z, y, x).
            index: Slice along the normal axis, voxels.

        Returns:
            (rows, columns), a view.
        """
        normal, row, column = self.axes
        flat = np.take(volume, index, axis=normal)
        if row > column:
            flat = flat.T
        down, right = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        shown: npt.NDArray[np.generic] = flat[down, right]
        return shown


def planes(grid: Grid) -> tuple[Plane, ...]:
    """Give the three planes of a grid, in the order axial, coronal, sagittal.

    A plane that is one voxel high or wide is left out: a 2-D image has one plane.

    Args:
        grid: Any order, direction and tilt of axes.

    Returns:
        One to three planes, cut along the array's own axes: nothing is interpolated.
    """
    direction = grid.direction.numpy()
    array_axis = _nearest_axes(direction)
    found = []
    for name in _LAYOUT:
        plane = _plane(name, grid, direction, array_axis)
        if min(grid.shape[axis] for axis in plane.axes[1:]) > 1:
            found.append(plane)
    return tuple(found)


def _nearest_axes(direction: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """Give, for each of L, P and S, the array axis that runs along it, each once."""
    return max(
        itertools.permutations(range(3)),
        key=lambda order: sum(abs(direction[world, k]) for world, k in enumerate(order)),
    )


def _plane(
    name: PlaneName,
    grid: Grid,
    direction: npt.NDArray[np.float64],
    array_axis: tuple[int, ...],
) -> Plane:
    normal, (row, row_sign), (column, column_sign) = _LAYOUT[name]
    axes = (array_axis[normal], array_axis[row], array_axis[column])
    down, flip_down = _towards(direction[:, axes[1]], row, row_sign)
    right, flip_right = _towards(direction[:, axes[2]], column, column_sign)
    spacing = grid.spacing_mm
    return Plane(
        name,
        axes,
        (flip_down, flip_right),
        (spacing[axes[1]], spacing[axes[2]]),
        (_letters(-right), _letters(right), _letters(-down), _letters(down)),
        bool(abs(direction[normal, axes[0]]) < np.cos(np.deg2rad(10.0))),
    )


def _towards(
    vector: npt.NDArray[np.float64], world: int, sign: int
) -> tuple[npt.NDArray[np.float64], bool]:
    flip = bool(vector[world] * sign < 0)
    return (-vector if flip else vector), flip


def _letters(vector: npt.NDArray[np.float64]) -> str:
    """Name a direction by its letters, the main one first."""
    order = np.argsort(-np.abs(vector), kind="stable")
    kept = [k for k in order if abs(vector[k]) > _OBLIQUE]
    return "".join(_LETTERS[k][0 if vector[k] > 0 else 1] for k in kept)
