"""Solvers for 1/2 |A x - y|^2 + weight R: FISTA, primal-dual, ADMM."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal

import torch
from torch import Tensor

from vesalius.core import Identity, LinearOperator
from vesalius.errors import ShapeError
from vesalius.reconstruct.solve._prox import Prox
from vesalius.reconstruct.solve._solution import Run, Solution, begin, half_square, inner, norm


def fista(
    op: LinearOperator,
    y: Tensor,
    prox: Prox,
    *,
    weight: float,
    steps: int = 100,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Minimise 1/2 |A x - y|^2 + weight R(x) by accelerated proximal gradient steps.

    One call of A and one of its adjoint a step. The step is 1/|A|^2 from a short power iteration;
    where that is found too long on the way, it is cut. Momentum begins again where it points
    uphill. A box belongs into the prior.

    Args:
        op: A.
        y: (*batch, *codomain).
        prox: R.
        weight: Strength of R.
        steps: Most steps.
        run: Start, tolerances and box (the box is applied after the prox: exact for separable R).

    Returns:
        The minimum, with the objective after each step.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``weight`` is out of range.
        ConvergenceError: The iteration is not finite.

    References:
        Beck, Teboulle (2009), doi:10.1137/080716542, section 4; restart by gradient: O'Donoghue,
        Candes (2015), doi:10.1007/s10208-013-9150-3, section 3.2.
    """
    record, x = begin("fista", op, y, steps, run, weight=weight)
    lipschitz = _square_norm(op, x)
    estimate = math.sqrt(lipschitz)
    z, momentum, memory = x, 1.0, None
    ax = op(x)
    az = ax
    while True:
        gradient = op.H(az - y)
        while True:
            step = 1.0 / lipschitz if lipschitz > 0 else 1.0
            new, memory = prox.warm(z - step * gradient, weight * step, memory)
            new = run.clip(new)
            a_new = op(new)
            moved, seen = norm(new - z), norm(a_new - az)
            # rounding must not look like curvature
            if seen**2 <= lipschitz * moved**2 * (1 + 1e-3) or moved <= 1e-6 * norm(new):
                break
            if not math.isfinite(seen / moved):  # no step is short enough; the notes will tell
                break
            lipschitz = 1.05 * (seen / moved) ** 2
        before, a_before = x, ax
        if inner(z - new, new - x) > 0:
            momentum = 1.0
        grown = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        share = (momentum - 1.0) / grown
        x, ax, momentum = new, a_new, grown
        z, az = x + share * (x - before), ax + share * (ax - a_before)
        residual = norm(ax - y)
        objective = half_square(residual) + weight * prox.value(x)
        if record.ends(x, before, residual, objective):
            return record.solution(
                x, operator_norm=max(estimate, math.sqrt(lipschitz)), weight=weight
            )


