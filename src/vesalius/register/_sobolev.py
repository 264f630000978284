"""Sobolev: the smoother whose inverse weighs all derivatives up to an order."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

from vesalius.core import Grid
from vesalius.ops._green import solve_neumann
from vesalius.register._local import require_lattice, require_weight
from vesalius.register._regulariser import Field, Smoother


@final
@dataclass(frozen=True, slots=True)
class Sobolev(Smoother):
    """The kernel of large-deformation mapping: ``(I - length^2 Lap)^-order`` of each component.

    A force smoothed by it is the steepest ascent in a Sobolev space; of order 2 and more (in
    space) its flows are smooth enough to be invertible. No flux through the borders.

    Attributes:
        length_mm: Reach, mm.
        order: Power; need not be whole.

    Raises:
        IntensityError: A value is negative or not finite.

    References:
        Beg et al. (2005), doi:10.1023/B:VISI.0000043755.93987.aa: ``L = -alpha Lap +
        gamma`` with its operator ``(L'L)^-1`` is order 2, ``length^2 = alpha / gamma``.
    """

    length_mm: float = 2.0
    order: float = 2.0

    def __post_init__(self) -> None:
        require_weight("length_mm", self.length_mm)
        require_weight("order", self.order)

    def __call__(self, field: Field, grid: Grid) -> Field:
        """Smooth a field."""
        reach = self.length_mm**2
        spacing = require_lattice(field, grid)
        return solve_neumann(field, spacing, lambda k: (1 + reach * k) ** self.order)
