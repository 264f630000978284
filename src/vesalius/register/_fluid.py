"""Viscous fluid: the velocity of a fluid pushed by a force, and how it carries a displacement."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

from vesalius.core import Grid
from vesalius.ops._green import Medium, solve_lame
from vesalius.ops._warp import compose
from vesalius.register._local import require_lattice, require_weight
from vesalius.register._regulariser import Field, Smoother


@final
@dataclass(frozen=True, slots=True)
class FluidSolver(Smoother):
    """Velocity of a viscous fluid: ``mu Lap v + (lame + mu) grad div v - friction v = -force``.

    As the smoother of updates that are composed (``Greedy.update``, ``advance``) this is fluid
    registration: what the deformation has reached is not held back, and its topology is kept.
    Nothing flows through the borders of the lattice; along them it slides.

    Attributes:
        mu: Viscosity, mm^2 (the response to a force of 1/mm^2); solvers scale updates, so that
            only the ratios of the coefficients matter there.
        lame: Lame's lambda; how much it resists to be compressed.
        friction: Resistance to moving at all; keeps flows local.

    Raises:
        IntensityError: A coefficient is negative or not finite.

    References:
        Christensen, Rabbitt, Miller (1996), doi:10.1109/83.536892 (viscous fluid);
        Bro-Nielsen, Gramkow (1996), doi:10.1007/BFb0046964. Differs from them in: sliding walls
        and an exact solve by sines and cosines.
    """

    mu: float = 1.0
    lame: float = 0.0
    friction: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mu", "lame", "friction"):
            require_weight(name, getattr(self, name))

    @property
    def keeps(self) -> bool:
        """No: the velocity for a force has another unit."""
        return False

    def __call__(self, field: Field, grid: Grid) -> Field:
        """Give the velocity for a force."""
        medium = Medium(self.mu, self.lame, self.friction)
        return solve_lame(field, require_lattice(field, grid), medium)


def advance(flow: Field, velocity: Field) -> Field:
    """Carry a displacement along with a fluid for one step.

    A point that moves with the fluid keeps its material, so that displacement is *transported*:
    with the signs of pulled images ``du/dt = v + (grad u) v`` (for the displacement of pushed
    points, the form in print, ``du/dt = v - (grad u) v``). Adding ``v`` alone forgets the second
    part and tears the image. Solved by composition, which stays invertible for steps below
    about half a sample.

    Args:
        flow: (3, z, y, x), samples.
        velocity: (3, z, y, x), samples a step; same lattice.

    Returns:
        (3, z, y, x): ``flow`` o ``velocity``.
    """
    return compose(flow, velocity)
