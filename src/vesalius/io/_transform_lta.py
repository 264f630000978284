"""Linear transforms of FreeSurfer (.lta): voxels to voxels, or scanner RAS to scanner RAS."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch

from vesalius._version import __version__
from vesalius.core import Grid, Linear, Transform
from vesalius.errors import FormatError, GeometryError
from vesalius.io._atomic import atomic_write
from vesalius.io._budget import DEFAULT
from vesalius.io._frames import RAS_TO_LPS, affine_xyz, decompose, grid_from_xyz
from vesalius.io._transform_matlab import as_linear
from vesalius.io._transform_parts import Array
from vesalius.io._transform_text import numbers, read_text

VOXELS, RAS = 0, 1
VECTORS = ("volume", "voxelsize", "xras", "yras", "zras", "cras")


@final
@dataclass(frozen=True, slots=True, eq=False)
class LtaFile:
    """What an .lta file says.

    Attributes:
        transform: Fixed (``dst``) world to moving (``src``) world.
        fixed: Grid of ``dst``, or None where the file does not give a valid one.
        moving: Grid of ``src``, or None likewise.
    """

    transform: Linear
    fixed: Grid | None
    moving: Grid | None


def load_lta(path: str | Path) -> LtaFile:
    """Read a linear transform of FreeSurfer.

    The file leads from ``src`` (``--mov``) to ``dst``. It is turned round here, to lead from the
    fixed world (``dst``) to the moving one (``src``) in LPS mm.

    Args:
        path: A .lta file of type 0 (voxels to voxels) or 1 (scanner RAS to scanner RAS).

    Returns:
        The map and both grids.

    Raises:
        FormatError: The file is not an .lta file, is damaged, holds several transforms, is of
            another type, or gives no valid grids where its type needs them.

    References:
        FreeSurfer wiki, "LtaFormat" and "CoordinateSystems": ``cras`` is the world point of the
        index (width, height, depth) / 2.
    """
    file = Path(path)
    lines = _lines(read_text(file, DEFAULT, what="an .lta file"))
    kind, count = (_whole(file.name, lines, key) for key in ("type", "nxforms"))
    if count != 1 or kind not in (VOXELS, RAS):
        raise FormatError(
            f"{file.name!r} must hold one transform of type 0 or 1, it holds {count} of type "
            f"{kind}: convert it with lta_convert --outlta --ltavox2vox"
        )
    matrix = _matrix(file.name, lines)
    moving, fixed = (_grid(file.name, lines, which) for which in ("src", "dst"))
    if kind == VOXELS:
        if moving is None or fixed is None:
            raise FormatError(
                f"{file.name!r} must give valid volume infos of src and dst, since its type is 0 "
                "(voxels to voxels): write it with the volumes at hand"
            )
        matrix = affine_xyz(fixed) @ matrix @ np.linalg.inv(affine_xyz(moving))
    else:
        matrix = RAS_TO_LPS @ matrix @ RAS_TO_LPS
    matrix[3] = [0, 0, 0, 1]
    try:
        there = Linear(torch.from_numpy(matrix))
    except GeometryError as error:
        raise FormatError(f"{file.name!r} must hold an affine map: {error}") from error
    return LtaFile(there.inverse(), fixed, moving)


def save_lta(transform: Transform, path: str | Path, *, fixed: Grid, moving: Grid) -> None:
    """Write a linear transform of FreeSurfer, type 1: scanner RAS of ``src`` to that of ``dst``.

    Args:
        transform: A Linear, or a Composite of Linear parts, which is folded to one.
        path: Where it goes.
        fixed: Grid of ``dst``.
        moving: Grid of ``src``.

    Raises:
        FormatError: The transform is not linear, or a grid is sheared.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    world = as_linear(file.name, transform).inverse().matrix.detach().cpu().numpy()
    rows = (RAS_TO_LPS @ world @ RAS_TO_LPS).tolist()
    text = [
        f"# transform file {file.name}",
        f"# created by vesalius {__version__}",
        f"type      = {RAS} # LINEAR_RAS_TO_RAS",
        "nxforms   = 1",
        "mean      = 0.0000 0.0000 0.0000",
        "sigma     = 1.0000",
        "1 4 4",
        *(_words(row) for row in rows),
        *_volume(file.name, "src", moving),
        *_volume(file.name, "dst", fixed),
    ]
    with atomic_write(file) as out:
        out.write("\n".join([*text, ""]).encode())


