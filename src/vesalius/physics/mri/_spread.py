"""Between a grid and scattered samples: interpolate, and its transpose, spread."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math
from typing import Any, no_type_check

import torch
from torch import Tensor

from vesalius.ops._jit import kernel

Shape = tuple[int, ...]


def interpolate(grid: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Read samples off a periodic grid.

    Args:
        grid: (*batch, *grid), complex, two or three grid axes.
        index: (m, axis, width), int32, grid index of each tap.
        weight: (m, axis, width), the weight of each tap; the taps of all axes are multiplied.

    Returns:
        (*batch, m).
    """
    axes = index.shape[1]
    batch, size = grid.shape[: grid.ndim - axes], tuple(grid.shape[grid.ndim - axes :])
    flat = grid.reshape(-1, *size).contiguous()
    if grid.device.type == "cpu":
        out = torch.empty(flat.shape[0], index.shape[0], dtype=grid.dtype)
        loop = _interpolate_2d if axes == 2 else _interpolate_3d
        loop(_numpy(flat), _numpy(index), _numpy(weight), _numpy(out))
    else:
        out = interpolate_torch(flat, index.to(grid.device), weight.to(grid.device))
    return out.reshape(*batch, index.shape[0])


def spread(samples: Tensor, index: Tensor, weight: Tensor, size: Shape) -> Tensor:
    """Add samples into a periodic grid: the exact transpose of :func:`interpolate`.

    Args:
        samples: (*batch, m), complex.
        index: (m, axis, width), int32.
        weight: (m, axis, width).
        size: Shape of the grid.

    Returns:
        (*batch, *size).
    """
    batch = samples.shape[:-1]
    flat = samples.reshape(-1, samples.shape[-1]).contiguous()
    if samples.device.type == "cpu":
        grid = torch.zeros(flat.shape[0], *size, dtype=samples.dtype)
        loop = _spread_2d if len(size) == 2 else _spread_3d
        loop(_numpy(flat), _numpy(index), _numpy(weight), _numpy(grid))
    else:
        grid = spread_torch(flat, index.to(flat.device), weight.to(flat.device), size)
    return grid.reshape(*batch, *size)


def _numpy(x: Tensor) -> Any:
    return x.detach().resolve_conj().resolve_neg().numpy()


def interpolate_torch(grid: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Do :func:`interpolate` in torch, one pass for each tap of the kernel: the GPU's way.

    Args:
        grid: (batch, *grid).
        index: (m, axis, width).
        weight: (m, axis, width).

    Returns:
        (batch, m).
    """
    size = tuple(grid.shape[1:])
    flat = grid.reshape(grid.shape[0], -1)
    out = torch.zeros(grid.shape[0], index.shape[0], dtype=grid.dtype, device=grid.device)
    for place, factor in _taps(index, weight, size):
        out += flat[:, place] * factor.to(flat.real.dtype)
    return out


def spread_torch(samples: Tensor, index: Tensor, weight: Tensor, size: Shape) -> Tensor:
    """Do :func:`spread` in torch, one pass for each tap of the kernel.

    Args:
        samples: (batch, m).
        index: (m, axis, width).
        weight: (m, axis, width).
        size: Shape of the grid.

    Returns:
        (batch, *size).
    """
    shape = (samples.shape[0], math.prod(size))
    grid = torch.zeros(shape, dtype=samples.dtype, device=samples.device)
    for place, factor in _taps(index, weight, size):
        grid.index_add_(1, place, samples * factor.to(samples.real.dtype))
    return grid.reshape(-1, *size)


def _taps(index: Tensor, weight: Tensor, size: Shape) -> Any:
    strides = [math.prod(size[axis + 1 :]) for axis in range(len(size))]
    for taps in itertools.product(range(index.shape[2]), repeat=len(size)):
        place = sum(index[:, a, t].long() * strides[a] for a, t in enumerate(taps))
        factors = [weight[:, a, t] for a, t in enumerate(taps)]
        yield place, math.prod(factors[1:], start=factors[0])


@kernel
@no_type_check
def _interpolate_2d(grid, index, weight, out):
    width = index.shape[2]
    for b in range(grid.shape[0]):
        for m in range(index.shape[0]):
            total = 0j
            for j in range(width):
                row = grid[b, index[m, 0, j]]
                part = 0j
                for i in range(width):
                    part += row[index[m, 1, i]] * weight[m, 1, i]
                total += part * weight[m, 0, j]
            out[b, m] = total


@kernel
@no_type_check
def _spread_2d(samples, index, weight, grid):
    width = index.shape[2]
    for b in range(grid.shape[0]):
        for m in range(index.shape[0]):
            value = samples[b, m]
            for j in range(width):
                row = grid[b, index[m, 0, j]]
                part = value * weight[m, 0, j]
                for i in range(width):
                    row[index[m, 1, i]] += part * weight[m, 1, i]


@kernel
@no_type_check
def _interpolate_3d(grid, index, weight, out):
    width = index.shape[2]
    for b in range(grid.shape[0]):
        for m in range(index.shape[0]):
            total = 0j
            for k in range(width):
                for j in range(width):
                    row = grid[b, index[m, 0, k], index[m, 1, j]]
                    part = 0j
                    for i in range(width):
                        part += row[index[m, 2, i]] * weight[m, 2, i]
                    total += part * (weight[m, 0, k] * weight[m, 1, j])
            out[b, m] = total


@kernel
@no_type_check
def _spread_3d(samples, index, weight, grid):
    width = index.shape[2]
    for b in range(grid.shape[0]):
        for m in range(index.shape[0]):
            value = samples[b, m]
            for k in range(width):
                for j in range(width):
                    row = grid[b, index[m, 0, k], index[m, 1, j]]
                    part = value * (weight[m, 0, k] * weight[m, 1, j])
                    for i in range(width):
                        row[index[m, 2, i]] += part * weight[m, 2, i]
