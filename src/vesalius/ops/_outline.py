"""Outlines of plane masks: perimeter, area and the corners of the hull."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import RegionError
from vesalius.ops._hull import convex_polygon, largest_distance
from vesalius.ops._jit import kernel

_STEPS = torch.tensor([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]], dtype=torch.float64)


@dataclass(frozen=True, slots=True)
class OutlineSize:
    """What a closed outline encloses and how long it is.

    Attributes:
        area: Enclosed area.
        perimeter: Length of the outline.
    """

    area: float
    perimeter: float


@dataclass(frozen=True, slots=True)
class Calipers:
    """Two diameters of a plane region at right angles.

    Attributes:
        long: Largest distance between two points.
        short: Longest chord of the convex hull at right angles to it (if several pairs are as far
            apart, the longest of all).
    """

    long: float
    short: float


def outline_size(mask: Bool[Tensor, "y x"], spacing: tuple[float, float]) -> OutlineSize:
    """Measure the marching-squares outline of a plane mask, iso-level 0.5, closed at the border.

    Args:
        mask: (y, x), True inside; the outside of the block counts as False. Corners that touch
            across a cell are joined.
        spacing: Size of a pixel along (y, x).

    Returns:
        Area and perimeter; both 0 for an empty mask.
    """
    padded = torch.nn.functional.pad(mask.cpu(), (1, 1, 1, 1)).contiguous().numpy().view(np.uint8)
    one, pair_y, pair_x, diagonal, three, four = _count_squares(padded).tolist()
    dy, dx = spacing
    slant = math.hypot(dy, dx) / 2
    area = (one + 7 * three) / 8 + (pair_y + pair_x) / 2 + diagonal * 3 / 4 + four
    perimeter = (one + three + 2 * diagonal) * slant + pair_y * dy + pair_x * dx
    return OutlineSize(area * dy * dx, perimeter)


def outline_corners(
    mask: Bool[Tensor, "y x"], spacing: tuple[float, float]
) -> Float[Tensor, "n 2"]:
    """List the corners of the convex hull of the outline of a plane mask.

    Args:
        mask: (y, x), True inside.
        spacing: Size of a pixel along (y, x).

    Returns:
        (n, 2) float64 points (y, x) in the unit of the spacing, in order around the hull.

    Raises:
        RegionError: The mask is empty.
    """
    inside = mask.cpu()
    rows = torch.nonzero(inside.any(dim=1))[:, 0]
    if len(rows) == 0:
        raise RegionError("mask must have a pixel inside to have an outline, got an empty one")
    filled = inside[rows].to(torch.uint8)
    first = filled.argmax(dim=1)
    last = filled.shape[1] - 1 - filled.flip(1).argmax(dim=1)
    ends = torch.cat([torch.stack([rows, end], dim=1) for end in (first, last)]).double()
    points = (ends[:, None] + _STEPS).reshape(-1, 2)
    # the hull is found in half samples, where its arithmetic is exact
    return convex_polygon(points * 2) / 2 * torch.tensor(spacing, dtype=torch.float64)


def calipers(corners: Float[Tensor, "n 2"]) -> Calipers:
    """Measure the long diameter of a convex polygon, and the short one at right angles to it.

    Args:
        corners: (n, 2) floating point, in order around the polygon, at least two.

    Returns:
        Both diameters, in the unit of the corners.
    """
    long = largest_distance(corners)
    return Calipers(long, float(_longest_chord(corners.double().contiguous().numpy(), long)))


@kernel
@no_type_check
def _count_squares(mask):
    """Count cells by their corners inside: one, two along y, two along x, diagonal, three, four."""
    counts = np.zeros(6, np.int64)
    for y in range(mask.shape[0] - 1):
        for x in range(mask.shape[1] - 1):
            a, b = mask[y, x], mask[y, x + 1]
            c, d = mask[y + 1, x], mask[y + 1, x + 1]
            total = a + b + c + d
            if total == 1:
                counts[0] += 1
            elif total == 2:
                counts[3 if a == d else (1 if a == c else 2)] += 1
            elif total > 2:
                counts[total + 1] += 1
    return counts


@kernel
@no_type_check
def _longest_chord(corners, long):
    best = 0.0
    n = len(corners)
    for i in range(n):
        for j in range(i):
            a, b = corners[i, 0] - corners[j, 0], corners[i, 1] - corners[j, 1]
            length = np.sqrt(a * a + b * b)
            if length >= long * (1 - 1e-9):
                best = max(best, _chord(corners, a / length, b / length))
    return best


@kernel
@no_type_check
def _chord(corners, a, b):
    """Longest chord at right angles to (a, b): one end of it lies in a corner."""
    best = 0.0
    n = len(corners)
    for k in range(n):
        at = a * corners[k, 0] + b * corners[k, 1]
        low, high = np.inf, -np.inf
        for i in range(n):
            p, q = corners[i], corners[(i + 1) % n]
            s, t = a * p[0] + b * p[1] - at, a * q[0] + b * q[1] - at
            if min(s, t) > 1e-12 * abs(at) or max(s, t) < -1e-12 * abs(at):
                continue
            share = 0.0 if s == t else min(1.0, max(0.0, s / (s - t)))
            across = b * (p[0] + share * (q[0] - p[0])) - a * (p[1] + share * (q[1] - p[1]))
            low, high = min(low, across), max(high, across)
            if s == t:
                across = b * q[0] - a * q[1]
                low, high = min(low, across), max(high, across)
        best = max(best, high - low)
    return best
