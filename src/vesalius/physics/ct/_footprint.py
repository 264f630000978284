"""Separable-footprint projector: what a voxel's shadow adds to each detector element (CPU)."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, final, no_type_check

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import GeometryError
from vesalius.ops._jit import kernel
from vesalius.ops._threads import share
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._traversal import Traversal, Views, Volumes

Array = np.ndarray[Any, np.dtype[Any]]


@final
@dataclass(frozen=True, slots=True, eq=False)
class FootprintTraversal(Traversal):
    """Throw the shadow of each voxel: a trapezoid along the columns times a box along the rows.

    A value is the mean over the detector element, not the integral along its middle ray: more true
    to a real detector, and smooth where the voxels are larger than the elements.

    Attributes:
        across: (view, 3) functional of (x, y, 1) whose value over that of ``depth`` is a column.
        depth: (view, 3) functional of (x, y, 1): distance from the source along the central ray.
        column: (view,) column below the source.
        fold: (view,) columns per radian of an arc; 0 where the detector is flat.
        row: (view, 3) row at the source's height, that height in slices, rows per slice (times
            depth where ``spreads``).
        toward: (view, 4) constant and slope of a ray's direction over the ground: the source in
            (x, y) indices and 1, or the direction in indices and 0.
        climb: (view, 3) row whose rays are level; steps from row to row and from column to column
            over the distance to the detector. 0 for parallel rays and stacks of fans.
        spreads: Whether rows fan out with the columns: a cone beam.
        size: Spacing (x, y, z), mm.
        shape: Shape (z, y, x) of the grid.
        elements: Shape (rows, columns) of the detector.

    References:
        Long, Fessler, Balter (2010), doi:10.1109/TMI.2010.2050898: SF-TR with amplitude A2,
        eqs. (22)-(36). Differs from it in: pixels need not be square; arcs, helices, stacks of fans
        and parallel rays share the code.
    """

    across: Array
    depth: Array
    column: Array
    fold: Array
    row: Array
    toward: Array
    climb: Array
    spreads: bool
    size: Array
    shape: tuple[int, int, int]
    elements: tuple[int, int]

    def forward(self, x: Volumes) -> Views:
        """Add every voxel's shadow to the detector."""
        rows, columns = self.elements
        y = torch.empty((x.shape[0], len(self.column), rows, columns), dtype=x.dtype)
        for volume, out in zip(x, y.numpy(), strict=True):
            lines = volume.permute(1, 2, 0).contiguous().numpy()

            def work(a: int, b: int, lines: Array = lines, out: Array = out) -> None:
                _forward(lines, self._shadow, self.spreads, out, a, b)

            share(work, out.shape[0])
            _lengthen(out, self._shadow, self.spreads)
        return y

    def back(self, y: Views) -> Volumes:
        """Give every voxel what the elements in its shadow hold."""
        depth, height, width = self.shape
        x = torch.empty((y.shape[0], *self.shape), dtype=y.dtype)
        for n in range(y.shape[0]):
            views = y[n].clone(memory_format=torch.contiguous_format).numpy()
            _lengthen(views, self._shadow, self.spreads)
            waves = np.ascontiguousarray(views.transpose(0, 2, 1))
            lines = np.zeros((height, width, depth), dtype=waves.dtype)

            def work(a: int, b: int, waves: Array = waves, lines: Array = lines) -> None:
                _back(waves, self._shadow, self.spreads, lines, a, b)

            share(work, height)
            x[n] = torch.from_numpy(lines).permute(2, 0, 1)
        return x

    @property
    def _shadow(self) -> tuple[Array, ...]:
        return (
            self.across,
            self.depth,
            self.column,
            self.fold,
            self.row,
            self.toward,
            self.climb,
            self.size,
        )


