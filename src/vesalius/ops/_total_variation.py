"""Total variation: its value, and the dual ascent that denoises by it."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import final, no_type_check

import numpy as np
import torch
from torch import Tensor

from vesalius.ops._differences import (
    Spacing,
    differences_norm2,
    forward_differences,
    forward_differences_adjoint,
)
from vesalius.ops._jit import kernel


@final
@dataclass(frozen=True, slots=True)
class Variation:
    """What is minimised: 1/2 |z - x|^2 + strength sum_i h(|grad z|_i), lower <= z <= upper.

    Attributes:
        spacing: Distance between samples along the last axes; 1 to 3 of them.
        strength: Factor of the variation, positive.
        corner: Below this slope h is a parabola (Huber), above it |.| - corner / 2; 0 is total
            variation.
        lower: Least value.
        upper: Largest value.
    """

    spacing: Spacing
    strength: float
    corner: float = 0.0
    lower: float = -math.inf
    upper: float = math.inf


def variation(x: Tensor, spacing: Spacing, *, corner: float = 0.0) -> Tensor:
    """Sum h(|grad x|), isotropic, over all samples and batch axes.

    Args:
        x: (*batch, *shape), real or complex.
        spacing: Distance between samples along the last axes.
        corner: Below this slope h(t) = t^2 / (2 corner), above it t - corner / 2.

    Returns:
        One number, float64 accumulation, in the dtype of float64. Differentiable where the slope
        is not 0, everywhere with a corner.
    """
    squared = forward_differences(x, spacing).abs().square().sum(dim=-len(spacing) - 1)
    if corner == 0.0:
        return squared.sqrt().sum(dtype=torch.float64)
    # the square root has no slope at 0: keep it out of the parabola
    steep = squared > corner**2
    slope = torch.where(steep, squared, torch.ones_like(squared)).sqrt()
    each = torch.where(steep, slope - corner / 2, squared / (2 * corner))
    return each.sum(dtype=torch.float64)


def denoise_variation(
    x: Tensor, problem: Variation, *, steps: int, tol: float, dual: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Minimise by fast gradient projection on the dual.

    Stops after ``steps``, or when the duality gap proves |z - z*| <= tol |x|.

    Args:
        x: (*batch, *shape), real or complex.
        problem: What is minimised.
        steps: Most steps.
        tol: Relative distance to the minimum; 0 takes all steps.
        dual: (*batch, axis, *shape), where to start; ``None`` starts at 0.

    Returns:
        The denoised samples and the dual, a good start for a near problem.

    References:
        Beck, Teboulle (2009), doi:10.1109/TIP.2009.2028250, section 4.2 (FGP); the parabola of
        Huber's function makes the dual strongly concave: its step is divided by
        1 + corner / (strength |D|^2). Differs in: spacing, three axes.
    """
    p = torch.zeros_like(forward_differences(x, problem.spacing)) if dual is None else dual.clone()
    fast = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    run = _run_compiled if fast else _run_torch
    q, momentum, done, z = p.clone(), 1.0, 0, x
    size = float(torch.linalg.vector_norm(x))
    while done < steps:
        count = min(10, steps - done)
        z, p, q, momentum = run(x, (p, q), momentum, problem, count)
        done += count
        if tol > 0.0 and 2.0 * duality_gap(x, z, p, problem) <= (tol * size) ** 2:
            break
    return z, p


def duality_gap(x: Tensor, z: Tensor, p: Tensor, problem: Variation) -> float:
    """Give an upper bound of 1/2 |z - z*|^2 from any primal and dual point.

    Args:
        x: Noisy samples.
        z: A primal point inside the box.
        p: A dual point, |p| <= 1.
        problem: What is minimised.

    Returns:
        Primal minus dual objective; rounding may make it slightly negative.
    """
    wide = torch.complex128 if x.is_complex() else torch.float64
    x, z, p = x.to(wide), z.to(wide), p.to(wide)
    free = x - problem.strength * forward_differences_adjoint(p, problem.spacing)
    outside = free - _clip(free, problem)
    rough = float(variation(z, problem.spacing, corner=problem.corner))
    primal = 0.5 * _square(z - x) + problem.strength * rough
    bent = problem.strength * problem.corner / 2 * _square(p)
    return primal - (0.5 * (_square(x) - _square(free) + _square(outside)) - bent)


def _square(x: Tensor) -> float:
    return float(x.abs().square().sum())


def _clip(x: Tensor, problem: Variation) -> Tensor:
    if x.is_complex() or (problem.lower == -math.inf and problem.upper == math.inf):
        return x
    return x.clamp(problem.lower, problem.upper)


def _ascent(problem: Variation) -> tuple[float, float]:
    """Dual step, and the factor of Huber's parabola."""
    ascent = 1.0 / (problem.strength * differences_norm2(problem.spacing))
    return ascent, 1.0 / (1.0 + ascent * problem.corner)


def _run_torch(
    x: Tensor,
    duals: tuple[Tensor, Tensor],
    momentum: float,
    problem: Variation,
    count: int,
) -> tuple[Tensor, Tensor, Tensor, float]:
    p, q = duals
    ascent, shrink = _ascent(problem)
    spacing, strength = problem.spacing, problem.strength
    axis = -len(spacing) - 1
    for _ in range(count):
        z = _clip(x - strength * forward_differences_adjoint(q, spacing), problem)
        new = (q + ascent * forward_differences(z, spacing)) * shrink
        size = new.abs().square().sum(dim=axis, keepdim=True).sqrt()
        new = new / size.clamp_min(1.0)
        grown = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        q = new + (momentum - 1.0) / grown * (new - p)
        p, momentum = new, grown
    return _clip(x - strength * forward_differences_adjoint(p, spacing), problem), p, q, momentum


