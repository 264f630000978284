"""Joseph's projector where each detector row is a plane of its own: parallel and fan beams."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Grid
from vesalius.ops._threads import share
from vesalius.physics.ct._geometry import Geometry
from vesalius.physics.ct._joseph2d_kernels import (
    PAD,
    ROWS,
    from_lanes,
    gather,
    scatter,
    to_lanes,
)
from vesalius.physics.ct._joseph_rays import TIE
from vesalius.physics.ct._symmetry import (
    Fans,
    Groups,
    Integers,
    Reals,
    grouped,
    plain,
    pose_image,
    snapped,
    unpose_image,
)
from vesalius.physics.ct._traversal import Traversal, Views, Volumes

# voxels by which a ray may leave its plane, or a row its place
FLAT = 1e-6


@final
@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Groups of rays in the form that the kernels take.

    Attributes:
        lanes: (group, 8, 4), see :class:`Groups`.
        steep: (group, ray, 3) rays that cross every image row: column at row 0, columns per row,
            mm per row. Others are moved off the image.
        level: The same for the image with rows and columns exchanged; empty where there are none.
    """

    lanes: Integers
    steep: Reals
    level: Reals


@final
@dataclass(frozen=True, slots=True, eq=False)
class PlaneTraversal(Traversal):
    """Walk along the rays of all planes at once, or of one plane in eight poses at once.

    The planes, batch included, are the contiguous inner axis of what is walked through, eight at a
    time. A few planes are better laid side by side with their own mirror images and quarter turns,
    so that one walk serves up to eight views; views without symmetry cost one walk each. Either
    way the working memory is that of eight planes.

    Attributes:
        grid: The lattice.
        codomain: (view, row, column).
        axis: Array axis of the image that the planes are stacked along.
        places: Index along ``axis`` of each detector row, fractional.
        fans: The rays of one plane, where the groups have them.
        by_pose: Groups for one plane at a time.

    References:
        Joseph (1982), doi:10.1109/TMI.1982.4307572, eq. (5). Beyond the outermost samples the image
        falls to 0 over one voxel.
    """

    grid: Grid
    codomain: tuple[int, int, int]
    axis: int
    places: tuple[float, ...]
    fans: Fans
    by_pose: Walk

    def forward(self, x: Volumes) -> Views:
        """Integrate along every ray."""
        planes = self._to_planes(x)
        views, rows, columns = self.codomain
        y = torch.zeros((planes.shape[0], views, columns), dtype=x.dtype)
        if self._prefers_poses(planes.shape[0]):
            for plane, out in zip(planes, y, strict=True):
                self._by_pose(plane, out)
        else:
            walk = self._by_plane()
            for first in range(0, planes.shape[0], 8):
                _forward_eight(planes[first : first + 8], walk, y[first : first + 8])
        return y.view(-1, rows, views, columns).transpose(1, 2).contiguous()

    def back(self, y: Views) -> Volumes:
        """Scatter every ray's value with the weights of :meth:`forward`."""
        views, rows, columns = self.codomain
        values = y.transpose(1, 2).reshape(-1, views, columns)
        _, height, width = _order(self.grid.shape, self.axis)
        planes = torch.zeros((values.shape[0], height, width), dtype=y.dtype)
        if self._prefers_poses(values.shape[0]):
            for value, out in zip(values, planes, strict=True):
                self._back_by_pose(value, out)
        else:
            walk = self._by_plane()
            for first in range(0, values.shape[0], 8):
                _back_eight(values[first : first + 8], walk, planes[first : first + 8])
        return self._from_planes(planes.view(-1, rows, height, width))

    def _prefers_poses(self, planes: int) -> bool:
        groups, many, _ = self.by_pose.steep.shape
        views, _, columns = self.codomain
        return bool(planes * groups * many <= math.ceil(planes / 8) * views * columns)

    def _by_plane(self) -> Walk:
        """Groups for eight planes at a time; quick to make, large to keep."""
        return _walk(plain(self.fans), _order(self.grid.shape, self.axis)[1:])

    def _by_pose(self, plane: Tensor, out: Tensor) -> None:
        image = _padded(plane.shape, plane.dtype)
        for pose in _poses(self.by_pose):
            image[:, PAD:-PAD, pose] = pose_image(plane, pose)
        found = _walked(image, self.by_pose)
        from_lanes(found.numpy(), self.by_pose.lanes, out.numpy())

    def _back_by_pose(self, views: Tensor, out: Tensor) -> None:
        values = views.new_zeros((*self.by_pose.steep.shape[:2], 8))
        to_lanes(views.contiguous().numpy(), self.by_pose.lanes, values.numpy())
        image = _walked_back(values, self.by_pose, out.shape)
        for pose in _poses(self.by_pose):
            out += unpose_image(image[:, PAD:-PAD, pose], pose)

    def _to_planes(self, x: Tensor) -> Tensor:
        """Interpolate (n, z, y, x) at the detector rows: (n * row, height, width)."""
        stack = x.movedim(1 + self.axis, 1)
        if self.places == tuple(range(stack.shape[1])):
            return stack.flatten(0, 1)
        planes = x.new_zeros((x.shape[0], len(self.places), *stack.shape[2:]))
        for row, slices in enumerate(_neighbours(self.places, stack.shape[1])):
            for k, weight in slices:
                planes[:, row].add_(stack[:, k], alpha=weight)
        return planes.flatten(0, 1)

    def _from_planes(self, planes: Tensor) -> Tensor:
        """Apply the adjoint of :meth:`_to_planes` to (n, row, height, width)."""
        size = _order(self.grid.shape, self.axis)
        if self.places == tuple(range(size[0])):
            return planes.movedim(1, 1 + self.axis).contiguous()
        stack = planes.new_zeros((planes.shape[0], *size))
        for row, slices in enumerate(_neighbours(self.places, size[0])):
            for k, weight in slices:
                stack[:, k].add_(planes[:, row], alpha=weight)
        return stack.movedim(1, 1 + self.axis).contiguous()


