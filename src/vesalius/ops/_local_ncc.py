"""Local normalised correlation over box windows: value and exact gradient, fused on the CPU."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._jit import kernel
from vesalius.ops._threads import share

Volume = Float[Tensor, "z y x"]
Flow = Float[Tensor, "3 z y x"]
Radius = tuple[int, int, int]
REFRESH = 16  # running sums are started afresh this often: rounding never builds up
LEAST = 2  # fewest planes worth a thread


@dataclass(frozen=True, slots=True, eq=False)
class FixedWindows:
    """What the windows of the fixed image hold; made once, used at every step.

    Attributes:
        fixed: (z, y, x).
        weight: (z, y, x), 0 to 1, or None.
        radius: Half width of the window along (z, y, x), samples; cut at the borders.
        share: Of each window in the whole: the centre's weight over the weight of all; their sum
            is 1.
        inverse_count: 1 / sum of the weights in each window; 0 where there are none.
        mean: Weighted mean of ``fixed`` in each window.
        variance: Weighted variance in each window, plus ``floor``.
        floor: Added to both variances, so that flat windows count for nothing.
    """

    fixed: Volume
    weight: Volume | None
    radius: Radius
    share: Volume
    inverse_count: Volume
    mean: Volume
    variance: Volume
    floor: float


def fixed_windows(
    fixed: Volume, radius: Radius, *, weight: Volume | None = None, floor: float
) -> FixedWindows:
    """Take the sums of the fixed image that no step changes.

    Args:
        fixed: (z, y, x), float32 or float64; best of mean 0, to lose nothing in the variances.
        radius: Half width of the window along (z, y, x), samples.
        weight: (z, y, x), 0 to 1; None weighs all samples alike.
        floor: Added to both variances.

    Returns:
        The windows.
    """
    ones = torch.ones_like(fixed) if weight is None else weight
    count = box_sum(ones, radius)
    inverse = torch.where(count > 1e-3, 1 / count.clamp_min(1e-3), torch.zeros_like(count))
    mean = box_sum(ones * fixed, radius) * inverse
    square = box_sum(ones * fixed * fixed, radius) * inverse
    variance = (square - mean * mean).clamp_min(0) + floor
    inside = ones * (inverse > 0)
    part = inside / inside.sum().clamp_min(1e-12)
    return FixedWindows(fixed, weight, radius, part, inverse, mean, variance, floor)


def box_sum(x: Float[Tensor, "*batch z y x"], radius: Radius) -> Float[Tensor, "*batch z y x"]:
    """Sum over windows of ``2 r + 1`` samples along each of the last three axes; 0 outside.

    Shifted adds of doubling width: the cost grows with the logarithm of the radius. Differentiable.
    """
    for axis, r in zip((-3, -2, -1), radius, strict=True):
        if r > 0 and x.shape[axis] > 1:
            x = _box_sum_along(x, r, axis)
    return x


def _box_sum_along(x: Tensor, r: int, axis: int) -> Tensor:
    n, left = x.shape[axis], 2 * r + 1
    pads = [0, 0] * (-axis - 1) + [r, r]
    run = torch.nn.functional.pad(x, pads)
    out: Tensor | None = None
    at, width = 0, 1
    while left:
        if left & width:
            part = run.narrow(axis, at, n)
            out = part if out is None else out + part
            at, left = at + width, left - width
        if left:
            size = run.shape[axis] - width
            run = run.narrow(axis, 0, size) + run.narrow(axis, width, size)
            width *= 2
    assert out is not None
    return out


def local_ncc(windows: FixedWindows, warped: Volume) -> Tensor:
    """Give ``1 - mean of cc^2``; plain torch, differentiable by both images, any device."""
    ones = torch.ones_like(warped) if windows.weight is None else windows.weight
    inverse = windows.inverse_count
    mean = box_sum(ones * warped, windows.radius) * inverse
    square = box_sum(ones * warped * warped, windows.radius) * inverse
    both = box_sum(ones * warped * windows.fixed, windows.radius) * inverse
    cross = both - mean * windows.mean
    variance = (square - mean * mean).clamp_min(0) + windows.floor
    return 1 - (windows.share * cross * cross / (variance * windows.variance)).sum()


def local_ncc_gradient(windows: FixedWindows, warped: Volume) -> tuple[float, Volume]:
    """Give the loss and its derivative by each sample of ``warped``: exact, not the centre's alone.

    With ``a = 2 cross / (var_f var_w n)`` and ``b = a cross / var_w`` for each window, the
    derivative of the sum of ``cc^2`` at a sample is
    ``fixed box(a) - warped box(b) - box(a mean_f - b mean_w)``: six box sums in all.

    Args:
        windows: Of the fixed image.
        warped: (z, y, x), dtype of the fixed image.

    Returns:
        The loss, 0 to 1, and (z, y, x).
    """
    if warped.device.type != "cpu":
        return _gradient_torch(windows, warped)
    loss, (slope,) = _run(windows, warped, forces=False)
    return loss, slope


def local_ncc_force(
    windows: FixedWindows, warped: Volume
) -> tuple[float, Float[Tensor, "3 z y x"]]:
    """Give the loss and minus its derivative by a motion of each sample of ``warped``.

    The derivative by the sample times the central difference of ``warped`` along (z, y, x), in
    samples; borders repeat, an axis of one sample has none.

    Args:
        windows: Of the fixed image.
        warped: (z, y, x), dtype of the fixed image.

    Returns:
        The loss, 0 to 1, and (3, z, y, x).
    """
    if warped.device.type != "cpu":
        loss, slope = _gradient_torch(windows, warped)
        return loss, -slope * central_differences(warped)
    return _run(windows, warped, forces=True)


def central_differences(x: Volume) -> Flow:
    """Give half the difference of both neighbours along (z, y, x), samples; borders repeat."""
    parts = []
    for axis in range(3):
        n = x.shape[axis]
        index = torch.arange(n, device=x.device)
        up = x.index_select(axis, (index + 1).clamp_max(n - 1))
        down = x.index_select(axis, (index - 1).clamp_min(0))
        parts.append((up - down) * 0.5)
    return torch.stack(parts)


def _gradient_torch(windows: FixedWindows, warped: Volume) -> tuple[float, Volume]:
    ones = torch.ones_like(warped) if windows.weight is None else windows.weight
    inverse = windows.inverse_count
    stacked = torch.stack([warped, warped * warped, warped * windows.fixed]) * ones
    mean, square, both = box_sum(stacked, windows.radius) * inverse
    cross = both - mean * windows.mean
    variance = (square - mean * mean).clamp_min(0) + windows.floor
    a = 2 * windows.share * inverse * cross / (variance * windows.variance)
    b = a * cross / variance
    loss = 1 - (windows.share * cross * cross / (variance * windows.variance)).sum()
    box = box_sum(torch.stack([a, b, a * windows.mean - b * mean]), windows.radius)
    return float(loss), -ones * (windows.fixed * box[0] - warped * box[1] - box[2])


def _run(windows: FixedWindows, warped: Volume, *, forces: bool) -> tuple[float, Any]:
    dtype = warped.detach().numpy().dtype
    image = np.ascontiguousarray(warped.detach().numpy())
    depth, rows, columns = image.shape
    ones = windows.weight is None
    weight = np.ones((1, 1, 1), dtype) if windows.weight is None else _array(windows.weight)
    fixed = _array(windows.fixed)
    held = tuple(
        _array(v) for v in (windows.share, windows.inverse_count, windows.mean, windows.variance)
    )
    radius = tuple(min(r, n - 1) for r, n in zip(windows.radius, image.shape, strict=True))
    coefficients = np.empty((3, depth, rows, columns), dtype)
    out = np.empty((3 if forces else 1, depth, rows, columns), dtype)
    losses = np.zeros(depth)
    floor = dtype.type(windows.floor)
    share(
        lambda a, b: _coefficients(
            fixed, image, weight, ones, held, floor, radius, coefficients, losses, a, b
        ),
        depth,
        least=LEAST,
    )
    share(
        lambda a, b: _slopes(fixed, image, weight, ones, coefficients, radius, out, a, b),
        depth,
        least=LEAST,
    )
    return 1 - float(losses.sum()), torch.from_numpy(out)


def _array(x: Tensor) -> Any:
    return np.ascontiguousarray(x.detach().numpy())


@kernel
@no_type_check
def _row_sums(row, spare, out, width):
    """Sum ``width`` neighbours: ``out[i] = row[i] + ... + row[i + width - 1]``; spoils ``row``."""
    n = len(out)
    if width == 5:
        for i in range(n):
            out[i] = (row[i] + row[i + 1]) + (row[i + 2] + row[i + 3]) + row[i + 4]
        return
    out[:] = 0
    at = 0
    size = 1
    left = width
    while left > 0:
        if left & size:
            for i in range(n):
                out[i] += row[i + at]
            at += size
            left -= size
        if left > 0:
            last = n + width - 2 * size
            for i in range(last):
                spare[i] = row[i] + row[i + size]
            row[:last] = spare[:last]
            size *= 2


@kernel
@no_type_check
def _column_sums(x, out, r):
    """Sum ``2 r + 1`` rows around each row; running, from scratch every REFRESH rows."""
    rows, n = x.shape
    for j in range(rows):
        target = out[j]
        if j % REFRESH == 0:
            target[:] = 0
            for k in range(max(0, j - r), min(rows, j + r + 1)):
                source = x[k]
                for i in range(n):
                    target[i] += source[i]
            continue
        before = out[j - 1]
        new = j + r < rows
        old = j - r - 1 >= 0
        a = x[min(j + r, rows - 1)]
        b = x[max(j - r - 1, 0)]
        if new and old:
            for i in range(n):
                target[i] = before[i] + (a[i] - b[i])
        elif new:
            for i in range(n):
                target[i] = before[i] + a[i]
        elif old:
            for i in range(n):
                target[i] = before[i] - b[i]
        else:
            target[:] = before


@kernel
@no_type_check
def _advance(ring, total, z, first, depth, r):
    """Move the sums over planes on to plane ``z``; from scratch every REFRESH planes."""
    taps = 2 * r + 2
    if z == first or (z - first) % REFRESH == 0:
        total[:] = 0
        for k in range(max(0, z - r), min(depth, z + r + 1)):
            _add(total, ring[k % taps], 1)
        return
    if z + r < depth:
        _add(total, ring[(z + r) % taps], 1)
    if z - r - 1 >= 0:
        _add(total, ring[(z - r - 1) % taps], -1)


@kernel
@no_type_check
def _add(total, part, sign):
    a = total.reshape(-1)
    b = part.reshape(-1)
    if sign > 0:
        for i in range(len(a)):
            a[i] += b[i]
    else:
        for i in range(len(a)):
            a[i] -= b[i]


@kernel
@no_type_check
def _plane_products(fixed, image, weight, ones, z, r, work, out):
    """Box sums within one plane of (w W, w W^2, w F W)."""
    rows, columns = fixed.shape[1:]
    line, spare, flat = work
    for j in range(rows):
        f = fixed[z, j]
        g = image[z, j]
        for c in range(3):
            row = line[r[2] : r[2] + columns]
            if c == 0:
                row[:] = g
            elif c == 1:
                for i in range(columns):
                    row[i] = g[i] * g[i]
            else:
                for i in range(columns):
                    row[i] = g[i] * f[i]
            if not ones:
                w = weight[z, j]
                for i in range(columns):
                    row[i] *= w[i]
            line[: r[2]] = 0
            line[r[2] + columns :] = 0
            _row_sums(line, spare, flat[c, j], 2 * r[2] + 1)
    for c in range(3):
        _column_sums(flat[c], out[c], r[1])


@kernel
@no_type_check
def _plane_boxes(volumes, z, r, work, out):
    """Box sums within one plane of three volumes."""
    rows, columns = volumes.shape[2:]
    line, spare, flat = work
    for c in range(3):
        for j in range(rows):
            line[: r[2]] = 0
            line[r[2] : r[2] + columns] = volumes[c, z, j]
            line[r[2] + columns :] = 0
            _row_sums(line, spare, flat[c, j], 2 * r[2] + 1)
        _column_sums(flat[c], out[c], r[1])


@kernel
@no_type_check
def _coefficients(fixed, image, weight, ones, held, floor, r, out, losses, first, last):
    """Write a, b and a mean_f - b mean_w of each window of planes ``first`` to ``last``."""
    depth, rows, columns = fixed.shape
    part, inverse, mean, variance = held
    taps = 2 * r[0] + 2
    ring = np.zeros((taps, 3, rows, columns), dtype=fixed.dtype)
    total = np.zeros((3, rows, columns), dtype=fixed.dtype)
    padded = columns + 2 * r[2]
    work = (
        np.zeros(padded, dtype=fixed.dtype),
        np.zeros(padded, dtype=fixed.dtype),
        np.zeros((3, rows, columns), dtype=fixed.dtype),
    )
    for k in range(max(0, first - r[0]), min(depth, first + r[0])):
        _plane_products(fixed, image, weight, ones, k, r, work, ring[k % taps])
    two = fixed.dtype.type(2)
    for z in range(first, last):
        k = z + r[0]
        if k < depth:
            _plane_products(fixed, image, weight, ones, k, r, work, ring[k % taps])
        _advance(ring, total, z, first, depth, r[0])
        value = 0.0
        for j in range(rows):
            s0, s1, s2 = total[0, j], total[1, j], total[2, j]
            inv, mf, vf, c = inverse[z, j], mean[z, j], variance[z, j], part[z, j]
            a, b, g = out[0, z, j], out[1, z, j], out[2, z, j]
            for i in range(columns):
                n = inv[i]
                mw = s0[i] * n
                cross = s2[i] * n - mw * mf[i]
                vw = max(s1[i] * n - mw * mw, floor * 0) + floor
                scale = cross / (vf[i] * vw) * c[i]
                p = two * scale * n
                q = p * cross / vw
                a[i] = p
                b[i] = q
                g[i] = p * mf[i] - q * mw
                work[0][i] = scale * cross
            for i in range(columns):
                value += work[0][i]
        losses[z] = value


@kernel
@no_type_check
def _slopes(fixed, image, weight, ones, coefficients, r, out, first, last):
    """Write d loss / d image, or minus it times the central differences of the image."""
    depth, rows, columns = fixed.shape
    forces = len(out) == 3
    taps = 2 * r[0] + 2
    ring = np.zeros((taps, 3, rows, columns), dtype=fixed.dtype)
    total = np.zeros((3, rows, columns), dtype=fixed.dtype)
    padded = columns + 2 * r[2]
    work = (
        np.zeros(padded, dtype=fixed.dtype),
        np.zeros(padded, dtype=fixed.dtype),
        np.zeros((3, rows, columns), dtype=fixed.dtype),
    )
    half = fixed.dtype.type(0.5)
    slope = np.zeros(columns, dtype=fixed.dtype)
    for k in range(max(0, first - r[0]), min(depth, first + r[0])):
        _plane_boxes(coefficients, k, r, work, ring[k % taps])
    for z in range(first, last):
        k = z + r[0]
        if k < depth:
            _plane_boxes(coefficients, k, r, work, ring[k % taps])
        _advance(ring, total, z, first, depth, r[0])
        for j in range(rows):
            f, g = fixed[z, j], image[z, j]
            s0, s1, s2 = total[0, j], total[1, j], total[2, j]
            for i in range(columns):
                slope[i] = f[i] * s0[i] - g[i] * s1[i] - s2[i]
            if not ones:
                w = weight[z, j]
                for i in range(columns):
                    slope[i] *= w[i]
            if not forces:
                for i in range(columns):
                    out[0, z, j, i] = -slope[i]
                continue
            up, down = image[min(z + 1, depth - 1), j], image[max(z - 1, 0), j]
            back, front = image[z, min(j + 1, rows - 1)], image[z, max(j - 1, 0)]
            dz, dy, dx = out[0, z, j], out[1, z, j], out[2, z, j]
            for i in range(columns):
                dz[i] = slope[i] * ((up[i] - down[i]) * half)
                dy[i] = slope[i] * ((back[i] - front[i]) * half)
            for i in range(1, columns - 1):
                dx[i] = slope[i] * ((g[i + 1] - g[i - 1]) * half)
            end = columns - 1
            dx[0] = slope[0] * ((g[min(1, end)] - g[0]) * half)
            if end > 0:
                dx[end] = slope[end] * ((g[end] - g[end - 1]) * half)