def footprint_traversal(geometry: Geometry, grid: Grid) -> FootprintTraversal:
    """Prepare the shadows of a grid's voxels.

    Args:
        geometry: Rows along the grid's z.
        grid: Orthogonal.

    Returns:
        The projector's way.

    Raises:
        GeometryError: The detector's rows lean against the grid, u is not at right angles to v,
            or a voxel is not in front of the source.
    """
    if not _upright(geometry, grid):
        raise GeometryError(
            "a separable footprint needs slices across the rows of the detector and a central ray "
            f"along them, got {geometry!r} that leans against {grid!r}: use method='joseph'"
        )
    u, v = geometry.u, geometry.v
    pitch = u.norm(dim=1, keepdim=True)
    normal = torch.linalg.cross(v, u) / (v.norm(dim=1, keepdim=True) * pitch)
    if geometry.beam != "parallel":
        ahead = ((geometry.centre - geometry.source) * normal).sum(dim=1, keepdim=True)
        normal = normal * ahead.sign()  # an imported detector may be seen from behind
    parts = _parallel if geometry.beam == "parallel" else _divergent
    across, depth, column, fold, toward = parts(geometry, grid, normal)
    depths = _corners(depth, grid)
    if not bool((depths > 0).all()):
        raise GeometryError(
            "every voxel must lie in front of the source for a separable footprint, got one "
            f"{-float(depths.min()):.4g} mm behind it: use method='joseph' or a smaller grid"
        )
    row, climb = _rows(geometry, grid, normal)
    return FootprintTraversal(
        across.contiguous().numpy(),
        depth.contiguous().numpy(),
        column.numpy(),
        fold.numpy(),
        row.numpy(),
        toward.numpy(),
        climb.numpy(),
        geometry.beam == "cone",
        np.array(grid.spacing_mm[::-1]),
        grid.shape,
        geometry.shape,
    )


def _upright(geometry: Geometry, grid: Grid) -> bool:
    """Whether rows run along the grid's z, and the rest of the set-up at right angles to it."""
    up = grid.direction[:, 0]
    v = geometry.v / geometry.v.norm(dim=1, keepdim=True)
    u = geometry.u / geometry.u.norm(dim=1, keepdim=True)
    ray = geometry.source if geometry.beam == "parallel" else geometry.centre - geometry.source
    ray = ray / ray.norm(dim=1, keepdim=True)
    level = geometry.beam != "cone" or geometry.arc_mm > 0
    leans = [(v @ up).abs() - 1, u @ up] + ([ray @ up] if level else [])
    return all(float(lean.abs().max()) < 1e-9 for lean in leans)


def _functional(vector: Tensor, origin: Tensor, grid: Grid) -> Tensor:
    """Coefficients of (x, y, 1) for ``vector @ (point - origin)`` in the plane, (view, 3)."""
    steps = grid.affine[:3, [2, 1]]
    rest = ((grid.affine[:3, 3] - origin) * vector).sum(dim=1, keepdim=True)
    return torch.cat([vector @ steps, rest], dim=1)


def _corners(functional: Tensor, grid: Grid) -> Tensor:
    """Values of functionals at the outer corners of the grid's ground, (view, 4)."""
    _, height, width = grid.shape
    xs, ys = (-0.5, width - 0.5), (-0.5, height - 0.5)
    corners = torch.tensor([[x, y, 1.0] for x in xs for y in ys], dtype=torch.float64)
    return functional @ corners.T


def _divergent(geometry: Geometry, grid: Grid, normal: Tensor) -> tuple[Tensor, ...]:
    source, centre, u = geometry.source, geometry.centre, geometry.u
    pitch = u.norm(dim=1, keepdim=True)
    middle = geometry.middle[1]
    if geometry.arc_mm > 0:
        normal = (centre - source) / (centre - source).norm(dim=1, keepdim=True)
        across = _functional(u / pitch, source, grid)
        column = torch.full((geometry.views,), middle, dtype=torch.float64)
        fold = geometry.arc_mm / pitch[:, 0]
    else:
        far = ((centre - source) * normal).sum(dim=1, keepdim=True)
        across = _functional(far * u / pitch**2, source, grid)
        column = middle - ((centre - source) * u).sum(dim=1) / pitch[:, 0] ** 2
        fold = torch.zeros(geometry.views, dtype=torch.float64)
    ground = grid.to_index(source)[:, [2, 1]]
    toward = torch.cat([ground, torch.ones_like(ground)], dim=1)
    return across, _functional(normal, source, grid), column, fold, toward


