"""Two images, sample by sample: squared difference and correlation, each with its derivative."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._jit import kernel
from vesalius.ops._threads import share

Pair = Float[Tensor, "c n"]
Flat = Float[Tensor, "n"]
LEAST = 1 << 16  # samples worth a thread


def mean_square(a: Pair, b: Pair, weight: Flat) -> tuple[float, Pair]:
    """Give the weighted mean square of ``b - a`` and its derivative by ``b``.

    Args:
        a: (c, n), float32 or float64.
        b: Same shape and dtype.
        weight: (n,), not negative; samples of weight 0 are not read.

    Returns:
        The mean over samples and channels, and (c, n).
    """
    total = float(weight.sum(dtype=torch.float64)) * a.shape[0]
    if a.device.type != "cpu":
        difference = (b - a).where(weight > 0, 0)
        scaled = difference * weight
        return float((scaled * difference).sum(dtype=torch.float64)) / total, scaled * (2 / total)
    x, y, w = _arrays(a, b, weight)
    slope = np.empty_like(y)
    factor = y.dtype.type(2 / total)
    sums: list[float] = []
    share(lambda i, j: sums.append(_square(x, y, w, (slope, factor), (i, j))), len(w), least=LEAST)
    return math.fsum(sums) / total, torch.from_numpy(slope)


def correlation(a: Pair, b: Pair, weight: Flat) -> tuple[Float[Tensor, "c"], Pair]:
    """Give the weighted correlation of each channel and its derivative by ``b``.

    Args:
        a: (c, n), float32 or float64.
        b: Same shape and dtype.
        weight: (n,), not negative; samples of weight 0 are not read.

    Returns:
        (c,) float64, and (c, n). Both are 0 where an image is constant.
    """
    values, slopes = [], []
    for x, y in zip(a, b, strict=True):
        value, (p, q, r) = _line(_moments(x, y, weight))
        values.append(value)
        slopes.append(_combined(x, y, weight, (p, q, r)))
    return torch.tensor(values, dtype=torch.float64), torch.stack(slopes)


def _line(moments: list[float]) -> tuple[float, tuple[float, float, float]]:
    """Give the correlation, and p, q, r of its derivative ``w (p + q a + r b)``."""
    total, sa, sb, aa, bb, ab, a0, b0 = moments
    ma, mb = sa / total, sb / total
    va, vb, cov = aa / total - ma * ma, bb / total - mb * mb, ab / total - ma * mb
    # a spread below rounding is none
    if va <= 1e-14 * (a0 + ma) ** 2 or vb <= 1e-14 * (b0 + mb) ** 2:
        return 0.0, (0.0, 0.0, 0.0)
    value = cov / math.sqrt(va * vb)
    q = 1 / (math.sqrt(va * vb) * total)
    r = -value / (vb * total)
    return value, (-q * (ma + a0) - r * (mb + b0), q, r)


def _moments(a: Tensor, b: Tensor, weight: Tensor) -> list[float]:
    """Sum weight, a, b and their products about a value of each, which come last."""
    seen = int((weight > 0).to(torch.uint8).argmax())
    a0, b0 = float(a[seen]), float(b[seen])
    if a.device.type == "cpu":
        x, y, w = _arrays(a, b, weight)
        parts: list[Any] = []
        share(lambda i, j: parts.append(_five(x, y, w, (a0, b0), (i, j))), len(w), least=LEAST)
        return [*(math.fsum(column) for column in zip(*parts, strict=True)), a0, b0]
    keep, w64 = weight > 0, weight.double()
    x64, y64 = (a.double() - a0).where(keep, 0), (b.double() - b0).where(keep, 0)
    terms = (w64, w64 * x64, w64 * y64, w64 * x64 * x64, w64 * y64 * y64, w64 * x64 * y64)
    return [*torch.stack([t.sum() for t in terms]).tolist(), a0, b0]


def _combined(a: Tensor, b: Tensor, weight: Tensor, line: tuple[float, float, float]) -> Tensor:
    p, q, r = line
    if a.device.type != "cpu":
        return (weight * (p + q * a + r * b)).where(weight > 0, 0)
    x, y, w = _arrays(a, b, weight)
    out = np.empty_like(y)
    factors = np.array([p, q, r], dtype=y.dtype)
    share(lambda i, j: _combine(x, y, w, (out, factors), (i, j)), len(w), least=LEAST)
    return torch.from_numpy(out)


def _arrays(*tensors: Tensor) -> Any:
    return tuple(t.detach().contiguous().numpy() for t in tensors)


@kernel
@no_type_check
def _square(a, b, weight, out, part):
    """Sum w (b - a)^2 and write ``factor * w (b - a)`` for the samples of one part."""
    slope, factor = out
    total = 0.0
    for c in range(a.shape[0]):
        x, y, s = a[c], b[c], slope[c]
        for i in range(part[0], part[1]):
            w = weight[i]
            d = y[i] - x[i] if w > 0 else x.dtype.type(0)
            s[i] = factor * w * d
            total += w * d * d
    return total


@kernel
@no_type_check
def _five(a, b, weight, origin, part):
    a0, b0 = origin
    total, sa, sb, aa, bb, ab = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(part[0], part[1]):
        w = np.float64(weight[i])
        if w > 0:
            x, y = a[i] - a0, b[i] - b0
            wx, wy = w * x, w * y
            total += w
            sa += wx
            sb += wy
            aa += wx * x
            bb += wy * y
            ab += wx * y
    return total, sa, sb, aa, bb, ab


@kernel
@no_type_check
def _combine(a, b, weight, out, part):
    slope, factors = out
    p, q, r = factors
    for i in range(part[0], part[1]):
        w = weight[i]
        slope[i] = w * (p + q * a[i] + r * b[i]) if w > 0 else slope.dtype.type(0)
