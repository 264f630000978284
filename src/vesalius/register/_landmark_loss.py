"""Landmark distance: pairs of points that guide a deformable search."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

from jaxtyping import Float
from torch import Tensor

from vesalius.core import Points, Transform
from vesalius.errors import ConfigError, RegionError, ShapeError
from vesalius.ops._sampling import sample
from vesalius.register._level import Level
from vesalius.register._terms import Term


@final
@dataclass(frozen=True, slots=True, eq=False)
class LandmarkDistance(Term):
    """Pull pairs of landmarks together: their mean squared distance, mm^2, weighted.

    Attributes:
        fixed: Landmarks in the fixed world, at least one.
        moving: The same ones, in the same order, in the moving world.
        start: Fixed world to moving world; the deformation comes before it.
        weight: Strength, 1/mm^2 beside a similarity without a unit.

    Raises:
        ShapeError: They do not pair one to one.
        RegionError: There are none.
        ConfigError: The weight is negative.
    """

    fixed: Points
    moving: Points
    start: Transform
    weight: float = 0.01
    _target: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.fixed) != len(self.moving):
            raise ShapeError(
                f"landmarks must pair one to one, got {len(self.fixed)} fixed and "
                f"{len(self.moving)} moving: give the same landmarks in the same order"
            )
        if len(self.fixed) == 0:
            raise RegionError("landmarks that guide must be at least one pair, got none")
        if not 0 <= self.weight < float("inf"):
            raise ConfigError(f"weight must be 0 or more, got {self.weight}")
        target = self.start.inverse()(self.moving.data.double())
        object.__setattr__(self, "_target", target)

    def __call__(self, flow: Float[Tensor, "3 z y x"], level: Level) -> Tensor:
        """Give the loss of the landmarks moved by a flow.

        Landmarks beyond the lattice move as its edge does. Across a slice, an axis of one sample,
        nothing is pulled: distances are those within it.
        """
        grid = level.grid
        index = grid.to_index(self.fixed.data.double()).to(flow)
        moved = sample(flow, index[None, None])[:, 0, 0].T
        apart = index + moved - grid.to_index(self._target).to(flow)
        apart = apart * flow.new_tensor([float(n > 1) for n in grid.shape])
        axes_mm = grid.affine[:3, :3].to(flow)
        return self.weight * (apart @ axes_mm.T).square().sum(1).mean()
