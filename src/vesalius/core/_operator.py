"""LinearOperator: a linear map between arrays that carries its exact adjoint."""
# SPDX-License-Identifier: Apache-2.0

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from vesalius.errors import ConvergenceError, ShapeError, UnitError

Shape = tuple[int, ...]


class LinearOperator(ABC):
    """A linear map ``A``: call it, take ``A.H``, chain with ``@``, add with ``+``, scale by ``*``.

    It knows no noise, no solver and no tolerance. Leading batch axes pass through. The gradient of
    a call is the adjoint, to any order, whatever language the two are written in: what the operator
    is made of (geometry, coil maps, kernels) is a constant to autograd.
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
        y: Tensor = _Call.apply(x, self)  # type: ignore[no-untyped-call]
        return y

    @property
    def H(self) -> "LinearOperator":  # noqa: N802 - the field's name
        """The adjoint operator."""
        return Adjoint(self)

    def __matmul__(self, other: "LinearOperator") -> "LinearOperator":
        return Product(self, other)

    def __add__(self, other: "LinearOperator") -> "LinearOperator":
        return Sum(self, other)

    def __sub__(self, other: "LinearOperator") -> "LinearOperator":
        return Sum(self, Scaled(-1.0, other))

    def __neg__(self) -> "LinearOperator":
        return Scaled(-1.0, self)

    def __mul__(self, factor: complex) -> "LinearOperator":
        return Scaled(factor, self)

    def __rmul__(self, factor: complex) -> "LinearOperator":
        return Scaled(factor, self)

    def norm(self, *, like: Tensor, steps: int = 100, tol: float = 1e-3) -> float:
        """Estimate the largest singular value by power iteration on ``A.H A``, from below.

        Args:
            like: A tensor whose dtype and device are used; its values are not.
            steps: Most iterations.
            tol: Relative change of the estimate at which it stops.

        Returns:
            The norm; the start vector is the same every time, so the result is too. 0 for the
            zero operator.

        Raises:
            ConvergenceError: The operator gives NaN or infinity.
        """
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(self.domain, generator=generator, dtype=torch.float64) + 1.0
        x = start.to(like.device, like.dtype)
        before = 0.0
        for _ in range(steps):
            x = x / torch.linalg.vector_norm(x)
            with torch.no_grad():
                x = self.adjoint(self.apply(x))
            now = math.sqrt(float(torch.linalg.vector_norm(x)))
            if not math.isfinite(now):
                raise ConvergenceError(
                    f"the operator must give finite numbers for its norm, got {now}: "
                    "check its geometry or weights for NaN"
                )
            if now == 0.0 or abs(now - before) <= tol * now:
                return now
            before = now
        return before


class _Call(torch.autograd.Function):
    """Apply an operator so that its derivative is its adjoint, to any order."""

    @staticmethod
    def forward(x: Tensor, operator: LinearOperator) -> Tensor:
        return operator.apply(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, LinearOperator], output: Tensor) -> None:
        ctx.operator, ctx.is_complex = inputs[1], inputs[0].is_complex()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        back = ctx.operator.H(grads[0])
        return (back.real if back.is_complex() and not ctx.is_complex else back), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        moved: Tensor = ctx.operator(tangents[0])
        return moved


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


@final
@dataclass(frozen=True, slots=True, eq=False)
class Scaled(LinearOperator):
    """``factor * A``; the adjoint is scaled by the conjugate."""

    factor: complex
    of: LinearOperator

    @property
    def domain(self) -> Shape:
        """Shape of what goes in."""
        return self.of.domain

    @property
    def codomain(self) -> Shape:
        """Shape of what comes out."""
        return self.of.codomain

    def apply(self, x: Tensor) -> Tensor:
        """Apply the operator, then scale."""
        return self.of.apply(x) * _factor(self.factor, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint, then scale by the conjugate."""
        return self.of.adjoint(y) * _factor(complex(self.factor).conjugate(), y)


def _factor(value: complex, x: Tensor) -> complex | float:
    value = complex(value)
    if value.imag == 0.0:
        return value.real
    if not x.is_complex():
        raise UnitError(f"input must be complex for the factor {value}, got {x.dtype}: cast it")
    return value


