"""Least squares in Krylov spaces: CGLS, LSQR, and Tikhonov's penalty by them."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from torch import Tensor

from vesalius.core import Identity, LinearOperator
from vesalius.errors import ShapeError
from vesalius.reconstruct.solve._solution import (
    Record,
    Run,
    Solution,
    begin,
    half_square,
    inner,
    norm,
)


def cgls(
    op: LinearOperator,
    y: Tensor,
    *,
    steps: int = 30,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Minimise 1/2 |A x - y|^2 by conjugate gradients on the normal equations.

    Args:
        op: A.
        y: (*batch, *codomain); a batch is solved as one problem.
        steps: Most steps: stopping early is the only regularisation.
        run: Start and tolerances; a box is not held.

    Returns:
        The last x; the residual never rises.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` is below 1.
        ConvergenceError: The iteration is not finite.

    References:
        Hestenes, Stiefel (1952), doi:10.6028/jres.049.044, section 10.
    """
    record, x = begin("cgls", op, y, steps, run)
    zero = torch.zeros_like(x)
    return _conjugate(record, x, (op, y), (Identity(op.domain), zero, 0.0))


def _conjugate(
    record: Record,
    x: Tensor,
    data: tuple[LinearOperator, Tensor],
    prior: tuple[LinearOperator, Tensor, float],
) -> Solution:
    """CGLS on the data and, with a weight, on L (x - mean), both residuals kept as they change."""
    (op, y), (scale, mean, weight) = data, prior
    gap = y - op(x)
    bent = scale(mean - x)

    def descent() -> Tensor:
        s = op.H(gap)
        return s + weight * _like(scale.H(bent), s) if weight > 0 else s

    s = descent()
    d, square = s, inner(s, s)
    floor, largest = 1e-30 * square, 0.0
    while True:
        before = x
        if square > floor:
            moved = op(d)
            seen, size = inner(moved, moved), inner(d, d)
            largest = max(largest, math.sqrt(seen / size) if size > 0 else 0.0)
            bend = scale(d) if weight > 0 else d
            curved = seen + (weight * inner(bend, bend) if weight > 0 else 0.0)
            step = square / curved if curved > 0 else 0.0
            x, gap = x + step * d, gap - step * moved
            bent = bent - step * bend if weight > 0 else bent
            s = descent()
            fresh = inner(s, s)
            d, square = s + (fresh / square) * d, fresh
        objective = half_square(norm(gap)) + weight * half_square(norm(bent))
        if record.ends(x, before, norm(gap), objective):
            return record.solution(x, operator_norm=largest, weight=weight)


def _like(back: Tensor, x: Tensor) -> Tensor:
    return back.real if back.is_complex() and not x.is_complex() else back


def lsqr(
    op: LinearOperator,
    y: Tensor,
    *,
    steps: int = 30,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Minimise 1/2 |A x - y|^2 by Lanczos bidiagonalisation: as CGLS, steadier when ill-posed.

    Args:
        op: A.
        y: (*batch, *codomain); a batch is solved as one problem.
        steps: Most steps.
        run: Start and tolerances; a box is not held.

    Returns:
        The last x; ``operator_norm`` is the Frobenius norm of the bidiagonal matrix, from above.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` is below 1.
        ConvergenceError: The iteration is not finite.

    References:
        Paige, Saunders (1982), doi:10.1145/355984.355989, section 4.
    """
    record, x = begin("lsqr", op, y, steps, run)
    u = y - op(x)
    beta = norm(u)
    u = _unit(u, beta)
    v = op.H(u)
    alpha = norm(v)
    v = _unit(v, alpha)
    w, phi, rho_bar, frobenius = v, beta, alpha, alpha**2
    # below this |A^H r| is rounding, and further vectors would be noise
    floor = torch.finfo(x.dtype).eps * phi * rho_bar
    while True:
        before = x
        if abs(phi * rho_bar) > floor:
            u = op(v) - alpha * u
            beta = norm(u)
            u = _unit(u, beta)
            v = op.H(u) - beta * v
            alpha = norm(v)
            v = _unit(v, alpha)
            rho = math.hypot(rho_bar, beta)
            c, s = rho_bar / rho, beta / rho
            x = x + (c * phi / rho) * w
            w = v - (s * alpha / rho) * w
            frobenius += alpha**2 + beta**2
            rho_bar, phi = -c * alpha, s * phi
        if record.ends(x, before, abs(phi), half_square(phi)):
            return record.solution(x, operator_norm=math.sqrt(frobenius))


def _unit(x: Tensor, size: float) -> Tensor:
    return x / size if size > 0 else x


def tikhonov(
    op: LinearOperator,
    y: Tensor,
    *,
    weight: float,
    analysis: LinearOperator | None = None,
    mean: Tensor | None = None,
    steps: int = 100,
    run: Run = Run(tol=1e-6),  # noqa: B008 - frozen
) -> Solution:
    """Minimise 1/2 |A x - y|^2 + weight / 2 |L (x - mean)|^2 by conjugate gradients.

    With noise of variance 1 and a Gaussian prior of inverse covariance weight L^H L this is the
    most probable x; since the posterior is Gaussian it is its mean too: MAP equals MMSE.

    Args:
        op: A.
        y: (*batch, *codomain).
        weight: Strength.
        analysis: L: ``None`` (the identity), a gradient, a Laplacian, or the inverse square root
            of a covariance.
        mean: (*batch, *domain), what x is expected to be; ``None`` is 0.
        steps: Most steps.
        run: Start and tolerances; a box is not held.

    Returns:
        The minimum; residual and objective after each step.

    Raises:
        ShapeError: ``y``, the start, the mean or L does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``weight`` is out of range.
        ConvergenceError: The iteration is not finite.
    """
    record, x = begin("tikhonov", op, y, steps, run, weight=weight)
    scale = Identity(op.domain) if analysis is None else analysis
    if scale.domain != op.domain:
        raise ShapeError(
            f"analysis must take what the operator takes, {op.domain}, got {scale.domain}"
        )
    if mean is not None and tuple(mean.shape) not in (tuple(x.shape), op.domain):
        raise ShapeError(f"mean must have the shape {tuple(x.shape)} of x, got {tuple(mean.shape)}")
    centre = torch.zeros_like(x) if mean is None else mean.expand_as(x)
    return _conjugate(record, x, (op, y), (scale, centre, weight))
