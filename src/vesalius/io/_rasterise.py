"""Rasterise: outlines become labels on a grid, whatever way they were drawn."""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import dataclass, field
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vesalius.core import Grid, Labels
from vesalius.errors import FormatError, GeometryError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._contours import Contours, Roi
from vesalius.io._handle import Finding
from vesalius.io._planes import Plane, planes_across, planes_along
from vesalius.ops._polygon import Policy, fill_polygons, inside_polygons

Floats = npt.NDArray[np.float64]
Box = tuple[slice, slice, slice]
ON_SLICE = 0.01
SAME_STACK = 0.1
"""Planes no farther off the slices than this were drawn on them, and rounded."""
MOST_COMPARED = 64
"""Outlines of a plane up to which each is compared with each."""
ROUNDING = 1e-6


@final
@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Outlines drawn on a grid.

    Attributes:
        labels: One value for each region; regions that overlap lie in further layers.
        findings: What was noticed while drawing, worst first.
    """

    labels: Labels
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    """The voxels of one region: a mask and the box of the grid that it fills."""

    roi: Roi
    box: Box
    mask: Tensor


@final
@dataclass(slots=True, eq=False)
class _Layers:
    """Layers that regions are laid into, as few as need be so that none overwrites another."""

    name: str
    grid: Grid
    budget: Budget
    kind: torch.dtype
    data: list[Tensor] = field(default_factory=list)
    names: dict[tuple[int, int], str] = field(default_factory=dict)

    def lay(self, patch: _Patch) -> None:
        """Lay a region into the first layer in which its voxels are free."""
        box, mask, roi = patch.box, patch.mask, patch.roi
        taken = ((k, bool((one[box] != 0)[mask].any())) for k, one in enumerate(self.data))
        layer = next((k for k, is_taken in taken if not is_taken), len(self.data))
        if layer == len(self.data):
            self.budget.check_size(self.name, (layer + 1, *self.grid.shape), self.kind.itemsize)
            self.data.append(torch.zeros(self.grid.shape, dtype=self.kind))
        self.data[layer][box][mask] = roi.value
        self.names[layer, roi.value] = roi.name

    def labels(self) -> Labels:
        """Give what was laid."""
        none = [torch.zeros(self.grid.shape, dtype=self.kind)]
        return Labels(torch.stack(self.data or none), self.grid, self.names)


def _kind(rois: tuple[Roi, ...]) -> torch.dtype:
    """Give the smallest number type that holds the values of all regions."""
    low, top = min((r.value for r in rois), default=0), max((r.value for r in rois), default=0)
    kinds = (torch.uint8, torch.int16, torch.int32, torch.int64)
    return next(k for k in kinds if torch.iinfo(k).min <= low and top <= torch.iinfo(k).max)


def rasterise(
    contours: Contours,
    like: Grid,
    *,
    roi: str = "",
    policy: Policy = "centre",
    budget: Budget = DEFAULT,
) -> Drawn:
    """Draw outlines on a grid.

    A voxel belongs to a region where its centre lies inside an odd number of closed outlines of
    the plane that is nearest to its slice (even-odd rule, so inner outlines are holes and
    key-holes work; half-open boundary, see ``ops.fill_polygons``). An outline in a slice counts
    for that slice; planes between slices count for slices no farther than half the gap between
    planes. Slices that no plane is near to stay empty and are told. Outlines drawn across the
    slices (sagittal outlines on an axial grid) are slabs, as thick as the gap between them.

    Args:
        contours: Regions; open outlines and points enclose nothing and are told.
        like: The grid; it may be oblique or sheared.
        roi: Regular expression that a name must match, whole; empty takes all.
        policy: ``"centre"``; ``"area"`` takes pixels of which more than half lies inside instead,
            for outlines that lie in slices.
        budget: What the labels may cost.

    Returns:
        Labels on ``like`` and what was noticed.

    Raises:
        FormatError: No region has such a name, or the labels would exceed the budget.
        GeometryError: No outline is near the grid, or one is neither plane nor in a slice.
    """
    chosen = choose(contours, roi)
    budget.check_size(contours.name, like.shape, 1)
    findings: list[Finding] = []
    layers = _Layers(contours.name, like, budget, _kind(chosen))
    missed: list[str] = []
    for one in chosen:
        patch = _draw(one, contours, like, policy, findings)
        if patch is None:
            missed.append(one.name)
        elif bool(patch.mask.any()):
            layers.lay(patch)
        else:
            text = f"{one.name!r} encloses the centre of no voxel and is left out"
            findings.append(Finding("warning", "empty", text))
    if missed and len(missed) == len(chosen):
        raise GeometryError(
            f"outlines of {contours.name!r} must lie on the grid, none does "
            f"({', '.join(map(repr, missed[:5]))}): they belong to another image, or frame of "
            "reference"
        )
    if missed:
        text = f"regions off the grid, left out: {', '.join(map(repr, missed[:5]))}"
        findings.append(Finding("warning", "off-grid", text))
    return Drawn(layers.labels(), tuple(_sorted(findings)))


def choose(contours: Contours, roi: str) -> tuple[Roi, ...]:
    """Pick regions by name.

    Args:
        contours: The regions.
        roi: Regular expression that a name must match, whole; empty takes all.

    Returns:
        Those that match, in their order.

    Raises:
        FormatError: None does, or the expression is none.
    """
    wanted = matching([one.name for one in contours.rois], roi, contours.name)
    return tuple(one for one in contours.rois if one.name in wanted)


def matching(names: list[str], roi: str, file: str) -> frozenset[str]:
    """Give the names that match a regular expression, whole.

    Args:
        names: All names.
        roi: The expression; empty takes all.
        file: Name of the file, for the error.

    Returns:
        The names.

    Raises:
        FormatError: None matches, or the expression is none.
    """
    if not roi:
        return frozenset(names)
    try:
        pattern = re.compile(roi)
    except re.error as error:
        raise FormatError(
            f"roi must be a regular expression, {roi!r} is not: {error}: "
            "put a backslash before brackets and dots that are meant as they are"
        ) from error
    found = frozenset(name for name in names if pattern.fullmatch(name))
    if not found:
        listed = ", ".join(map(repr, dict.fromkeys(names))) or "none"
        raise FormatError(f"{file!r} must have a region named {roi!r}; its regions are: {listed}")
    return found


def _draw(
    roi: Roi, contours: Contours, like: Grid, policy: Policy, findings: list[Finding]
) -> _Patch | None:
    """Draw one region; None where none of it is near the grid."""
    points = _enclosing(roi, findings)
    if not points:
        empty = torch.zeros((0, 0, 0), dtype=torch.bool)
        return _Patch(roi, (slice(0, 0),) * 3, empty)
    index = points if contours.space == "pixel" else [_to_index(p, like) for p in points]
    if all(float(np.ptp(p[:, 0])) < 0.5 for p in index):
        return _draw_in_slices(roi, index, like, policy, findings)
    if policy == "area":
        raise GeometryError(
            f"outlines of {roi.name!r} must lie in slices of the grid for policy='area', "
            "they cross slices: use policy='centre'"
        )
    world = [like.to_world(torch.from_numpy(p)).numpy() for p in index]
    return _draw_across(roi, world, like, findings)


def _enclosing(roi: Roi, findings: list[Finding]) -> list[Floats]:
    """Give the points of the outlines that enclose something, each once."""
    closed = [line for line in roi.outlines if line.kind == "closed" and len(line.points) > 2]
    if len(closed) < len(roi.outlines):
        text = f"{len(roi.outlines) - len(closed)} open outlines or points of {roi.name!r}"
        findings.append(Finding("info", "not-closed", f"{text} enclose nothing and are left out"))
    once = {_shape_of(line.points.numpy()): line.points.numpy() for line in closed}
    if len(once) < len(closed):
        text = f"{len(closed) - len(once)} outlines of {roi.name!r} stand in the file twice or more"
        findings.append(Finding("warning", "twice", f"{text}: each is drawn once"))
    return list(once.values())


def _shape_of(points: Floats) -> bytes:
    """Give bytes that are equal for equal outlines, wherever and whichever way they begin."""
    first = int(np.lexsort(points.T[::-1])[0])
    ahead, back = np.roll(points, -first, axis=0), np.roll(points[::-1], first + 1, axis=0)
    return min(ahead.tobytes(), back.tobytes())


def _to_index(points: Floats, like: Grid) -> Floats:
    # sums of one column after the other: equal points give equal bits, wherever they stand
    inverse = np.linalg.inv(like.affine.numpy())
    columns = [inverse[:3, axis] * points[:, axis : axis + 1] for axis in range(3)]
    return np.asarray(columns[0] + columns[1] + columns[2] + inverse[:3, 3])


def _draw_in_slices(
    roi: Roi, index: list[Floats], like: Grid, policy: Policy, findings: list[Finding]
) -> _Patch | None:
    planes = planes_along(index, like.spacing_mm[0])
    heights = np.array([plane.height for plane in planes])
    off = float(np.abs(heights - np.rint(heights)).max())
    reach = 0.5 if off <= SAME_STACK else max(0.5, _gap(heights) / 2)
    off = max(off, *(float(np.abs(p[:, 0] - np.rint(p[:, 0].mean())).max()) for p in index))
    first = max(0, int(np.ceil(heights[0] - reach)))
    last = min(like.shape[0] - 1, int(np.floor(heights[-1] + reach)))
    (y, y_end), (x, x_end) = (_reach(index, axis, like.shape[axis]) for axis in (1, 2))
    if first > last or y >= y_end or x >= x_end:
        return None
    mask = torch.zeros((last + 1 - first, y_end - y, x_end - x), dtype=torch.bool)
    used: dict[int, int] = {}
    for k in range(first, last + 1):
        nearest = int(np.argmin(np.abs(heights[::-1] - k)))
        nearest = len(planes) - 1 - nearest
        if -reach < heights[nearest] - k <= reach:
            used[k] = nearest
            mask[k - first] = _fill(planes[nearest], (y, x), (y_end - y, x_end - x), policy)
    if not used:
        return None
    findings += _remarks(roi, planes, used, off, like)
    crossing = sum(_cross(planes[p], (y, x), (y_end - y, x_end - x)) for p in set(used.values()))
    if crossing:
        text = f"outlines of {roi.name!r} cross each other in {crossing} planes: what two of them "
        text += "share counts as outside"
        findings.append(Finding("warning", "crossing", text))
    return _Patch(roi, (slice(first, last + 1), slice(y, y_end), slice(x, x_end)), mask)


def _fill(plane: Plane, origin: tuple[int, int], shape: tuple[int, int], policy: Policy) -> Tensor:
    points = torch.from_numpy(plane.points - np.array(origin, float))
    return fill_polygons(points, torch.from_numpy(plane.starts), shape, policy)


def _cross(plane: Plane, origin: tuple[int, int], shape: tuple[int, int]) -> bool:
    """Say whether two outlines share some voxels of each and not all of one, as no hole does."""
    count = len(plane.starts)
    if not 1 < count <= MOST_COMPARED:
        return False
    points = np.split(plane.points - np.array(origin, float), plane.starts[1:])
    first = torch.zeros(1, dtype=torch.int64)
    masks = [fill_polygons(torch.from_numpy(p), first, shape) for p in points]
    each = torch.stack(masks).flatten(1).to(torch.float32)
    shared, own = each @ each.T, each.sum(dim=1)
    return bool(((shared > 0) & (shared < torch.minimum(own[:, None], own))).any())


def _reach(index: list[Floats], axis: int, size: int) -> tuple[int, int]:
    """First voxel and end, along an axis, of what points span, cut to the grid."""
    low = min(float(p[:, axis].min()) for p in index)
    high = max(float(p[:, axis].max()) for p in index)
    # half a voxel more on each side: areas reach farther than centres
    return int(min(max(np.floor(low), 0), size)), int(max(min(np.ceil(high) + 1, size), 0))


def _gap(heights: Floats) -> float:
    return float(np.diff(heights).min()) if len(heights) > 1 else 1.0


def _remarks(
    roi: Roi, planes: list[Plane], used: dict[int, int], off: float, like: Grid
) -> list[Finding]:
    found = []
    if off > ON_SLICE:
        text = f"outlines of {roi.name!r} lie up to {off:.2f} slices off, the nearest plane counts"
        found.append(Finding("warning", "between-slices", text))
    inside = [k for k, p in enumerate(planes) if -0.5 <= p.height <= like.shape[0] - 0.5]
    unused = len(set(inside) - set(used.values()))
    if unused:
        text = f"{unused} planes of {roi.name!r} lie between slices that others are nearer to"
        found.append(Finding("warning", "planes-unused", text))
    empty = max(used) - min(used) + 1 - len(used)
    if empty:
        text = f"{empty} slices between outlines of {roi.name!r} have none and stay empty"
        found.append(Finding("warning", "missing-slices", text))
    if len(inside) < len(planes):
        text = f"{len(planes) - len(inside)} planes of {roi.name!r} lie beyond the grid"
        found.append(Finding("warning", "off-grid", text))
    return found


def _draw_across(
    roi: Roi, world: list[Floats], like: Grid, findings: list[Finding]
) -> _Patch | None:
    """Draw outlines that cross the slices: each plane of them is a slab around it."""
    frame, planes = planes_across(roi.name, world)
    heights = np.array([plane.height for plane in planes])
    thick = _gap(heights) if len(planes) > 1 else min(like.spacing_mm)
    text = f"outlines of {roi.name!r} cross the slices: drawn as slabs of {thick:.4g} mm"
    findings.append(Finding("info", "across-slices", text))
    corners = [_box_corners(plane, frame, thick / 2) for plane in planes]
    index = [_to_index(c, like) for c in corners]
    spans = [_reach(index, axis, like.shape[axis]) for axis in range(3)]
    if any(start >= end for start, end in spans):
        return None
    shape = tuple(end - start for start, end in spans)
    mask = torch.zeros(shape, dtype=torch.bool)
    y, x = torch.meshgrid(*(torch.arange(a, b) for a, b in spans[1:]), indexing="ij")
    for k in range(shape[0]):
        z = torch.full_like(y, spans[0][0] + k)
        at = like.to_world(torch.stack([z, y, x], dim=-1).double()).reshape(-1, 3).numpy() @ frame
        # half-open slabs; a centre midway between two belongs to one, whatever the rounding
        height = at[:, 0] + thick * ROUNDING
        nearest = _nearest(heights, height)
        near = np.abs(height - heights[nearest]) <= thick / 2
        row = np.zeros(len(at), np.bool_)
        for p in np.unique(nearest[near]):
            here = near & (nearest == p)
            points, starts = (torch.from_numpy(v) for v in (planes[p].points, planes[p].starts))
            row[here] = inside_polygons(torch.from_numpy(at[here, 1:]), points, starts).numpy()
        mask[k] = torch.from_numpy(row).reshape(y.shape)
    box = tuple(slice(a, b) for a, b in spans)
    return _Patch(roi, (box[0], box[1], box[2]), mask)


def _nearest(heights: Floats, at: Floats) -> npt.NDArray[np.int64]:
    middles = (heights[1:] + heights[:-1]) / 2
    return np.searchsorted(middles, at, side="right").astype(np.int64)


def _box_corners(plane: Plane, frame: Floats, reach: float) -> Floats:
    low, high = plane.points.min(axis=0), plane.points.max(axis=0)
    ends = [(plane.height - reach, plane.height + reach), (low[0], high[0]), (low[1], high[1])]
    return np.array(np.meshgrid(*ends)).reshape(3, -1).T @ frame.T


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: ("error", "warning", "info").index(f.severity))
