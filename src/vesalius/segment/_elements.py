"""Structuring elements in millimetres: ball, ellipsoid, box, or any set of voxels."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._flat_morphology import Halves, Radii, box_rows, ellipsoid_rows
from vesalius.segment._one_channel import orthogonal_spacing

Triple = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True)
class Ball:
    """All voxels whose centre is within a radius, mm, whatever the spacing.

    Attributes:
        radius_mm: At least 0.

    Raises:
        ConfigError: The radius is negative or not finite.
    """

    radius_mm: float

    def __post_init__(self) -> None:
        _check((self.radius_mm,), "radius_mm")


@final
@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """All voxels whose centre lies in an ellipsoid along the axes of the image.

    Attributes:
        radii_mm: Semi-axes along (z, y, x), mm, at least 0; 0 keeps an axis out.

    Raises:
        ConfigError: A radius is negative or not finite.
    """

    radii_mm: Triple

    def __post_init__(self) -> None:
        _check(self.radii_mm, "radii_mm")


@final
@dataclass(frozen=True, slots=True)
class Box:
    """All voxels whose centre lies in a box along the axes of the image.

    Attributes:
        half_mm: Half of the sides along (z, y, x), mm, at least 0.

    Raises:
        ConfigError: A half is negative or not finite.
    """

    half_mm: Triple

    def __post_init__(self) -> None:
        _check(self.half_mm, "half_mm")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """Any set of voxels around the middle one.

    Attributes:
        voxels: (z, y, x) True where the set has a voxel; odd sizes.

    Raises:
        ShapeError: A size is even, or no voxel is set.
    """

    voxels: Bool[Tensor, "z y x"]

    def __post_init__(self) -> None:
        if any(n % 2 == 0 for n in self.voxels.shape) or not bool(self.voxels.any()):
            raise ShapeError(
                "a footprint must have odd sizes (z, y, x) and a voxel, got "
                f"{tuple(self.voxels.shape)} with {int(self.voxels.sum())} voxels"
            )

    def offsets(self) -> NDArray[np.int64]:
        """Give the voxels of the set from the middle, (n, 3)."""
        spots = np.argwhere(self.voxels.cpu().numpy()).astype(np.int64)
        middle = np.array(self.voxels.shape, np.int64) // 2
        return np.subtract(spots, middle, dtype=np.int64)


Element = Ball | Ellipsoid | Box | Footprint


def _check(lengths: tuple[float, ...], name: str) -> None:
    if not all(math.isfinite(r) and r >= 0 for r in lengths):
        raise ConfigError(f"{name} must be finite and at least 0 mm, got {lengths}")


def radii_in_samples(element: Ball | Ellipsoid | Box, grid: Grid) -> Radii:
    """Turn millimetres into samples.

    Args:
        element: With radii.
        grid: Of the image.

    Returns:
        Along (z, y, x); 0 for an axis of one sample.

    Raises:
        GeometryError: The grid is sheared.
    """
    dz, dy, dx = orthogonal_spacing(grid, "morphology in mm")
    match element:
        case Ball(radius):
            rz = ry = rx = radius
        case Ellipsoid((rz, ry, rx)) | Box((rz, ry, rx)):
            pass
    nz, ny, nx = grid.shape
    return (
        rz / dz if nz > 1 else 0.0,
        ry / dy if ny > 1 else 0.0,
        rx / dx if nx > 1 else 0.0,
    )


def rows_of(element: Ball | Ellipsoid | Box, grid: Grid) -> Halves:
    """Describe an element by the half width of each of its rows of voxels.

    Args:
        element: With radii.
        grid: Of the image.

    Returns:
        See ``ops._flat_morphology.ellipsoid_rows``; no larger than the image.
    """
    radii = radii_in_samples(element, grid)
    return (box_rows if isinstance(element, Box) else ellipsoid_rows)(radii, grid.shape)
