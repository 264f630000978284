"""Joint histogram of two images through a cubic B-spline window, and how it changes with them."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import IntensityError
from vesalius.ops._jit import kernel
from vesalius.ops._threads import share

Line = Float[Tensor, "n"]
Table = Float[Tensor, "bins bins"]
LEAST = 1 << 16  # samples worth a thread
SLACK = 1e-3  # how far outside of 0 to 1 a value still counts as rounding
CHUNK = 1 << 18  # samples whose window values are held at once where a device multiplies matrices


def joint_histogram(a: Line, b: Line, weight: Line, *, bins: int) -> Table:
    """Count pairs of values, each spread over 4 x 4 bins by the cubic B-spline.

    A value of 0 has its centre in bin 2, a value of 1 in bin ``bins - 3``, so that every window
    lies inside, also of values that rounding moved beyond 0 or 1.

    Args:
        a: (n,), float32 or float64, 0 to 1; the rows of the table.
        b: (n,), same dtype; its columns.
        weight: (n,), not negative; samples of weight 0 are not read. Not differentiated.
        bins: Number of bins, 8 to 1000.

    Returns:
        (bins, bins) float64; sums to the sum of the weights. Differentiable by ``a`` and ``b``.

    Raises:
        IntensityError: A value that counts is NaN or outside of 0 to 1.

    References:
        Thevenaz, Unser (2000), doi:10.1109/83.887976, eqs. (8), (9) and (24).
    """
    table: Table = _Histogram.apply(a, b, weight, bins)  # type: ignore[no-untyped-call]
    return table


class _Histogram(torch.autograd.Function):
    """The table forward; backward looks up the table's gradient at each pair."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weight: Tensor, bins: int) -> Tensor:
        ctx.save_for_backward(a, b, weight)
        return _table(a.detach(), b.detach(), weight.detach(), bins)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        a, b, weight = (t.detach() for t in ctx.saved_tensors)
        by_a, by_b = ctx.needs_input_grad[:2]
        return (
            _slope(b, a, weight, gradient.T) if by_a else None,
            _slope(a, b, weight, gradient) if by_b else None,
            None,
            None,
        )


def _table(a: Tensor, b: Tensor, weight: Tensor, bins: int) -> Tensor:
    if a.device.type != "cpu":
        return _table_torch(a, b, weight, bins)
    x, y, w = (t.contiguous().numpy() for t in (a, b, weight))
    parts: list[tuple[int, Any, int]] = []

    def part(start: int, stop: int) -> None:
        table = np.zeros((bins, bins))
        parts.append((start, table, _count(x, y, w, table, start, stop)))

    share(part, len(w), least=LEAST)
    parts.sort(key=lambda found: found[0])
    _require_inside(sum(outside for _, _, outside in parts))
    return torch.from_numpy(np.sum([table for _, table, _ in parts], axis=0))


def _require_inside(outside: int) -> None:
    if outside:
        raise IntensityError(
            f"values of a joint histogram must lie in 0 to 1, got {outside} pairs with NaN or a "
            "value outside: scale the images first, as the similarity's features does"
        )


def _slope(a: Tensor, b: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    """Give the derivative by ``b``, where ``gradient`` (bins, bins) is that by the table."""
    if a.device.type != "cpu":
        return _slope_torch(a, b, weight, gradient)
    x, y, w = (t.contiguous().numpy() for t in (a, b, weight))
    out = np.empty_like(y)
    cells = np.ascontiguousarray(gradient.detach().numpy(), dtype=y.dtype)
    share(lambda i, j: _look_up(x, y, w, (cells, out), i, j), len(w), least=LEAST)
    return torch.from_numpy(out)


def _table_torch(a: Tensor, b: Tensor, weight: Tensor, bins: int) -> Tensor:
    total = torch.zeros((bins, bins), dtype=torch.float64, device=a.device)
    inside = (a > -SLACK) & (a < 1 + SLACK) & (b > -SLACK) & (b < 1 + SLACK)
    _require_inside(int((~inside & (weight > 0)).sum()))
    for start in range(0, len(a), CHUNK):
        x, y, w = (t[start : start + CHUNK] for t in (a, b, weight))
        w = w[:, None]
        rows = (_window(x, bins)[0] * w).where(w > 0, 0)
        total += (rows.T @ _window(y, bins)[0].where(w > 0, 0)).double()
    return total


def _slope_torch(a: Tensor, b: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    bins, cells = len(gradient), gradient.to(b.dtype)
    slopes = [
        ((_window(x, bins)[0] @ cells) * _window(y, bins)[1]).sum(1)
        for x, y in zip(torch.split(a, CHUNK), torch.split(b, CHUNK), strict=True)
    ]
    return (torch.cat(slopes) * weight).where(weight > 0, 0)


def _window(values: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Give the cubic B-spline at each bin, (n, bins), and its derivative by the value."""
    at = 2 + (bins - 5) * values
    d = at[:, None] - torch.arange(bins, dtype=values.dtype, device=values.device)
    r = d.abs()
    outer = (2 - r).clamp(min=0)
    near = r < 1
    value = torch.where(near, 2 / 3 - r * r * (1 - r / 2), outer**3 / 6)
    slope = torch.where(near, d * (1.5 * r - 2), -d.sign() * outer**2 / 2)
    return value, slope * (bins - 5)


@kernel
@no_type_check
def _inside(value):
    return value > -SLACK and value < 1 + SLACK  # not so for NaN


@kernel
@no_type_check
def _place(value, bins):
    """Give the first of four bins of a value and its position between the middle two, 0 to 1."""
    at = 1 + (bins - 5) * np.float64(value)
    first = int(at)
    return first, at - first


@kernel
@no_type_check
def _cubic(t):
    """Give the four values of the cubic B-spline at 1 + t, t, 1 - t and 2 - t."""
    s = 1 - t
    p, q = s * s * s / 6, t * t * t / 6
    return p, s + (q - 2 * p), t + (p - 2 * q), q


@kernel
@no_type_check
def _count(a, b, weight, table, start, stop):
    """Add one part of the pairs to the table; give how many lie outside of it."""
    bins = table.shape[0]
    outside = 0
    for n in range(start, stop):
        w = np.float64(weight[n])
        if w > 0:
            if not (_inside(a[n]) and _inside(b[n])):
                outside += 1
                continue
            i, t = _place(a[n], bins)
            j, u = _place(b[n], bins)
            q0, q1, q2, q3 = _cubic(u)
            for k, p in enumerate(_cubic(t)):
                row, r = table[i + k], w * p
                row[j] += r * q0
                row[j + 1] += r * q1
                row[j + 2] += r * q2
                row[j + 3] += r * q3
    return outside


@kernel
@no_type_check
def _look_up(a, b, weight, tables, start, stop):
    """Write the derivative by b of one part: each pair meets a window and a window's slope."""
    cells, out = tables
    bins = cells.shape[0]
    for n in range(start, stop):
        w = weight[n]
        out[n] = 0
        if w > 0 and _inside(a[n]) and _inside(b[n]):
            i, t = _place(a[n], bins)
            j, u = _place(b[n], bins)
            s = 1 - u
            d0, d1, d2, d3 = -s * s / 2, u * (1.5 * u - 2), s * (2 - 1.5 * s), u * u / 2
            total = 0.0
            for k, p in enumerate(_cubic(t)):
                row = cells[i + k]
                total += p * (d0 * row[j] + d1 * row[j + 1] + d2 * row[j + 2] + d3 * row[j + 3])
            out[n] = w * (bins - 5) * total
