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
    out = np.zeros((outer, size, inner), dtype=source.dtype)
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
def _along_middle(x, out, index, weight, adjoint, start, stop):
    inner = x.shape[2]
    blocks = -(-inner // BLOCK)
    for part in range(start, stop):
        o = part // blocks
        first = (part % blocks) * BLOCK
        last = min(inner, first + BLOCK)
        for j in range(index.shape[0]):
            for t in range(index.shape[1]):
                w = weight[j, t]
                k = index[j, t]
                if adjoint:
                    for i in range(first, last):
                        out[o, k, i] += w * x[o, j, i]
                else:
                    for i in range(first, last):
                        out[o, j, i] += w * x[o, k, i]


@kernel
@no_type_check
def _along_last(x, out, index, weight, adjoint, start, stop):
    outer = x.shape[0]
    turned = np.zeros((x.shape[1], ROWS), dtype=x.dtype)
    result = np.zeros((out.shape[1], ROWS), dtype=x.dtype)
    for part in range(start, stop):
        first = part * ROWS
        rows = min(ROWS, outer - first)
        for r in range(rows):
            for k in range(x.shape[1]):
                turned[k, r] = x[first + r, k, 0]
        result[:] = 0
        for j in range(index.shape[0]):
            for t in range(index.shape[1]):
                w = weight[j, t]
                k = index[j, t]
                if adjoint:
                    for r in range(ROWS):
                        result[k, r] += w * turned[j, r]
                else:
                    for r in range(ROWS):
                        result[j, r] += w * turned[k, r]
        for r in range(rows):
            for j in range(out.shape[1]):
                out[first + r, j, 0] = result[j, r]