def _parallel(geometry: Geometry, grid: Grid, normal: Tensor) -> tuple[Tensor, ...]:
    ray, u = geometry.source, geometry.u
    slant = (ray * u).sum(dim=1, keepdim=True) / (ray * normal).sum(dim=1, keepdim=True)
    across = _functional(
        (u - slant * normal) / (u * u).sum(dim=1, keepdim=True), geometry.centre, grid
    )
    depth = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(geometry.views, 3)
    column = torch.full((geometry.views,), geometry.middle[1], dtype=torch.float64)
    ground = (ray @ torch.linalg.inv(grid.affine[:3, :3]).T)[:, [2, 1]]
    toward = torch.cat([ground, torch.zeros_like(ground)], dim=1)
    return across, depth, column, torch.zeros_like(column), toward


def _rows(geometry: Geometry, grid: Grid, normal: Tensor) -> tuple[Tensor, Tensor]:
    """How rows follow from height, and how rays climb."""
    v, centre = geometry.v, geometry.centre
    length = v.norm(dim=1)
    # height in slices of the plane in which rays are level (cone) or of row `middle`
    level = geometry.source if geometry.beam == "cone" else centre
    height = grid.to_index(level)[:, 0]
    per_slice = (v @ grid.affine[:3, 0]) / length**2
    if geometry.beam != "cone":
        row = torch.full_like(height, geometry.middle[0])
        return torch.stack([row, height, per_slice], dim=1), row.new_zeros(geometry.views, 3)
    gap = centre - geometry.source
    row = geometry.middle[0] - (gap * v).sum(dim=1) / length**2
    far = (gap * normal).sum(dim=1)
    if geometry.arc_mm > 0:
        far = torch.full_like(far, geometry.arc_mm)
    climb = torch.stack([row, length / far, geometry.u.norm(dim=1) / far], dim=1)
    return torch.stack([row, height, per_slice * far], dim=1), climb


@kernel
@no_type_check
def _place(shadow, v, x, y):
    """Column at which a point of the ground is seen, from 0 at the edge of the first."""
    across, depth, column, fold = shadow[0], shadow[1], shadow[2], shadow[3]
    n = across[v, 0] * x + across[v, 1] * y + across[v, 2]
    d = depth[v, 0] * x + depth[v, 1] * y + depth[v, 2]
    if fold[v] > 0.0:
        return column[v] + 0.5 + fold[v] * np.arctan2(n, d)
    return column[v] + 0.5 + n / d


@kernel
@no_type_check
def _trapezoid(shadow, v, x, y):
    """Ordered places of a voxel's four corners, and the longest way through it over the ground."""
    a = _place(shadow, v, x - 0.5, y - 0.5)
    b = _place(shadow, v, x + 0.5, y - 0.5)
    c = _place(shadow, v, x - 0.5, y + 0.5)
    d = _place(shadow, v, x + 0.5, y + 0.5)
    a, b = min(a, b), max(a, b)
    c, d = min(c, d), max(c, d)
    a, c = min(a, c), max(a, c)
    b, d = min(b, d), max(b, d)
    b, c = min(b, c), max(b, c)
    toward, size = shadow[5], shadow[7]
    dx, dy = toward[v, 0], toward[v, 1]
    if toward[v, 2] > 0.0:
        dx, dy = x - dx, y - dy
    mm = np.sqrt((dx * size[0]) ** 2 + (dy * size[1]) ** 2)
    return a, b, c, d, mm / max(abs(dx), abs(dy))


@kernel
@no_type_check
def _below(t, a, b, c, d):
    """Area of a trapezoid of height 1 on corners a <= b <= c <= d up to t."""
    if t <= a:
        return 0.0
    area = 0.0
    if b > a:
        w = min(t, b) - a
        area += 0.5 * w * w / (b - a)
    if t > b:
        area += min(t, c) - b
    if t > c and d > c:
        w = min(t, d) - c
        area += w - 0.5 * w * w / (d - c)
    return area


@kernel
@no_type_check
def _box(shadow, spreads, v, x, y):
    """Row edge of the first slice, from 0 at the edge of the first row, and rows per slice."""
    row = shadow[4]
    step = row[v, 2]
    if spreads:
        depth = shadow[1]
        d = depth[v, 0] * x + depth[v, 1] * y + depth[v, 2]
        if shadow[3][v] > 0.0:
            across = shadow[0]
            d = np.hypot(d, across[v, 0] * x + across[v, 1] * y + across[v, 2])
        step /= d
    return row[v, 0] + 0.5 + step * (-0.5 - row[v, 1]), step


