"""Solvers for Poisson counts y of mean A x + background: MLEM, OSEM, MAP-EM."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import replace

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import ConfigError, IntensityError
from vesalius.reconstruct.solve._descent import begin_subsets, reciprocal
from vesalius.reconstruct.solve._solution import Record, Run, Solution, begin, norm

Backgrounds = tuple[Tensor, ...] | None


def negative_log_likelihood(mean: Tensor, y: Tensor) -> float:
    """Give sum(mean - y log mean) + a constant that makes a perfect fit 0 (half the deviance).

    Args:
        mean: Expected counts.
        y: Counts, of the same shape.

    Returns:
        The sum over everything; infinite where counts came from a mean of 0.
    """
    mean, y = mean.double(), y.double()
    return float((mean - y + torch.xlogy(y, y) - torch.xlogy(y, mean)).sum())


def mlem(
    op: LinearOperator,
    y: Tensor,
    *,
    background: Tensor | None = None,
    steps: int = 20,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Maximise the likelihood of Poisson counts by expectation maximisation.

    The likelihood never falls. Without a background each step keeps the counts:
    sum(A x) = sum(y).

    Args:
        op: A, of entries that are not negative.
        y: (*batch, *codomain), counts, not negative.
        background: Expected randoms and scatter, of the shape of ``y``; ``None`` is 0.
        steps: Most steps: stopping early is the only regularisation.
        run: Start (positive where x may be) and tolerances; x is never negative.

    Returns:
        The last x; ``objective`` is the negative log-likelihood, 0 for a perfect fit.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: ``y``, the background or the start is negative or not finite.
        ConfigError: ``steps`` is below 1.

    References:
        Shepp, Vardi (1982), doi:10.1109/TMI.1982.4307558, eq. (2.13).
    """
    backgrounds = None if background is None else (background,)
    return osem((op,), (y,), backgrounds=backgrounds, steps=steps, run=run)


