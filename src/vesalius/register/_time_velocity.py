"""TimeVelocity: flow along a velocity that changes with time, the maps of large deformation."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Displacement, Grid, Transform
from vesalius.core._displacement import check_field, to_mm, to_samples
from vesalius.core._transform import PointsMm
from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._warp import compose, exponential
from vesalius.register._basis import Basis
from vesalius.register._free_form import FreeForm

Flow = Float[Tensor, "3 z y x"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class TimeVelocity(Transform):
    """The flow of a velocity that is constant within each of several equal spans of time.

    A point follows ``dx/dt = v_t(x)`` from t = 0 to 1. With one span it is ``Velocity``, the
    exponential of a stationary field; with more it reaches maps that no stationary field reaches.

    Attributes:
        data: (t, 3, z, y, x), float32 or float64; along (L, P, S), mm per unit of time.
        grid: Where the vectors stand, in the fixed world.

    Raises:
        ShapeError: ``data`` does not fit the grid, or holds no span.
        UnitError: ``data`` is not float32 or float64.
        GeometryError: ``data`` is not finite.

    References:
        Beg et al. (2005), doi:10.1023/B:VISI.0000043755.93987.aa (the flow that is integrated).
        Differs from it in: each span by scaling and squaring instead of semi-Lagrangian steps.
    """

    data: Tensor
    grid: Grid
    _made: list[Displacement] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.data.ndim != 5 or len(self.data) < 1:
            raise ShapeError(
                f"data must have shape (t, 3, z, y, x) with at least one span of time, got "
                f"{tuple(self.data.shape)}: a stationary field is a Velocity"
            )
        for span in self.data:
            check_field(span, self.grid)

    def displacement(self) -> Displacement:
        """Give the end of the flow on the grid of the velocity; computed once."""
        if self._made:
            return self._made[0]
        flow = flow_through([to_samples(span, self.grid) for span in self.data])
        made = Displacement.from_flow(flow, self.grid)
        if not made.data.requires_grad:  # a graph can be walked once only
            self._made.append(made)
        return made

    def __call__(self, points_mm: PointsMm) -> PointsMm:
        """Map points (L, P, S), mm."""
        return self.displacement()(points_mm)

    def inverse(self) -> "TimeVelocity":
        """Give the flow back: the opposite velocities, the last span first."""
        return TimeVelocity(-self.data.flip(0), self.grid)

    def jacobian(self, points_mm: PointsMm) -> Float[Tensor, "*batch 3 3"]:
        """Give the derivative of the mapped point by the point."""
        return self.displacement().jacobian(points_mm)

    def to_field(self, grid: Grid) -> Displacement:
        """Give the displacement at the voxels of ``grid``."""
        return self.displacement().to_field(grid)

    def __repr__(self) -> str:
        z, y, x = self.grid.shape
        spans = len(self.data)
        return f"TimeVelocity(fixed -> moving, mm, LPS, {spans} spans, zyx {z} x {y} x {x})"


@final
@dataclass(frozen=True, slots=True)
class TimeForm(Basis):
    """Velocities at control points, one set for each span of time; the parameters are in mm.

    The family of large deformations for ``Lbfgs`` and ``Adam``. Parameters are (t, 3, z, y, x), as
    those of ``FreeForm``.

    Attributes:
        spacing_mm: Distance of control points.
        spans: Equal spans of time; 1 is a stationary velocity.

    Raises:
        GeometryError: ``spacing_mm`` is not positive.
        ConfigError: ``spans`` is not positive.
    """

    spacing_mm: float = 20.0
    spans: int = 4

    def __post_init__(self) -> None:
        FreeForm(self.spacing_mm)
        if self.spans < 1:
            raise ConfigError(f"spans of time must be at least 1, got {self.spans}: 4 is usual")

    def start(self, grid: Grid) -> Float[Tensor, "t 3 cz cy cx"]:
        """Give zeros, float32."""
        return FreeForm(self.spacing_mm).start(grid).repeat(self.spans, 1, 1, 1, 1)

    def flow(self, parameters: Float[Tensor, "t 3 cz cy cx"], grid: Grid) -> Flow:
        """Give the displacement at each sample, samples."""
        form = FreeForm(self.spacing_mm)
        return flow_through([form.flow(span, grid) for span in parameters])

    def transform(self, parameters: Float[Tensor, "t 3 cz cy cx"], grid: Grid) -> TimeVelocity:
        """Give the flow, its velocities at the samples of ``grid``."""
        form = FreeForm(self.spacing_mm)
        spans = [to_mm(form.flow(span, grid), grid) for span in parameters]
        return TimeVelocity(torch.stack(spans), grid)


def flow_through(velocities: list[Flow]) -> Flow:
    """Follow velocities, samples per unit of time, one after the other for equal spans.

    Args:
        velocities: The first one acts first; at least one.

    Returns:
        The flow after a unit of time. Differentiable.
    """
    total = exponential(velocities[0] / len(velocities))
    for velocity in velocities[1:]:
        total = compose(exponential(velocity / len(velocities)), total)
    return total
