"""Small problems whose answers linear algebra gives: a dense matrix as an operator."""

from dataclasses import dataclass

import torch

from vesalius.core import LinearOperator


@dataclass(frozen=True, slots=True, eq=False)
class Matrix(LinearOperator):
    """A dense matrix that maps an array of ``shape`` to a vector."""

    entries: torch.Tensor
    shape: tuple[int, ...]

    @property
    def domain(self):
        return self.shape

    @property
    def codomain(self):
        return (self.entries.shape[0],)

    def apply(self, x):
        return x.reshape(*x.shape[: x.ndim - len(self.shape)], -1) @ self.entries.T.to(x)

    def adjoint(self, y):
        return (y @ self.entries.conj().to(y)).reshape(*y.shape[:-1], *self.shape)


def problem(rows=30, shape=(4, 5), *, noise=0.0, seed=0):
    """Give a matrix of entries >= 0, a truth >= 0 and data."""
    generator = torch.Generator().manual_seed(seed)
    n = shape[0] * shape[1]
    op = Matrix(torch.rand(rows, n, generator=generator, dtype=torch.float64), shape)
    truth = torch.rand(shape, generator=generator, dtype=torch.float64)
    y = op(truth) + noise * torch.randn(rows, generator=generator, dtype=torch.float64)
    return op, truth, y