def _lines(text: str) -> list[str]:
    """Give the lines without comments and blanks."""
    bare = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in bare if line]


def _fields(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _whole(file: str, lines: list[str], key: str) -> int:
    text = _fields(lines).get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise FormatError(
            f"{file!r} must give {key} as a whole number to be an .lta file, it gives "
            f"{text[:40]!r}: it is another file, or is damaged"
        )
    return int(text)


def _matrix(file: str, lines: list[str]) -> Array:
    head = next((k for k, line in enumerate(lines) if line.split() == ["1", "4", "4"]), -1)
    rows = [numbers(file, line) for line in lines[head + 1 : head + 5]] if head >= 0 else []
    if [row.size for row in rows] != [4, 4, 4, 4]:
        raise FormatError(
            f"{file!r} must hold a line '1 4 4' and four rows of four numbers behind it, "
            "it does not: the file is truncated or damaged"
        )
    return np.stack(rows)


def _grid(file: str, lines: list[str], which: str) -> Grid | None:
    """Read one volume info; None where it is absent or says that it is not valid."""
    starts = [k for k, line in enumerate(lines) if line == f"{which} volume info"]
    if not starts:
        return None
    rest = lines[starts[0] + 1 :]
    ends = [k for k, line in enumerate(rest) if line.endswith("volume info")]
    fields = _fields(rest[: ends[0]] if ends else rest)
    if fields.get("valid", "0").split()[:1] != ["1"]:
        return None
    found = [numbers(file, fields.get(key, "")) for key in VECTORS]
    if not all(one.size == 3 and np.isfinite(one).all() for one in found):
        raise FormatError(
            f"{file!r} must give three finite numbers for each of {', '.join(VECTORS)} of {which}, "
            "it does not: the file is truncated or damaged"
        )
    volume, spacing, *axes, centre = found
    if not all(one.is_integer() and 1 <= one < 2**31 for one in volume.tolist()):
        raise FormatError(
            f"{file!r} must give {which} a positive whole size, it gives {volume.tolist()}: "
            "the file is damaged"
        )
    affine = np.eye(4)
    affine[:3, :3] = np.stack(axes, axis=1) * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ (volume / 2)
    x, y, z = (int(n) for n in volume)
    return grid_from_xyz(file, (x, y, z), RAS_TO_LPS @ affine)


def _volume(file: str, which: str, grid: Grid) -> list[str]:
    if not grid.is_orthogonal:
        raise FormatError(
            f"{file!r} must have a {which} grid with right angles, this one is sheared: "
            "resample the image first"
        )
    affine = RAS_TO_LPS @ affine_xyz(grid)
    spacing, direction, origin = decompose(affine)
    size = np.array(grid.shape[::-1])
    x, y, z = direction.T
    rows = {"xras": x, "yras": y, "zras": z, "cras": origin + affine[:3, :3] @ (size / 2)}
    return [
        f"{which} volume info",
        "valid = 1  # volume info valid",
        f"filename = {which}.nii.gz",
        f"volume = {' '.join(map(str, size.tolist()))}",
        f"voxelsize = {_words(spacing.tolist())}",
        *(f"{key}   = {_words(value.tolist())}" for key, value in rows.items()),
    ]


def _words(values: list[float]) -> str:
    return " ".join(f"{value:.15e}" for value in values)
