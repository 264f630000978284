"""Linear elasticity: the energy of a strained body, and Navier's equation as a smoother."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from itertools import combinations
from typing import final

import torch
from torch import Tensor

from vesalius.core import Grid
from vesalius.ops._green import Medium, solve_lame
from vesalius.ops._stencils import active_axes, edge_differences, edge_means, padded
from vesalius.register._local import Density, LocalRegulariser, require_lattice, require_weight
from vesalius.register._regulariser import Field, Smoother


@final
@dataclass(frozen=True, slots=True)
class Elastic(LocalRegulariser):
    """Energy of linear elasticity: the mean of ``mu/4 |grad u + grad u'|^2 + lame/2 (div u)^2``.

    A shift and an infinitesimal rotation cost nothing (a large rotation does: the theory is
    linear). Both factors are often printed wrong; with these the force is
    ``mu Lap u + (lame + mu) grad div u``. The one-sided slopes at the corners of each cell are
    used, all of them, so that neither a flip of the lattice nor a checkerboard is missed.

    Attributes:
        weight: Strength; the energy has no unit.
        mu: Shear modulus, relative.
        lame: Lame's lambda, relative; 0 lets a body shrink across when it is pulled along no more
            than along; large values keep volumes.

    Raises:
        IntensityError: A coefficient is negative or not finite.

    References:
        Modersitzki (2004), Numerical Methods for Image Registration,
        doi:10.1093/acprof:oso/9780198528418.001.0001, section 9.2.
    """

    weight: float = 1.0
    mu: float = 1.0
    lame: float = 0.0

    def __post_init__(self) -> None:
        for name in ("weight", "mu", "lame"):
            require_weight(name, getattr(self, name))

    def density(self, field: Field, grid: Grid) -> Density:
        """Give the energy of the cell behind each sample."""
        spacing = require_lattice(field, grid)
        axes = active_axes(field)
        slopes = {a: edge_differences(field, a, spacing[a]) for a in axes}
        out = torch.zeros_like(field[0])
        for a, slope in slopes.items():
            squared = 0.5 * self.mu * (slope * slope)
            # component c is axis c - 3: its own slope counts twice, and once more in div^2
            own = 0.5 * (self.mu + self.lame) * slope[a] ** 2
            out = out + padded(_means(squared.sum(dim=0) + own, axes, but=(a,)), grid.shape)
        for a, b in combinations(axes, 2):
            shear = edge_means(slopes[b][a], a) * edge_means(slopes[a][b], b)
            volume = edge_means(slopes[a][a], b) * edge_means(slopes[b][b], a)
            mixed = self.mu * shear + self.lame * volume
            out = out + padded(_means(mixed, axes, but=(a, b)), grid.shape)
        return out


@final
@dataclass(frozen=True, slots=True)
class ElasticSolver(Smoother):
    """One implicit elastic step: ``(I - tau (mu Lap + (lame + mu) grad div))^-1``.

    As the smoother of the whole field it is elastic registration in small steps. Nothing moves
    through the borders of the lattice; along them it slides.

    Attributes:
        tau_mm2: Length of the step times the stiffness, mm^2: it spreads over about its root.
        mu: Shear modulus, relative.
        lame: Lame's lambda, relative.

    Raises:
        IntensityError: A coefficient is negative or not finite.

    References:
        Broit (1981), Optimal Registration of Deformed Images (thesis); Modersitzki (2004),
        doi:10.1093/acprof:oso/9780198528418.001.0001, section 9.3. Differs from it in: sliding
        walls (sines and cosines) instead of periodic ones.
    """

    tau_mm2: float = 2.0
    mu: float = 1.0
    lame: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tau_mm2", "mu", "lame"):
            require_weight(name, getattr(self, name))

    def __call__(self, field: Field, grid: Grid) -> Field:
        """Smooth a field."""
        medium = Medium(self.tau_mm2 * self.mu, self.tau_mm2 * self.lame, 1.0)
        return solve_lame(field, require_lattice(field, grid), medium)


def _means(x: Tensor, axes: tuple[int, ...], *, but: tuple[int, ...]) -> Tensor:
    """Take means with the next sample along each axis that has not been differenced yet."""
    for axis in axes:
        if axis not in but:
            x = edge_means(x, axis)
    return x