@kernel
@no_type_check
def _pour(line, wave, edge, step, back):
    """Share slices among the rows that they cover (or, ``back``, rows among slices)."""
    rows = wave.shape[0]
    real = wave.dtype.type
    for k in range(line.shape[0]):
        one, two = edge + k * step, edge + (k + 1) * step
        low, high = max(min(one, two), 0.0), min(max(one, two), float(rows))
        if high <= low:
            continue
        r = int(low)
        total = real(0.0)
        while low < high:
            upper = min(high, r + 1.0)
            if back:
                total += real(upper - low) * wave[r]
            else:
                wave[r] += real(upper - low) * line[k]
            low = upper
            r += 1
        if back:
            line[k] += total


@kernel
@no_type_check
def _lit(edge, step, depth, rows):
    """Rows that a column of voxels may reach."""
    end = edge + depth * step
    low, high = max(min(edge, end), 0.0), min(max(edge, end), float(rows))
    return (int(low), int(np.ceil(high))) if high > low else (0, 0)


@kernel
@no_type_check
def _forward(lines, shadow, spreads, out, begin, end):
    _, rows, columns = out.shape
    height, width, depth = lines.shape
    wave = np.zeros(rows, dtype=out.dtype)
    view = np.zeros((columns, rows), dtype=out.dtype)
    for v in range(begin, end):
        view[:] = 0
        for y in range(height):
            for x in range(width):
                a, b, c, d, way = _trapezoid(shadow, v, x, y)
                edge, step = _box(shadow, spreads, v, x, y)
                low, high = _lit(edge, step, depth, rows)
                first, last = int(max(a, 0.0)), int(np.ceil(min(d, float(columns))))
                if low >= high or first >= last:
                    continue
                wave[low:high] = 0
                _pour(lines[y, x], wave, edge, step, False)
                before = _below(float(first), a, b, c, d)
                for column in range(first, last):
                    area = _below(column + 1.0, a, b, c, d)
                    _add(
                        view[column, low:high],
                        wave[low:high],
                        out.dtype.type(way * (area - before)),
                    )
                    before = area
        out[v] = view.T


@kernel
@no_type_check
def _add(into, what, weight):
    for k in range(into.shape[0]):
        into[k] += weight * what[k]


@kernel
@no_type_check
def _back(waves, shadow, spreads, lines, begin, end):
    views, columns, rows = waves.shape
    _, width, depth = lines.shape
    wave = np.zeros(rows, dtype=lines.dtype)
    for y in range(begin, end):
        for x in range(width):
            for v in range(views):
                a, b, c, d, way = _trapezoid(shadow, v, x, y)
                edge, step = _box(shadow, spreads, v, x, y)
                low, high = _lit(edge, step, depth, rows)
                first, last = int(max(a, 0.0)), int(np.ceil(min(d, float(columns))))
                if low >= high or first >= last:
                    continue
                wave[low:high] = 0
                before = _below(float(first), a, b, c, d)
                for column in range(first, last):
                    area = _below(column + 1.0, a, b, c, d)
                    weight = lines.dtype.type(way * (area - before))
                    _add(wave[low:high], waves[v, column, low:high], weight)
                    before = area
                _pour(lines[y, x], wave, edge, step, True)


@kernel
@no_type_check
def _lengthen(views, shadow, spreads):
    """Make ways over the ground those of rays that climb."""
    count, rows, columns = views.shape
    if not spreads:
        return
    column, fold, climb = shadow[2], shadow[3], shadow[6]
    for v in range(count):
        for c in range(columns):
            # over the ground, an element of a flat detector is further than its middle
            off = 0.0 if fold[v] > 0.0 else (c - column[v]) * climb[v, 2]
            for r in range(rows):
                rise = (r - climb[v, 0]) * climb[v, 1] / np.sqrt(1.0 + off * off)
                views[v, r, c] *= views.dtype.type(np.sqrt(1.0 + rise * rise))
