"""Exact projections: line integrals of phantoms in closed form, for any geometry."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import no_type_check

import numpy as np
import torch
from numba import prange
from torch import Tensor

from vesalius.errors import GeometryError, IntensityError, UnitError
from vesalius.ops._jit import kernel, parallel_kernel
from vesalius.physics._phantom import Phantom
from vesalius.physics._solids import KINDS
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._projections import Projections

_RAYS = 1 << 19
"""Rays worked on at once; a block needs 48 bytes for each."""


def exact_projections(
    phantom: Phantom,
    geometry: Geometry,
    *,
    subrays: tuple[int, int] = (1, 1),
    focal_mm: float = 0.0,
) -> Projections:
    """Integrate a phantom along every ray in closed form; no grid is involved.

    A ray's chord through each solid is exact; where solids overlap and are painted, the parts of a
    chord that later solids cover are taken off by interval, so nothing must be nested. What lies
    behind the source does not count; what lies behind the detector does.

    Args:
        phantom: In 1/mm, on a background of 0.
        geometry: Where the rays run.
        subrays: Line integrals averaged over each element along (rows, columns), evenly spread
            over its area; (1, 1) is the ray through its middle.
        focal_mm: Width of a line focus along the columns, mm, over which the sub-rays along the
            columns are spread too (in full for each); 0 is a point. Not for parallel rays.

    Returns:
        Line integrals, float32, no unit.

    Raises:
        UnitError: The phantom is not in 1/mm.
        IntensityError: The background is not 0, so that integrals would be infinite.
        GeometryError: ``subrays`` is below 1, or ``focal_mm`` is negative or used with parallel
            rays.

    Example:
        >>> from vesalius.physics import Ellipsoid
        >>> from vesalius.physics.ct import parallel
        >>> disc = Phantom((Ellipsoid.sphere((0, 0, 0), 20.0, value=0.02),), unit="1/mm")
        >>> angles = torch.tensor([0.0])
        >>> seen = exact_projections(disc, parallel(angles, shape=(1, 1)))
        >>> round(float(seen.data), 6)  # 20 mm of .02
        0.4
    """
    values = np.array([e.value for e in phantom.solids], dtype=np.float64).reshape(-1, 1)
    paths = _integrals(phantom, geometry, values, subrays=subrays, focal_mm=focal_mm)
    return Projections(paths[..., 0].float(), geometry)


def material_paths(
    phantom: Phantom, geometry: Geometry, *, subrays: tuple[int, int] = (1, 1)
) -> Tensor:
    """Measure how far each ray runs through each named part of a painted phantom.

    Args:
        phantom: Painted; its unit and values are not used.
        geometry: Where the rays run.
        subrays: As in :func:`exact_projections`.

    Returns:
        (view, row, column, name) float64, mm, in the order of ``phantom.names``.

    Raises:
        UnitError: The phantom is not painted: then parts share space.
    """
    if phantom.rule != "paint":
        raise UnitError("materials must be painted to have paths of their own, got rule 'add'")
    names = phantom.names
    values = np.array([[float(e.name == n) for n in names] for e in phantom.solids])
    blank = replace(phantom, background=0.0, unit="1/mm")
    return _integrals(
        blank, geometry, values.reshape(-1, len(names)), subrays=subrays, focal_mm=0.0
    )


def _integrals(
    phantom: Phantom,
    geometry: Geometry,
    values: np.ndarray,
    *,
    subrays: tuple[int, int],
    focal_mm: float,
) -> Tensor:
    _check(phantom, geometry, subrays, focal_mm)
    maps = np.array([e.to_unit.numpy() for e in phantom.solids]).reshape(-1, 4, 4)
    kinds = np.array([KINDS[type(e)] for e in phantom.solids], dtype=np.int64)
    total = torch.zeros(*geometry.codomain, values.shape[1], dtype=torch.float64)
    block = max(1, _RAYS // math.prod(geometry.shape))
    shifted = list(_shifted(geometry, subrays, focal_mm))
    start = -math.inf if geometry.beam == "parallel" else 0.0
    for one in shifted:
        for first in range(0, geometry.views, block):
            views = slice(first, first + block)
            points, units = (t.reshape(-1, 3).numpy() for t in one.rays(views))
            got = _trace(maps, kinds, values, points, units, phantom.rule == "paint", start)
            total[views] += torch.from_numpy(got).reshape(total[views].shape)
    return total / len(shifted)


def _check(phantom: Phantom, geometry: Geometry, subrays: tuple[int, int], focal_mm: float) -> None:
    if phantom.unit != "1/mm":
        raise UnitError(
            f"phantom must be in 1/mm to be projected, got '{phantom.unit}': use "
            "to_attenuation(phantom, water_per_mm=0.0206) for one in HU"
        )
    if phantom.background != 0.0:
        raise IntensityError(
            f"background must be 0 to be projected, got {phantom.background:g} 1/mm: rays are "
            "infinite; use a large solid instead"
        )
    if min(subrays) < 1:
        raise GeometryError(f"subrays must be at least (1, 1), got {subrays}")
    if focal_mm < 0 or (focal_mm > 0 and geometry.beam == "parallel"):
        raise GeometryError(
            f"focal_mm must be 0 for parallel rays and never negative, got {focal_mm:g} mm for "
            f"'{geometry.beam}'"
        )


def _shifted(geometry: Geometry, subrays: tuple[int, int], focal_mm: float) -> Iterator[Geometry]:
    """Give the geometry of each sub-ray: element and focus moved by a part of their size."""
    rows, columns = subrays
    along = geometry.u / geometry.u.norm(dim=1, keepdim=True)
    for r in range(rows):
        for c in range(columns):
            place = (
                geometry.middle[0] - ((r + 0.5) / rows - 0.5),
                geometry.middle[1] - ((c + 0.5) / columns - 0.5),
            )
            for f in range(columns if focal_mm > 0 else 1):
                shift = focal_mm * ((f + 0.5) / columns - 0.5) if focal_mm > 0 else 0.0
                yield replace(geometry, middle=place, source=geometry.source + shift * along)


@parallel_kernel
@no_type_check
def _trace(maps, kinds, values, points, units, paint, start):
    """Integrate along each ray; (ray, channel)."""
    n = len(maps)
    out = np.zeros((len(points), values.shape[1]))
    block = 1024
    for chunk in prange((len(points) + block - 1) // block):
        low = np.empty(n + 1)  # intervals of the ray that are covered already
        high = np.empty(n + 1)
        for ray in range(chunk * block, min(len(points), (chunk + 1) * block)):
            count = 0
            for i in range(n - 1, -1, -1):
                a, b = _chord(maps[i], kinds[i], points[ray], units[ray])
                a = max(a, start)
                if not b > a:
                    continue
                seen = b - a
                if paint:
                    seen, count = _cover(low, high, count, a, b)
                for k in range(values.shape[1]):
                    out[ray, k] += values[i, k] * seen
    return out


@kernel
@no_type_check
def _cover(low, high, count, a, b):
    """Cover [a, b]; give the length that was free, and the number of disjoint intervals."""
    free = b - a
    merged_a, merged_b, kept = a, b, 0
    for j in range(count):
        if high[j] < a or low[j] > b:
            low[kept] = low[j]
            high[kept] = high[j]
            kept += 1
        else:
            free -= min(high[j], b) - max(low[j], a)
            merged_a = min(merged_a, low[j])
            merged_b = max(merged_b, high[j])
    low[kept] = merged_a
    high[kept] = merged_b
    return max(free, 0.0), kept + 1


@kernel
@no_type_check
def _chord(m, kind, p, d):
    """Where a ray enters and leaves a solid, mm along the ray; empty where the first is larger."""
    q0 = m[0, 0] * d[0] + m[0, 1] * d[1] + m[0, 2] * d[2]
    q1 = m[1, 0] * d[0] + m[1, 1] * d[1] + m[1, 2] * d[2]
    q2 = m[2, 0] * d[0] + m[2, 1] * d[1] + m[2, 2] * d[2]
    p0 = m[0, 0] * p[0] + m[0, 1] * p[1] + m[0, 2] * p[2] + m[0, 3]
    p1 = m[1, 0] * p[0] + m[1, 1] * p[1] + m[1, 2] * p[2] + m[1, 3]
    p2 = m[2, 0] * p[0] + m[2, 1] * p[1] + m[2, 2] * p[2] + m[2, 3]
    if kind == 2:
        a, b = _slab(p0, q0)
        c, d1 = _slab(p1, q1)
        e, f = _slab(p2, q2)
        return max(a, max(c, e)), min(b, min(d1, f))
    if kind == 1:
        a, b = _round(p0, p1, 0.0, q0, q1, 0.0)
        c, d1 = _slab(p2, q2)
        return max(a, c), min(b, d1)
    return _round(p0, p1, p2, q0, q1, q2)


@kernel
@no_type_check
def _round(p0, p1, p2, q0, q1, q2):
    """Chord of the unit ball, from the foot of the perpendicular: exact for far sources too."""
    square = q0 * q0 + q1 * q1 + q2 * q2
    if square == 0.0:  # along the axis of a cylinder
        if p0 * p0 + p1 * p1 + p2 * p2 < 1.0:
            return -np.inf, np.inf
        return 0.0, -1.0
    middle = -(p0 * q0 + p1 * q1 + p2 * q2) / square
    n0, n1, n2 = p0 + middle * q0, p1 + middle * q1, p2 + middle * q2
    rest = 1.0 - (n0 * n0 + n1 * n1 + n2 * n2)
    if rest <= 0.0:
        return 0.0, -1.0
    half = math.sqrt(rest / square)
    return middle - half, middle + half


@kernel
@no_type_check
def _slab(p, q):
    """Interval in which |p + t q| <= 1."""
    if q == 0.0:
        if abs(p) <= 1.0:
            return -np.inf, np.inf
        return 0.0, -1.0
    a, b = (-1.0 - p) / q, (1.0 - p) / q
    return min(a, b), max(a, b)
