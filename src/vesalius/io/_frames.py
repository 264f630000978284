"""Frames of reference: from the index and world order of a file to the house's, and back."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vesalius.core import Grid
from vesalius.errors import FormatError, GeometryError, ShapeError

Array = npt.NDArray[Any]
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def grid_from_xyz(name: str, shape_xyz: tuple[int, ...], affine_xyz: Array) -> Grid:
    """Make a grid from an affine on the index (x, y, z, 1).

    Args:
        name: Name of the file, for the error.
        shape_xyz: Number of samples along (x, y, z).
        affine_xyz: (4, 4), index (x, y, z, 1) to world (L, P, S, 1), mm.

    Returns:
        The grid, index order (z, y, x).

    Raises:
        FormatError: The affine is not finite or not invertible.
    """
    affine = torch.from_numpy(np.array(affine_xyz, dtype=np.float64)[:, [2, 1, 0, 3]])
    x, y, z = (int(n) for n in shape_xyz)
    try:
        return Grid((z, y, x), affine)
    except (GeometryError, ShapeError) as error:
        raise FormatError(f"{name!r} must place its samples in the world: {error}") from error


def affine_xyz(grid: Grid) -> Array:
    """Give the affine of a grid on the index (x, y, z, 1), world LPS, mm; (4, 4) float64."""
    return np.asarray(grid.affine.numpy()[:, [2, 1, 0, 3]])


def corner_distance(shape_xyz: tuple[int, ...], first: Array, second: Array) -> float:
    """Give the largest distance between the corners of a grid under two affines, mm."""
    x, y, z = (int(n) - 1 for n in shape_xyz)
    corners = np.array([[i, j, k, 1] for i in (0, x) for j in (0, y) for k in (0, z)], float)
    return float(np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max())


def compose(spacing: Array, direction: Array, origin: Array) -> Array:
    """Put spacing (n,), direction (columns, n x n) and origin (n,) into a 4 x 4 affine, n <= 3.

    A missing third axis is the third world axis with a spacing of 1 mm.
    """
    n = len(spacing)
    affine = np.eye(4)
    affine[:n, :n] = direction * spacing
    affine[:n, 3] = origin
    return affine


def decompose(affine: Array) -> tuple[Array, Array, Array]:
    """Split a 4 x 4 affine into spacing (3,), direction (columns, 3 x 3) and origin (3,)."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return spacing, affine[:3, :3] / spacing, affine[:3, 3]
