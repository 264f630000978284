"""LinearOperator: a linear map between arrays that carries its exact adjoint."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from torch import Tensor

from vesalius.errors import ShapeError

Shape = tuple[int, ...]


class LinearOperator(ABC):
    """A linear map ``A``: call it, take ``A.H``, chain with ``@``, add with ``+``.

    It knows no noise, no solver and no tolerance. Leading batch axes pass through.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def domain(self) -> Shape:
        """Shape of what goes in, without batch axes."""

    @property
    @abstractmethod
    def codomain(self) -> Shape:
        """Shape of what comes out, without batch axes."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """Map (*batch, *domain) to (*batch, *codomain)."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Map (*batch, *codomain) to (*batch, *domain) by the exact adjoint."""

    def __call__(self, x: Tensor) -> Tensor:
        if tuple(x.shape[x.ndim - len(self.domain) :]) != self.domain:
            raise ShapeError(
                f"input must end in shape {self.domain}, got {tuple(x.shape)}: "
                "batch axes come first"
            )
        return self.apply(x)

    @property
    def H(self) -> "LinearOperator":  # noqa: N802 - the field's name
        """The adjoint operator."""
        return Adjoint(self)

    def __matmul__(self, other: "LinearOperator") -> "LinearOperator":
        return Product(self, other)

    def __add__(self, other: "LinearOperator") -> "LinearOperator":
        return Sum(self, other)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Adjoint(LinearOperator):
    """The adjoint of an operator; its own adjoint is the operator again."""

    of: LinearOperator

    @property
    def domain(self) -> Shape:
        """Shape of what goes in."""
        return self.of.codomain

    @property
    def codomain(self) -> Shape:
        """Shape of what comes out."""
        return self.of.domain

    def apply(self, x: Tensor) -> Tensor:
        """Apply the adjoint of ``of``."""
        return self.of.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply ``of`` itself."""
        return self.of.apply(y)

    @property
    def H(self) -> LinearOperator:  # noqa: N802
        """The operator itself."""
        return self.of


@final
@dataclass(frozen=True, slots=True, eq=False)
class Product(LinearOperator):
    """``outer @ inner``: the inner operator acts first.

    Raises:
        ShapeError: The inner codomain is not the outer domain.
    """

    outer: LinearOperator
    inner: LinearOperator

    def __post_init__(self) -> None:
        if self.outer.domain != self.inner.codomain:
            raise ShapeError(
                f"operators must fit to be chained: the right one gives {self.inner.codomain}, "
                f"the left one takes {self.outer.domain}"
            )

    @property
    def domain(self) -> Shape:
        """Shape of what goes in."""
        return self.inner.domain

    @property
    def codomain(self) -> Shape:
        """Shape of what comes out."""
        return self.outer.codomain

    def apply(self, x: Tensor) -> Tensor:
        """Apply inner, then outer."""
        return self.outer.apply(self.inner.apply(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the outer adjoint, then the inner adjoint."""
        return self.inner.adjoint(self.outer.adjoint(y))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sum(LinearOperator):
    """``first + second``.

    Raises:
        ShapeError: Domains or codomains differ.
    """

    first: LinearOperator
    second: LinearOperator

    def __post_init__(self) -> None:
        one, two = self.first, self.second
        if (one.domain, one.codomain) != (two.domain, two.codomain):
            raise ShapeError(
                f"operators must map between the same shapes to be added, got "
                f"{one.domain} -> {one.codomain} and {two.domain} -> {two.codomain}"
            )

    @property
    def domain(self) -> Shape:
        """Shape of what goes in."""
        return self.first.domain

    @property
    def codomain(self) -> Shape:
        """Shape of what comes out."""
        return self.first.codomain

    def apply(self, x: Tensor) -> Tensor:
        """Add what both give."""
        return self.first.apply(x) + self.second.apply(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Add what both adjoints give."""
        return self.first.adjoint(y) + self.second.adjoint(y)
