"""A denoiser in the place of a prior: plug-and-play and regularisation by denoising."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vesalius.core import Identity, LinearOperator
from vesalius.reconstruct.solve._proximal import _solve_quadratic, _square_norm
from vesalius.reconstruct.solve._solution import Run, Solution, begin, half_square, inner, norm

Denoise = Callable[[Tensor], Tensor]


def plug_and_play(
    op: LinearOperator,
    y: Tensor,
    denoise: Denoise,
    *,
    weight: float,
    steps: int = 30,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Run ADMM with a denoiser instead of a proximal map.

    Args:
        op: A.
        y: (*batch, *codomain).
        denoise: Any map of (*batch, *domain); it is told no noise level, so fix one in it. A
            gradient is not followed.
        weight: Penalty that ties the fitted to the denoised image; in units of |A|^2 / 10, so 1 is
            a balance and smaller trusts the data more.
        steps: Most steps.
        run: Start, box and tolerances.

    Returns:
        The denoised variable of the last step. Nothing is minimised unless the denoiser is a
        proximal map, so there is no objective.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``weight`` is out of range.
        ConvergenceError: The iteration is not finite.

    References:
        Venkatakrishnan, Bouman, Wohlberg (2013), doi:10.1109/GlobalSIP.2013.6737048, algorithm 1.
    """
    record, x = begin("plug-and-play", op, y, steps, run, weight=weight)
    square = _square_norm(op, x)
    rho = max(0.1 * weight * square, 1e-12 * square)
    right = op.H(y)
    same = Identity(op.domain)
    z, u = x, torch.zeros_like(x)
    while True:
        before = z
        x = _solve_quadratic(op, same, rho, right + rho * (z - u), x)
        with torch.no_grad():
            z = run.clip(denoise(x + u))
        u = u + x - z
        if record.ends(z, before, norm(op(z) - y), None):
            return record.solution(z, operator_norm=math.sqrt(square), weight=weight)


def red(
    op: LinearOperator,
    y: Tensor,
    denoise: Denoise,
    *,
    weight: float,
    steps: int = 50,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Minimise 1/2 |A x - y|^2 + weight / 2 <x, x - D(x)> by gradient steps.

    Args:
        op: A.
        y: (*batch, *codomain).
        denoise: D. The gradient weight (x - D(x)) is right for a D that is locally homogeneous
            with a symmetric Jacobian; for others the iteration still seeks its zero.
        weight: Strength.
        steps: Most steps.
        run: Start, box and tolerances.

    Returns:
        The last x, with the objective after each step.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``weight`` is out of range.
        ConvergenceError: The iteration is not finite.

    References:
        Romano, Elad, Milanfar (2017), doi:10.1137/16M1102884, by gradient descent, here with
        Nesterov's momentum and restart; what the objective means: Reehorst, Schniter (2019),
        doi:10.1109/TCI.2018.2880326.
    """
    record, x = begin("red", op, y, steps, run, weight=weight)
    square = _square_norm(op, x)
    step = 1.0 / (square + weight) if square + weight > 0 else 1.0
    z, momentum = x, 1.0
    while True:
        with torch.no_grad():
            rough = z - denoise(z)
        new = run.clip(z - step * (op.H(op(z) - y) + weight * rough))
        momentum = 1.0 if inner(z - new, new - x) > 0 else momentum
        grown = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        before, x = x, new
        z, momentum = x + (momentum - 1.0) / grown * (x - before), grown
        residual = norm(op(x) - y)
        with torch.no_grad():
            objective = half_square(residual) + weight / 2 * inner(x, x - denoise(x))
        if record.ends(x, before, residual, objective):
            return record.solution(x, operator_norm=math.sqrt(square), weight=weight)
