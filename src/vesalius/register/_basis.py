"""Basis: a field of displacement with few parameters (B-splines, cosines, eigenvectors, modes)."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Transform


class Basis(ABC):
    """A family of deformations, linear in its parameters or not; torch differentiates it.

    Classes are frozen dataclasses that hold the options (a spacing in mm, a cut-off).
    """

    __slots__ = ()

    @abstractmethod
    def start(self, grid: Grid) -> Tensor:
        """Give the parameters of no deformation for a fixed image on ``grid``; any shape."""

    @abstractmethod
    def flow(self, parameters: Tensor, grid: Grid) -> Float[Tensor, "3 z y x"]:
        """Give the displacement in samples along (z, y, x) at each sample of ``grid``.

        ``grid`` may be coarser than the one that ``start`` was given: it spans the same world.
        """

    @abstractmethod
    def transform(self, parameters: Tensor, grid: Grid) -> Transform:
        """Give the deformation as a transform, mm."""
