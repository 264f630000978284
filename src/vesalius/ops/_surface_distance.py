"""Distances between the surfaces of two masks: Hausdorff, its 95th percentile, the averages."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any, NamedTuple, no_type_check

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool
from torch import Tensor

from vesalius.errors import RegionError, ShapeError, UnitError
from vesalius.ops._jit import kernel

Spacing = tuple[float, float, float]
Mask = Bool[Tensor, "z y x"]
Other = Bool[Tensor, "z2 y2 x2"]
Distances = npt.NDArray[np.float64]


class SurfaceDistance(NamedTuple):
    """Distances between two surfaces, in the unit of the spacing.

    A surface is the set of voxel centres of a mask that have a neighbour outside it; each has one
    distance to the nearest of the other surface.

    Attributes:
        hausdorff: The largest distance, either way.
        hd95: 95th percentile of the distances of both ways, pooled.
        hd95_directed: The larger of the 95th percentiles of the two ways; above ``hd95`` where
            only one surface strays.
        assd: Mean of the distances of both ways, pooled (average symmetric surface distance).
        mean_first: Mean distance from the first surface to the second.
        mean_second: Mean distance from the second surface to the first. The mean of these two is
            what some tools call the average symmetric distance.
    """

    hausdorff: float
    hd95: float
    hd95_directed: float
    assd: float
    mean_first: float
    mean_second: float


def surface_distance(first: Mask, second: Other, spacing: Spacing) -> SurfaceDistance:
    """Measure how far the surfaces of two masks are apart; exact.

    A voxel is on the surface where one of its 6 neighbours (4 in a plane, where the block has one
    slice) is outside the mask; beyond the block counts as outside.

    Args:
        first: (z, y, x), True inside.
        second: Same shape.
        spacing: Size of a voxel along (z, y, x).

    Returns:
        The distances. Percentiles interpolate linearly between the two nearest ranks.

    Raises:
        ShapeError: The masks differ in shape.
        UnitError: A spacing is not positive.
        RegionError: A mask is empty, so that nothing has a distance.

    Example:
        >>> import torch
        >>> masks = torch.zeros(2, 1, 1, 8, dtype=torch.bool)
        >>> masks[0, ..., 1] = masks[1, ..., 5] = True
        >>> surface_distance(masks[0], masks[1], (1.0, 1.0, 0.5)).hausdorff
        2.0

    References:
        Heimann et al. (2009), doi:10.1109/TMI.2009.2013851 (ASSD over both surfaces together);
        Huttenlocher et al. (1993), doi:10.1109/34.232073. The distance map: Felzenszwalb and
        Huttenlocher (2012), doi:10.4086/toc.2012.v008a019, section 2.1.
    """
    return summary(*directed_distances(first, second, spacing))


def summary(there: Distances, back: Distances) -> SurfaceDistance:
    """Sum up the distances of both ways; see ``directed_distances``."""
    both = np.concatenate([there, back])
    return SurfaceDistance(
        hausdorff=float(both.max()),
        hd95=float(np.percentile(both, 95)),
        hd95_directed=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        assd=float(both.mean()),
        mean_first=float(there.mean()),
        mean_second=float(back.mean()),
    )


def directed_distances(first: Mask, second: Other, spacing: Spacing) -> tuple[Distances, Distances]:
    """Give the distances of all surface voxels, as two float64 arrays, in no stated order.

    Args:
        first: As in ``surface_distance``.
        second: As in ``surface_distance``.
        spacing: As in ``surface_distance``.

    Returns:
        From the first surface to the second, and back.

    Raises:
        ShapeError: The masks differ in shape.
        UnitError: A spacing is not positive.
        RegionError: A mask is empty.
    """
    check_masks(first, second, spacing)
    one, two = cropped(first, second)
    squares = np.array([s * s for s in spacing])
    one, two = (_surface(mask.cpu().numpy()) for mask in (one, two))
    return to_nearest(one, two, squares), to_nearest(two, one, squares)


def check_masks(first: Tensor, second: Tensor, spacing: Spacing) -> None:
    """Refuse masks without a common shape or a surface, and lengths that are none."""
    if first.shape != second.shape or first.ndim != 3:
        raise ShapeError(
            "masks must have one shape (z, y, x) to be compared, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}: bring them onto one grid first"
        )
    if not all(np.isfinite(s) and s > 0 for s in spacing):
        raise UnitError(f"spacing must be positive along (z, y, x), got {spacing}")
    for name, mask in (("first", first), ("second", second)):
        if not bool(mask.any()):
            raise RegionError(
                f"the {name} mask must not be empty, it is: without a surface there is no distance"
            )


def cropped(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Cut both masks to the box that holds both: no distance leads out of it."""
    either = first | second
    planes, plane = either.any(dim=2), either.any(dim=0)
    box = []
    for line in (planes.any(dim=1), plane.any(dim=1), plane.any(dim=0)):
        inside = line.nonzero()
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    box[0] = thick_enough(box[0], first.shape[0])
    return first[tuple(box)].contiguous(), second[tuple(box)].contiguous()


