"""FLIRT matrices of FSL (.mat): from scaled voxels of one image to those of another."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import numpy as np
import torch

from vesalius.core import Grid, Linear, Transform
from vesalius.io._frames import affine_xyz
from vesalius.io._transform_greedy import read_matrix, write_matrix
from vesalius.io._transform_matlab import as_linear
from vesalius.io._transform_parts import Array


def load_fsl(path: str | Path, *, fixed: Grid, moving: Grid) -> Linear:
    """Read a matrix of FLIRT.

    FLIRT maps ``-in`` to ``-ref`` in voxels scaled to mm, counted from the right where the header
    has a positive determinant; none of that stands in the file. It is turned round here, to lead
    from the fixed to the moving world in LPS mm.

    Args:
        path: A .mat file of 16 numbers.
        fixed: Grid of ``-ref``, as its NIfTI file stores it.
        moving: Grid of ``-in``, as its NIfTI file stores it.

    Returns:
        The map.

    Raises:
        FormatError: The file does not hold the 16 numbers of an affine map.

    References:
        Jenkinson and Smith (2001), doi:10.1016/S1361-8415(01)00036-6; FSL wiki, "FLIRT FAQ":
        coordinates in mm from the corner voxel, x mirrored where the storage is neurological.
    """
    there = read_matrix(Path(path), what="a matrix of FLIRT")
    to_fixed, to_moving = _to_scaled(fixed), _to_scaled(moving)
    back = np.linalg.inv(to_moving) @ there.inverse().matrix.numpy() @ to_fixed
    return Linear(torch.from_numpy(_affine(back)))


def save_fsl(transform: Transform, path: str | Path, *, fixed: Grid, moving: Grid) -> None:
    """Write a matrix that FLIRT and applywarp read: ``-in`` to ``-ref`` in scaled voxels.

    Args:
        transform: A Linear, or a Composite of Linear parts, which is folded to one.
        path: Where it goes.
        fixed: Grid of ``-ref``, as its NIfTI file stores it.
        moving: Grid of ``-in``, as its NIfTI file stores it.

    Raises:
        FormatError: The transform is not linear.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    world = as_linear(file.name, transform).inverse().matrix.detach().cpu().numpy()
    matrix = _affine(_to_scaled(fixed) @ world @ np.linalg.inv(_to_scaled(moving)))
    write_matrix(matrix, file)


def _to_scaled(grid: Grid) -> Array:
    """Map the world (L, P, S, 1) to scaled voxels (x, y, z, 1), mm."""
    affine = affine_xyz(grid)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    scaled = np.diag([*spacing, 1.0])
    # LPS and RAS differ by two mirrors, so that the sign is that of the NIfTI header
    if np.linalg.det(affine[:3, :3]) > 0:
        scaled[0] = [-spacing[0], 0, 0, (grid.shape[2] - 1) * spacing[0]]
    return np.asarray(scaled @ np.linalg.inv(affine))


def _affine(matrix: Array) -> Array:
    matrix[3] = [0, 0, 0, 1]
    return matrix
