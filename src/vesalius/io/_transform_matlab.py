"""ITK transforms in MATLAB 4 files (.mat), as ANTs names them 0GenericAffine.mat."""
# SPDX-License-Identifier: Apache-2.0

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from vesalius.core import Composite, Linear, Transform
from vesalius.errors import FormatError
from vesalius.io._atomic import atomic_write
from vesalius.io._transform_parts import (
    Array,
    Dimensions,
    Part,
    flatten,
    from_parts,
    split_name,
    to_parts,
)

LARGEST = 1 << 20  # bytes; a linear transform takes some 200
HEADER = 20
LONGEST_NAME = 256


def load_itk_mat(path: str | Path) -> Transform:
    """Read a linear ITK transform in a MATLAB 4 file, such as ``0GenericAffine.mat`` of ANTs.

    ITK maps points of the fixed world to the moving world in LPS mm, as here: nothing is inverted.

    Args:
        path: A .mat file; a matrix of FLIRT has the same suffix and is refused by name.

    Returns:
        The map; a transform in two dimensions leaves S alone.

    Raises:
        FormatError: The file is not a MATLAB 4 file with one ITK transform, or is damaged.
    """
    file = Path(path)
    raw = read_bytes(file)
    if is_flirt(raw):
        raise FormatError(
            f"{file.name!r} must be an ITK transform, it is text with 16 numbers as FLIRT writes: "
            "call load_fsl(path, fixed=grid of -ref, moving=grid of -in), or load_greedy(path)"
        )
    found = list(_variables(file.name, raw))
    parts = []
    for k in range(0, len(found), 2):
        pair = found[k : k + 2]
        if len(pair) != 2 or pair[1][0] != "fixed":
            raise FormatError(
                f"{file.name!r} must hold the fixed parameters of {pair[0][0][:80]!r} behind it, "
                "it does not: the file is no ITK transform, or is damaged"
            )
        parts.append(Part(*split_name(file.name, pair[0][0]), pair[0][1], pair[1][1]))
    return from_parts(file.name, parts)


def save_itk_mat(transform: Transform, path: str | Path, *, dimensions: Dimensions = 3) -> None:
    """Write a linear transform as ITK and ANTs do in ``0GenericAffine.mat``.

    Args:
        transform: A Linear, or a Composite of Linear parts, which is folded to one.
        path: Where it goes.
        dimensions: 2 writes a transform of the plane (L, P).

    Raises:
        FormatError: The transform is not linear, or leaves the plane.
        OutputError: The folder is absent or not writable.
    """
    file = Path(path)
    (part,) = to_parts(file.name, as_linear(file.name, transform), dimensions)
    name = f"{part.kind}_double_{dimensions}_{dimensions}"
    with atomic_write(file) as out:
        for key, values in ((name, part.parameters), ("fixed", part.fixed)):
            label = key.encode() + b"\0"
            out.write(struct.pack("<5i", 0, values.size, 1, 0, len(label)) + label)
            out.write(values.astype("<f8").tobytes())


def as_linear(file: str, transform: Transform) -> Linear:
    """Fold a transform that is linear into one matrix.

    Args:
        file: Name of the file that holds nothing else, for the error.
        transform: A Linear, or a Composite of them.

    Returns:
        The one map.

    Raises:
        FormatError: A part is not linear.
    """
    parts = flatten(transform) if isinstance(transform, Composite) else [transform]
    bent = [type(part).__name__ for part in parts if not isinstance(part, Linear)]
    if bent:
        raise FormatError(
            f"{file!r} can hold linear transforms alone, got a {bent[0]}: "
            "save it as .json, .h5 or .nii.gz"
        )
    whole = Linear.identity()
    for part in parts:
        whole = Linear(whole.matrix @ cast(Linear, part).matrix)
    return whole


def is_flirt(raw: bytes) -> bool:
    """Tell whether a file is text of 16 numbers, as FLIRT writes a matrix."""
    try:
        return len(raw) < 4096 and len([float(word) for word in raw.decode("ascii").split()]) == 16
    except ValueError:
        return False


def read_bytes(file: Path) -> bytes:
    """Read a small file whole.

    Args:
        file: The file.

    Returns:
        What it holds.

    Raises:
        FormatError: It cannot be read, or is larger than a linear transform can be.
    """
    try:
        with file.open("rb") as stream:
            raw = stream.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FormatError(
            f"{file.name!r} must be a file that can be read, the system says: {reason}"
        ) from error
    if len(raw) > LARGEST:
        raise FormatError(
            f"{file.name!r} must have at most {LARGEST} bytes to be a linear transform, "
            "it has more: check what it is"
        )
    return raw


def _variables(file: str, raw: bytes) -> Iterator[tuple[str, Array]]:
    """Walk the variables of a MATLAB 4 file: five whole numbers, a name, the values."""
    at = 0
    while at < len(raw):
        order = next((o for o in "<>" if _plausible(raw, at, o)), "")
        if not order:
            raise FormatError(
                f"{file!r} must be a MATLAB 4 file of real vectors, byte {at} begins none: "
                "it is another kind of .mat, or is damaged"
            )
        kind, rows, columns, _, length = struct.unpack_from(f"{order}5i", raw, at)
        stored = np.dtype(f"{order}f{4 if kind // 10 % 10 else 8}")
        start = at + HEADER + length
        end = start + rows * columns * stored.itemsize
        if end > len(raw):
            raise FormatError(
                f"{file!r} must hold {rows} x {columns} numbers at byte {start}, "
                f"it ends before: the file is truncated"
            )
        name = raw[at + HEADER : start].rstrip(b"\0").decode("ascii", "replace")
        yield name, np.frombuffer(raw[start:end], stored).astype(np.float64)
        at = end


def _plausible(raw: bytes, at: int, order: str) -> bool:
    """Tell whether a header of real vectors stands here: type MOPT, rows, columns, no imaginary."""
    if at + HEADER > len(raw):
        return False
    kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", raw, at)
    # M is the byte order, O is 0 (1 where ITK's library writes rows), P the precision, T is 0
    fits = kind in [m + o + p for m in (0, 1000) for o in (0, 100) for p in (0, 10)]
    small = 0 <= rows <= LARGEST and 0 <= columns <= LARGEST and min(rows, columns) <= 1
    return fits and small and imaginary == 0 and 1 <= length <= LONGEST_NAME
