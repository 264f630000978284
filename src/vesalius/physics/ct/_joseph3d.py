"""Joseph's projector where all rays of a detector column lie over one line of the grid (CPU)."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import Any, final, no_type_check

import numpy as np
import torch

from vesalius.core import Grid
from vesalius.ops._jit import kernel
from vesalius.ops._threads import share
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._joseph_rays import TIE
from vesalius.physics.ct._traversal import Traversal, Views, Volumes

Array = np.ndarray[Any, np.dtype[Any]]

BITS = 32
ONE = 1 << BITS
FRACTION = ONE - 1
"""Rows are stepped in fixed point: integers with 32 bits after the point, 2e-10 of a voxel."""

SLAB = 16
"""Planes that the adjoint fills at a time: few enough to stay in the cache."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class ColumnTraversal(Traversal):
    """Cross planes of x or y; in each, blend two lines of voxels along z and read all rows there.

    The rays of a column share their way in (x, y), so that one blend serves every row and the inner
    loop runs over neighbours in memory. Row r starts at ``start + r (0, 0, rise)`` and runs along
    ``slope + r (0, 0, tilt)``, in (x, y, z) indices per plane. The adjoint owns planes, not rays:
    no two threads add to one voxel and its sums do not depend on how many there are.

    Attributes:
        start: (view, column, 3) a point of the ray of row 0.
        slope: (view, column, 3) its direction; 1 along the axis whose planes it crosses.
        climb: (view, column, 2) rise and tilt.
        axis: (view, column) 0: planes of constant x, 1: of constant y.
        towards: (view, column) 1 or -1 where rays begin at ``start``, by the sense in which they
            cross the planes; 0 for whole lines.
        metric: Squared (x, y, z) spacing of the grid, mm^2.
        shape: Shape (z, y, x) of the grid.
        rows: Number of rows.

    References:
        Joseph (1982), doi:10.1109/TMI.1982.4307572, eq. (5); in 3-D bilinear in each plane.
        Differs from it in: beyond the outermost samples the image falls to 0 over one voxel.
    """

    start: Array
    slope: Array
    climb: Array
    axis: Array
    towards: Array
    metric: Array
    shape: tuple[int, int, int]
    rows: int

    def forward(self, x: Volumes) -> Views:
        """Integrate along every ray."""
        views, columns = self.axis.shape
        y = torch.empty((x.shape[0], views, self.rows, columns), dtype=x.dtype)
        for volume, out in zip(x, y.numpy(), strict=True):
            lines = volume.permute(1, 2, 0).contiguous().numpy()

            def work(a: int, b: int, lines: Array = lines, out: Array = out) -> None:
                _forward(lines, self._rays, out, a, b)

            share(work, views * columns)
        return y

    def back(self, y: Views) -> Volumes:
        """Add every ray's value to the lines that it crossed."""
        depth, height, width = self.shape
        x = torch.empty((y.shape[0], *self.shape), dtype=y.dtype)
        for n in range(y.shape[0]):
            waves = y[n].permute(0, 2, 1).clone(memory_format=torch.contiguous_format).numpy()
            _weigh(waves, self._rays)
            lines = np.zeros((height, width, depth), dtype=waves.dtype)
            for axis, planes in ((0, width), (1, height)):

                def work(
                    a: int, b: int, axis: int = axis, w: Array = waves, out: Array = lines
                ) -> None:
                    _back(w, self._rays, out, axis, a, b)

                share(work, planes)
            x[n] = torch.from_numpy(lines).permute(2, 0, 1)
        return x

    @property
    def _rays(self) -> tuple[Array, ...]:
        return self.start, self.slope, self.climb, self.axis, self.towards, self.metric


def column_traversal(geometry: Geometry, grid: Grid) -> ColumnTraversal | None:
    """Express rays by detector column, if the rays of each share a plane along the grid's z.

    Args:
        geometry: Any.
        grid: Orthogonal.

    Returns:
        The rays; ``None`` where a column leans against the grid, or a ray climbs by more than one
        slice from one plane to the next.
    """
    rows = geometry.shape[0]
    apart = max(rows - 1, 1)
    start, ray = _outer_rows(geometry, grid, apart)
    size = np.abs(ray)
    # ties as everywhere: y before x
    axis = (size[:, 0, :, 1] >= (1 - TIE) * size[:, 0, :, 0]).astype(np.int64)
    along = np.take_along_axis(ray, axis[:, None, :, None], axis=3)
    if not np.all(np.abs(along) >= 1e-6 * size.max(axis=3, keepdims=True)):
        return None
    slope = ray / along
    reach = float(sum(grid.shape)) + float(np.abs(start).max())
    leaning = float(np.abs(start[:, 1] - start[:, 0])[..., :2].max())
    leaning = max(leaning, float(np.abs(slope[:, 1] - slope[:, 0])[..., :2].max()) * reach)
    if not (leaning < 1e-6 and float(np.abs(slope[..., 2]).max()) < 1 - TIE):
        return None
    whole = geometry.beam == "parallel"
    return ColumnTraversal(
        np.ascontiguousarray(start[:, 0]),
        np.ascontiguousarray(slope[:, 0]),
        np.stack([(a[:, 1, :, 2] - a[:, 0, :, 2]) / apart for a in (start, slope)], axis=-1),
        axis,
        np.zeros_like(axis) if whole else np.sign(along[:, 0, :, 0]).astype(np.int64),
        np.array(grid.spacing_mm[::-1]) ** 2,
        grid.shape,
        rows,
    )


