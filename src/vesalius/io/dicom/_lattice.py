"""The lattice: where an ordered row of slices lies, and what keeps it from being even."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from vesalius.errors import FormatError
from vesalius.io._handle import Allow, Array, Finding
from vesalius.io.dicom._group import GAP_TOLERANCE, SAME_MM, has_place
from vesalius.io.dicom._slice import Slice

TILT_DEG = 0.1
HOLE_TOLERANCE = 0.05
DRIFT = 0.1
"""Small differences of gaps may add up to so much of a gap."""
FINEST = 8
"""A row is resampled to at most so many times its slices."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where slices lie.

    Attributes:
        affine: (4, 4) on the index (x, y, z, 1), LPS, mm.
        size: Number of lattice nodes along z.
        nodes: (size,) place of each node between the slices: 1.25 is a quarter of the way from
            slice 1 to slice 2; empty where nodes are slices.
    """

    affine: Array
    size: int
    nodes: Array

    @property
    def is_resampled(self) -> bool:
        """Whether nodes lie between slices."""
        return len(self.nodes) > 0


def make_lattice(
    row: Sequence[Slice], name: str, allow: tuple[Allow, ...], findings: list[Finding]
) -> Lattice:
    """Place a row of slices, sorted along their normal.

    A leaning row (tilted gantry) stays as it is: the affine is sheared. Spacing comes from
    positions. Uneven rows are errors; with ``gaps`` allowed (and ``tilt``, where they lean too)
    their nodes are spread evenly along the row.

    Args:
        row: The slices, one at each place, all with position.
        name: What to call them.
        allow: Words that were allowed.
        findings: What was noticed is added.

    Returns:
        The lattice.

    Raises:
        FormatError: Rows and columns are not at right angles.

    References:
        PS3.3 C.7.6.2.1.1 (position and orientation).
    """
    first = row[0]
    assert first.axes is not None
    normal = np.cross(first.axes[:, 0], first.axes[:, 1])
    if not float(np.abs(first.axes.T @ first.axes - np.eye(2)).max()) < 1e-3:
        raise FormatError(
            f"series {name!r} must have rows and columns at right angles, "
            f"ImageOrientationPatient is {first.axes.T.reshape(-1).tolist()}: repair its header"
        )
    positions = np.array([one.position_mm for one in row], dtype=np.float64)
    affine = np.eye(4)
    dy, dx = spacing(first, findings)
    affine[:3, 0], affine[:3, 1] = first.axes[:, 0] * dx, first.axes[:, 1] * dy
    affine[:3, 3] = positions[0]
    if len(row) == 1:
        affine[:3, 2] = normal * thickness(first, findings)
        return Lattice(affine, 1, np.empty(0))
    along = (positions - positions[0]) @ normal
    gaps = np.diff(along)
    leaning = (positions[-1] - positions[0]) / along[-1]
    tilt = math.degrees(math.acos(min(1.0, 1.0 / float(np.linalg.norm(leaning)))))
    _check_row(positions, along, leaning, findings)
    uneven = _uneven(along, float(positions[0] @ normal))
    if tilt > TILT_DEG:
        findings.append(_tilted(tilt, bool(uneven), allow))
    if not uneven:
        affine[:3, 2] = leaning * (along[-1] / len(gaps))
        return Lattice(affine, len(row), np.empty(0))
    accepted = "gaps" in allow and (tilt <= TILT_DEG or "tilt" in allow)
    findings.append(_gaps(gaps, uneven, accepted))
    count = _count(gaps)
    affine[:3, 2] = leaning * (along[-1] / count)
    return Lattice(affine, count + 1, _nodes(along, count))


def stack(
    row: Sequence[Slice], name: str, allow: tuple[Allow, ...], findings: list[Finding]
) -> Array:
    """Place slices that do not all say where they lie: one above the other, from 0.

    Args:
        row: The slices, in the order to keep.
        name: What to call them.
        allow: Words that were allowed.
        findings: What was noticed is added.

    Returns:
        (4, 4) affine on the index (x, y, z, 1), mm.
    """
    dy, dx = spacing(row[0], findings)
    if len(row) == 1:
        text = "the image has no position: x, y are taken as L, P from 0"
        findings.append(Finding("warning", "no-position", text))
        return np.diag([dx, dy, thickness(row[0], findings), 1.0])
    absent = sum(not has_place(one) for one in row)
    text = (
        f"{absent} of {len(row)} slices do not say where they lie (ImagePositionPatient, "
        "ImageOrientationPatient): "
    )
    if "order" in allow:
        text += "stacked by InstanceNumber, along S from 0"
        findings.append(Finding("warning", "no-position", text))
    else:
        text += "their order is not known"
        findings.append(Finding("error", "no-position", text, "order"))
    gap = row[0].acquisition.get("SpacingBetweenSlices", row[0].acquisition.get("SliceThickness"))
    dz = float(gap) if isinstance(gap, (int, float)) and gap > 0 else 1.0
    return np.diag([dx, dy, dz, 1.0])


def spacing(one: Slice, findings: list[Finding]) -> tuple[float, float]:
    """Give the distance between rows and between columns, mm; 1 where it is not told."""
    if one.spacing_mm is None:
        findings.append(Finding("warning", "no-spacing", "no pixel spacing: 1 mm assumed"))
    elif one.acquisition.get("AtDetector"):
        text = "pixel spacing is that at the detector: what lies before it is shown larger"
        findings.append(Finding("warning", "detector-spacing", text))
    return one.spacing_mm or (1.0, 1.0)


def thickness(one: Slice, findings: list[Finding]) -> float:
    """Give what stands for the distance to the next slice where there is none, mm."""
    value = one.acquisition.get("SliceThickness")
    known = isinstance(value, (int, float)) and value > 0
    gap = float(str(value)) if known else 1.0
    source = "its thickness" if known else "no thickness either: 1 mm"
    text = f"one slice has no distance to the next: {source} ({gap:g} mm) is taken"
    findings.append(Finding("info", "single-slice", text))
    return gap


def _check_row(positions: Array, along: Array, leaning: Array, findings: list[Finding]) -> None:
    sideways = np.linalg.norm(positions - positions[0] - np.outer(along, leaning), axis=1)
    gap = along[-1] / (len(along) - 1)
    worst = int(np.argmax(sideways))
    if sideways[worst] > GAP_TOLERANCE * gap + SAME_MM:
        text = (
            f"slices must lie in a straight row, number {worst + 1} lies {sideways[worst]:.4g} mm "
            f"sideways of it (gap {gap:.4g} mm): put each stack in a folder of its own"
        )
        findings.append(Finding("error", "sideways", text))


def _tilted(tilt: float, uneven: bool, allow: tuple[Allow, ...]) -> Finding:
    text = f"slices are tilted: the row of slices leans {tilt:.2f} deg from their normal; "
    if uneven and "tilt" not in allow:
        return Finding("error", "tilted", text + "and it is uneven", "tilt")
    text += "the grid is sheared, resample it where right angles are needed"
    return Finding("warning", "tilted", text)


def _uneven(along: Array, start: float) -> str:
    """Say where a row is uneven; empty where gaps are alike to 1% and places to 10% of one."""
    gaps = np.diff(along)
    middle = float(np.median(gaps))
    drift = np.abs(along - np.linspace(0, along[-1], len(along)))
    alike = not (np.abs(gaps - middle) > GAP_TOLERANCE * middle).any()
    if alike and drift.max() <= DRIFT * middle:
        return ""
    if alike:
        where = along[int(np.argmax(drift))] + start
        return f"small differences add up to {drift.max():.4g} mm at {where:.2f} mm"
    at = int(np.argmax(gaps))
    low, high = along[at] + start, along[at + 1] + start
    return f"the largest gap, {gaps[at]:.4g} mm, lies between {low:.2f} and {high:.2f} mm"


def _holes(gaps: Array) -> int:
    """Number of slices missing, 0 where the gaps are no multiples of the smallest."""
    ratio = gaps / gaps.min()
    if float(np.abs(ratio - ratio.round()).max()) >= HOLE_TOLERANCE:
        return 0
    if float(ratio.sum()) > FINEST * len(gaps):
        return 0  # what would miss most of its slices has two that nearly coincide
    return int((ratio.round() - 1).sum())


def _gaps(gaps: Array, uneven: str, accepted: bool) -> Finding:
    missing = _holes(gaps)
    code = "missing-slices" if missing else "uneven-gaps"
    text = (
        f"{missing} slices are missing: gaps are multiples of {gaps.min():.4g} mm, {uneven}"
        if missing
        else f"gaps are uneven, from {gaps.min():.4g} to {gaps.max():.4g} mm: {uneven}"
    )
    if not accepted:
        return Finding("error", code, text, "gaps")
    text += "; between slices, values were interpolated linearly along the row, as float"
    return Finding("warning", code, text)


def _count(gaps: Array) -> int:
    """Number of even steps that the row is resampled with: as fine as its smallest gap."""
    if _holes(gaps):
        return int((gaps / gaps.min()).round().sum())
    return int(min(math.ceil(gaps.sum() / gaps.min() - 1e-6), FINEST * len(gaps)))


def _nodes(along: Array, count: int) -> Array:
    """Give the place of each even node between the slices; slices within 1% of a step are it."""
    step = along[-1] / count
    wanted = np.arange(count + 1) * step
    nodes = np.interp(wanted, along, np.arange(len(along)))
    nearest = np.abs(along[:, None] - wanted).argmin(axis=0)
    close = np.abs(along[nearest] - wanted) <= GAP_TOLERANCE * step
    return np.asarray(np.where(close, nearest, nodes))
