"""Planes: outlines sorted into the parallel planes that they were drawn in."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vesalius.errors import GeometryError

Floats = npt.NDArray[np.float64]
SAME_SLICE, MOST_SLICE = 0.01, 0.05
FLAT_MM = 0.1
SAME_MM = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The outlines of one plane.

    Attributes:
        height: Where the plane is along its normal.
        points: (n, 2) points in the plane, the outlines one after the other.
        starts: (k,) index of the first point of each outline.
    """

    height: float
    points: Floats
    starts: npt.NDArray[np.int64]


def planes_along(index: list[Floats], step_mm: float) -> list[Plane]:
    """Sort outlines that lie in slices by their height.

    Args:
        index: Outlines, (n, 3) array indices (z, y, x); each within half a slice.
        step_mm: Distance of slices; outlines 0.01 mm or 0.01 slices apart are in one plane.

    Returns:
        The planes by ascending height (slices); points are (y, x).
    """
    same = max(SAME_SLICE, min(MOST_SLICE, SAME_MM / step_mm))
    return _together([(float(p[:, 0].mean()), p[:, 1:]) for p in index], same)


def planes_across(name: str, world: list[Floats]) -> tuple[Floats, list[Plane]]:
    """Sort plane outlines of any direction by their height along their common normal.

    Args:
        name: Name of the region, for the error.
        world: Outlines, (n, 3) points (L, P, S), mm.

    Returns:
        (3, 3) orthonormal frame, columns are the normal and two axes in the plane, and the planes
        by ascending height (mm); points are along those axes.

    Raises:
        GeometryError: An outline is not plane to 0.1 mm, or they are not parallel.
    """
    widest = max(world, key=lambda p: float(np.ptp(p, axis=0).sum()))
    frame = np.linalg.svd(widest - widest.mean(axis=0), full_matrices=True)[2][::-1].T
    turned = [p @ frame for p in world]
    uneven = max(float(np.ptp(p[:, 0])) for p in turned)
    if uneven > FLAT_MM:
        raise GeometryError(
            f"outlines of {name!r} must each lie in a plane, all of them parallel, to "
            f"{FLAT_MM} mm; one leaves it by {uneven:.3g} mm: draw them on one set of planes"
        )
    return frame, _together([(float(p[:, 0].mean()), p[:, 1:]) for p in turned], SAME_MM)


def _together(outlines: list[tuple[float, Floats]], same: float) -> list[Plane]:
    """Join outlines whose height is the same."""
    ordered = sorted(enumerate(outlines), key=lambda item: (item[1][0], item[0]))
    groups: list[list[tuple[float, Floats]]] = []
    for _, (height, points) in ordered:
        if groups and height - groups[-1][0][0] <= same:
            groups[-1].append((height, points))
        else:
            groups.append([(height, points)])
    return [_plane(group) for group in groups]


def _plane(group: list[tuple[float, Floats]]) -> Plane:
    sizes = [len(points) for _, points in group]
    starts = np.cumsum([0, *sizes])[:-1].astype(np.int64)
    height = float(np.mean([h for h, _ in group]))
    return Plane(height, np.ascontiguousarray(np.concatenate([p for _, p in group])), starts)
