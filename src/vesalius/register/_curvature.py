"""Curvature: the squared Laplacian of a field as an energy, and its biharmonic solver."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

from vesalius.core import Grid
from vesalius.ops._green import solve_neumann
from vesalius.ops._stencils import laplacian
from vesalius.register._local import Density, LocalRegulariser, require_lattice, require_weight
from vesalius.register._regulariser import Field, Smoother


@final
@dataclass(frozen=True, slots=True)
class Curvature(LocalRegulariser):
    """Curvature energy: half the mean of ``|Lap u|^2``.

    Inside, an affine deformation costs nothing; at the borders it does, since samples repeat
    beyond them (that makes the cosine solver exact). ``Bending`` has no such cost.

    Attributes:
        weight: Strength alpha, mm^2; the derivative of the energy is ``alpha Lap^2 u`` over the
            number of samples.

    Raises:
        IntensityError: ``weight`` is negative or not finite.

    References:
        Fischer, Modersitzki (2003), doi:10.1023/A:1021897212261 (curvature registration).
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight("weight", self.weight)

    def density(self, field: Field, grid: Grid) -> Density:
        """Give half the squared Laplacian at each sample."""
        bend = laplacian(field, require_lattice(field, grid))
        return 0.5 * (bend * bend).sum(dim=0)


@final
@dataclass(frozen=True, slots=True)
class CurvatureSolver(Smoother):
    """The biharmonic equation by cosine transforms.

    Attributes:
        alpha_mm4: Stiffness (times the length of the step), mm^4; it spreads over about its
            fourth root.
        equation: ``"implicit"`` is one semi-implicit step, ``(I + alpha Lap^2)^-1``;
            ``"static"`` is the answer to a force, ``alpha Lap^2 u = f`` (for the force itself,
            Fischer and Modersitzki's ``alpha Lap^2 u + F = 0``, give ``-F``), whose mean is free
            and set to 0.

    Raises:
        IntensityError: ``alpha_mm4`` is negative or not finite.

    References:
        Fischer, Modersitzki (2003), doi:10.1023/A:1021897212261 (solution by DCT).
    """

    alpha_mm4: float = 16.0
    equation: Literal["implicit", "static"] = "implicit"

    def __post_init__(self) -> None:
        require_weight("alpha_mm4", self.alpha_mm4)

    @property
    def keeps(self) -> bool:
        """Whether it is a step; the static answer to a force grows with the field."""
        return self.equation == "implicit"

    def __call__(self, field: Field, grid: Grid) -> Field:
        """Smooth a field."""
        share = 1.0 if self.equation == "implicit" else 0.0
        alpha = self.alpha_mm4
        return solve_neumann(field, require_lattice(field, grid), lambda k: share + alpha * k * k)