def plane_traversal(geometry: Geometry, grid: Grid) -> PlaneTraversal | None:
    """Make the fast way where each detector row stays in one plane of the grid.

    Args:
        geometry: Parallel rays, fans, or a single row of a cone beam.
        grid: An orthogonal grid.

    Returns:
        The traversal, or None where it does not hold: rays leave their plane, rows move along the
        axis from view to view, or the volume lies behind or around a source.
    """
    if geometry.beam == "cone" and geometry.shape[0] > 1:
        return None
    inverse = torch.linalg.inv(grid.affine[:3, :3])
    along = (geometry.v @ inverse.T).numpy()
    axis = int(np.abs(along[0]).argmax())
    # a cone has one row, which may lie above its source; rows of others are alike
    first = geometry.middle[0] if geometry.beam == "cone" else 0.0
    row = replace(geometry, shape=(1, geometry.shape[1]), middle=(first, geometry.middle[1]))
    start, unit = (t[:, 0] for t in row.rays())
    begin, step = grid.to_index(start).numpy(), (unit @ inverse.T).numpy()
    if not _is_flat(begin[..., axis], step[..., axis], along, axis, grid, geometry.shape[0]):
        return None
    level = float(begin[0, 0, axis])
    inside = [other for other in range(3) if other != axis]
    shape = [grid.shape[other] for other in inside]
    begin = begin[..., inside] - (np.array(shape) - 1) / 2
    step = np.ascontiguousarray(step[..., inside])
    if geometry.beam != "parallel" and _is_behind(begin, step, shape):
        return None
    spacing = [grid.spacing_mm[other] for other in inside]
    swap = shape[0] == shape[1] and math.isclose(spacing[0], spacing[1], rel_tol=1e-9)
    fans = Fans(begin, step, swap, math.hypot(*shape) / 2)
    groups = grouped(fans)
    rise = float(along[0, axis])
    places = [level + (r - geometry.middle[0] + first) * rise for r in range(geometry.shape[0])]
    return PlaneTraversal(
        grid,
        geometry.codomain,
        axis,
        tuple(round(p) if abs(p - round(p)) < FLAT else p for p in places),
        snapped(fans, groups),
        _walk(groups, shape),
    )


def _forward_eight(planes: Tensor, walk: Walk, out: Tensor) -> None:
    image = _padded(planes.shape[1:], planes.dtype)
    image[:, PAD:-PAD, : planes.shape[0]] = planes.permute(1, 2, 0)
    found = _walked(image, walk)
    out.copy_(found[..., : planes.shape[0]].permute(2, 0, 1))