def pdhg(
    op: LinearOperator,
    y: Tensor,
    prox: Prox,
    *,
    analysis: LinearOperator | None = None,
    weight: float,
    steps: int = 300,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Minimise 1/2 |A x - y|^2 + weight R(B x), x in a box, by primal-dual steps.

    Nothing is inverted and no inner iteration is needed. Where A has no negative entry (a
    projector), the steps are fitted to its rows and columns.

    Args:
        op: A.
        y: (*batch, *codomain).
        prox: R, by its conjugate; must be convex.
        analysis: B, such as a gradient; ``None`` is the identity.
        weight: Strength of R.
        steps: Most steps.
        run: Start, box and tolerances.

    Returns:
        The minimum, with the objective after each step.

    Raises:
        ShapeError: ``y``, the start or B does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``weight`` is out of range.
        ConvergenceError: The iteration is not finite.

    References:
        Chambolle, Pock (2011), doi:10.1007/s10851-010-0251-1, algorithm 1; Pock, Chambolle (2011),
        doi:10.1109/ICCV.2011.6126441, eq. (10) with alpha = 1 for A, B scaled as one block.
    """
    record, x = begin("pdhg", op, y, steps, run, weight=weight)
    b = _fitting(analysis, op)
    across, along, bound = _dual_steps(op, y, x)
    b_square = _square_norm(b, x) * 1.05
    # B's dual step is its share of the primal step over |B|^2
    sigma = bound / b_square if b_square > 0 else 1.0
    tau = 1.0 / (along + bound)
    p, q = torch.zeros_like(y), torch.zeros_like(b(x))
    ax, bx = op(x), b(x)
    ax_bar, bx_bar = ax, bx
    while True:
        p = (p + across * (ax_bar - y)) / (1.0 + across)
        if weight > 0:
            q = weight * prox.conjugate((q + sigma * bx_bar) / weight, sigma / weight)
        before, a_before, b_before = x, ax, bx
        x = run.clip(x - tau * (op.H(p) + _like(b.H(q), x)))
        ax, bx = op(x), b(x)
        ax_bar, bx_bar = 2 * ax - a_before, 2 * bx - b_before
        residual = norm(ax - y)
        objective = half_square(residual) + weight * prox.value(bx)
        if record.ends(x, before, residual, objective):
            largest = math.sqrt(_square_norm(op, x))
            return record.solution(x, operator_norm=largest, weight=weight)


def admm(
    op: LinearOperator,
    y: Tensor,
    prox: Prox,
    *,
    analysis: LinearOperator | None = None,
    weight: float,
    steps: int = 50,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Minimise 1/2 |A x - y|^2 + weight R(B x) by the alternating direction method of multipliers.

    The quadratic part is solved by ten conjugate gradient steps from the last x; the penalty is
    balanced on the way.

    Args:
        op: A.
        y: (*batch, *codomain).
        prox: R.
        analysis: B; ``None`` is the identity.
        weight: Strength of R.
        steps: Most steps.
        run: Start and tolerances. A box belongs into the prior.

    Returns:
        The minimum, with the objective after each step (of x, not of the split variable).

    Raises:
        ShapeError: ``y``, the start or B does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``weight`` is out of range.
        ConvergenceError: The iteration is not finite.

    References:
        Boyd, Parikh, Chu, Peleato, Eckstein (2011), doi:10.1561/2200000016, eqs (3.5) - (3.7),
        penalty by eq. (3.13). Differs in: the x step is not exact.
    """
    record, x = begin("admm", op, y, steps, run, weight=weight)
    b = _fitting(analysis, op)
    a_square, b_square = _square_norm(op, x), _square_norm(b, x)
    rho = 0.1 * a_square / b_square if a_square * b_square > 0 else 1.0
    right, memory = op.H(y), None
    bx = b(x)
    z, u = bx, torch.zeros_like(bx)
    while True:
        before, z_before = x, z
        x = _solve_quadratic(op, b, rho, right + rho * _like(b.H(z - u), x), x)
        bx = b(x)
        z, memory = prox.warm(bx + u, weight / rho, memory)
        u = u + bx - z
        residual = norm(op(x) - y)
        objective = half_square(residual) + weight * prox.value(bx)
        if record.ends(x, before, residual, objective):
            return record.solution(x, operator_norm=math.sqrt(a_square), weight=weight)
        primal, dual = norm(bx - z), rho * norm(b.H(z - z_before))
        change = _balance(primal * math.sqrt(max(b_square, 1e-300)), dual)
        rho, u = rho * change, u / change


def _balance(primal: float, dual: float) -> Literal[1, 2] | float:
    if primal > 10 * dual:
        return 2.0
    return 0.5 if dual > 10 * primal else 1.0


def _solve_quadratic(
    op: LinearOperator, b: LinearOperator, rho: float, right: Tensor, x: Tensor, steps: int = 10
) -> Tensor:
    """Conjugate gradients on (A^H A + rho B^H B) x = right."""

    def normal(v: Tensor) -> Tensor:
        return op.H(op(v)) + rho * _like(b.H(b(v)), v)

    r = right - normal(x)
    d, square = r, inner(r, r)
    first = square
    for _ in range(steps):
        if square <= 1e-20 * first or square == 0.0:
            break
        moved = normal(d)
        step = square / inner(d, moved)
        x, r = x + step * d, r - step * moved
        fresh = inner(r, r)
        d, square = r + (fresh / square) * d, fresh
    return x


def _square_norm(op: LinearOperator, like: Tensor) -> float:
    """A little above the squared norm that a short power iteration finds from below."""
    return 1.02 * op.norm(like=like, steps=20, tol=1e-2) ** 2


def _dual_steps(op: LinearOperator, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Dual steps of A (of y's shape or one), the columns' share of the primal step, B's share."""
    if not y.is_complex() and not x.is_complex():
        ones = torch.ones(op.domain, dtype=x.dtype, device=x.device)
        rows, columns = op(ones), op.H(torch.ones(op.codomain, dtype=y.dtype, device=y.device))
        if bool((rows >= 0).all()) and bool((columns >= 0).all()) and _keeps_sign(op, ones):
            level = float(columns.mean())
            across = torch.where(rows > 0, 1.0 / rows.clamp_min(1e-12 * float(rows.max())), 0.0)
            return across, columns, max(level, 1e-300)
    largest = math.sqrt(_square_norm(op, x)) or 1.0
    one = torch.ones((), dtype=x.abs().dtype, device=x.device)
    return one / largest, one * largest, largest


def _keeps_sign(op: LinearOperator, ones: Tensor) -> bool:
    """Whether impulses on a few lattices give nothing negative: an operator of entries >= 0."""
    flat = torch.zeros(ones.numel(), dtype=ones.dtype, device=ones.device)
    for stride in (5, 7):
        comb = flat.clone()
        comb[::stride] = 1.0
        if not bool((op(comb.reshape(ones.shape)) >= 0).all()):
            return False
    return True


def _fitting(analysis: LinearOperator | None, op: LinearOperator) -> LinearOperator:
    b = Identity(op.domain) if analysis is None else analysis
    if b.domain != op.domain:
        raise ShapeError(f"analysis must take what the operator takes, {op.domain}, got {b.domain}")
    return b


def _like(back: Tensor, x: Tensor) -> Tensor:
    """Real images stay real under a complex analysis."""
    return back.real if back.is_complex() and not x.is_complex() else back
