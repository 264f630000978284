"""Diagonal: multiply each sample by a number of its own."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core._operator import LinearOperator
from vesalius.errors import IntensityError, UnitError


@final
@dataclass(frozen=True, slots=True, eq=False)
class Diagonal(LinearOperator):
    """Multiply by ``factors``, such as square roots of statistical weights, or a mask.

    Attributes:
        factors: Of the shape of domain and codomain, real or complex.

    Raises:
        IntensityError: A factor is NaN or infinite.
    """

    factors: Tensor

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.factors).all()):
            raise IntensityError(
                "factors of a diagonal must be finite, got NaN or infinity: a weight of 0 drops "
                "a sample"
            )

    @property
    def domain(self) -> tuple[int, ...]:
        """Shape of what goes in."""
        return tuple(self.factors.shape)

    @property
    def codomain(self) -> tuple[int, ...]:
        """Shape of what comes out."""
        return tuple(self.factors.shape)

    def apply(self, x: Tensor) -> Tensor:
        """Multiply."""
        return x * self._fitting(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Multiply by the conjugates."""
        return y * self._fitting(y).conj()

    def _fitting(self, x: Tensor) -> Tensor:
        if self.factors.is_complex() and not x.is_complex():
            raise UnitError(f"input must be complex for complex factors, got {x.dtype}: cast it")
        kind = x.dtype if self.factors.is_complex() or not x.is_complex() else x.real.dtype
        return self.factors.to(x.device, kind)