def _back_eight(views: Tensor, walk: Walk, out: Tensor) -> None:
    values = views.new_zeros((*views.shape[1:], 8))
    values[..., : views.shape[0]] = views.permute(1, 2, 0)
    image = _walked_back(values, walk, out.shape[1:])
    out.copy_(image[:, PAD:-PAD, : out.shape[0]].permute(2, 0, 1))


def _is_flat(place: Reals, climb: Reals, along: Reals, axis: int, grid: Grid, rows: int) -> bool:
    """Whether no ray leaves its plane and every view has its rows at the same places."""
    reach = float(np.linalg.norm([n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True)]))
    aside = np.abs(np.delete(along, axis, axis=1)).max() * rows
    drift = np.ptp(along[:, axis]) * rows
    return bool(
        np.ptp(place) < FLAT and np.abs(climb).max() * reach < FLAT and max(aside, drift) < FLAT
    )


def _is_behind(start: Reals, step: Reals, shape: list[int]) -> bool:
    """Whether part of the image may lie behind a source, so that lines are not rays."""
    half = (np.array(shape) + 1) / 2
    corners = half * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    ahead = corners @ np.swapaxes(step, -1, -2) - (start * step).sum(axis=-1)[:, None]
    return bool((ahead <= 0).any())


def _walk(groups: Groups, shape: Sequence[int]) -> Walk:
    """Write each ray as a column for every row, or a row for every column where it is level."""
    middle = (np.array(shape) - 1) / 2
    start, step = groups.start + middle, groups.step
    steep = np.abs(step[..., 0]) >= (1.0 - TIE) * np.abs(step[..., 1])
    walks = []
    for main, rays in ((0, steep), (1, ~steep)):
        across = 1 - main
        speed = np.where(rays, step[..., main], 1.0)
        slope = step[..., across] / speed
        lines = (start[..., across] - start[..., main] * slope, slope, 1 / np.abs(speed))
        off = (-2.0 * PAD, 0.0, 0.0)  # a column outside the image: nothing is walked
        walks.append(np.stack([np.where(rays, a, b) for a, b in zip(lines, off, strict=True)], -1))
    level = walks[1] if not steep.all() else np.empty((0, 0, 3))
    return Walk(groups.lanes, walks[0], level)


def _walked(image: Tensor, walk: Walk) -> Tensor:
    """Integrate (row, padded column, 8) along all rays: (group, ray, 8)."""
    out = image.new_zeros((*walk.steep.shape[:2], 8))

    def work(start: int, stop: int) -> None:
        gather(image.numpy(), walk.steep, out.numpy(), start, stop)
        if walk.level.size:
            gather(turned.numpy(), walk.level, out.numpy(), start, stop)

    if walk.level.size:
        turned = _turned(image)
    share(work, out.shape[0])
    return out


def _walked_back(values: Tensor, walk: Walk, shape: tuple[int, ...]) -> Tensor:
    """Apply the adjoint of :func:`_walked`."""
    image = _padded(shape, values.dtype)
    share(
        lambda a, b: scatter(values.numpy(), walk.steep, image.numpy(), a, b), shape[0], least=ROWS
    )
    if walk.level.size:
        turned = _padded(shape[::-1], values.dtype)
        share(
            lambda a, b: scatter(values.numpy(), walk.level, turned.numpy(), a, b),
            shape[1],
            least=ROWS,
        )
        image[:, PAD:-PAD] += turned[:, PAD:-PAD].transpose(0, 1)
    return image


def _padded(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros((shape[0], shape[1] + 2 * PAD, 8), dtype=dtype)


def _turned(image: Tensor) -> Tensor:
    inside = image[:, PAD:-PAD].transpose(0, 1)
    turned = _padded(inside.shape, image.dtype)
    turned[:, PAD:-PAD] = inside
    return turned


def _poses(walk: Walk) -> list[int]:
    """Which poses any group uses."""
    return [pose for pose in range(8) if (walk.lanes[:, pose, 0] >= 0).any()]


def _order(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    a, b = (shape[other] for other in range(3) if other != axis)
    return (shape[axis], a, b)


def _neighbours(places: tuple[float, ...], size: int) -> list[list[tuple[int, float]]]:
    """The slices that each row is interpolated from, with weights; none outside."""
    found = []
    for place in places:
        low = math.floor(place)
        pairs = ((low, 1.0 - (place - low)), (low + 1, place - low))
        found.append([(k, w) for k, w in pairs if w > 0 and 0 <= k < size])
    return found
