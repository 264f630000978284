"""Pictures of a registration as plain arrays: checkerboard, edges, swelling, deformed grid.

Nothing is drawn here: a report page takes the arrays and polylines of one plane of the fixed grid.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vesalius.core import Grid, Image, Linear, Transform
from vesalius.errors import GeometryError, ShapeError

Grey = npt.NDArray[np.float64]
Colour = npt.NDArray[np.uint8]
Polyline = npt.NDArray[np.float64]

OCTAVES = 1.0  # |log2 det| of full colour: twice, or half, the volume
EDGE_SHARE = 0.12  # of the plane's samples may be edges


@final
@dataclass(frozen=True, slots=True)
class Plane:
    """One plane of a grid.

    Attributes:
        axis: Array axis (0 z, 1 y, 2 x) that the plane stands across.
        index: Which plane along it.
    """

    axis: int
    index: int


def middle_planes(grid: Grid) -> tuple[Plane, ...]:
    """Give the middle plane across each axis that has more than one sample; at least one plane."""
    if grid.shape[0] == 1:
        return (Plane(0, 0),)
    return tuple(Plane(axis, n // 2) for axis, n in enumerate(grid.shape))


def checkerboard(fixed: Image, warped: Image, plane: Plane, *, tile_mm: float = 20.0) -> Grey:
    """Put tiles of both images side by side: structures run on where the images agree.

    Args:
        fixed: The reference; its first channel is shown.
        warped: The moving image on the grid of ``fixed``.
        plane: Which plane.
        tile_mm: Edge of a tile, mm.

    Returns:
        (rows, columns), 0 to 1: each image in its own window, P1 to P99.

    Raises:
        ShapeError: The images are not on one grid, or the plane is not in it.
    """
    one, two = _both(fixed, warped, plane)
    down, across = _in_plane(fixed.grid.spacing_mm, plane)
    rows, columns = np.indices(one.shape)
    tiles = (rows * down // tile_mm).astype(int) + (columns * across // tile_mm).astype(int)
    return np.where(tiles % 2 == 0, one, two)


def edge_overlay(fixed: Image, warped: Image, plane: Plane) -> Colour:
    """Draw the edges of the warped image, in orange, on the fixed one, in grey.

    Args:
        fixed: The reference; its first channel is shown.
        warped: The moving image on the grid of ``fixed``.
        plane: Which plane.

    Returns:
        (rows, columns, 3), 0 to 255.

    Raises:
        ShapeError: The images are not on one grid, or the plane is not in it.
    """
    one, two = _both(fixed, warped, plane)
    picture = np.repeat((255 * one)[..., None], 3, axis=2).astype(np.uint8)
    picture[_edges(two)] = (255, 140, 0)
    return picture


def jacobian_map(transform: Transform, grid: Grid, plane: Plane) -> Colour:
    """Colour a plane by how a map changes volume: red grows, blue shrinks, yellow folds.

    Full colour is twice, or half, the volume; white keeps it. The determinant is of the map from
    fixed to moving, its linear part too: red is where the moving image's structure is the larger.

    Args:
        transform: Fixed to moving, mm.
        grid: The fixed grid.
        plane: Which plane of it.

    Returns:
        (rows, columns, 3), 0 to 255.

    Raises:
        ShapeError: The plane is not in the grid.
    """
    points = grid.to_world(_indices(grid, plane, step=1))
    found = torch.linalg.det(_derivative(transform, points, grid)).numpy()
    octaves = np.log2(np.maximum(found, 1e-9)).clip(-OCTAVES, OCTAVES) / OCTAVES
    pale = 255 * (1 - np.abs(octaves))
    picture = np.stack(
        [np.where(octaves >= 0, 255, pale), pale, np.where(octaves <= 0, 255, pale)], axis=-1
    )
    picture[found <= 0] = (255, 220, 0)
    return picture.round().astype(np.uint8)


def deformed_grid(
    transform: Transform, grid: Grid, plane: Plane, *, step_mm: float = 10.0
) -> tuple[Polyline, ...]:
    """Give the lines of a square grid on a plane, as the map bends them.

    The best affine fit of the map is taken out first, so that the bending is seen and not the
    turn of a header; what moves out of the plane is looked at from straight above.

    Args:
        transform: Fixed to moving, mm.
        grid: The fixed grid.
        plane: Which plane of it.
        step_mm: Distance of the lines, mm.

    Returns:
        Lines (n, 2) of (row, column) in samples of the plane, both ways.

    Raises:
        ShapeError: The plane is not in the grid.
        GeometryError: The distance is not positive.
    """
    if not step_mm > 0:
        raise GeometryError(f"step_mm between the lines must be positive, got {step_mm:g}")
    index = _indices(grid, plane, step=1)
    points = grid.to_world(index)
    straight = _affine_fit(transform, grid)
    bent = grid.to_index(straight.inverse()(transform(points)))
    across = [a for a in range(3) if a != plane.axis]
    seen = bent[..., across].numpy()
    down, right = (max(1, round(step_mm / s)) for s in _in_plane(grid.spacing_mm, plane))
    lines = [seen[k] for k in range(0, seen.shape[0], down)]
    return tuple(lines + [seen[:, k] for k in range(0, seen.shape[1], right)])


def _both(fixed: Image, warped: Image, plane: Plane) -> tuple[Grey, Grey]:
    if fixed.grid.shape != warped.grid.shape:
        raise ShapeError(
            f"both images must be on the fixed grid {fixed.grid.shape} to be laid together, got "
            f"{warped.grid.shape}: use the warped image of the registration"
        )
    _check(plane, fixed.grid)
    one, two = (
        _windowed(x.data[0].select(plane.axis, plane.index).double().cpu().numpy())
        for x in (fixed, warped)
    )
    return one, two


def _windowed(picture: Grey) -> Grey:
    low, high = np.percentile(picture, (1, 99))
    shown: Grey = ((picture - low) / max(high - low, 1e-12)).clip(0, 1)
    return shown


def _edges(picture: Grey) -> npt.NDArray[np.bool_]:
    """Mark the ridges of the gradient's length along its larger component."""
    if min(picture.shape) < 3:
        return np.zeros(picture.shape, dtype=np.bool_)
    down, across = np.gradient(picture)
    size = np.hypot(down, across)
    framed = np.pad(size, 1)
    tall = (size >= framed[:-2, 1:-1]) & (size > framed[2:, 1:-1])
    wide = (size >= framed[1:-1, :-2]) & (size > framed[1:-1, 2:])
    ridge = np.where(np.abs(down) > np.abs(across), tall, wide)
    strong = size >= max(float(np.quantile(size, 1 - EDGE_SHARE)), 1e-6)
    marked: npt.NDArray[np.bool_] = ridge & strong
    return marked


