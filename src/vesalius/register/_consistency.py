"""Inverse consistency: there and back again must end where it began."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch

from vesalius.core import Grid, Transform
from vesalius.register._local import Density, LocalRegulariser, require_lattice, require_weight
from vesalius.register._regulariser import Field


@final
@dataclass(frozen=True, slots=True, eq=False)
class InverseConsistency(LocalRegulariser):
    """The mean of ``|B(T(x)) - x|^2`` for a given map ``B`` that should undo the deformation.

    Measured where points land, not by comparing images, which are blind where they are flat.

    Attributes:
        back: ``B``, in the fixed world, mm; the current estimate of the inverse.
        weight: Strength, 1/mm^2.

    Raises:
        IntensityError: ``weight`` is negative or not finite.

    References:
        Christensen, Johnson (2001), doi:10.1109/42.932742 (consistent registration).
        Differs from it in: composed maps instead of differences of displacements.
    """

    back: Transform
    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)

    def density(self, field: Field, grid: Grid) -> Density:
        """Give the squared distance from where each sample began, mm^2."""
        require_lattice(field, grid)
        axes = [torch.arange(n, dtype=field.dtype, device=field.device) for n in grid.shape]
        index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        start = grid.to_world(index)
        direction = grid.direction.to(field.device, field.dtype)
        off = self.back(start + field.movedim(0, -1) @ direction.T) - start
        return (off * off).sum(dim=-1)
