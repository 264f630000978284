"""Models: what the parameters of a deformable search are, and the flow that they stand for."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from vesalius.core import Displacement, Grid, Transform, Velocity
from vesalius.core._displacement import to_mm
from vesalius.errors import ConfigError
from vesalius.ops._warp import exponential
from vesalius.register._basis import Basis
from vesalius.register._greedy import carry
from vesalius.register._level import Level
from vesalius.register._plan import DenseModel, LinearModel

Flow = Float[Tensor, "3 z y x"]


class Model(ABC):
    """Parameters of a deformation, as a variational search sees them."""

    __slots__ = ()

    @abstractmethod
    def start(self, finest: Level, coarsest: Level) -> Tensor:
        """Give the parameters of no deformation for the first, coarsest level."""

    @abstractmethod
    def carry(self, parameters: Tensor, old: Grid, new: Grid) -> Tensor:
        """Bring parameters from one lattice to the next."""

    @abstractmethod
    def flow(self, parameters: Tensor, grid: Grid) -> Flow:
        """Give the flow, samples; differentiable."""

    def held(self, parameters: Tensor, flow: Flow) -> Flow:
        """Give the field that regularisers see, samples: the flow, or the velocity behind it."""
        del parameters
        return flow

    @abstractmethod
    def transform(self, parameters: Tensor, grid: Grid) -> Transform:
        """Give the deformation."""


@final
@dataclass(frozen=True, slots=True)
class Dense(Model):
    """A vector at each sample: a displacement, or a stationary velocity.

    Attributes:
        stationary: Whether it is a velocity.
        halved: Whether the images meet half-way; needs a velocity.
    """

    stationary: bool = False
    halved: bool = False

    def start(self, finest: Level, coarsest: Level) -> Tensor:
        """Give zeros."""
        del finest
        return coarsest.fixed.new_zeros((3, *coarsest.grid.shape))

    def carry(self, parameters: Tensor, old: Grid, new: Grid) -> Tensor:
        """Interpolate."""
        return carry(parameters, old, new)

    def flow(self, parameters: Tensor, grid: Grid) -> Flow:
        """Give the field itself, or its exponential."""
        del grid
        return exponential(parameters) if self.stationary else parameters

    def held(self, parameters: Tensor, flow: Flow) -> Flow:
        """Give the parameters."""
        del flow
        return parameters

    def transform(self, parameters: Tensor, grid: Grid) -> Transform:
        """Give a ``Velocity`` or a ``Displacement``."""
        data = to_mm(parameters, grid)
        return Velocity(data, grid) if self.stationary else Displacement(data, grid)


@final
@dataclass(frozen=True, slots=True)
class Few(Model):
    """A basis.

    Attributes:
        basis: The family of fields.
    """

    basis: Basis

    def start(self, finest: Level, coarsest: Level) -> Tensor:
        """Give those of the finest lattice: they serve all scales."""
        return self.basis.start(finest.grid).to(coarsest.fixed.device, coarsest.fixed.dtype)

    def carry(self, parameters: Tensor, old: Grid, new: Grid) -> Tensor:
        """Keep them."""
        del old, new
        return parameters

    def flow(self, parameters: Tensor, grid: Grid) -> Flow:
        """Ask the basis."""
        return self.basis.flow(parameters, grid)

    def transform(self, parameters: Tensor, grid: Grid) -> Transform:
        """Ask the basis."""
        return self.basis.transform(parameters, grid)


def model_of(model: LinearModel | DenseModel | Basis) -> Model:
    """Give the model that a stage names.

    Args:
        model: From the stage.

    Raises:
        ConfigError: It is a linear one.
    """
    if isinstance(model, Basis):
        return Few(model)
    if model not in ("displacement", "velocity", "symmetric"):
        raise ConfigError(
            f"a variational search needs a deformable model, got {model!r}: linear models have "
            "a solver of their own"
        )
    return Dense(stationary=model != "displacement", halved=model == "symmetric")
