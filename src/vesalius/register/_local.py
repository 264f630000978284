"""LocalRegulariser: an energy that is the mean of a density over the lattice; Varying weighs it."""
# SPDX-License-Identifier: Apache-2.0

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, resample
from vesalius.core import differences as grid_differences
from vesalius.errors import GeometryError, IntensityError, ShapeError
from vesalius.register._regulariser import Field, Regulariser

Density = Float[Tensor, "z y x"]
Spacing = tuple[float, float, float]


class LocalRegulariser(Regulariser):
    """A regulariser whose energy is ``weight`` times the mean of a density."""

    __slots__ = ()
    weight: float

    @abstractmethod
    def density(self, field: Field, grid: Grid) -> Density:
        """Give the energy at each sample, not weighted; differentiable by ``field``.

        Args:
            field: (3, z, y, x), mm along (z, y, x).
            grid: Its lattice.
        """

    def __call__(self, field: Field, grid: Grid) -> Tensor:
        """Give the weighted mean of the density."""
        return self.weight * self.density(field, grid).mean()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Varying(LocalRegulariser):
    """Another regulariser, stronger in some places than in others (organs, sliding, tissue).

    Attributes:
        of: What is weighed.
        map: One channel, at least 0, in the fixed world, on any grid; 0 outside of it. It
            multiplies the density of ``of``; the weight of ``of`` stays.

    Raises:
        IntensityError: The map has a sample that is negative or not finite.
        ShapeError: The map has several channels.
    """

    of: LocalRegulariser
    map: Image
    weight: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        require_map("map", self.map)

    def density(self, field: Field, grid: Grid) -> Density:
        """Give the density of ``of``, weighted, times the map."""
        return self.of.weight * self.of.density(field, grid) * on_lattice(self.map, field, grid)


def require_weight(name: str, value: float) -> None:
    """Refuse a strength or coefficient that is negative or not finite.

    Args:
        name: Name of the argument.
        value: What came.

    Raises:
        IntensityError: It is negative or not finite.
    """
    if not (math.isfinite(value) and value >= 0):
        raise IntensityError(
            f"{name} must be finite and at least 0, got {value}: 0 switches a part off"
        )


def require_map(name: str, image: Image) -> None:
    """Refuse a map of weights that has several channels, or a sample that is no weight.

    Args:
        name: Name of the argument.
        image: What came.

    Raises:
        ShapeError: It has several channels.
        IntensityError: A sample is negative or not finite.
    """
    if image.data.shape[0] != 1:
        raise ShapeError(
            f"{name} must have one channel, got {image.data.shape[0]}: choose one with image.map"
        )
    if not bool((torch.isfinite(image.data) & (image.data >= 0)).all()):
        raise IntensityError(f"{name} must be finite and at least 0 everywhere: clear its NaN")


def on_lattice(image: Image, field: Field, grid: Grid) -> Density:
    """Bring a map of weights to the lattice, dtype and device of a field; 0 outside.

    Args:
        image: One channel, floating point.
        field: Whose dtype and device are taken.
        grid: Its lattice.

    Returns:
        (z, y, x).
    """
    here = image if not grid_differences(image.grid, grid) else resample(image, grid, fill=0)
    return here.data[0].to(field.device, field.dtype)


def require_lattice(field: Field, grid: Grid) -> Spacing:
    """Refuse a field that does not fit its grid, or axes that are not at right angles.

    Args:
        field: (3, z, y, x).
        grid: Its lattice.

    Returns:
        The spacing along (z, y, x), mm.

    Raises:
        ShapeError: The field does not fit.
        GeometryError: The grid is sheared.
    """
    if tuple(field.shape) != (3, *grid.shape):
        raise ShapeError(
            f"field must have shape {(3, *grid.shape)} to fit its grid, got {tuple(field.shape)}"
        )
    if not grid.is_orthogonal:
        raise GeometryError(
            "the axes of a field that is regularised must be at right angles, the grid is "
            "sheared: resample the fixed image onto an orthogonal grid first"
        )
    return grid.spacing_mm