def osem(
    ops: tuple[LinearOperator, ...],
    ys: tuple[Tensor, ...],
    *,
    backgrounds: Backgrounds = None,
    steps: int = 5,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Maximise the likelihood of Poisson counts by ordered subsets: faster, not monotone.

    Args:
        ops: One operator for each subset, of entries that are not negative.
        ys: The counts of each.
        backgrounds: Expected randoms and scatter of each; ``None`` is 0.
        steps: Most passes over all data.
        run: Start and tolerances.

    Returns:
        The last x; ``objective`` is the negative log-likelihood of all counts.

    Raises:
        ShapeError: The subsets do not fit each other.
        IntensityError: Counts, backgrounds or the start are negative or not finite.
        ConfigError: ``steps`` is below 1.

    References:
        Hudson, Larkin (1994), doi:10.1109/42.363108.
    """
    record, x, extra = _begin("osem" if len(ops) > 1 else "mlem", ops, ys, backgrounds, steps, run)
    seen = [op.H(torch.ones_like(y)) for op, y in zip(ops, ys, strict=True)]
    shares = [reciprocal(s) for s in seen]
    while True:
        before = x
        for op, y, b, share in zip(ops, ys, extra, shares, strict=True):
            # an unseen voxel of this subset waits for one that sees it
            factor = share * op.H(_ratio(y, op(x) + b))
            x = torch.where(share > 0, x * factor, x)
        if record.ends(x, before, *_misfit(ops, ys, extra, x)):
            return record.solution(x)


def map_em(
    op: LinearOperator,
    y: Tensor,
    *,
    weight: float,
    spacing: tuple[float, ...] = (1.0, 1.0),
    background: Tensor | None = None,
    steps: int = 50,
    run: Run = Run(),  # noqa: B008 - frozen
) -> Solution:
    """Maximise the posterior of Poisson counts under a Gaussian prior on slopes.

    Minimises the negative log-likelihood + weight / 2 |grad x|^2; it never rises.

    Args:
        op: A, of entries that are not negative.
        y: (*batch, *codomain), counts.
        weight: Strength.
        spacing: Distance between samples along the last axes, mm.
        background: Expected randoms and scatter; ``None`` is 0.
        steps: Most steps.
        run: Start and tolerances.

    Returns:
        The last x.

    Raises:
        ShapeError: ``y`` or the start does not fit.
        IntensityError: Counts, background or start are negative or not finite.
        ConfigError: ``steps`` or ``weight`` is out of range.

    References:
        De Pierro (1995), doi:10.1109/42.370409: a separable paraboloid above the
        prior, then the positive root of a quadratic for each voxel.
    """
    from vesalius.ops._differences import forward_differences, forward_differences_adjoint

    backgrounds = None if background is None else (background,)
    begin("map-em", op, y, steps, run, weight=weight)
    record, x, (extra,) = _begin("map-em", (op,), (y,), backgrounds, steps, run)
    sensitivity = op.H(torch.ones_like(y))
    # curvature of the separable surrogate: each difference is shared by its two voxels
    ones = torch.zeros_like(x)
    for axis, h in zip(range(-len(spacing), 0), spacing, strict=True):
        n = x.shape[axis] - 1
        ones.narrow(axis, 0, n).add_(2.0 / h**2)
        ones.narrow(axis, 1, n).add_(2.0 / h**2)
    curve = weight * ones
    while True:
        before = x
        fit = x * op.H(_ratio(y, op(x) + extra))
        pull = weight * forward_differences_adjoint(forward_differences(x, spacing), spacing)
        linear = sensitivity + pull - curve * x
        root = (linear.square() + 4 * curve * fit).sqrt()
        # the form without cancellation on each side
        low = 2 * fit / (linear + root).clamp_min(1e-30 + 1e-30 * float(root.max()))
        high = (root - linear) / (2 * curve).clamp_min(1e-30)
        x = torch.where((linear > 0) | (curve == 0), low, high)
        residual, objective = _misfit((op,), (y,), (extra,), x)
        rough = 0.5 * weight * norm(forward_differences(x, spacing)) ** 2
        if record.ends(x, before, residual, objective + rough):
            return replace(record.solution(x), weight=weight)


def _begin(
    name: str,
    ops: tuple[LinearOperator, ...],
    ys: tuple[Tensor, ...],
    backgrounds: Backgrounds,
    steps: int,
    run: Run,
) -> tuple[Record, Tensor, tuple[Tensor, ...]]:
    record, x = begin_subsets(name, ops, ys, steps, run)
    x = torch.ones_like(x) if run.start is None else x
    extra = tuple(torch.zeros_like(y) for y in ys) if backgrounds is None else backgrounds
    if len(extra) != len(ys):
        raise ConfigError(f"backgrounds must be one for each subset, {len(ys)}, got {len(extra)}")
    for what, parts in (("counts", ys), ("background", extra), ("start", (x,))):
        least = min(float(part.min()) for part in parts)
        if not least >= 0.0:
            raise IntensityError(
                f"{what} must not be negative or NaN in a Poisson likelihood, got {least:g}: do "
                "not subtract randoms or scatter from the counts, give them as background"
            )
    return record, x, extra


def _ratio(y: Tensor, mean: Tensor) -> Tensor:
    return torch.where(mean > 0, y / mean.clamp_min(1e-30), torch.zeros_like(y))


def _misfit(
    ops: tuple[LinearOperator, ...],
    ys: tuple[Tensor, ...],
    extra: tuple[Tensor, ...],
    x: Tensor,
) -> tuple[float, float]:
    """|A x + b - y| and the negative log-likelihood, over all subsets."""
    means = [op(x) + b for op, b in zip(ops, extra, strict=True)]
    pairs = list(zip(means, ys, strict=True))
    residual = math.hypot(*(norm(mean - y) for mean, y in pairs))
    return residual, sum(negative_log_likelihood(mean, y) for mean, y in pairs)
