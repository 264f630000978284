"""Moved: frames that each lie a little elsewhere, as prospective motion correction leaves them."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence

import numpy as np

from vesalius.io._handle import Array
from vesalius.io.dicom._slice import Slice

BESIDE_MM = 0.1
"""Slices nearer than this across their normal lie over each other."""
GAP_PART = 0.01
"""Slices nearer than this part of a gap along their normal are at one place."""
TURN_DEG = 0.1
FURTHEST, STEEPEST_DEG = 0.5, 10.0
"""Rows of slices further apart (as a part of their length) or steeper are other stacks."""
Frames = list[list[Slice]]


def moved_frames(slices: Sequence[Slice]) -> Frames:
    """Give the frames of a series where they do not lie one over the other.

    Args:
        slices: Slices of one series.

    Returns:
        The slices of each frame; empty where nothing numbers frames of equal length, or where they
        lie at one place, or so far apart that they are no frames of one thing.
    """
    if not all(one.axes is not None and one.position_mm is not None for one in slices):
        return []
    for number in NUMBERS:
        frames: dict[object, list[Slice]] = {}
        for one in slices:
            frames.setdefault(number(one), []).append(one)
        parts = list(frames.values())
        if "" in frames or len(parts) < 2 or len({len(part) for part in parts}) > 1:
            continue
        if len(parts[0]) > 2 and _is_moved(parts):
            return parts
    return []


def _is_moved(frames: Frames) -> bool:
    first = frames[0][0].axes
    assert first is not None
    normal = np.cross(first[:, 0], first[:, 1])
    rows = np.stack([_row(frame, normal) for frame in frames])
    length = float(np.linalg.norm(rows[0, -1] - rows[0, 0]))
    shift = rows - rows[0]
    gaps = np.diff(rows @ normal, axis=1)
    if not gaps.min() > 0 or np.linalg.norm(shift, axis=2).max() > FURTHEST * length:
        return False
    if _is_even(np.sort((rows @ normal).ravel())):
        return False  # interleaved
    along = shift @ normal
    across = np.linalg.norm(shift - along[..., None] * normal, axis=2)
    turn = _turn_deg(frames, first)
    if turn > STEEPEST_DEG:
        return False
    near = GAP_PART * float(np.median(gaps))
    return bool(turn > TURN_DEG or across.max() > BESIDE_MM or np.abs(along).max() > near)


def _is_even(along: Array) -> bool:
    gaps = np.diff(along)
    middle = float(np.median(gaps))
    return bool((np.abs(gaps - middle) < GAP_PART * middle).all())


def _row(frame: list[Slice], normal: Array) -> Array:
    """Positions of a frame's slices, (n, 3), sorted along the normal."""
    places = np.array([one.position_mm for one in frame], dtype=np.float64)
    return np.asarray(places[np.argsort(places @ normal)])


def _turn_deg(frames: Frames, first: Array) -> float:
    """Largest angle between the rows or columns of a slice and those of the first, degrees."""
    axes = np.array([one.axes for frame in frames for one in frame], dtype=np.float64)
    chord = float(np.linalg.norm(axes - first, axis=1).max())
    return float(np.degrees(2 * np.arcsin(min(chord / 2, 1.0))))


def _told(keyword: str) -> Callable[[Slice], object]:
    return lambda one: one.acquisition.get(keyword, "")


NUMBERS: tuple[Callable[[Slice], object], ...] = (
    lambda one: one.path if one.box is not None else "",
    _told("TemporalPositionIdentifier"),
    _told("AcquisitionNumber"),
)
"""What may number frames; empty where it does not."""