def _outer_rows(geometry: Geometry, grid: Grid, apart: int) -> tuple[Array, Array]:
    """Rays of row 0 and the row ``apart`` from it in (x, y, z) indices, (view, 2, column, 3)."""
    ends = replace(
        geometry,
        v=geometry.v * apart,
        shape=(2, geometry.shape[1]),
        middle=(geometry.middle[0] / apart, geometry.middle[1]),
    )
    start, ray = ends.rays()
    inverse = torch.linalg.inv(grid.affine[:3, :3])
    return grid.to_index(start).flip(-1).numpy(), (ray @ inverse.T).flip(-1).numpy()


@kernel
@no_type_check
def _range(start, slope, low, high, count):
    """First and last + 1 of ``count`` steps that may lie in (low, high); never one too few."""
    if abs(slope) < 1e-12:
        return (0, count) if low < start < high else (0, 0)
    one, two = (low - start) / slope, (high - start) / slope
    first, last = max(min(one, two), -1.0), min(max(one, two), count + 1.0)
    if last < first:
        return 0, 0
    return max(int(np.floor(first)), 0), min(int(np.ceil(last)) + 1, count)


@kernel
@no_type_check
def _fixed_rows(z, step, depth, rows):
    """Rows of a crossing that see the line: place and step in fixed point, and their range.

    Places count from one before the first voxel, so that they are never negative.
    """
    first, last = _range(z, step, -1.0, float(depth), rows)
    # the place is taken at the first row, where it is small enough for 64 bits
    at, by = int(np.floor((z + 1.0 + first * step) * ONE)), int(np.floor(step * ONE))
    limit = (depth + 1) * ONE
    while first < last and not 0 <= at < limit:
        first += 1
        at += by
    while first < last and not 0 <= at + (last - 1 - first) * by < limit:
        last -= 1
    return at, by, first, last


@kernel
@no_type_check
def _crossing(rays, v, c, i, counts, rows):
    """Where the rays of a column cross plane i: lower line, blend, and rows in fixed point."""
    start, slope, climb, axis, towards, _ = rays
    a = axis[v, c]
    b = 1 - a
    t = i - start[v, c, a]
    q = start[v, c, b] + t * slope[v, c, b]
    # a plane through the source counts, however the last bits of the source are rounded
    if t * towards[v, c] < -1e-9 * counts[a] or not -1.0 < q < counts[b]:
        return 0, 0.0, 0, 0, 0, 0
    z = start[v, c, 2] + t * slope[v, c, 2]
    at, by, first, last = _fixed_rows(z, climb[v, c, 0] + t * climb[v, c, 1], counts[2], rows)
    j = int(np.floor(q))
    return j, q - j, at, by, first, last


@kernel
@no_type_check
def _reach(rays, v, c, counts):
    """Planes that a column may cross inside the grid."""
    start, slope, _, axis, _, _ = rays
    a = axis[v, c]
    b = 1 - a
    offset = start[v, c, b] - start[v, c, a] * slope[v, c, b]
    return _range(offset, slope[v, c, b], -1.0, float(counts[b]), counts[a])


@kernel
@no_type_check
def _span(at, by, first, last, depth):
    """Voxels of a line that the rows read, first and last + 1."""
    one, two = at >> BITS, (at + (last - 1 - first) * by) >> BITS
    return max(min(one, two) - 1, 0), min(max(one, two) + 1, depth)


@kernel
@no_type_check
def _length(rays, v, c, r):
    """Way of a ray from one plane to the next, mm."""
    _, slope, climb, _, _, metric = rays
    z = slope[v, c, 2] + r * climb[v, c, 1]
    flat = metric[0] * slope[v, c, 0] ** 2 + metric[1] * slope[v, c, 1] ** 2
    return np.sqrt(flat + metric[2] * z * z)


@kernel
@no_type_check
def _blend(line, one, two, w1, w2):
    for k in range(line.shape[0]):
        line[k] = w1 * one[k] + w2 * two[k]


