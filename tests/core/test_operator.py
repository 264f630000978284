"""The contract of linear operators: the adjoint is exact, chains and sums keep it."""

from dataclasses import dataclass

import pytest
import torch

from vesalius.core import Block, Identity, LinearOperator, stack
from vesalius.errors import ConvergenceError, ShapeError, UnitError


@dataclass(frozen=True, slots=True, eq=False)
class Dense(LinearOperator):
    """A matrix."""

    matrix: torch.Tensor

    @property
    def domain(self):
        return (self.matrix.shape[1],)

    @property
    def codomain(self):
        return (self.matrix.shape[0],)

    def apply(self, x):
        return x @ self.matrix.T

    def adjoint(self, y):
        return y @ self.matrix


@dataclass(frozen=True, slots=True, eq=False)
class Difference(LinearOperator):
    """Neighbour differences along the last axis of a plane."""

    shape: tuple[int, int]

    @property
    def domain(self):
        return self.shape

    @property
    def codomain(self):
        return (self.shape[0], self.shape[1] - 1)

    def apply(self, x):
        return x[..., 1:] - x[..., :-1]

    def adjoint(self, y):
        edge = torch.zeros_like(y[..., :1])
        return torch.cat([edge, y], dim=-1) - torch.cat([y, edge], dim=-1)


@dataclass(frozen=True, slots=True, eq=False)
class Weight(LinearOperator):
    """Multiply by a plane."""

    weight: torch.Tensor

    @property
    def domain(self):
        return tuple(self.weight.shape)

    @property
    def codomain(self):
        return tuple(self.weight.shape)

    def apply(self, x):
        return self.weight * x

    def adjoint(self, y):
        return self.weight * y


def matrix(rows, columns, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=g, dtype=torch.float64)


A, B, C = Dense(matrix(5, 7, 1)), Dense(matrix(5, 7, 2)), Dense(matrix(4, 5, 3))
D, W = Difference((4, 6)), Weight(matrix(4, 6, 4))
OPERATORS = {
    "dense": A,
    "difference": D,
    "weight": W,
    "adjoint": A.H,
    "product": C @ A,
    "sum": A + B,
    "all": (C @ (A + B)).H @ C @ A,
    "planes": D @ W,
    "normal": D.H @ D + W,
    "scaled": 2.5 * A,
    "difference of two": A - B * 0.5,
    "negative": -A,
    "identity": Identity((4, 6)) + W,
    "stack": stack(W, D, Identity((4, 6))),
    "block": Block(((A, B), (2 * A, -B), (A + B, 0 * A))),
    "row": Block(((A, B),)),
    "chained stack": stack(A, B).H @ stack(A, B),
}


@pytest.mark.parametrize("name", list(OPERATORS))
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_the_adjoint_is_exact(name, batch, generator):
    op = OPERATORS[name]
    x = torch.randn(*batch, *op.domain, generator=generator, dtype=torch.float64)
    y = torch.randn(*batch, *op.codomain, generator=generator, dtype=torch.float64)
    assert op(x).shape == y.shape
    assert op.H(y).shape == x.shape
    assert float((op(x) * y).sum()) == pytest.approx(float((x * op.H(y)).sum()), rel=1e-12)


