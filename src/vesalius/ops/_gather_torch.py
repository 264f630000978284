"""Interpolation by torch alone: on the GPU, and wherever derivatives are wanted."""
# SPDX-License-Identifier: Apache-2.0

from itertools import product
from typing import Any

import torch
from torch import Tensor

from vesalius.ops._separable import Rule


def gather(volume: Tensor, at: Tensor, frame: Any, rule: Rule) -> Tensor:
    """Interpolate at positions; differentiable by ``volume`` and ``at``.

    Args:
        volume: (c, z, y, x) samples, or coefficients with samples added around.
        at: (n, 3) positions (z, y, x), samples.
        frame: (3, 4) for each axis: number of samples, lowest and highest position that can be
            read, samples added before the first one.
        rule: How.

    Returns:
        (c, n).
    """
    at = at.to(volume.device)
    limits = torch.as_tensor(frame, dtype=at.dtype, device=at.device)
    sizes, low, high, before = limits.unbind(dim=1)
    folded = _fold(at, sizes, rule)
    if rule.interpolation == "nearest":
        index = torch.minimum((folded + 0.5).floor().clamp(min=0), sizes - 1)
        out = volume.flatten(1)[:, _flat(index.long().unbind(1), volume.shape)]
    else:
        inside = torch.minimum(torch.maximum(folded, low), high) + before
        taps = _linear_taps if rule.interpolation == "linear" else _cubic_taps
        out = _sum(volume, [taps(inside[:, a], volume.shape[a + 1], volume) for a in range(3)])
    if rule.reach == float("inf"):
        return out
    there = ((at >= -rule.reach) & (at <= sizes - 1 + rule.reach)).all(dim=1)
    return torch.where(there, out, torch.as_tensor(rule.fill, dtype=out.dtype, device=out.device))


def _fold(at: Tensor, sizes: Tensor, rule: Rule) -> Tensor:
    if not rule.mirrored:
        return at
    period = (2 * (sizes - 1)).clamp(min=1)
    folded = at.abs() % period
    folded = torch.minimum(folded, period - folded)
    return torch.where(sizes > 1, folded, torch.zeros_like(folded))


def _flat(index: Any, shape: torch.Size) -> Tensor:
    z, y, x = index
    out: Tensor = (z * shape[2] + y) * shape[3] + x
    return out


def _linear_taps(position: Tensor, n: int, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    first = position.detach().floor().clamp(min=0, max=max(n - 2, 0))
    t = (position - first).to(like.dtype)
    index = first.long()
    return [(index, 1 - t), ((index + 1).clamp(max=n - 1), t)]


def _cubic_taps(position: Tensor, n: int, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    first = position.detach().floor()
    t = (position - first).to(like.dtype)
    s = 1 - t
    index = first.long().clamp(min=1, max=n - 3)
    return [
        (index - 1, s * s * s / 6),
        (index, 2 / 3 - t * t * (1 - t / 2)),
        (index + 1, 2 / 3 - s * s * (1 - s / 2)),
        (index + 2, t * t * t / 6),
    ]


def _sum(volume: Tensor, taps: list[list[tuple[Tensor, Tensor]]]) -> Tensor:
    flat = volume.flatten(1)
    out = flat.new_zeros((flat.shape[0], taps[0][0][0].numel()))
    for (z, wz), (y, wy), (x, wx) in product(*taps):
        out = out + flat[:, _flat((z, y, x), volume.shape)] * (wz * wy * wx)
    return out
