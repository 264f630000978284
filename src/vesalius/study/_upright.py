"""Upright: the grid with right angles that holds a tilted volume."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch

from vesalius.core import Grid
from vesalius.errors import GeometryError


def upright_grid(grid: Grid) -> Grid:
    """Give the grid with right angles that holds a sheared one.

    Args:
        grid: Axes need not meet at right angles; rows (x) and columns (y) must.

    Returns:
        The same x and y axes and spacings, slices along their normal at the distance that the
        planes have, as many rows and columns more as the lean takes; ``grid`` if it is upright.

    Raises:
        GeometryError: Rows and columns do not meet at right angles.
    """
    if grid.is_orthogonal:
        return grid
    axes = grid.affine[:3, :3]
    down, right = axes[:, 1], axes[:, 2]
    if abs(float(down @ right)) > 1e-4 * float(down.norm() * right.norm()):
        raise GeometryError(
            f"rows and columns must meet at right angles to set slices upright, got {grid}: "
            "resample it onto a grid of your own"
        )
    normal = torch.linalg.cross(down, right)
    normal = normal / normal.norm()
    gap = float(axes[:, 0] @ normal)
    affine = grid.affine.clone()
    affine[:3, 0] = normal * gap
    z, y, x = grid.shape
    # how far the last slice has slid along rows and columns, in pixels
    slide = (axes[:, 0] - normal * gap) * (z - 1)
    ends = [float(slide @ axis / (axis @ axis)) for axis in (down, right)]
    first = [min(0, math.floor(e)) for e in ends]
    more = [math.ceil(abs(e)) for e in ends]
    affine[:3, 3] += first[0] * down + first[1] * right
    return Grid((z, y + more[0], x + more[1]), affine)
