"""Change of volume: log-Jacobian, (J - 1)^2, a barrier against folds, preservation in a region."""
# SPDX-License-Identifier: Apache-2.0

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import Grid, Image
from vesalius.errors import IntensityError
from vesalius.ops._stencils import corner_slopes, determinant, padded
from vesalius.register._local import (
    Density,
    LocalRegulariser,
    on_lattice,
    require_lattice,
    require_map,
    require_weight,
)
from vesalius.register._regulariser import Field

FLOOR = 0.1  # volume below which log J goes on as a parabola, so that a fold is costly but finite


class _OfDeterminant(LocalRegulariser):
    """A density that is a function of the Jacobian determinant at the corners of each cell."""

    __slots__ = ()

    @abstractmethod
    def cost(self, determinants: Tensor) -> Tensor:
        """Give the cost of each change of volume (1 is none)."""

    def density(self, field: Field, grid: Grid) -> Density:
        """Give the mean cost over the corners of the cell behind each sample."""
        spacing = require_lattice(field, grid)
        costs = [self.cost(determinant(slopes)) for slopes in corner_slopes(field, spacing)]
        return padded(torch.stack(costs).mean(dim=0), grid.shape)


@final
@dataclass(frozen=True, slots=True)
class LogJacobian(_OfDeterminant):
    """Squared logarithm of the change of volume: to double costs as much as to halve.

    Below J = 0.1 it goes on as the parabola that fits on there: folds stay finite, and costly.

    Attributes:
        weight: Strength.

    Raises:
        IntensityError: ``weight`` is negative or not finite.

    References:
        Ashburner, Andersson, Friston (1999), doi:10.1006/nimg.1999.0437 (symmetric priors).
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)

    def cost(self, determinants: Tensor) -> Tensor:
        """Give ``(log J)^2``, continued below 0.1."""
        return _log_squared(determinants)


@final
@dataclass(frozen=True, slots=True)
class VolumeChange(_OfDeterminant):
    """``(J - 1)^2``: relative growth and loss of volume alike; does not keep J from 0 by itself.

    Attributes:
        weight: Strength.

    Raises:
        IntensityError: ``weight`` is negative or not finite.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)

    def cost(self, determinants: Tensor) -> Tensor:
        """Give ``(J - 1)^2``."""
        return (determinants - 1) ** 2


@final
@dataclass(frozen=True, slots=True)
class FoldingBarrier(_OfDeterminant):
    """Cost of cells that fold or nearly do: ``((least - J) / least)^2`` below ``least``, else 0.

    Free for every honest deformation. Sees checkerboard folds, which central differences miss.

    Attributes:
        weight: Strength.
        least: Determinant from which on nothing is charged.

    Raises:
        IntensityError: ``weight`` or ``least`` is negative or not finite, or ``least`` is 0.
    """

    weight: float = 1.0
    least: float = 0.2

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)
        if not (math.isfinite(self.least) and self.least > 0):
            raise IntensityError(
                f"least must be a positive determinant, got {self.least}: 0.2 is usual"
            )

    def cost(self, determinants: Tensor) -> Tensor:
        """Give the squared lack of volume, in parts of ``least``."""
        return torch.relu(1 - determinants / self.least) ** 2


@final
@dataclass(frozen=True, slots=True, eq=False)
class VolumePreserving(LocalRegulariser):
    """Squared log-Jacobian inside a region that cannot be compressed: liver, muscle, brain.

    Never a default: the lung, a bladder that fills, a tumour that shrinks do change their volume,
    and this biases what is measured of them towards no change.

    Attributes:
        region: One channel, 0 to 1, in the fixed world, on any grid.
        weight: Strength; the mean is over the whole lattice.

    Raises:
        IntensityError: ``weight`` or a sample of the region is negative or not finite.
        ShapeError: The region has several channels.

    References:
        Rohlfing et al. (2003), doi:10.1109/TMI.2003.814791 (incompressible tissue).
        Differs from it in: the square of the logarithm instead of its magnitude, which is smooth
        at no change.
    """

    region: Image
    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)
        require_map("region", self.region)

    def density(self, field: Field, grid: Grid) -> Density:
        """Give the squared logarithm of the change of volume, in the region."""
        return LogJacobian().density(field, grid) * on_lattice(self.region, field, grid)


def _log_squared(j: Tensor) -> Tensor:
    """``(log J)^2``, and below FLOOR the parabola of the same value, slope and curvature."""
    low = math.log(FLOOR)
    slope, bend = 2 * low / FLOOR, 2 * (1 - low) / FLOOR**2
    below = j - FLOOR
    parabola = low**2 + slope * below + 0.5 * bend * below**2
    return torch.where(j > FLOOR, torch.log(j.clamp(min=FLOOR)) ** 2, parabola)
