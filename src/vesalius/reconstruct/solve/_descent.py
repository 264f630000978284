"""Plain gradient steps: gradient descent, Landweber, SIRT, SART and OS-SART."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import ConfigError, ShapeError
from vesalius.reconstruct.solve._solution import (
    Record,
    Run,
    Solution,
    begin,
    half_square,
    inner,
    norm,
)


def gradient_descent(
    op: LinearOperator,
    y: Tensor,
    *,
    penalty: Callable[[Tensor], Tensor] | None = None,
    weight: float = 0.0,
    steps: int = 100,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Minimise 1/2 |A x - y|^2 + weight R(x) for a smooth R by gradient steps.

    The first step is 1/|A|^2, later ones by Barzilai and Borwein; each is halved until the
    objective falls (Armijo), so the objective never rises.

    Args:
        op: A.
        y: (*batch, *codomain).
        penalty: R, a differentiable function that gives one number (``Huber(...).penalty``).
        weight: Strength of R.
        steps: Most steps.
        run: Start, box and tolerances.

    Returns:
        The last x.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``weight`` is out of range.
        ConvergenceError: The iteration is not finite.

    References:
        Barzilai, Borwein (1988), doi:10.1093/imanum/8.1.141.
    """
    record, x = begin("gradient descent", op, y, steps, run, weight=weight)
    x = run.clip(x)
    largest = op.norm(like=x, steps=20, tol=1e-2)
    step = 1.0 / largest**2 if largest > 0 else 1.0
    gap = op(x) - y
    rough, slope = _penalty(penalty, x, weight)
    objective, gradient = half_square(norm(gap)) + rough, op.H(gap) + slope
    while True:
        before, old, size = x, gradient, inner(gradient, gradient)
        for _ in range(40):
            x = run.clip(before - step * gradient)
            gap = op(x) - y
            rough, slope = _penalty(penalty, x, weight)
            new = half_square(norm(gap)) + rough
            if new <= objective - 1e-4 * inner(gradient, before - x) or size == 0.0:
                break
            step /= 2
        else:
            x, gap, new = before, op(before) - y, objective
            slope = _penalty(penalty, x, weight)[1]
        objective, gradient = new, op.H(gap) + slope
        if record.ends(x, before, norm(gap), objective):
            return record.solution(x, operator_norm=largest, weight=weight)
        bent = inner(x - before, gradient - old)
        step = inner(x - before, x - before) / bent if bent > 0 else 2 * step


def _penalty(
    penalty: Callable[[Tensor], Tensor] | None, x: Tensor, weight: float
) -> tuple[float, Tensor]:
    if penalty is None or weight == 0.0:
        return 0.0, torch.zeros_like(x)
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        value = weight * penalty(leaf)
        (slope,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), slope


