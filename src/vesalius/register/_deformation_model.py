"""Deformation model: the mean and the principal modes of stationary velocities of a population."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Velocity, differences
from vesalius.errors import ConfigError, FormatError, GeometryError, ShapeError
from vesalius.io._weights import ModelCard, load_weights, save_weights
from vesalius.register._basis import Basis

SMALL = 1e-10  # variance below this part of the largest is rounding


@final
class DeformationModel:
    """Principal components of stationary velocities: ``v = mean + sum_i a_i mode_i``.

    Velocities form a vector space in which the inverse of a deformation is the opposite vector,
    so sums are deformations without folds and inverses are had by a sign; displacements form none.

    Modes are orthonormal in the mean square over the voxels: a coefficient is the root mean square
    velocity, mm, that it adds.

    Attributes:
        grid_: Of the velocities.
        mean_: (3, z, y, x), mm.
        modes_: (k, 3, z, y, x), unit root mean square length over the grid, by falling variance.
        variance_: (k,), of the coefficients over the population, mm^2.
        total_variance_: Of the whole population, mm^2.

    Args:
        components: Most modes kept.

    Raises:
        ConfigError: ``components`` is below 1.

    References:
        Rueckert, Frangi and Schnabel (2003), doi:10.1109/TMI.2003.815865 (of control points);
        Vercauteren et al. (2009), doi:10.1016/j.neuroimage.2008.10.040 (of log-domain velocities).
    """

    grid_: Grid
    mean_: Tensor
    modes_: Tensor
    variance_: Tensor
    total_variance_: float

    def __init__(self, components: int = 10) -> None:
        if components < 1:
            raise ConfigError(f"components must be at least 1, got {components}")
        self.components = components

    def fit(self, velocities: Sequence[Velocity]) -> "DeformationModel":
        """Find the mean and the modes.

        Args:
            velocities: At least two, on one grid, from one reference to each subject.

        Returns:
            Itself.

        Raises:
            ShapeError: There are fewer than two.
            GeometryError: The grids differ, or all velocities are the same.
        """
        if len(velocities) < 2:
            raise ShapeError(f"a model needs at least two velocities, got {len(velocities)}")
        grid = velocities[0].grid
        for velocity in velocities:
            _check_grid(grid, velocity)
        stack = torch.stack([v.data.detach() for v in velocities])
        mean = stack.mean(dim=0)
        flat = (stack - mean).reshape(len(stack), -1)
        n, voxels = len(stack), flat.shape[1] // 3
        gram = (flat @ flat.T).double() / voxels / (n - 1)
        variance, turn = torch.linalg.eigh(gram)
        variance, turn = variance.flip(0), turn.flip(1)
        if not float(variance[0]) > 1e-12 * float((stack**2).mean()):
            raise GeometryError("the velocities must differ to have modes, all are the same")
        count = min(self.components, int((variance > SMALL * variance[0]).sum()), n - 1)
        scale = (variance[:count] * (n - 1)).rsqrt()
        modes = (turn[:, :count] * scale).T.to(flat.dtype) @ flat
        self.grid_, self.mean_ = grid, mean
        self.modes_ = modes.reshape(count, *mean.shape)
        self.variance_ = variance[:count]
        self.total_variance_ = float(variance.clamp_min(0).sum())
        return self

    @property
    def explained_variance_ratio_(self) -> Float[Tensor, " k"]:
        """Each mode's part of the variance of the population."""
        return self.variance_ / self.total_variance_

    def velocity(self, coefficients: Float[Tensor, " k"]) -> Velocity:
        """Make the deformation of some coefficients.

        Args:
            coefficients: (k,), mm; differentiable.

        Returns:
            exp(mean + sum_i a_i mode_i); its ``inverse()`` is the opposite velocity.

        Raises:
            ShapeError: There are not k.
        """
        if len(coefficients) != len(self.modes_):
            raise ShapeError(
                f"coefficients must be one for each of {len(self.modes_)} modes, "
                f"got {len(coefficients)}"
            )
        return Velocity(self.mean_ + self._sum(coefficients), self.grid_)

    def project(self, velocity: Velocity) -> Float[Tensor, " k"]:
        """Find the coefficients of the nearest deformation of the model.

        Args:
            velocity: On the grid of the model.

        Returns:
            (k,), mm.

        Raises:
            GeometryError: The grids differ.
        """
        _check_grid(self.grid_, velocity)
        away = (velocity.data - self.mean_).reshape(-1)
        return (self.modes_.reshape(len(self.modes_), -1) @ away) / (len(away) // 3)

    def sample(self, *, generator: torch.Generator) -> Velocity:
        """Draw a deformation: normal coefficients of the variance of each mode.

        Args:
            generator: Source of randomness.

        Returns:
            The deformation.
        """
        draw = torch.randn(len(self.variance_), generator=generator, dtype=torch.float64)
        return self.velocity((draw * self.variance_.cpu().sqrt()).to(self.mean_))

    def save(self, path: str | Path, card: ModelCard) -> None:
        """Write the fitted model (safetensors) with its card (JSON beside it).

        Args:
            path: Ends in ``.safetensors``.
            card: What must be known about the model.
        """
        tensors = {
            "affine": self.grid_.affine,
            "mean": self.mean_,
            "modes": self.modes_,
            "variance": self.variance_,
            "total_variance": torch.tensor(self.total_variance_, dtype=torch.float64),
        }
        save_weights(path, tensors, card)

    @classmethod
    def load(cls, path: str | Path) -> "DeformationModel":
        """Read a fitted model.

        Args:
            path: Of the ``.safetensors`` file; its card lies beside it.

        Returns:
            The model.

        Raises:
            FormatError: The file is absent, damaged, or holds another model.
        """
        held = load_weights(path).tensors
        wanted = ("affine", "mean", "modes", "total_variance", "variance")
        if tuple(sorted(held)) != wanted or held["modes"].ndim != 5:
            raise FormatError(
                f"a deformation model holds the tensors {', '.join(wanted)}, got "
                f"{', '.join(sorted(held))}: this file is of another kind"
            )
        model = cls(len(held["modes"]))
        z, y, x = held["mean"].shape[1:]
        model.grid_ = Grid((z, y, x), held["affine"])
        model.mean_, model.modes_ = held["mean"], held["modes"]
        model.variance_ = held["variance"]
        model.total_variance_ = float(held["total_variance"])
        return model

    def _sum(self, coefficients: Tensor) -> Tensor:
        return torch.einsum("k,kczyx->czyx", coefficients.to(self.modes_), self.modes_)


@final
@dataclass(frozen=True, slots=True, eq=False)
class PrincipalBasis(Basis):
    """The deformations of a fitted model, for ``Stage.model``: ``exp(b mean + sum_i a_i mode_i)``.

    Parameters are (1 + k,): b, without unit, then the coefficients, mm. b = 1 is the model; b = 0
    with no coefficients moves nothing, and the opposite parameters are the inverse.

    Attributes:
        model: Fitted.

    Raises:
        ConfigError: The model is not fitted.
    """

    model: DeformationModel

    def __post_init__(self) -> None:
        if not hasattr(self.model, "modes_"):
            raise ConfigError("a basis needs a fitted model: call model.fit(velocities) first")

    def start(self, grid: Grid) -> Float[Tensor, " k1"]:
        """Give zeros: no deformation."""
        del grid
        return torch.zeros(1 + len(self.model.modes_)).to(self.model.mean_)

    def flow(self, parameters: Float[Tensor, " k1"], grid: Grid) -> Float[Tensor, "3 z y x"]:
        """Give the displacement at each sample, samples."""
        return self.transform(parameters, grid).to_field(grid).flow()

    def transform(self, parameters: Float[Tensor, " k1"], grid: Grid) -> Velocity:
        """Give the velocity on the grid of the model."""
        del grid
        model = self.model
        data = parameters[0] * model.mean_ + model._sum(parameters[1:])
        return Velocity(data, model.grid_)


def _check_grid(grid: Grid, velocity: Velocity) -> None:
    found = differences(grid, velocity.grid)
    if found:
        raise GeometryError(
            f"velocities of a model must share one grid; {found[0]}: resample them first"
        )