@kernel
@no_type_check
def _read(rows, line, at, by):
    unit = rows.dtype.type(1.0 / ONE)
    # unsigned numbers need no check for an index from the end
    place, step = np.uint64(at), np.uint64(by)
    for r in range(rows.shape[0]):
        k = place >> np.uint64(BITS)
        g = rows.dtype.type(place & np.uint64(FRACTION)) * unit
        rows[r] += line[k] + g * (line[k + np.uint64(1)] - line[k])
        place += step


@kernel
@no_type_check
def _forward(lines, rays, out, begin, end):
    _, rows, columns = out.shape
    height, width, depth = lines.shape
    counts, strides = (width, height, depth), (depth, width * depth)
    flat = lines.reshape(-1)
    real = out.dtype.type
    total = np.zeros(rows, dtype=out.dtype)
    # the blended line, with one empty place before and one after it
    line = np.zeros(depth + 2, dtype=out.dtype)
    for ray in range(begin, end):
        v, c = ray // columns, ray % columns
        a = rays[3][v, c]
        b = 1 - a
        total[:] = 0
        low, high = _reach(rays, v, c, counts)
        for i in range(low, high):
            j, f, at, by, first, last = _crossing(rays, v, c, i, counts, rows)
            if first >= last:
                continue
            one = i * strides[a] + max(j, 0) * strides[b]
            two = i * strides[a] + min(j + 1, counts[b] - 1) * strides[b]
            w1, w2 = real(1 - f if j >= 0 else 0.0), real(f if j + 1 < counts[b] else 0.0)
            k1, k2 = _span(at, by, first, last, depth)
            line[k1], line[k2 + 1] = 0, 0
            upper, lower = flat[one + k1 : one + k2], flat[two + k1 : two + k2]
            _blend(line[k1 + 1 : k2 + 1], upper, lower, w1, w2)
            _read(total[first:last], line, at, by)
        for r in range(rows):
            out[v, r, c] = total[r] * real(_length(rays, v, c, r))


@kernel
@no_type_check
def _weigh(waves, rays):
    views, columns, rows = waves.shape
    for v in range(views):
        for c in range(columns):
            for r in range(rows):
                waves[v, c, r] *= waves.dtype.type(_length(rays, v, c, r))


@kernel
@no_type_check
def _scatter(wave, sums, uppers, at, by):
    """Add each row to the place that it reads: whole, and its share of the place after it."""
    unit = sums.dtype.type(1.0 / ONE)
    place, step = np.uint64(at), np.uint64(by)
    for r in range(wave.shape[0]):
        k = place >> np.uint64(BITS)
        sums[k] += wave[r]
        uppers[k] += wave[r] * (sums.dtype.type(place & np.uint64(FRACTION)) * unit)
        place += step


@kernel
@no_type_check
def _spread(sums, here, before, one, two, weights):
    """Add to two lines of voxels: each takes the rest of its place and the share from before."""
    w1, w2 = weights
    for k in range(sums.shape[0]):
        s = sums[k] - here[k] + before[k]
        one[k] += w1 * s
        two[k] += w2 * s


@kernel
@no_type_check
def _back(waves, rays, lines, axis, begin, end):
    views, columns, rows = waves.shape
    height, width, depth = lines.shape
    counts, strides = (width, height, depth), (depth, width * depth)
    flat = lines.reshape(-1)
    real = lines.dtype.type
    b = 1 - axis
    sums, uppers = np.zeros(depth + 2, dtype=lines.dtype), np.zeros(depth + 2, dtype=lines.dtype)
    for slab in range(begin, end, SLAB):
        for v in range(views):
            for c in range(columns):
                if rays[3][v, c] != axis:
                    continue
                low, high = _reach(rays, v, c, counts)
                for i in range(max(low, slab), min(high, slab + SLAB, end)):
                    j, f, at, by, first, last = _crossing(rays, v, c, i, counts, rows)
                    if first >= last:
                        continue
                    k1, k2 = _span(at, by, first, last, depth)
                    sums[k1 : k2 + 2] = 0
                    uppers[k1 : k2 + 2] = 0
                    _scatter(waves[v, c, first:last], sums, uppers, at, by)
                    one = i * strides[axis] + max(j, 0) * strides[b]
                    two = i * strides[axis] + min(j + 1, counts[b] - 1) * strides[b]
                    w1 = real(1 - f if j >= 0 else 0.0)
                    w2 = real(f if j + 1 < counts[b] else 0.0)
                    _spread(
                        sums[k1 + 1 : k2 + 1],
                        uppers[k1 + 1 : k2 + 1],
                        uppers[k1:k2],
                        flat[one + k1 : one + k2],
                        flat[two + k1 : two + k2],
                        (w1, w2),
                    )
