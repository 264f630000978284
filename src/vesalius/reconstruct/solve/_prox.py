"""Prox: a prior by its value and its proximal map; the separable ones."""
# SPDX-License-Identifier: Apache-2.0

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import ConfigError, ShapeError


class Prox(ABC):
    """A prior R: its value, and the map to the minimum of 1/2 |z - x|^2 + step R(z).

    It knows no data and no weight: a solver passes weight times its own step. Leading batch axes
    pass through.
    """

    __slots__ = ()

    @abstractmethod
    def value(self, x: Tensor) -> float:
        """Give R(x), summed over the batch; infinite constraints count 0."""

    @abstractmethod
    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Give the minimum z of 1/2 |z - x|^2 + step R(z)."""

    def warm(self, x: Tensor, step: float, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Do the same, starting from what a near problem left.

        Args:
            x: (*batch, *shape).
            step: Factor of R.
            memory: What the last call gave; ``None`` at first.

        Returns:
            The minimum, and what to pass to the next call.
        """
        return self(x, step), memory

    def conjugate(self, x: Tensor, step: float) -> Tensor:
        """Give the prox of the convex conjugate R* by Moreau's identity.

        Args:
            x: (*batch, *shape).
            step: Factor of R*, positive.

        Returns:
            ``x - step prox_{R / step}(x / step)``.
        """
        return x - step * self(x / step, 1.0 / step)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Box(Prox):
    """No prior but a least and a largest value; infinite ones leave x free.

    Attributes:
        lower: Least value.
        upper: Largest value.

    Raises:
        ConfigError: The box is empty.
    """

    lower: float = -math.inf
    upper: float = math.inf

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise ConfigError(
                f"lower must not be above upper, got {self.lower:g} and {self.upper:g}: "
                "swap them, or leave one infinite"
            )

    def value(self, x: Tensor) -> float:
        """Give 0."""
        return 0.0

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Clip; complex samples pass where the box is infinite."""
        if self.lower == -math.inf and self.upper == math.inf:
            return x
        return x.clamp(self.lower, self.upper)


@final
@dataclass(frozen=True, slots=True, eq=False)
class L1(Prox):
    """Sum of the moduli of coefficients: R(x) = sum_i w_i |(T x)_i|, T orthonormal.

    Attributes:
        transform: T, such as ``Wavelet``, ``Dct``, ``Dft``; ``None`` is the identity.
        weights: Of the shape of the coefficients, not negative: 0 spares one (the coarsest
            approximation); ``None`` is 1 everywhere.
        group: Negative axis of the coefficients along which Euclidean norms are taken first
            (channels, or components of a gradient); ``None`` takes each coefficient alone.

    Raises:
        ConfigError: T is not orthonormal, or ``group`` is not negative.
        ShapeError: ``weights`` does not fit the transform.
    """

    transform: LinearOperator | None = None
    weights: Tensor | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        _check_transform(self.transform, self.weights)
        if self.group is not None and self.group >= 0:
            raise ConfigError(
                f"group must be a negative axis, got {self.group}: batch axes come first"
            )

    def value(self, x: Tensor) -> float:
        """Give R(x)."""
        size = _modulus(_analyse(self.transform, x), self.group)
        if self.weights is not None:
            size = size * self.weights
        return float(size.sum(dtype=torch.float64))

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Shrink every coefficient by ``step`` towards 0 (soft threshold)."""
        c = _analyse(self.transform, x)
        size = _modulus(c, self.group)
        threshold = step if self.weights is None else step * self.weights.to(size)
        kept = (size - threshold).clamp_min(0.0) / torch.where(size > 0, size, 1.0)
        return _synthesise(self.transform, c * kept, x)


@final
@dataclass(frozen=True, slots=True, eq=False)
class L0(Prox):
    """Number of coefficients that are not 0: R(x) = |T x|_0, T orthonormal. Not convex.

    Attributes:
        transform: T; ``None`` is the identity.
        weights: Of the shape of the coefficients: 0 spares one; ``None`` is 1 everywhere.

    Raises:
        ConfigError: T is not orthonormal.
        ShapeError: ``weights`` does not fit the transform.
    """

    transform: LinearOperator | None = None
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        _check_transform(self.transform, self.weights)

    def value(self, x: Tensor) -> float:
        """Give R(x)."""
        there = (_analyse(self.transform, x) != 0).double()
        return float((there if self.weights is None else there * self.weights).sum())

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Drop coefficients of modulus up to sqrt(2 step) (hard threshold)."""
        c = _analyse(self.transform, x)
        size = c.abs()
        cost = torch.as_tensor(step if self.weights is None else step * self.weights).to(size)
        return _synthesise(self.transform, c * (size > (2.0 * cost).sqrt()), x)


def _analyse(transform: LinearOperator | None, x: Tensor) -> Tensor:
    return x if transform is None else transform(x)


def _synthesise(transform: LinearOperator | None, c: Tensor, like: Tensor) -> Tensor:
    x = c if transform is None else transform.H(c)
    back: Tensor = x.real if x.is_complex() and not like.is_complex() else x
    return back


def _modulus(c: Tensor, group: int | None) -> Tensor:
    if group is None:
        return c.abs()
    size: Tensor = torch.linalg.vector_norm(c, dim=group, keepdim=True)
    return size


def _check_transform(transform: LinearOperator | None, weights: Tensor | None) -> None:
    """Try T^H T on one random vector: a proximal map through T needs it to be the identity."""
    if transform is None:
        return
    if weights is not None and tuple(weights.shape) != transform.codomain:
        raise ShapeError(
            f"weights must have the shape {transform.codomain} of the coefficients, "
            f"got {tuple(weights.shape)}"
        )
    probe = torch.randn(
        transform.domain, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    error = float(torch.linalg.vector_norm(transform.H(transform(probe)) - probe))
    if not error <= 1e-6 * float(torch.linalg.vector_norm(probe)):
        raise ConfigError(
            f"transform must be orthonormal, got |T^H T x - x| = {error:.3g} on a random x: "
            "use pdhg or admm with `analysis` for others"
        )