class SquareOperator(LinearOperator):
    """A linear map whose input and output have one shape, which it keeps as ``shape``."""

    __slots__ = ()

    shape: Shape

    @property
    def domain(self) -> Shape:
        """Shape of what goes in."""
        return self.shape

    @property
    def codomain(self) -> Shape:
        """Shape of what comes out."""
        return self.shape


@final
@dataclass(frozen=True, slots=True, eq=False)
class Identity(SquareOperator):
    """Give back what came in.

    Attributes:
        shape: Shape of domain and codomain.
    """

    shape: Shape

    def apply(self, x: Tensor) -> Tensor:
        """Give ``x``."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Give ``y``."""
        return y


@final
@dataclass(frozen=True, slots=True, eq=False)
class Block(LinearOperator):
    """A matrix of operators; more than one part is flattened end to end into one vector.

    One column (:func:`stack`) takes its input as it is; one row gives its output as it is.

    Attributes:
        rows: ``rows[i][j]`` maps part j of the domain to part i of the codomain.

    Raises:
        ShapeError: There is no operator, the rows differ in length, or the shapes do not fit.
    """

    rows: tuple[tuple[LinearOperator, ...], ...]

    def __post_init__(self) -> None:
        if not self.rows or not self.rows[0] or len({len(row) for row in self.rows}) != 1:
            raise ShapeError(
                f"a block must have rows of one length of at least 1, got lengths "
                f"{[len(row) for row in self.rows]}: use 0 * A where a block is empty"
            )
        for i, row in enumerate(self.rows):
            for j, part in enumerate(row):
                fits = (self.rows[0][j].domain, self.rows[i][0].codomain)
                if (part.domain, part.codomain) != fits:
                    raise ShapeError(
                        f"block ({i}, {j}) must map {fits[0]} to {fits[1]} like its column and "
                        f"row, got {part.domain} to {part.codomain}"
                    )

    @property
    def domain(self) -> Shape:
        """Shape of the one part that goes in, or the length of all parts."""
        return _joint(self._inputs)

    @property
    def codomain(self) -> Shape:
        """Shape of the one part that comes out, or the length of all parts."""
        return _joint(self._outputs)

    @property
    def _inputs(self) -> tuple[Shape, ...]:
        return tuple(part.domain for part in self.rows[0])

    @property
    def _outputs(self) -> tuple[Shape, ...]:
        return tuple(row[0].codomain for row in self.rows)

    def split_input(self, x: Tensor) -> tuple[Tensor, ...]:
        """Take (*batch, *domain) apart, one (*batch, *shape) for each column."""
        return _split(x, self._inputs)

    def split_output(self, y: Tensor) -> tuple[Tensor, ...]:
        """Take (*batch, *codomain) apart, one (*batch, *shape) for each row."""
        return _split(y, self._outputs)

    def apply(self, x: Tensor) -> Tensor:
        """Apply every row to the parts of ``x`` and add."""
        parts = self.split_input(x)
        out = [_total([a.apply(p) for a, p in zip(row, parts, strict=True)]) for row in self.rows]
        return _join(out, self._outputs)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply every column's adjoints to the parts of ``y`` and add."""
        parts = self.split_output(y)
        columns = zip(*self.rows, strict=True)
        out = [_total([a.adjoint(p) for a, p in zip(c, parts, strict=True)]) for c in columns]
        return _join(out, self._inputs)


def _total(parts: list[Tensor]) -> Tensor:
    return sum(parts[1:], start=parts[0])


def stack(*operators: LinearOperator) -> Block:
    """Put operators of one domain on top of each other: ``x -> (A x, B x, ...)``, flattened."""
    return Block(tuple((operator,) for operator in operators))


def _joint(shapes: tuple[Shape, ...]) -> Shape:
    return shapes[0] if len(shapes) == 1 else (sum(math.prod(shape) for shape in shapes),)


def _join(parts: list[Tensor], shapes: tuple[Shape, ...]) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    flat = [
        p.reshape(*p.shape[: p.ndim - len(shape)], -1)
        for p, shape in zip(parts, shapes, strict=True)
    ]
    return torch.cat(flat, dim=-1)


def _split(x: Tensor, shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    if len(shapes) == 1:
        return (x,)
    pieces = torch.split(x, [math.prod(shape) for shape in shapes], dim=-1)
    return tuple(p.reshape(*p.shape[:-1], *s) for p, s in zip(pieces, shapes, strict=True))