def _run_compiled(
    x: Tensor,
    duals: tuple[Tensor, Tensor],
    momentum: float,
    problem: Variation,
    count: int,
) -> tuple[Tensor, Tensor, Tensor, float]:
    axes = len(problem.spacing)
    shape = (1,) * (3 - axes) + tuple(x.shape[x.ndim - axes :])
    kind = np.float32 if x.dtype == torch.float32 else np.float64
    data = x.detach().reshape(-1, *shape).contiguous().numpy()
    p, q = (d.detach().reshape(-1, axes, *shape).contiguous().numpy() for d in duals)
    z = np.empty_like(data)
    ascent, shrink = _ascent(problem)
    inverse = np.array([0.0] * (3 - axes) + [1.0 / h for h in problem.spacing], dtype=kind)
    numbers = np.array([problem.strength, ascent, shrink, problem.lower, problem.upper], dtype=kind)
    steps = [momentum]
    for _ in range(count):
        steps.append((1.0 + math.sqrt(1.0 + 4.0 * steps[-1] ** 2)) / 2.0)
    factors = np.array([(a - 1.0) / b for a, b in pairwise(steps)], dtype=kind)
    for i in range(len(data)):
        _ascend(data[i], p[i], q[i], z[i], inverse, numbers, factors)
    out = torch.from_numpy(z).reshape(x.shape)
    new, old = (torch.from_numpy(d).reshape(duals[0].shape) for d in (p, q))
    return out, new, old, steps[-1]


@kernel
@no_type_check
def _ascend(x, p, q, z, inverse, numbers, factors):
    """Run all steps on one volume in place; z ends as the primal point of p."""
    depth = x.shape[0]
    zero = np.zeros(x.shape[2], x.dtype)
    for n in range(len(factors)):
        for k in range(depth):
            _primal_slice(x, q, z, zero, inverse, numbers, k)
        for k in range(depth):
            _dual_slice(p, q, z, inverse, numbers, factors[n], k)
    for k in range(depth):
        _primal_slice(x, p, z, zero, inverse, numbers, k)


@kernel
@no_type_check
def _primal_slice(x, q, z, zero, inverse, numbers, k):
    axes, _, rows, columns = q.shape
    strength, lower, upper = numbers[0], numbers[3], numbers[4]
    iz, iy, ix = inverse[0] * strength, inverse[1] * strength, inverse[2] * strength
    for j in range(rows):
        qx, out, value = q[axes - 1, k, j], z[k, j], x[k, j]
        for i in range(columns):
            out[i] = value[i] + ix * qx[i]
        for i in range(1, columns):
            out[i] -= ix * qx[i - 1]
        if axes > 1:
            qy = q[axes - 2, k, j]
            before = q[axes - 2, k, j - 1] if j > 0 else zero
            for i in range(columns):
                out[i] += iy * (qy[i] - before[i])
        if axes > 2:
            qz = q[0, k, j]
            before = q[0, k - 1, j] if k > 0 else zero
            for i in range(columns):
                out[i] += iz * (qz[i] - before[i])
        for i in range(columns):
            out[i] = min(max(out[i], lower), upper)


@kernel
@no_type_check
def _dual_slice(p, q, z, inverse, numbers, factor, k):
    axes, depth, rows, columns = q.shape
    ascent, shrink = numbers[1], numbers[2]
    iz, iy, ix = inverse[0] * ascent, inverse[1] * ascent, inverse[2] * ascent
    one, zero, tiny = z.dtype.type(1.0), z.dtype.type(0.0), z.dtype.type(1e-15)
    deep = min(k + 1, depth - 1)
    for j in range(rows):
        here, next_row, next_slice = z[k, j], z[k, min(j + 1, rows - 1)], z[deep, j]
        px, qx = p[axes - 1, k, j], q[axes - 1, k, j]
        py, qy = p[max(axes - 2, 0), k, j], q[max(axes - 2, 0), k, j]
        pz, qz = p[0, k, j], q[0, k, j]
        last = columns - 1
        for i in range(columns):
            step = here[i + 1] - here[i] if i < last else zero
            a = (qx[i] + ix * step) * shrink
            b = (qy[i] + iy * (next_row[i] - here[i])) * shrink if axes > 1 else zero
            c = (qz[i] + iz * (next_slice[i] - here[i])) * shrink if axes > 2 else zero
            size = one / max(one, np.sqrt(a * a + b * b + c * c))
            a, b, c = a * size, b * size, c * size
            # slopes that fade away must not end as denormal numbers, which are slow
            a = a if abs(a) > tiny else zero
            b = b if abs(b) > tiny else zero
            c = c if abs(c) > tiny else zero
            qx[i], px[i] = a + factor * (a - px[i]), a
            if axes > 1:
                qy[i], py[i] = b + factor * (b - py[i]), b
            if axes > 2:
                qz[i], pz[i] = c + factor * (c - pz[i]), c
