"""ITK text transforms (.tfm, .txt): read and written without ITK."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vesalius.core import Transform
from vesalius.errors import FormatError
from vesalius.io._atomic import atomic_write
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._transform_parts import (
    Array,
    Dimensions,
    Part,
    from_parts,
    split_name,
    to_parts,
)

MAGIC = "#Insight Transform File V1.0"
ELASTIX = ("(", "//")


def load_itk_text(path: str | Path, *, budget: Budget = DEFAULT) -> Transform:
    """Read an ITK text transform.

    ITK maps points of the fixed world to the moving world in LPS mm, as here: nothing is inverted.

    Args:
        path: A .tfm or .txt file, from ITK, SimpleITK, elastix, ANTs or Slicer.
        budget: What reading may cost.

    Returns:
        A Linear, BSpline or Displacement, or a Composite of them. A transform in two dimensions
        leaves S alone. Beyond the region of a B-spline, where ITK moves nothing, ours fades out.

    Raises:
        FormatError: The file is not an ITK text transform, is damaged, or holds a kind that is
            not known here.
    """
    file = Path(path)
    text = read_text(file, budget, what="an ITK text transform")
    first, *lines = text.splitlines() or [""]
    if first.startswith(ELASTIX):
        raise FormatError(
            f"{file.name!r} must be an ITK text transform, it holds parameters of elastix: let "
            'elastix write (ITKTransformOutputFileNameExtension "tfm") and read that file'
        )
    if first.strip() != MAGIC:
        raise FormatError(
            f"{file.name!r} must begin with {MAGIC!r}, it begins with {first[:60]!r}: "
            "it is not an ITK text transform, or it is damaged"
        )
    return from_parts(file.name, _parts(file.name, lines))


def save_itk_text(transform: Transform, path: str | Path, *, dimensions: Dimensions = 3) -> None:
    """Write an ITK text transform; ITK, SimpleITK, ANTs and Slicer read it as it stands.

    Args:
        transform: Linear (written as AffineTransform), BSpline (surrounded by zeros, since ITK
            moves nothing where ours fades out), Displacement, or a Composite.
        path: Where it goes.
        dimensions: 2 writes a transform of the plane (L, P).

    Raises:
        FormatError: A transform has no place in this format.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    with atomic_write(file) as out:
        out.write(f"{MAGIC}\n".encode())
        for number, part in enumerate(to_parts(file.name, transform, dimensions)):
            n = part.dimension
            out.write(f"#Transform {number}\nTransform: {part.kind}_double_{n}_{n}\n".encode())
            if part.kind != "CompositeTransform":
                out.write(f"Parameters: {words(part.parameters)}\n".encode())
                out.write(f"FixedParameters: {words(part.fixed)}\n".encode())
        out.write(b"\n")


def words(values: Array) -> str:
    """Write numbers so that they are read back bit by bit; whole ones without a point."""
    return " ".join(f"{v:.0f}" if v == round(v) else repr(v) for v in values.astype(float).tolist())


def read_text(file: Path, budget: Budget, *, what: str) -> str:
    """Read a text file whole.

    Args:
        file: The file.
        budget: How many bytes it may have.
        what: What it should be, for the error.

    Returns:
        The text, without a byte order mark.

    Raises:
        FormatError: It cannot be read, is too large, or holds bytes that are no text.
    """
    try:
        budget.check_size(file.name, (max(file.stat().st_size, 1),), 1)
        raw = file.read_bytes()
        if b"\0" in raw:
            raise FormatError(
                f"{file.name!r} must be {what}, it holds binary data: check its suffix"
            )
        return raw.decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FormatError(
            f"{file.name!r} must be a file that can be read, the system says: {reason}"
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{file.name!r} must be {what} in UTF-8, byte {error.start} is not: check its suffix"
        ) from error


def numbers(file: str, text: str) -> Array:
    """Read numbers between blanks.

    Args:
        file: Name of the file, for the error.
        text: The line.

    Returns:
        float64; NaN and infinity are numbers here.

    Raises:
        FormatError: A word is not a number.
    """
    try:
        return np.array([float(word) for word in text.split()], dtype=np.float64)
    except ValueError as error:
        raise FormatError(
            f"{file!r} must hold numbers between blanks: {error}: the file is damaged"
        ) from error


@dataclass(slots=True)
class _Entry:
    """The lines of one transform."""

    name: str
    lists: dict[str, Array] = field(default_factory=dict)


def _parts(file: str, lines: list[str]) -> list[Part]:
    entries: list[_Entry] = []
    for number, line in enumerate(lines, start=2):
        key, colon, value = line.partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        known = key.strip() in ("Parameters", "FixedParameters")
        if colon and key.strip() == "Transform":
            entries.append(_Entry(value))
        elif colon and known and entries and key.strip() not in entries[-1].lists:
            entries[-1].lists[key.strip()] = numbers(file, value)
        else:
            raise FormatError(
                f"{file!r} must hold lines Transform, Parameters and FixedParameters, "
                f"line {number} is {line.strip()[:60]!r}: the file is damaged"
            )
    return [_part(file, entry) for entry in entries]


def _part(file: str, entry: _Entry) -> Part:
    kind, dimension = split_name(file, entry.name)
    none = np.empty(0)
    lists = (entry.lists.get("Parameters", none), entry.lists.get("FixedParameters", none))
    return Part(kind, dimension, *lists)