def thick_enough(slices: slice, size: int) -> slice:
    """Widen one slice of a volume to two: a flat thing in a volume must not become a plane."""
    if slices.stop - slices.start > 1 or size == 1:
        return slices
    return slice(slices.start, slices.stop + 1) if slices.stop < size else slice(size - 2, size)


def _surface(mask: Any) -> Any:
    out = np.zeros(mask.shape, dtype=np.bool_)
    _mark_surface(mask, out)
    return out


def to_nearest(start: Any, goal: Any, squares: Distances) -> Distances:
    """Give the distance of each True of ``start`` to the nearest True of ``goal``.

    Args:
        start: (z, y, x) bool.
        goal: Same shape, at least one True.
        squares: Squared spacing along (z, y, x).

    Returns:
        One distance for each True of ``start``, by y, then x, then z.
    """
    field = np.empty(goal.shape)
    _along_rows(goal, squares[2], field)
    _along_columns(field, squares[1], start.any(axis=0))
    out = np.empty(int(np.count_nonzero(start)))
    _along_slices(field, start, squares[0], out)
    return np.sqrt(out, out=out)


@kernel
@no_type_check
def _mark_surface(mask, out):
    nz, ny, nx = mask.shape
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                if not mask[z, y, x]:
                    continue
                inner = 0 < y < ny - 1 and 0 < x < nx - 1
                inner = inner and mask[z, y - 1, x] and mask[z, y + 1, x]
                inner = inner and mask[z, y, x - 1] and mask[z, y, x + 1]
                if inner and nz > 1:
                    inner = 0 < z < nz - 1 and mask[z - 1, y, x] and mask[z + 1, y, x]
                out[z, y, x] = not inner


@kernel
@no_type_check
def _along_rows(goal, square, field):
    """Squared distance to the nearest True of the same row; infinite where there is none."""
    nz, ny, nx = goal.shape
    for z in range(nz):
        for y in range(ny):
            last = -1
            line, seeds = field[z, y], goal[z, y]
            for x in range(nx):
                if seeds[x]:
                    last = x
                line[x] = square * (x - last) * (x - last) if last >= 0 else np.inf
            last = -1
            for k in range(nx):
                x = nx - 1 - k
                if seeds[x]:
                    last = x
                if last >= 0:
                    line[x] = min(line[x], square * (last - x) * (last - x))


@kernel
@no_type_check
def _along_columns(field, square, needed):
    """Lower envelope of parabolas down each column, where ``needed`` (y, x) asks for it."""
    nz, ny, nx = field.shape
    seat, border, line = np.empty(ny, np.int64), np.empty(ny + 1), np.empty(ny)
    for z in range(nz):
        for x in range(nx):
            for y in range(ny):
                line[y] = field[z, y, x]
            top = _envelope(line, square, seat, border)
            if top < 0:
                continue
            at = 0
            for y in range(ny):
                while border[at + 1] < y:
                    at += 1
                if needed[y, x]:
                    field[z, y, x] = line[seat[at]] + square * (y - seat[at]) * (y - seat[at])


@kernel
@no_type_check
def _along_slices(field, start, square, out):
    """Lower envelope along z, evaluated where ``start`` is True."""
    nz, ny, nx = field.shape
    seat, border, line = np.empty(nz, np.int64), np.empty(nz + 1), np.empty(nz)
    count = 0
    for y in range(ny):
        for x in range(nx):
            wanted = False
            for z in range(nz):
                wanted = wanted or start[z, y, x]
            if not wanted:
                continue
            for z in range(nz):
                line[z] = field[z, y, x]
            _envelope(line, square, seat, border)
            at = 0
            for z in range(nz):
                while border[at + 1] < z:
                    at += 1
                if start[z, y, x]:
                    out[count] = line[seat[at]] + square * (z - seat[at]) * (z - seat[at])
                    count += 1


@kernel
@no_type_check
def _envelope(line, square, seat, border):
    """Find the parabolas of the lower envelope; gives the place of the last one, -1 for none."""
    top = -1
    for q in range(len(line)):
        if line[q] == np.inf:
            continue
        cross = -np.inf
        while top >= 0:
            p = seat[top]
            cross = ((line[q] - line[p]) / square + (q * q - p * p)) / (2 * (q - p))
            if cross > border[top]:
                break
            top -= 1
        top += 1
        seat[top] = q
        border[top] = cross if top > 0 else -np.inf
    if top >= 0:
        border[top + 1] = np.inf
    return top
