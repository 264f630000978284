"""Stacks: frames of doses and tomograms, placed by a row of offsets from the first."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace
from typing import Any

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._handle import Array
from vesalius.io.dicom._slice import Slice

AXIAL, SAME_MM = 0.9999, 0.01
THICK = "SpacingBetweenSlices is absent: slices are taken to be their thickness apart"
MOMENTS = ("TimeSlotVector", "TimeSliceVector", "PhaseVector")
SOURCES = ("EnergyWindowVector", "DetectorVector", "RRIntervalVector")


def dose_frames(frames: list[Slice], header: Any) -> list[Slice]:
    """Place the frames of an RT dose (PS3.3 C.8.8.3.2).

    Offsets count from ImagePositionPatient, or, where the first is not 0 and the planes are
    axial, are positions along z themselves.

    Args:
        frames: The frames, numbered.
        header: A pydicom dataset.

    Returns:
        The frames with positions, and DoseGridScaling as slope.

    Raises:
        FormatError: There is no position, or not one offset for each frame, or they can be read
            in two ways.
    """
    first = frames[0]
    offsets = np.array([float(v) for v in np.atleast_1d(header.GridFrameOffsetVector)])
    whole = len(offsets) == len(frames) and bool(np.isfinite(offsets).all())
    if first.position_mm is None or first.axes is None or not whole:
        raise FormatError(
            f"{first.path.name!r} must give position, orientation and {len(frames)} offsets of "
            f"its dose planes, it gives {len(offsets)} offsets: the file is damaged"
        )
    normal = np.cross(first.axes[:, 0], first.axes[:, 1])
    if offsets[0] != 0:
        z = float(first.position_mm[2])
        if abs(float(normal[2])) < AXIAL or abs(offsets[0] - z) > SAME_MM:
            raise FormatError(
                f"{first.path.name!r} must count its dose planes from 0, or give the z of axial "
                f"planes, the first offset is {offsets[0]:g} and its position lies at z {z:g}: "
                "repair GridFrameOffsetVector"
            )
        offsets = (offsets - z) * np.sign(normal[2])
    scale = header.get("DoseGridScaling", None)
    slope = float(scale) if scale not in (None, "") else 1.0
    said = {"rescaled": scale is not None, "DoseUnits": str(header.get("DoseUnits", ""))}
    return [
        replace(
            one,
            position_mm=first.position_mm + offset * normal,
            slope=slope,
            acquisition={**one.acquisition, **said},
        )
        for one, offset in zip(frames, offsets, strict=True)
    ]


def nuclear_frames(frames: list[Slice], header: Any) -> list[Slice]:
    """Place the frames of a nuclear medicine image (PS3.3 C.8.4.8, C.8.4.15).

    SliceVector counts tomographic slices along the normal, SpacingBetweenSlices apart, against it
    where that is negative. Energy windows, detectors and RR intervals are stacks of their own.
    Frames of a planar detector lie one over the other; projections get no position.

    Args:
        frames: The frames, numbered.
        header: A pydicom dataset.

    Returns:
        The frames, with positions where they are told.
    """
    count = len(frames)
    first = frames[0]
    detector = (header.get("DetectorInformationSequence", None) or [{}])[0]
    position = _numbers(detector, "ImagePositionPatient", 3)
    axes = _numbers(detector, "ImageOrientationPatient", 6)
    position = first.position_mm if position is None else position
    row_column = first.axes if axes is None else axes.reshape(2, 3).T
    slices = _vector(header, "SliceVector", count)
    gap = header.get("SpacingBetweenSlices", None)
    assumed = {} if slices is None or gap else {"PlaceAssumed": THICK}
    gap = gap or header.get("SliceThickness", None)
    moments = [v for v in (_vector(header, word, count) for word in MOMENTS) if v is not None]
    sources = [v for v in (_vector(header, word, count) for word in SOURCES) if v is not None]
    ranks = _ranks(moments)
    is_projection = "RotationVector" in header and slices is None
    placed = []
    for k, one in enumerate(frames):
        said = {**one.acquisition, **assumed}
        if moments:
            said["TemporalPositionIdentifier"] = ranks[k]
        if sources:
            said["StackID"] = "-".join(str(vector[k]) for vector in sources)
        where = None
        is_told = bool(gap or slices is None) and not is_projection
        if position is not None and row_column is not None and is_told:
            normal = np.cross(row_column[:, 0], row_column[:, 1])
            number = 0 if slices is None else slices[k] - 1
            where = position + number * float(gap or 0.0) * normal
        placed.append(replace(one, position_mm=where, axes=row_column, acquisition=said))
    return placed


def _vector(header: Any, keyword: str, count: int) -> list[int] | None:
    value = header.get(keyword, None)
    if value is None:
        return None
    numbers = [int(v) for v in np.atleast_1d(value)]
    return numbers if len(numbers) == count else None


def _ranks(moments: list[list[int]]) -> list[int]:
    """Number the moment of each frame in order of phase, then of time within it, from 1."""
    keys = list(zip(*reversed(moments), strict=True))
    number = {key: k + 1 for k, key in enumerate(sorted(set(keys)))}
    return [number[key] for key in keys]


def _numbers(item: Any, keyword: str, count: int) -> Array | None:
    value = item.get(keyword, None)
    if value is None or len(value) != count:
        return None
    return np.array([float(v) for v in value])
