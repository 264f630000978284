"""Band: a sparse linear map along one axis, the fast way to filter or resample separably."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.ops._jit import kernel
from vesalius.ops._parts import in_parts

ROWS = 16  # rows turned at once where the axis is the last one, so that the loop vectorises
BLOCK = 1024  # samples of an inner row handled at once, so that they stay in the first cache


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Rows with few entries: ``out[j] = sum_t weight[j, t] * x[index[j, t]]``.

    Attributes:
        index: (n_out, taps) int64, where each tap reads; may repeat.
        weight: (n_out, taps) float64.
        size: Number of samples along the axis of the input.
    """

    index: Int[np.ndarray[Any, Any], "n taps"]
    weight: Float[np.ndarray[Any, Any], "n taps"]
    size: int


def apply_band(x: Float[Tensor, "*shape"], band: Band, *, axis: int) -> Float[Tensor, "*out"]:
    """Apply a band along one axis; differentiable by ``x`` any number of times.

    Args:
        x: float32 or float64, any shape, any device.
        band: The map.
        axis: The axis it acts along.

    Returns:
        As ``x``, with ``len(band.index)`` samples along the axis.
    """
    moved = _as_three(x, axis)
    on_cpu = x.device.type == "cpu"
    out = _Apply.apply(moved, band) if on_cpu else _apply_torch(moved, band)  # type: ignore[no-untyped-call]
    axis %= x.ndim
    result: Tensor = out.reshape(*x.shape[:axis], len(band.index), *x.shape[axis + 1 :])
    return result


def _as_three(x: Tensor, axis: int) -> Tensor:
    axis %= x.ndim
    inner = int(np.prod(x.shape[axis + 1 :], dtype=np.int64))
    return x.contiguous().reshape(-1, x.shape[axis], inner)


def _apply_torch(x: Tensor, band: Band) -> Tensor:
    index = torch.as_tensor(band.index, device=x.device)
    weight = torch.as_tensor(band.weight, device=x.device, dtype=x.dtype)[:, :, None]
    out = weight[:, 0] * x.index_select(1, index[:, 0])
    for tap in range(1, index.shape[1]):
        out = out + weight[:, tap] * x.index_select(1, index[:, tap])
    return out


class _Apply(torch.autograd.Function):
    """The band on the CPU; its derivative is the adjoint band, and the other way round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Band) -> Tensor:
        ctx.band = band
        return _run(x, band, len(band.index), adjoint=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Adjoint.apply(gradient, ctx.band), None  # type: ignore[no-untyped-call]


class _Adjoint(torch.autograd.Function):
    """The adjoint of the band on the CPU."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, band: Band) -> Tensor:
        ctx.band = band
        return _run(y, band, band.size, adjoint=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Apply.apply(gradient, ctx.band), None  # type: ignore[no-untyped-call]


def _run(x: Tensor, band: Band, size: int, *, adjoint: bool) -> Tensor:
    source = x.detach().contiguous().numpy()
    outer, _, inner = source.shape
    out = (np.zeros if adjoint else np.empty)((outer, size, inner), dtype=source.dtype)
    weight = band.weight.astype(source.dtype)

    def lines(start: int, stop: int) -> None:
        _along_last(source, out, band.index, weight, adjoint, start, stop)

    def rows(start: int, stop: int) -> None:
        _along_middle(source, out, band.index, weight, adjoint, start, stop)

    count = -(-outer // ROWS) if inner == 1 else outer * -(-inner // BLOCK)
    in_parts(lines if inner == 1 else rows, count, cost=out.size)
    return torch.from_numpy(out)


@kernel
@no_type_check
def _combine(x, out, index, weight):
    """Write one row: ``out = sum_t weight[t] * x[index[t]]``, four taps at a time."""
    taps = len(index)
    n = len(out)
    t = 0
    if taps >= 4:
        w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
        a, b, c, d = x[index[0]], x[index[1]], x[index[2]], x[index[3]]
        for i in range(n):
            out[i] = (w0 * a[i] + w1 * b[i]) + (w2 * c[i] + w3 * d[i])
        t = 4
    elif taps >= 2:
        w0, w1 = weight[0], weight[1]
        a, b = x[index[0]], x[index[1]]
        for i in range(n):
            out[i] = w0 * a[i] + w1 * b[i]
        t = 2
    else:
        out[:] = 0
    while t + 4 <= taps:
        w0, w1, w2, w3 = weight[t], weight[t + 1], weight[t + 2], weight[t + 3]
        a, b, c, d = x[index[t]], x[index[t + 1]], x[index[t + 2]], x[index[t + 3]]
        for i in range(n):
            out[i] += (w0 * a[i] + w1 * b[i]) + (w2 * c[i] + w3 * d[i])
        t += 4
    while t < taps:
        w0 = weight[t]
        a = x[index[t]]
        for i in range(n):
            out[i] += w0 * a[i]
        t += 1


@kernel
@no_type_check
def _spread(x, out, index, weight):
    """Add one row to those it came from: ``out[index[t]] += weight[t] * x``."""
    for t in range(len(index)):
        w = weight[t]
        row = out[index[t]]
        for i in range(len(x)):
            row[i] += w * x[i]


@kernel
@no_type_check
def _along_middle(x, out, index, weight, adjoint, start, stop):
    inner = x.shape[2]
    blocks = -(-inner // BLOCK)
    for part in range(start, stop):
        o = part // blocks
        first = (part % blocks) * BLOCK
        last = min(inner, first + BLOCK)
        source = x[o, :, first:last]
        target = out[o, :, first:last]
        for j in range(index.shape[0]):
            if adjoint:
                _spread(source[j], target, index[j], weight[j])
            else:
                _combine(source, target[j], index[j], weight[j])


@kernel
@no_type_check
def _along_last(x, out, index, weight, adjoint, start, stop):
    outer = x.shape[0]
    turned = np.zeros((x.shape[1], ROWS), dtype=x.dtype)
    result = np.zeros((out.shape[1], ROWS), dtype=x.dtype)
    for part in range(start, stop):
        first = part * ROWS
        rows = min(ROWS, outer - first)
        for k in range(x.shape[1]):
            for r in range(rows):
                turned[k, r] = x[first + r, k, 0]
        if adjoint:
            result[:] = 0
        for j in range(index.shape[0]):
            if adjoint:
                _spread(turned[j], result, index[j], weight[j])
            else:
                _combine(turned, result[j], index[j], weight[j])
        for r in range(rows):
            for j in range(out.shape[1]):
                out[first + r, j, 0] = result[j, r]
