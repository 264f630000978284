"""Points in files: CSV that declares its frame, markups of Slicer, and landmarks in pixels."""
# SPDX-License-Identifier: Apache-2.0

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vesalius.core import Grid, Points
from vesalius.errors import FormatError
from vesalius.io._atomic import atomic_write
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._transform_text import read_text

FRAME = "# LPS mm"
CONVERT = "negate the first two coordinates of every point (RAS -> LPS) and begin the file with"
AXES = (("x", "y", "z"), ("l", "p", "s"))
NAMES = ("name", "label")
SLICER = {"LPS": 1.0, "1": 1.0, "RAS": -1.0, "0": -1.0}


def load_points(path: str | Path, *, budget: Budget = DEFAULT) -> Points:
    """Read points whose file says in which frame they are.

    Args:
        path: A .csv file whose first line is ``# LPS mm`` and whose second names the columns
            ``x,y,z`` or ``L,P,S``, and perhaps ``name``; other columns are passed over. Or a
            .fcsv or .mrk.json file of 3D Slicer with its coordinate system, LPS or RAS.
        budget: What reading may cost.

    Returns:
        Points in LPS mm, float64.

    Raises:
        FormatError: The frame is not declared, is RAS (it is refused, not guessed), the columns
            are not named, or a coordinate is not a finite number.
    """
    file = Path(path)
    text = read_text(file, budget, what="a table of points")
    if file.name.lower().endswith(".fcsv"):
        return _fiducials(file.name, text.splitlines())
    if file.name.lower().endswith(".json"):
        return _markups(file.name, text)
    first, *lines = text.splitlines() or [""]
    _check_frame(file.name, first)
    rows = _rows(file.name, lines)
    if not rows:
        raise FormatError(
            f"{file.name!r} must name its columns below {FRAME!r}, such as x,y,z: it ends there"
        )
    names = [word.strip().lower() for word in rows[0]]
    axes = next((one for one in AXES if set(one) <= set(names)), None)
    if axes is None:
        raise FormatError(
            f"{file.name!r} must name the columns x, y, z or L, P, S in its second line, it has "
            f"{','.join(rows[0])[:60]!r}: name them"
        )
    label = next((names.index(one) for one in NAMES if one in names), -1)
    return _points(file.name, rows[1:], [names.index(one) for one in axes], label)


def save_points(points: Points, path: str | Path) -> None:
    """Write points as CSV with ``# LPS mm`` as its first line.

    Args:
        points: LPS mm; they are written so that they are read back bit by bit.
        path: Where they go, ending in .csv.

    Raises:
        FormatError: The suffix is another one.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    if not file.name.lower().endswith(".csv"):
        raise FormatError(f"a table of points must end in .csv, got {file.name!r}: rename it")
    out = io.StringIO()
    out.write(f"{FRAME}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["x", "y", "z", *(["name"] if points.names else [])])
    rows = points.data.detach().cpu().double().tolist()
    for k, row in enumerate(rows):
        writer.writerow([*map(repr, row), *([points.names[k]] if points.names else [])])
    with atomic_write(file) as binary:
        binary.write(out.getvalue().encode())


def load_pixels(path: str | Path, *, grid: Grid, budget: Budget = DEFAULT) -> Points:
    """Read landmarks in pixels of an image, as ImageJ and the histology benchmarks write them.

    Args:
        path: A .csv file that names its columns ``X,Y`` or ``X,Y,Z`` (any case, and others beside
            them, which are passed over); the centre of the first pixel is (0, 0).
        grid: Where the image of these pixels is.
        budget: What reading may cost.

    Returns:
        Points in LPS mm, float64, in the order of the file.

    Raises:
        FormatError: The columns are not named, or a coordinate is not a finite number.
    """
    file = Path(path)
    rows = _rows(file.name, read_text(file, budget, what="a table of points").splitlines())
    names = [word.strip().lower() for word in rows[0]] if rows else []
    if not {"x", "y"} <= set(names):
        raise FormatError(
            f"{file.name!r} must name the columns X and Y (and Z) in its first line, it has "
            f"{','.join(names)[:60]!r}: name them"
        )
    columns = [names.index(one) for one in ("z", "y", "x") if one in names]
    label = next((names.index(one) for one in NAMES if one in names), -1)
    found = _table(file.name, rows[1:], columns)
    index = torch.zeros((len(found), 3), dtype=torch.float64)
    index[:, 3 - len(columns) :] = torch.tensor(found, dtype=torch.float64).reshape(
        -1, len(columns)
    )
    return Points(grid.to_world(index), _labels(rows[1:], label))


def save_pixels(points: Points, path: str | Path, *, grid: Grid) -> None:
    """Write points as pixels of an image: columns ``,X,Y``, and ``Z`` where it has slices.

    Args:
        points: LPS mm.
        path: Where they go, ending in .csv.
        grid: Where the image is.

    Raises:
        FormatError: The suffix is another one.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    if not file.name.lower().endswith(".csv"):
        raise FormatError(f"a table of pixels must end in .csv, got {file.name!r}: rename it")
    depth = 2 if grid.shape[0] == 1 else 3
    index = grid.to_index(points.data.detach().cpu().double()).flip(1)[:, :depth]
    lines = [f",{','.join('XYZ'[:depth])}"]
    lines += [f"{k},{','.join(map(repr, row))}" for k, row in enumerate(index.tolist(), start=1)]
    with atomic_write(file) as out:
        out.write("\n".join([*lines, ""]).encode())