def landweber(
    op: LinearOperator,
    y: Tensor,
    *,
    relaxation: float = 1.0,
    steps: int = 100,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Take gradient steps of one length: x + relaxation / |A|^2 A^H (y - A x).

    Args:
        op: A.
        y: (*batch, *codomain).
        relaxation: Length of a step, above 0 and below 2.
        steps: Most steps: stopping early is the only regularisation.
        run: Start, box (projected Landweber) and tolerances.

    Returns:
        The last x.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``relaxation`` is out of range.
        ConvergenceError: The iteration is not finite.
    """
    _check_relaxation(relaxation)
    record, x = begin("landweber", op, y, steps, run)
    largest = op.norm(like=x)
    step = relaxation / largest**2 if largest > 0 else 0.0
    gap = y - op(x)
    while True:
        before = x
        x = run.clip(x + step * op.H(gap))
        gap = y - op(x)
        if record.ends(x, before, norm(gap), half_square(norm(gap))):
            return record.solution(x, operator_norm=largest)


def sirt(
    op: LinearOperator,
    y: Tensor,
    *,
    relaxation: float = 1.0,
    steps: int = 100,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Reconstruct by simultaneous steps scaled by row and column sums: x + C A^H R (y - A x).

    Args:
        op: A, of entries that are not negative.
        y: (*batch, *codomain).
        relaxation: Length of a step, above 0 and below 2.
        steps: Most steps.
        run: Start, box and tolerances.

    Returns:
        The last x; unknowns that no ray meets keep their start.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y`` or the start is not finite.
        ConfigError: ``steps`` or ``relaxation`` is out of range.
        ConvergenceError: The iteration is not finite.

    References:
        Gregor, Benson (2008), doi:10.1109/TMI.2008.923696.
    """
    found = os_sart((op,), (y,), relaxation=relaxation, steps=steps, run=run)
    return replace(found, objective=())


def os_sart(
    ops: tuple[LinearOperator, ...],
    ys: tuple[Tensor, ...],
    *,
    relaxation: float = 1.0,
    steps: int = 10,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Reconstruct by ordered subsets: one SIRT step on each part of the data in turn.

    One view in each subset is SART; all views in one is SIRT.

    Args:
        ops: One operator for each subset, of entries that are not negative, in the order of use.
        ys: The data of each.
        relaxation: Length of a step, above 0 and below 2.
        steps: Most passes over all data.
        run: Start, box and tolerances.

    Returns:
        The last x; ``residual`` is that of all data after each pass.

    Raises:
        ShapeError: There is no subset, or ``ops``, ``ys`` and the start do not fit each other.
        IntensityError: A part of ``ys`` is not finite.
        ConfigError: ``steps`` or ``relaxation`` is out of range.
        ConvergenceError: The iteration is not finite.

    References:
        Andersen, Kak (1984), doi:10.1016/0161-7346(84)90008-7; subsets: Wang, Jiang (2004),
        J. X-Ray Sci. Technol. 12, 169-177.
    """
    _check_relaxation(relaxation)
    record, x = begin_subsets("sart" if len(ops) > 1 else "sirt", ops, ys, steps, run)
    scales = [_scales(op, y, x) for op, y in zip(ops, ys, strict=True)]
    while True:
        before = x
        for op, y, (across, along) in zip(ops, ys, scales, strict=True):
            x = run.clip(x + relaxation * along * op.H(across * (y - op(x))))
        if record.ends(x, before, residual_of(ops, ys, x), None):
            return record.solution(x)


def begin_subsets(
    name: str, ops: tuple[LinearOperator, ...], ys: tuple[Tensor, ...], steps: int, run: Run
) -> tuple[Record, Tensor]:
    """Check subsets as ``begin`` checks one operator."""
    if not ops or len(ops) != len(ys):
        raise ShapeError(
            f"ops and ys must be as many, at least one, got {len(ops)} and {len(ys)}: one operator "
            "for each part of the data"
        )
    record, x = begin(name, ops[0], ys[0], steps, run)
    for op, y in zip(ops[1:], ys[1:], strict=True):
        begin(name, op, y, steps, run)
    record.size = math.sqrt(sum(norm(y) ** 2 for y in ys))
    return record, x


def residual_of(ops: tuple[LinearOperator, ...], ys: tuple[Tensor, ...], x: Tensor) -> float:
    """|A x - y| over all subsets."""
    return math.sqrt(sum(norm(op(x) - y) ** 2 for op, y in zip(ops, ys, strict=True)))


def _scales(op: LinearOperator, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """One over the row and the column sums, 0 where a sum is."""
    rows = op(torch.ones(op.domain, dtype=x.dtype, device=x.device))
    columns = op.H(torch.ones(op.codomain, dtype=y.dtype, device=y.device))
    return reciprocal(rows), reciprocal(columns)


def reciprocal(sums: Tensor) -> Tensor:
    """One over sums; 0 where a sum is 0 or only rounding."""
    least = 1e-6 * float(sums.max())
    return torch.where(sums > least, 1.0 / sums.clamp_min(least or 1.0), 0.0)


def _check_relaxation(relaxation: float) -> None:
    if not 0.0 < relaxation < 2.0:
        raise ConfigError(
            f"relaxation must lie above 0 and below 2, got {relaxation:g}: 1 is usual"
        )
