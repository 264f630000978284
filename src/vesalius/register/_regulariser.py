"""Regulariser and Smoother: the two ways to say that a deformation should be a gentle one."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid

Field = Float[Tensor, "3 z y x"]


class Regulariser(ABC):
    """An energy of a field of displacement (or velocity): added to the loss, weighted.

    Classes are frozen dataclasses with a ``weight``. The field is in mm, its components along the
    lattice's (z, y, x) axes, which must be orthogonal. The energy is a mean over the lattice, so
    that a weight means the same at every scale.
    """

    __slots__ = ()

    @abstractmethod
    def __call__(self, field: Field, grid: Grid) -> Tensor:
        """Give the weighted energy, a tensor without axes, differentiable by ``field``.

        Args:
            field: (3, z, y, x), mm along (z, y, x).
            grid: The lattice it lives on.
        """


class Smoother(ABC):
    """A linear operator that makes a field gentle: of an update (fluid) or of the whole (elastic).

    Classes are frozen dataclasses. It is a Green's operator or a convolution: the solution of a
    differential equation for that force, or a Gaussian.
    """

    __slots__ = ()

    @property
    def keeps(self) -> bool:
        """Whether slow fields pass as they are, as a smoother of whole fields must let them."""
        return True

    @abstractmethod
    def __call__(self, field: Field, grid: Grid) -> Field:
        """Smooth a field.

        Args:
            field: (3, z, y, x), mm along (z, y, x).
            grid: The lattice it lives on.

        Returns:
            Same shape, dtype and unit.
        """