@pytest.mark.parametrize("name", list(OPERATORS))
def test_the_adjoint_is_the_derivative_transposed(name, generator):
    op = OPERATORS[name]
    x = torch.randn(op.domain, generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.randn(op.codomain, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(op(x), x, y)
    torch.testing.assert_close(gradient, op.H(y))


@pytest.mark.parametrize("name", list(OPERATORS))
def test_is_linear(name, generator):
    op = OPERATORS[name]
    a, b = torch.randn(2, *op.domain, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(op(2 * a - b), 2 * op(a) - op(b))


@pytest.mark.parametrize("name", list(OPERATORS))
def test_the_adjoint_of_the_adjoint_is_the_operator(name, generator):
    op = OPERATORS[name]
    x = torch.randn(op.domain, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(op.H.H(x), op(x))
    assert (op.H.domain, op.H.codomain) == (op.codomain, op.domain)


def test_the_adjoint_of_an_adjoint_is_the_very_same():
    assert A.H.H is A


@pytest.mark.parametrize("name", list(OPERATORS))
def test_refuses_an_input_of_another_shape(name):
    op = OPERATORS[name]
    with pytest.raises(ShapeError, match="input must end in shape"):
        op(torch.zeros(9, 9, dtype=torch.float64))
    with pytest.raises(ShapeError, match="input must end in shape"):
        op(torch.zeros(()))


def test_refuses_a_chain_that_does_not_fit():
    with pytest.raises(ShapeError, match=r"operators must fit to be chained: the right one gives"):
        A @ C


def test_refuses_a_sum_that_does_not_fit():
    with pytest.raises(ShapeError, match="operators must map between the same shapes to be added"):
        A + C


def test_an_interface_cannot_be_built():
    with pytest.raises(TypeError, match="abstract"):
        LinearOperator()


@pytest.mark.parametrize("name", list(OPERATORS))
def test_gradients_exist_to_the_second_order(name, generator):
    op = OPERATORS[name]
    x = torch.randn(op.domain, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(op, x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(op, x)


@dataclass(frozen=True, slots=True, eq=False)
class Waves(LinearOperator):
    """A unitary discrete Fourier transform."""

    n: int

    @property
    def domain(self):
        return (self.n,)

    @property
    def codomain(self):
        return (self.n,)

    def apply(self, x):
        return torch.fft.fft(x.to(torch.complex128), norm="ortho")

    def adjoint(self, y):
        return torch.fft.ifft(y.to(torch.complex128), norm="ortho")


@pytest.mark.parametrize("factor", [1.0, 2.0 - 3.0j])
def test_the_adjoint_is_exact_for_complex_numbers(factor, generator):
    op = factor * Waves(8)
    x, y = torch.randn(2, 8, generator=generator, dtype=torch.complex128)
    assert complex(torch.vdot(y, op(x))) == pytest.approx(
        complex(torch.vdot(op.H(y), x)), rel=1e-12
    )


def test_a_real_input_of_a_complex_operator_has_a_real_gradient(generator):
    x = torch.randn(8, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Waves(8), x)
    y = Waves(8)(x)
    (gradient,) = torch.autograd.grad(y.abs().square().sum(), x)
    torch.testing.assert_close(gradient, 2 * x)


def test_a_complex_factor_needs_complex_numbers():
    with pytest.raises(UnitError, match="input must be complex for the factor"):
        (2j * A)(torch.zeros(7, dtype=torch.float64))


def test_the_norm_is_the_largest_singular_value():
    like = torch.zeros((), dtype=torch.float64)
    expected = float(torch.linalg.matrix_norm(A.matrix, ord=2))
    assert A.norm(like=like, tol=1e-9, steps=2000) == pytest.approx(expected, rel=1e-6)
    assert A.norm(like=like) == pytest.approx(expected, rel=2e-2)
    assert A.norm(like=like) == A.norm(like=like)
    assert (0 * A).norm(like=like) == 0.0
    assert (3j * Waves(8)).norm(like=torch.zeros((), dtype=torch.complex128)) == pytest.approx(3.0)


def test_the_norm_of_an_operator_with_nan_is_refused():
    with pytest.raises(ConvergenceError, match="must give finite numbers for its norm"):
        Dense(torch.full((2, 2), float("nan"))).norm(like=torch.zeros(()))


def test_a_block_gives_its_parts_back(generator):
    op = stack(W, D)
    x = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    first, second = op.split_output(op(x))
    torch.testing.assert_close(first, W(x))
    torch.testing.assert_close(second, D(x))
    assert op.domain == (4, 6)
    assert op.codomain == (24 + 20,)
    (whole,) = op.split_input(x)
    assert whole is x


def test_refuses_a_block_that_does_not_fit():
    with pytest.raises(ShapeError, match="a block must have rows of one length"):
        Block(((A, B), (A,)))
    with pytest.raises(ShapeError, match="a block must have rows of one length"):
        Block(())
    with pytest.raises(ShapeError, match=r"must map .* like its column and"):
        Block(((A, B), (A, C)))
