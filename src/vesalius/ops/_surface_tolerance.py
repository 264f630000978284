"""Surface Dice: how much of two surfaces lies within a tolerance of the other."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool
from torch import Tensor

from vesalius.errors import UnitError
from vesalius.ops._mesh import cell_areas
from vesalius.ops._surface_distance import (
    check_masks,
    cropped,
    directed_distances,
    to_nearest,
)

Spacing = tuple[float, float, float]
Distances = npt.NDArray[np.float64]
Element = Literal["voxel", "area"]

_SLACK = 1e-9  # a distance of 3 x 0.1 is no farther than a tolerance of 0.3


def surface_dice(
    first: Bool[Tensor, "z y x"],
    second: Bool[Tensor, "z2 y2 x2"],
    spacing: Spacing,
    *,
    tolerance: float,
    element: Element = "voxel",
) -> float:
    """Normalised surface distance NSD: the share of both surfaces that is near the other.

    Args:
        first: (z, y, x), True inside; not empty.
        second: Same shape.
        spacing: Size of a voxel along (z, y, x).
        tolerance: A piece of surface counts up to this distance (<=), in the unit of the spacing.
        element: What a piece is. ``"voxel"``: each voxel of the mask with a neighbour outside
            weighs the same (MONAI's default). ``"area"``: each cell between 8 voxels (4 in a
            plane) that the surface crosses weighs as its area (length): DeepMind's
            surface-distance, MONAI with ``use_subvoxels``.

    Returns:
        0 to 1.

    Raises:
        ShapeError: The masks differ in shape.
        UnitError: A spacing is not positive, or the tolerance is negative.
        RegionError: A mask is empty.

    References:
        Nikolov et al. (2021), doi:10.2196/26151, appendix. Differs from DeepMind's table in: the
        area of ambiguous cells is that of ``ops._mesh``, which no axis is preferred in.
    """
    check_tolerance(tolerance)
    if element == "voxel":
        return near_share(*directed_distances(first, second, spacing), tolerance=tolerance)
    check_masks(first, second, spacing)
    one, two = (_cells(mask.cpu().numpy()) for mask in cropped(first, second))
    table = cell_areas(spacing) if first.shape[0] > 1 else _cell_lengths(spacing)
    squares = np.array([s * s for s in spacing])
    ways = ((one, two), (two, one))
    areas = [_in_order(start, table) for start, _ in ways]
    near = [
        to_nearest(_crossed(start), _crossed(goal), squares) <= tolerance * (1 + _SLACK)
        for start, goal in ways
    ]
    kept = sum(float(area[there].sum()) for area, there in zip(areas, near, strict=True))
    return kept / sum(float(area.sum()) for area in areas)


def near_share(there: Distances, back: Distances, *, tolerance: float) -> float:
    """Give the share of all distances, both ways together, that are within the tolerance.

    Args:
        there: From each voxel of the first surface to the second, see ``directed_distances``.
        back: From the second to the first.
        tolerance: Largest distance that counts, in the same unit.

    Returns:
        0 to 1: ``surface_dice`` by voxels.

    Raises:
        UnitError: The tolerance is negative.
    """
    check_tolerance(tolerance)
    near = sum(int(np.count_nonzero(d <= tolerance * (1 + _SLACK))) for d in (there, back))
    return near / (len(there) + len(back))


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is negative or no number."""
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UnitError(
            f"tolerance must be a distance of at least 0, got {tolerance}: give what two experts "
            "differ by, often one to three voxels"
        )


def _cells(mask: Any) -> Any:
    """Give the kind of each cell between voxels; bit 4 z + 2 y + x of its corners."""
    depth = int(mask.shape[0] > 1)
    framed = np.pad(mask, ((depth, depth), (1, 1), (1, 1))).astype(np.uint8)
    size = tuple(n - k for n, k in zip(framed.shape, (depth, 1, 1), strict=True))
    kind = np.zeros(size, dtype=np.uint8)
    for z in range(1 + depth):
        for y in range(2):
            for x in range(2):
                part = framed[z : z + size[0], y : y + size[1], x : x + size[2]]
                kind |= part << (4 * z + 2 * y + x)
    return kind


def _crossed(kind: Any) -> Any:
    full = 15 if kind.shape[0] == 1 else 255
    return (kind != 0) & (kind != full)


def _in_order(kind: Any, table: Distances) -> Distances:
    """Give the area of each crossed cell in the order of ``to_nearest``."""
    turned = kind.transpose(1, 2, 0)
    found: Distances = table[turned[_crossed(kind).transpose(1, 2, 0)]]
    return found


def _cell_lengths(spacing: Spacing) -> Distances:
    """Give the length of the contour in each of the 16 kinds of cells of a plane."""
    _, dy, dx = spacing
    cut = math.hypot(dy, dx) / 2  # one corner cut off
    lengths = np.zeros(16)
    for kind in range(1, 15):
        corners = [kind >> c & 1 for c in range(4)]
        if sum(corners) != 2:
            lengths[kind] = cut
        elif corners[0] == corners[3]:  # two opposite corners
            lengths[kind] = 2 * cut
        else:
            lengths[kind] = dx if corners[0] == corners[1] else dy
    return lengths
