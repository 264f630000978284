"""Velocity: a transform that flows along a stationary field of velocity for a unit of time."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core._displacement import Displacement, check_field, to_samples
from vesalius.core._grid import Grid
from vesalius.core._transform import PointsMm, Transform
from vesalius.ops._warp import exponential


@final
@dataclass(frozen=True, slots=True, eq=False)
class Velocity(Transform):
    """The exponential of a stationary velocity; its inverse is that of the opposite velocity.

    The exponential is taken on the grid of the velocity by scaling and squaring, once, at the
    first call; its edge repeats outside. The number of squarings is the least that makes the
    first step at most one sample long.

    Attributes:
        data: (3, z, y, x), float32 or float64; velocity along (L, P, S), mm per unit of time.
        grid: Where the vectors stand, in the fixed world.

    Raises:
        ShapeError: ``data`` does not fit the grid.
        UnitError: ``data`` is not float32 or float64.
        GeometryError: ``data`` is not finite.

    Example:
        >>> move = Velocity(torch.full((3, 4, 4, 4), 2.0), Grid.from_spacing((4, 4, 4)))
        >>> move.inverse()(move(torch.tensor([1.0, 2.0, 3.0])))
        tensor([1., 2., 3.])

    References:
        Arsigny et al. (2006), doi:10.1007/11866565_113; see ``ops.exponential``.
    """

    data: Tensor
    grid: Grid
    _made: list[Displacement] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check_field(self.data, self.grid)

    def displacement(self) -> Displacement:
        """Give the exponential on the grid of the velocity; computed once."""
        if self._made:
            return self._made[0]
        flow = exponential(to_samples(self.data, self.grid))
        made = Displacement.from_flow(flow, self.grid)
        if not made.data.requires_grad:  # a graph can be walked once only
            self._made.append(made)
        return made

    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm."""
        return self.displacement()(points_mm)

    def inverse(self) -> "Velocity":
        """Give the flow along the opposite velocity."""
        return Velocity(-self.data, self.grid)

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the derivative of the mapped point by the point."""
        return self.displacement().jacobian(points_mm)

    def to_field(self, grid: Grid) -> Displacement:
        """Give the displacement at the voxels of ``grid``."""
        return self.displacement().to_field(grid)

    def __repr__(self) -> str:
        z, y, x = self.grid.shape
        longest = float(torch.linalg.vector_norm(self.data.detach(), dim=0).max())
        return f"Velocity(fixed -> moving, mm, LPS, zyx {z} x {y} x {x}, up to {longest:.4g} mm)"
