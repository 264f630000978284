"""Bending: the energy of a thin plate, squared second derivatives of a field."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch

from vesalius.core import Grid
from vesalius.ops._stencils import active_axes, edge_differences, padded
from vesalius.register._local import Density, LocalRegulariser, require_lattice, require_weight
from vesalius.register._regulariser import Field


@final
@dataclass(frozen=True, slots=True)
class Bending(LocalRegulariser):
    """Bending energy: the mean of ``sum_cab (d^2 u_c / dx_a dx_b)^2``.

    An affine deformation costs nothing. The usual companion of B-splines. Second differences
    inside, differences of differences for the mixed ones; nothing is assumed beyond the borders.

    Attributes:
        weight: Strength, mm^2.

    Raises:
        IntensityError: ``weight`` is negative or not finite.

    References:
        Rueckert et al. (1999), doi:10.1109/42.796284 (the smoothness term).
        Differs from it in: a mean over samples of the image instead of an integral.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)

    def density(self, field: Field, grid: Grid) -> Density:
        """Give the sum of squared second derivatives at each sample."""
        spacing = require_lattice(field, grid)
        out = torch.zeros_like(field[0])
        axes = active_axes(field)
        for axis in axes:
            slope = edge_differences(field, axis, spacing[axis])
            for other in axes:
                if other < axis or slope.shape[other] < 2:
                    continue
                bend = edge_differences(slope, other, spacing[other])
                times = 1.0 if other == axis else 2.0
                out = out + padded(times * (bend * bend).sum(dim=0), grid.shape)
        return out
