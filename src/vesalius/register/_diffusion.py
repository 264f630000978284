"""Diffusion: squared slopes of a field as an energy, and the implicit heat step as a smoother."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch

from vesalius.core import Grid
from vesalius.ops._green import solve_neumann
from vesalius.ops._stencils import active_axes, edge_differences, padded
from vesalius.register._local import Density, LocalRegulariser, require_lattice, require_weight
from vesalius.register._regulariser import Field, Smoother


@final
@dataclass(frozen=True, slots=True)
class Diffusion(LocalRegulariser):
    """Diffusion energy: the mean of ``sum_ca (du_c / dx_a)^2``.

    Only a shift costs nothing: rotations and scalings are held back, so it serves a stage that
    begins behind an affine one. Forward differences; no flux through the borders.

    Attributes:
        weight: Strength; the energy has no unit.

    Raises:
        IntensityError: ``weight`` is negative or not finite.

    References:
        Fischer, Modersitzki (2002), Fast Diffusion Registration, Contemporary Mathematics 313.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)

    def density(self, field: Field, grid: Grid) -> Density:
        """Give the sum of squared slopes at each sample."""
        spacing = require_lattice(field, grid)
        out = torch.zeros_like(field[0])
        for axis in active_axes(field):
            slope = edge_differences(field, axis, spacing[axis])
            out = out + padded((slope * slope).sum(dim=0), grid.shape)
        return out


@final
@dataclass(frozen=True, slots=True)
class DiffusionSolver(Smoother):
    """One implicit step of the heat equation: ``(I - sigma^2 / 2 Lap)^-1`` of each component.

    Spreads like a Gaussian of ``sigma_mm`` but with longer tails; exact for the lattice, no flux
    through the borders.

    Attributes:
        sigma_mm: Standard deviation of the impulse response along an axis, mm.

    Raises:
        IntensityError: ``sigma_mm`` is negative or not finite.

    References:
        Fischer, Modersitzki (2002), Fast Diffusion Registration, Contemporary Mathematics 313.
        Differs from it in: solved by cosine transforms instead of operator splitting.
    """

    sigma_mm: float = 2.0

    def __post_init__(self) -> None:
        require_weight("sigma_mm", self.sigma_mm)

    def __call__(self, field: Field, grid: Grid) -> Field:
        """Smooth a field."""
        time = 0.5 * self.sigma_mm**2
        return solve_neumann(field, require_lattice(field, grid), lambda k: 1 + time * k)