def _check_frame(file: str, first: str) -> None:
    said = first.lstrip("#").replace(",", " ").split()
    if not first.startswith("#") or not said:
        raise FormatError(
            f"{file!r} must declare its frame in its first line, which is {first[:40]!r}: "
            f"if the points are LPS mm (as of ITK and ANTs), begin the file with the line "
            f"{FRAME!r}; if they are RAS (as of nibabel), {CONVERT} {FRAME!r}"
        )
    if said[0].upper() == "RAS":
        raise FormatError(
            f"{file!r} must be in LPS mm, it says RAS: {CONVERT} {FRAME!r}; nothing is "
            "converted silently"
        )
    if [word.upper() for word in said[:2]] != ["LPS", "MM"]:
        raise FormatError(
            f"{file!r} must begin with the line {FRAME!r}, it begins with {first[:40]!r}: "
            "convert the points to LPS mm"
        )


def _rows(file: str, lines: Sequence[str]) -> list[list[str]]:
    try:
        # strict: a quote that is not closed would swallow the rows behind it
        rows = list(csv.reader((line for line in lines if line.strip()), strict=True))
    except csv.Error as error:
        raise FormatError(f"{file!r} must be a table with commas: {error}: repair it") from error
    return [row for row in rows if not row[0].startswith("#")]


def _table(file: str, rows: list[list[str]], columns: list[int]) -> list[list[float]]:
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            values = [float(row[column]) for column in columns]
        except (ValueError, IndexError):
            values = [math.nan]
        if not all(math.isfinite(value) for value in values):
            raise FormatError(
                f"{file!r} must give every point finite coordinates, point {number} is "
                f"{','.join(row)[:60]!r}: repair or remove it"
            )
        found.append(values)
    return found


def _labels(rows: list[list[str]], label: int) -> tuple[str, ...]:
    if label < 0:
        return ()
    return tuple(row[label].strip() if label < len(row) else "" for row in rows)


def _points(file: str, rows: list[list[str]], columns: list[int], label: int) -> Points:
    found = torch.tensor(_table(file, rows, columns), dtype=torch.float64).reshape(-1, 3)
    return Points(found, _labels(rows, label))


def _fiducials(file: str, lines: Sequence[str]) -> Points:
    """Read markups of 3D Slicer; the lines above them say the frame and name the columns."""
    told = {}
    for line in lines:
        key, equals, value = line.lstrip("# ").partition("=")
        if line.startswith("#") and equals:
            told[key.strip().lower()] = value.strip()
    system = told.get("coordinatesystem", "").upper()
    if system not in SLICER:
        raise FormatError(
            f"{file!r} must say '# CoordinateSystem = LPS' or RAS, it says {system[:20]!r}: "
            "save it again with 3D Slicer"
        )
    names = [word.strip().lower() for word in told.get("columns", "id,x,y,z").split(",")]
    if not set(AXES[0]) <= set(names):
        raise FormatError(
            f"{file!r} must name the columns x, y and z, it names {','.join(names)[:60]!r}: "
            "save it again with 3D Slicer"
        )
    label = names.index("label") if "label" in names else -1
    found = _points(file, _rows(file, lines), [names.index(one) for one in AXES[0]], label)
    sign = torch.tensor([SLICER[system], SLICER[system], 1.0], dtype=torch.float64)
    return Points(found.data * sign, found.names)


def _markups(file: str, text: str) -> Points:
    """Read the first list of points in JSON markups of 3D Slicer, which say their frame."""
    try:
        (markup,) = json.loads(text)["markups"]
        system, controls = str(markup["coordinateSystem"]).upper(), markup["controlPoints"]
        rows = [[str(v) for v in _three(one["position"])] for one in controls]
        names = tuple(str(one.get("label", "")) for one in controls)
        unit = str(markup.get("coordinateUnits", "mm"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            f"{file!r} must hold one list of markups with a coordinateSystem and controlPoints, "
            f"it does not ({type(error).__name__}): save it again with 3D Slicer"
        ) from error
    if system not in ("LPS", "RAS") or unit != "mm":
        raise FormatError(
            f"{file!r} must say coordinateSystem LPS or RAS and coordinateUnits mm, it says "
            f"{system[:20]!r} and {unit[:20]!r}: save it again with 3D Slicer"
        )
    found = torch.tensor(_table(file, rows, [0, 1, 2]), dtype=torch.float64).reshape(-1, 3)
    sign = torch.tensor([SLICER[system], SLICER[system], 1.0], dtype=torch.float64)
    return Points(found * sign, names if any(names) else ())


def _three(position: Any) -> list[Any]:
    x, y, z = position
    return [x, y, z]
