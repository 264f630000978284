"""Coefficients of the interpolating cubic B-spline: the exact prefilter of cubic resampling."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Any, Literal, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._jit import kernel
from vesalius.ops._parts import in_parts

Extension = Literal["nearest", "mirror"]
Pads = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

POLE = math.sqrt(3.0) - 2.0
BLOCK = 256
ROWS = 16


def spline_coefficients(
    x: Float[Tensor, "*batch z y x"], *, extension: Extension = "mirror"
) -> Float[Tensor, "*batch z y x"]:
    """Give the coefficients whose cubic B-spline goes through every sample.

    The tridiagonal system of each axis is solved exactly, for the signal extended without end
    by its edge value (``"nearest"``) or by reflection about the edge samples (``"mirror"``).

    Args:
        x: float32 or float64; the last three axes are filtered, an axis of 1 is left alone.
        extension: How the signal goes on outside.

    Returns:
        As ``x``. Differentiable any number of times.

    References:
        Unser, Aldroubi, Eden (1993), doi:10.1109/78.193220 (B-spline signal processing, part I).
        Differs from it in: a finite tridiagonal solve instead of two recursive passes, so that
        the border is exact for any length.
    """
    out = x
    for axis in (-3, -2, -1):
        out = spline_coefficients_along(out, axis, extension=extension)
    return out


def spline_coefficients_along(
    x: Float[Tensor, "*shape"], axis: int, *, extension: Extension = "mirror"
) -> Float[Tensor, "*shape"]:
    """Give the spline coefficients along one axis; see ``spline_coefficients``.

    Args:
        x: float32 or float64, any shape.
        axis: Counted from the end, below 0.
        extension: How the signal goes on outside.

    Returns:
        As ``x``; an axis of 1 is left alone.
    """
    return _filter_axis(x, axis, extension) if x.shape[axis] > 1 else x


def extend_coefficients(
    c: Float[Tensor, "c z y x"], pads: Pads, *, extension: Extension
) -> Float[Tensor, "c z2 y2 x2"]:
    """Add the coefficients outside the array, exactly as the extended signal has them.

    Args:
        c: Coefficients of ``spline_coefficients`` with the same ``extension``.
        pads: How many before and after, for (z, y, x).
        extension: How the signal goes on outside.

    Returns:
        The larger array; differentiable.
    """
    shape = [n + a + b for n, (a, b) in zip(c.shape[1:], pads, strict=True)]
    out = c.new_empty((c.shape[0], *shape))
    inside = [slice(a, a + n) for n, (a, _) in zip(c.shape[1:], pads, strict=True)]
    out[:, inside[0], inside[1], inside[2]] = c
    for axis, (before, after) in enumerate(pads):
        # axes before this one are whole already, those after it still only inside
        at: list[slice] = [slice(None)] * (axis + 1) + inside[axis:]
        _fill(out, at, axis + 1, before, -1, extension)
        _fill(out, at, axis + 1, after, 1, extension)
    return out


def _fill(
    out: Tensor, at: list[slice], axis: int, count: int, side: int, extension: Extension
) -> None:
    """Write ``count`` slabs on one side of the part of ``out`` that ``at`` names."""
    if count == 0:
        return
    first, last = at[axis].start, at[axis].stop
    n, edge = last - first, first if side < 0 else last - 1

    def slab(start: int, stop: int) -> tuple[slice, ...]:
        return (*at[:axis], slice(start, stop), *at[axis + 1 :])

    steps = torch.arange(count, 0, -1) if side < 0 else torch.arange(1, count + 1)
    target = slab(edge - count, edge) if side < 0 else slab(edge + 1, edge + 1 + count)
    if n == 1:
        out[target] = out[slab(edge, edge + 1)].clone()
    elif extension == "mirror":
        fold = steps % (2 * (n - 1))
        fold = torch.minimum(fold, 2 * (n - 1) - fold)
        whole = out[slab(first, last)]
        out[target] = whole.index_select(axis, (fold if side < 0 else n - 1 - fold).to(out.device))
    else:
        shape = [1] * out.ndim
        shape[axis] = count
        decay = (POLE ** steps.double()).to(out.device, out.dtype).reshape(shape)
        c0 = out[slab(edge, edge + 1)].clone()
        c1 = out[slab(edge - side, edge - side + 1)].clone()
        value = ((4 + POLE) * c0 + c1) / (5 + POLE)
        out[target] = value + decay * (c0 - value)


def _system(n: int, extension: Extension) -> tuple[Any, Any]:
    """Give the diagonal and the scale of the right-hand side; beside the diagonal stand ones."""
    diagonal, scale = np.full(n, 4.0), np.full(n, 6.0)
    diagonal[[0, -1]] = 4 + POLE if extension == "nearest" else 2.0
    scale[[0, -1]] = 5 + POLE if extension == "nearest" else 3.0
    return diagonal, scale


def _filter_axis(x: Tensor, axis: int, extension: Extension) -> Tensor:
    n = x.shape[axis]
    diagonal, scale = _system(n, extension)
    if x.device.type == "cpu":
        one = np.ones(n)
        out: Tensor = _Solve.apply(x, axis, (diagonal, scale, one))  # type: ignore[no-untyped-call]
        return out
    matrix = np.diag(diagonal) + np.eye(n, k=1) + np.eye(n, k=-1)
    inverse = torch.as_tensor(np.linalg.inv(matrix) * scale, dtype=x.dtype, device=x.device)
    return (x.movedim(axis, -1) @ inverse.T).movedim(-1, axis)


class _Solve(torch.autograd.Function):
    """Scale, solve the symmetric system, scale; the adjoint swaps the two scales."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, system: Any) -> Tensor:
        ctx.axis, ctx.system = axis, system
        return _solve(x, axis, *system)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        diagonal, before, after = ctx.system
        swapped = (diagonal, after, before)
        out = _Solve.apply(gradient, ctx.axis, swapped)  # type: ignore[no-untyped-call]
        return out, None, None


