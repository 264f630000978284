"""Free-form fields: the cubic B-spline of coefficients on a lattice, its value and its slope.

Along an axis the local coordinate is the fractional part of the position and the first of the four
coefficients is the floor less one. Beyond the lattice coefficients count as 0; along an axis of one
coefficient the field is constant.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops import _gather
from vesalius.ops._freeform_loops import slope_points
from vesalius.ops._parts import in_parts

Coefficients = Float[Tensor, "c z y x"]
Index = Float[Tensor, "*n 3"]
Taps = tuple[Tensor, Tensor, Tensor]

BEFORE, AFTER = 3, 4  # zeros around the lattice, so that a clamped position has its four
SLAB = 1 << 22  # positions handled at once


def spline_at(coefficients: Coefficients, index_points: Index) -> Float[Tensor, "c *n"]:
    """Evaluate the spline at any positions.

    Args:
        coefficients: (c, z, y, x), float32 or float64, any unit.
        index_points: Positions (z, y, x) among the coefficients, samples.

    Returns:
        (c, *n), dtype and device of ``coefficients``. Differentiable by both.
    """
    flat = index_points.reshape(-1, 3)
    if _by_torch(coefficients, flat):
        out = _sum(coefficients, _taps(coefficients, flat), (1, 1, 1))
    else:
        out = _by_loops(coefficients, flat)
    return out.reshape(coefficients.shape[0], *index_points.shape[:-1])


def spline_slope(coefficients: Coefficients, index_points: Index) -> Float[Tensor, "c 3 *n"]:
    """Give the exact derivative of the spline by the position.

    Args:
        coefficients: (c, z, y, x).
        index_points: Positions (z, y, x) among the coefficients, samples.

    Returns:
        (c, 3, *n); per sample along (z, y, x). Differentiable by both.
    """
    flat = index_points.reshape(-1, 3)
    if _by_torch(coefficients, flat):
        taps = _taps(coefficients, flat)
        orders = ((2, 1, 1), (1, 2, 1), (1, 1, 2))
        slope = torch.stack([_sum(coefficients, taps, order) for order in orders], dim=1)
    else:
        slope = coefficients.new_empty((coefficients.shape[0], 3, len(flat)))
        padded, frame = _padded(coefficients.detach())
        source, where, out = padded.numpy(), flat.detach().cpu().contiguous().numpy(), slope.numpy()
        in_parts(
            lambda a, b: slope_points(source, where, frame, out, a, b), len(where), cost=out.size
        )
    return slope.reshape(coefficients.shape[0], 3, *index_points.shape[:-1])


def spline_on_lattice(
    coefficients: Coefficients, matrix: Float[Tensor, "4 4"], *, shape: tuple[int, int, int]
) -> Float[Tensor, "c z2 y2 x2"]:
    """Evaluate the spline on a regular lattice; axis by axis where the axes agree.

    Args:
        coefficients: (c, z, y, x).
        matrix: (4, 4) float64; index of the lattice to index among the coefficients.
        shape: Of the lattice.

    Returns:
        (c, *shape). Differentiable by the coefficients.
    """
    m = matrix.detach().to("cpu", torch.float64)
    if not bool((m[:3, :3] - m[:3, :3].diagonal().diag()).any()):
        out = coefficients
        for axis in (2, 1, 0):  # the last axis first: its product has the fewest rows
            at = m[axis, axis] * torch.arange(shape[axis], dtype=torch.float64) + m[axis, 3]
            weight = _matrix(at, coefficients.shape[axis + 1], coefficients)
            out = torch.tensordot(out, weight, dims=([axis + 1], [1])).movedim(-1, axis + 1)
        return out.contiguous()
    m = m.to(coefficients.device)
    axes = [torch.arange(n, dtype=torch.float64, device=m.device) for n in shape]
    plane = axes[1][:, None, None] * m[:3, 1] + axes[2][:, None] * m[:3, 2] + m[:3, 3]
    slab = max(1, SLAB // (shape[1] * shape[2]))
    parts = [
        spline_at(coefficients, z[:, None, None, None] * m[:3, 0] + plane)
        for z in torch.split(axes[0], slab)
    ]
    return torch.cat(parts, dim=1)


def _by_torch(coefficients: Tensor, flat: Tensor) -> bool:
    tracked = torch.is_grad_enabled() and (coefficients.requires_grad or flat.requires_grad)
    return tracked or coefficients.device.type != "cpu"


def _by_loops(coefficients: Tensor, flat: Tensor) -> Tensor:
    padded, frame = _padded(coefficients.detach())
    source, where = padded.numpy(), flat.detach().cpu().contiguous().numpy()
    out = np.empty((source.shape[0], len(where)), dtype=source.dtype)
    zero, far = out.dtype.type(0), math.inf

    def part(start: int, stop: int) -> None:
        _gather.points(source, where, frame, _gather.CUBIC, False, far, zero, out, start, stop)

    in_parts(part, len(where), cost=out.size)
    return torch.from_numpy(out)


def _padded(coefficients: Tensor) -> tuple[Tensor, Any]:
    """Add what the loops of interpolation read around the lattice; see ``_gather.affine``."""
    out, rows = coefficients, []
    for axis, n in enumerate(coefficients.shape[1:], start=1):
        if n == 1:
            out = out.repeat_interleave(1 + BEFORE + AFTER, dim=axis)
            rows.append([1.0, 0.0, 0.0, float(BEFORE)])
        else:
            wide = [0, 0] * (3 - axis) + [BEFORE, AFTER]
            out = torch.nn.functional.pad(out, wide)
            rows.append([float(n), -2.0, n + 1.0, float(BEFORE)])
    return out.contiguous(), np.array(rows)


def _matrix(position: Tensor, n: int, like: Tensor) -> Tensor:
    """Give the weight of each coefficient at positions along one axis, (positions, n)."""
    at, weight, _ = _axis(position, n)
    out = torch.zeros((len(position), n), dtype=torch.float64)
    out.scatter_add_(1, at.T.contiguous(), weight.T.contiguous())
    return out.to(like.device, like.dtype)


def _taps(coefficients: Tensor, flat: Tensor) -> list[Taps]:
    index = flat.to(coefficients.device, coefficients.dtype)
    return [_axis(index[:, a], n) for a, n in enumerate(coefficients.shape[1:])]


def _axis(index: Tensor, n: int) -> Taps:
    """Give four coefficients, their weights, and the derivatives of these, each (4, points)."""
    if n == 1:
        zero = (0 * index)[None]
        return zero.long(), zero + 1, zero
    first = index.detach().floor()
    t = index - first
    s = 1 - t
    weight = torch.stack(
        [s**3 / 6, 2 / 3 - t * t * (1 - t / 2), 2 / 3 - s * s * (1 - s / 2), t**3 / 6]
    )
    slope = torch.stack([-s * s / 2, t * (1.5 * t - 2), s * (2 - 1.5 * s), t * t / 2])
    at = first.long() + torch.arange(-1, 3, device=index.device)[:, None]
    there = ((at >= 0) & (at < n)).to(index.dtype)
    return at.clamp(0, n - 1), weight * there, slope * there


def _sum(coefficients: Tensor, taps: list[Taps], orders: tuple[int, int, int]) -> Tensor:
    """Sum the coefficients around each position, weighted by the named entries of the taps."""
    _, _, ny, nx = coefficients.shape
    flat = coefficients.flatten(1)
    (iz, wz), (iy, wy), (ix, wx) = ((t[0], t[o]) for t, o in zip(taps, orders, strict=True))
    total = flat.new_zeros((flat.shape[0], iz.shape[1]))
    for a, b, c in product(range(len(iz)), range(len(iy)), range(len(ix))):
        at = (iz[a] * ny + iy[b]) * nx + ix[c]
        total = total + flat[:, at] * (wz[a] * wy[b] * wx[c])
    return total
