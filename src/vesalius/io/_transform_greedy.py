"""Matrices of greedy, ITK-SNAP and c3d (.mat): 16 numbers, fixed to moving world in RAS mm."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import torch

from vesalius.core import Linear, Transform
from vesalius.errors import FormatError, GeometryError
from vesalius.io._atomic import atomic_write
from vesalius.io._budget import DEFAULT
from vesalius.io._frames import RAS_TO_LPS
from vesalius.io._transform_matlab import as_linear
from vesalius.io._transform_parts import Array
from vesalius.io._transform_text import numbers, read_text


def load_greedy(path: str | Path) -> Linear:
    """Read an affine matrix of greedy (``-a -o``), ITK-SNAP or ``c3d_affine_tool``.

    It leads from the fixed to the moving world, as here, but in RAS mm: the frame is turned. A
    file of FLIRT looks alike and means something else; ``load_fsl`` reads that.

    Args:
        path: A text file of 16 numbers.

    Returns:
        The map.

    Raises:
        FormatError: The file does not hold the 16 numbers of an affine map.
    """
    matrix = read_matrix(Path(path), what="a matrix of greedy").matrix
    turn = torch.from_numpy(RAS_TO_LPS)
    return Linear(turn @ matrix @ turn)


def save_greedy(transform: Transform, path: str | Path) -> None:
    """Write an affine matrix that greedy, ITK-SNAP and ``c3d_affine_tool`` read.

    Args:
        transform: A Linear, or a Composite of Linear parts, which is folded to one.
        path: Where it goes.

    Raises:
        FormatError: The transform is not linear.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    world = as_linear(file.name, transform).matrix.detach().cpu().numpy()
    write_matrix(RAS_TO_LPS @ world @ RAS_TO_LPS, file)


def read_matrix(file: Path, *, what: str) -> Linear:
    """Read 16 numbers between blanks as an affine map, in whatever frame they are.

    Args:
        file: The file.
        what: What it should be, for the error.

    Returns:
        The map.

    Raises:
        FormatError: There are not 16 numbers, or they make no affine map.
    """
    values = numbers(file.name, read_text(file, DEFAULT, what=what))
    if values.size != 16:
        raise FormatError(
            f"{file.name!r} must hold 4 x 4 numbers to be {what}, it holds {values.size}: "
            "check what it is"
        )
    try:
        return Linear(torch.from_numpy(values.reshape(4, 4)))
    except GeometryError as error:
        raise FormatError(f"{file.name!r} must hold an affine map: {error}") from error


def write_matrix(matrix: Array, file: Path) -> None:
    """Write 4 x 4 numbers so that they are read back bit by bit."""
    text = "".join("  ".join(f"{v:.17g}" for v in row) + "\n" for row in matrix.tolist())
    with atomic_write(file) as out:
        out.write(text.encode())
