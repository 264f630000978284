"""Gradient and Laplacian of an image, with spacing, edges repeated."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.core._operator import SquareOperator
from vesalius.errors import GeometryError
from vesalius.ops._differences import forward_differences, forward_differences_adjoint

Shape = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Gradient(LinearOperator):
    """Forward differences along the last axes: (*shape) to (axis, *shape); 0 at the far edge.

    Attributes:
        shape: Shape of the image.
        spacing: Distance between samples along the last ``len(spacing)`` axes.

    Raises:
        GeometryError: A spacing is not positive, or there are more than axes.
    """

    shape: Shape
    spacing: tuple[float, ...]

    def __post_init__(self) -> None:
        _check(self.shape, self.spacing)

    @property
    def domain(self) -> Shape:
        """Shape of the image."""
        return self.shape

    @property
    def codomain(self) -> Shape:
        """Shape of the slopes; the components lie in front of the axes they belong to."""
        n = len(self.shape) - len(self.spacing)
        return (*self.shape[:n], len(self.spacing), *self.shape[n:])

    def apply(self, x: Tensor) -> Tensor:
        """Take slopes, in the unit of ``x`` per that of the spacing."""
        return forward_differences(x, self.spacing)

    def adjoint(self, y: Tensor) -> Tensor:
        """Take minus the divergence."""
        return forward_differences_adjoint(y, self.spacing)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Laplacian(SquareOperator):
    """Divergence of the gradient: symmetric, not positive; no flow over the edges.

    Attributes:
        shape: Shape of the image.
        spacing: Distance between samples along the last ``len(spacing)`` axes.

    Raises:
        GeometryError: A spacing is not positive, or there are more than axes.
    """

    shape: Shape
    spacing: tuple[float, ...]

    def __post_init__(self) -> None:
        _check(self.shape, self.spacing)

    def apply(self, x: Tensor) -> Tensor:
        """Sum the second differences."""
        slopes = forward_differences(x, self.spacing)
        return -forward_differences_adjoint(slopes, self.spacing)

    def adjoint(self, y: Tensor) -> Tensor:
        """Do the same: it is symmetric."""
        return self.apply(y)


def _check(shape: Shape, spacing: tuple[float, ...]) -> None:
    fits = 1 <= len(spacing) <= len(shape)
    if not (fits and all(0.0 < h < math.inf for h in spacing)):
        raise GeometryError(
            f"spacing must be positive distances along the last axes of {shape}, got {spacing}"
        )
