"""Learn a strength from pairs: the derivative of a loss at the minimum, by implicit functions."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import ConfigError


def bilevel_gradient(
    op: LinearOperator,
    penalty: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    weight: float,
    slope: Tensor,
    steps: int = 100,
    tol: float = 1e-8,
) -> float:
    """Give d loss / d weight through x(weight) = argmin 1/2 |A x - y|^2 + weight R(x).

    At the minimum A^H (A x - y) + weight grad R(x) = 0, so that dx / dweight solves
    (A^H A + weight R'') dx = -grad R. The system is solved by conjugate gradients; y is not needed.

    Args:
        op: A.
        penalty: R, twice differentiable, convex (``Huber(...).penalty``).
        x: The minimum, to good accuracy.
        weight: Its strength.
        slope: Gradient of the loss at x, such as ``x - truth``.
        steps: Most conjugate gradient steps.
        tol: Relative residual at which they end.

    Returns:
        The derivative.

    Raises:
        ConfigError: ``weight`` is negative.

    References:
        Kunisch, Pock (2013), doi:10.1137/120882706, section 3 (the adjoint equation).
    """
    if weight < 0.0:
        raise ConfigError(f"weight must be at least 0 for its derivative, got {weight:g}")
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        (rough,) = torch.autograd.grad(penalty(leaf), leaf, create_graph=True)

    def curved(v: Tensor) -> Tensor:
        (bent,) = torch.autograd.grad(rough, leaf, v, retain_graph=True)
        return op.H(op(v)) + weight * bent

    solved = torch.zeros_like(slope)
    r = slope.detach().clone()
    d, square = r, float((r * r).sum())
    end = tol**2 * square
    for _ in range(steps):
        if square <= end:
            break
        moved = curved(d)
        step = square / float((d * moved).sum())
        solved, r = solved + step * d, r - step * moved
        fresh = float((r * r).sum())
        d, square = r + (fresh / square) * d, fresh
    return -float((solved * rough.detach()).sum())