def _solve(x: Tensor, axis: int, diagonal: Any, before: Any, after: Any) -> Tensor:
    pivot = np.empty_like(diagonal)
    pivot[0] = 1 / diagonal[0]
    for k in range(1, len(diagonal)):
        pivot[k] = 1 / (diagonal[k] - pivot[k - 1])
    inner = int(np.prod(x.shape[x.ndim + axis + 1 :], dtype=np.int64))
    source = x.detach().contiguous().view(-1, x.shape[axis], inner).numpy()
    out = np.empty_like(source)
    # (x[k] * before[k] - y[k - 1]) * pivot[k] and y[k] * after[k], in the number type of x
    factors = np.stack([pivot, before * pivot, after]).astype(source.dtype)
    loop = _solve_last if inner == 1 else _solve_middle
    outer = source.shape[0]
    count = -(-outer // ROWS) if inner == 1 else outer * -(-inner // BLOCK)
    in_parts(lambda a, b: loop(source, out, factors, a, b), count, cost=out.size)
    return torch.from_numpy(out).view(x.shape)


@kernel
@no_type_check
def _sweep(x, out, factors):
    """Solve many columns at once: x and out are (n, columns)."""
    n, columns = x.shape
    p = factors[1, 0]
    row, result = x[0], out[0]
    for i in range(columns):
        result[i] = row[i] * p
    for k in range(1, n):
        p, q = factors[1, k], factors[0, k]
        row, result, last = x[k], out[k], out[k - 1]
        for i in range(columns):
            result[i] = row[i] * p - last[i] * q
    for k in range(n - 2, -1, -1):
        q = factors[0, k]
        result, last = out[k], out[k + 1]
        for i in range(columns):
            result[i] -= q * last[i]
    for k in (0, n - 1):  # all other scales after the solve are 1 or 6
        out[k] *= factors[2, k]
    if n > 2 and factors[2, 1] != 1:
        out[1 : n - 1] *= factors[2, 1]


@kernel
@no_type_check
def _solve_middle(x, out, factors, start, stop):
    inner = x.shape[2]
    blocks = -(-inner // BLOCK)
    for part in range(start, stop):
        o = part // blocks
        first = (part % blocks) * BLOCK
        last = min(inner, first + BLOCK)
        _sweep(x[o, :, first:last], out[o, :, first:last], factors)


@kernel
@no_type_check
def _solve_last(x, out, factors, start, stop):
    n = x.shape[1]
    turned = np.zeros((n, ROWS), dtype=x.dtype)
    solved = np.zeros((n, ROWS), dtype=x.dtype)
    for part in range(start, stop):
        first = part * ROWS
        rows = min(ROWS, x.shape[0] - first)
        for k in range(n):
            for r in range(rows):
                turned[k, r] = x[first + r, k, 0]
        _sweep(turned, solved, factors)
        for r in range(rows):
            for k in range(n):
                out[first + r, k, 0] = solved[k, r]
