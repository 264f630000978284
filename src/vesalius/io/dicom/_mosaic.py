"""Mosaic: one Siemens file that shows all slices of a volume as tiles."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._handle import Array
from vesalius.io.dicom._csa import MR_CREATOR, csa_entries, private
from vesalius.io.dicom._slice import Slice

COUNT_ELEMENT = 0x0A
"""Element (0019,xx0A) of the MR header: NumberOfImagesInMosaic, which outlives the CSA header."""


def expand(one: Slice, header: Any) -> list[Slice]:
    """Give the tiles of a mosaic as slices.

    The file's position is that of the corner of the whole picture laid centred over the slice, so
    a tile's corner lies (picture - tile) / 2 pixels further along rows and columns. Tiles follow
    each other on the side to which the CSA header's normal points; the direction itself is the
    cross product of the axes, which has more digits.

    Args:
        one: The file as one slice.
        header: Its pydicom dataset.

    Returns:
        One slice for each tile, in the order of the tiles, with its ``box`` and position.

    Raises:
        FormatError: The CSA header or the position is absent or damaged.
    """
    name = one.path.name
    entries = csa_entries(header)
    count = _count(name, entries, header)
    across = math.isqrt(count - 1) + 1
    rows, columns = one.size[0] // across, one.size[1] // across
    if rows * across != one.size[0] or columns * across != one.size[1]:
        raise FormatError(
            f"{name!r} must be a mosaic of {across} x {across} equal tiles for its {count} slices, "
            f"it has {one.size[0]} x {one.size[1]} pixels: use the file before it was cut"
        )
    corner = _corner(one, rows, columns)
    step = _normal(one, entries) * _gap(one, entries)
    tiles = []
    for k in range(count):
        box = (k // across * rows, k % across * columns, rows, columns)
        size = (rows, columns, one.size[2])
        tiles.append(replace(one, size=size, position_mm=corner + k * step, box=box))
    return tiles


def _count(name: str, entries: Mapping[str, tuple[str, ...]], header: Any) -> int:
    told = entries.get("NumberOfImagesInMosaic", ("",))[0]
    count = told or private(header, 0x19, MR_CREATOR, COUNT_ELEMENT)
    if isinstance(count, bytes):  # of unknown representation (UN)
        count = int.from_bytes(count[:2], "little")
    try:
        number = int(count)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise FormatError(
            f"{name!r} must say how many slices its mosaic has, NumberOfImagesInMosaic is absent "
            "from its CSA header (0029,1010) and (0019,100A): use the file before its private "
            "elements were removed"
        )
    return number


def _normal(one: Slice, entries: Mapping[str, tuple[str, ...]]) -> Array:
    """Give the direction in which slices follow each other; ``_corner`` has seen the axes."""
    try:
        told = np.array([float(v) for v in entries.get("SliceNormalVector", ())])
    except ValueError:
        told = np.empty(0)
    normal = np.cross(one.axes[:, 0], one.axes[:, 1]) if one.axes is not None else np.zeros(3)
    agreement = float(told @ normal) if told.shape == (3,) else 0.0
    if not 0.99 < abs(agreement) < 1.01:
        raise FormatError(
            f"{one.path.name!r} must say which way its mosaic's slices follow each other, "
            "SliceNormalVector of its CSA header (0029,1010) is absent or not normal to its rows "
            "and columns: use the file before its private elements were changed"
        )
    return np.asarray(normal * math.copysign(1.0, agreement))


def _corner(one: Slice, rows: int, columns: int) -> Array:
    if one.position_mm is None or one.axes is None or one.spacing_mm is None:
        raise FormatError(
            f"{one.path.name!r} must say where its mosaic lies, its position, orientation or pixel "
            "spacing is absent: use the file before its header was changed"
        )
    dy, dx = one.spacing_mm
    right = one.axes[:, 0] * dx * (one.size[1] - columns) / 2
    down = one.axes[:, 1] * dy * (one.size[0] - rows) / 2
    return np.asarray(one.position_mm + right + down)


def _gap(one: Slice, entries: Mapping[str, tuple[str, ...]]) -> float:
    told = one.acquisition.get("SpacingBetweenSlices")
    told = told or entries.get("SpacingBetweenSlices", ("0",))[0]
    try:
        gap = float(str(told))
    except ValueError:
        gap = 0.0
    if not (math.isfinite(gap) and gap > 0):
        raise FormatError(
            f"{one.path.name!r} must say how far its mosaic's slices are apart, "
            "SpacingBetweenSlices is absent: use the file before its header was changed"
        )
    return gap