def _check(plane: Plane, grid: Grid) -> None:
    if plane.axis not in (0, 1, 2) or not 0 <= plane.index < grid.shape[plane.axis]:
        raise ShapeError(
            f"plane must be one of axis 0, 1, 2 within the grid {grid.shape}, "
            f"got axis {plane.axis}, index {plane.index}"
        )


def _in_plane(spacing_mm: tuple[float, float, float], plane: Plane) -> tuple[float, float]:
    down, across = (s for axis, s in enumerate(spacing_mm) if axis != plane.axis)
    return down, across


def _indices(grid: Grid, plane: Plane, *, step: int) -> Tensor:
    """Give the index (z, y, x) of each sample of a plane, (rows, columns, 3)."""
    _check(plane, grid)
    axes = [torch.arange(0, n, step, dtype=torch.float64) for n in grid.shape]
    axes[plane.axis] = torch.tensor([float(plane.index)], dtype=torch.float64)
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).squeeze(plane.axis)


def _derivative(transform: Transform, points: Tensor, grid: Grid) -> Tensor:
    """Take central differences over one sample each way; 1 across a single slice."""
    axes = grid.affine[:3, :3]
    columns = []
    for axis in range(3):
        if grid.shape[axis] == 1:
            columns.append(axes[:, axis].expand_as(points))
        else:
            columns.append(
                (transform(points + axes[:, axis]) - transform(points - axes[:, axis])) / 2
            )
    derivative: Tensor = torch.stack(columns, dim=-1) @ torch.linalg.inv(axes)
    return derivative


def _affine_fit(transform: Transform, grid: Grid) -> Linear:
    """Fit an affine map to a transform by least squares on a coarse lattice of the grid."""
    axes = [torch.linspace(0, n - 1, min(n, 9), dtype=torch.float64) for n in grid.shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    points = grid.to_world(index)
    moved = transform(points)
    thin = [axis for axis, n in enumerate(grid.shape) if n == 1]
    for axis in thin:  # a slice has no thickness to fit: it keeps its own
        points = torch.cat([points, points + grid.affine[:3, axis]])
        moved = torch.cat([moved, moved + grid.affine[:3, axis]])
    rows = torch.cat([points, torch.ones(len(points), 1, dtype=torch.float64)], dim=1)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3] = torch.linalg.lstsq(rows, moved).solution.T
    return Linear(matrix)
