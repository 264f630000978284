"""Rigidity: bones, implants and needles turn and shift, and do not bend."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch

from vesalius.core import Grid, Image
from vesalius.ops._stencils import active_axes, corner_slopes, padded
from vesalius.register._local import (
    Density,
    LocalRegulariser,
    on_lattice,
    require_lattice,
    require_map,
    require_weight,
)
from vesalius.register._regulariser import Field


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rigidity(LocalRegulariser):
    """The mean of ``|J'J - I|^2`` over a region: 0 for every rotation and shift, however large.

    ``J`` is the one-sided derivative at the corners of each cell. A mirror image would cost
    nothing either; a deformation cannot get there without a fold, which costs.

    Attributes:
        region: One channel, 0 to 1, in the fixed world, on any grid.
        weight: Strength; the mean is over the whole lattice.

    Raises:
        IntensityError: ``weight`` or a sample of the region is negative or not finite.
        ShapeError: The region has several channels.

    References:
        Loeckx et al. (2004), doi:10.1007/978-3-540-30135-6_78; Staring, Klein, Pluim
        (2007), doi:10.1118/1.2776236 (with conditions of properness and of straight lines, which
        follow from this one where the region is connected).
    """

    region: Image
    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)
        require_map("region", self.region)

    def density(self, field: Field, grid: Grid) -> Density:
        """Give how far the derivative is from a rotation, in the region."""
        spacing = require_lattice(field, grid)
        keep = [axis + 3 for axis in active_axes(field)]
        eye = torch.eye(len(keep), dtype=field.dtype, device=field.device)[:, :, None, None, None]
        costs = []
        for slopes in corner_slopes(field, spacing):
            jacobian = slopes[keep][:, keep] + eye
            metric = torch.einsum("cazyx,cbzyx->abzyx", jacobian, jacobian)
            costs.append(((metric - eye) ** 2).sum(dim=(0, 1)))
        density = padded(torch.stack(costs).mean(dim=0), grid.shape)
        return density * on_lattice(self.region, field, grid)
