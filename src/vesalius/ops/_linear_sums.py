"""Sums over a lattice that a linear registration needs: fit, gradient, normal equations, one pass.

A moving volume is looked up at ``matrix @ (z, y, x, 1)`` for each sample of the fixed lattice.
With ``g`` the slope of the interpolant along the moving axes and ``h = (1, z, y, x)`` counted from
a centre, the derivative by the twelve numbers of the matrix is the outer product of ``g`` and
``h``: only x changes along a row, so a row needs few sums, spread over the twelve afterwards.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._jit import kernel
from vesalius.ops._threads import share

ZERO = np.float64(0.0)
WIDTH = 102  # 6 moments, 3 x 12 first-order sums, 6 x 10 products
LEAST = 1 << 15  # positions below which a second thread does not pay

Volume = Float[Tensor, "z y x"]
Moving = Float[Tensor, "z2 y2 x2"]


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """Two volumes on their own lattices, weights, and which samples are compared.

    Attributes:
        fixed: (z, y, x), float32.
        moving: (z2, y2, x2), float32.
        fixed_weight: (z, y, x), 0 to 1, or None.
        moving_weight: (z2, y2, x2), 0 to 1, or None.
        stride: One sample in so many along x; its phase moves from row to row.
    """

    fixed: Volume
    moving: Moving
    fixed_weight: Volume | None = None
    moving_weight: Moving | None = None
    stride: int = 1

    @property
    def count(self) -> int:
        """Samples of a row that are compared."""
        return int(self.fixed.shape[2]) // self.stride


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Weighted sums over the samples that lie in the moving volume; f fixed, m moving, J = g (x) h.

    Attributes:
        moments: Sums of 1, f, m, f f, m m, f m.
        first: (3, 12) sums of J, f J, m J; J is (3 moving axes) x (1, z, y, x), row by row.
        second: (12, 12) sum of J J^T.
    """

    moments: np.ndarray
    first: np.ndarray
    second: np.ndarray


def linear_sums(pull: Pull, matrix: np.ndarray, centre: np.ndarray) -> Sums:
    """Sum what least squares by a linear map needs.

    A sample weighs ``fixed_weight * moving_weight`` and fades to 0 over the last sample before
    the moving volume ends, so that the sums are continuous in the matrix. An axis of one sample
    has no slope and does not end.

    Args:
        pull: The volumes.
        matrix: (3, 4) float64; fixed index to moving index.
        centre: (3,) float64; the fixed index (z, y, x) about which derivatives are taken.

    Returns:
        The sums, float64; the same for any number of threads.
    """
    if pull.fixed.device.type != "cpu":
        return _by_torch(pull, matrix, centre)
    f, m, u, v = _arrays(pull)
    out = np.zeros((len(f), WIDTH))
    place = np.ascontiguousarray(matrix, dtype=np.float64)
    middle = np.asarray(centre, dtype=np.float64)
    least = max(1, LEAST // (f.shape[1] * max(1, pull.count)))
    share(
        lambda a, b: _sums(f, m, u, v, place, middle, pull.stride, out, a, b), len(f), least=least
    )
    return _spread(out.sum(axis=0))


def linear_warp(pull: Pull, matrix: np.ndarray) -> tuple[Volume, Volume]:
    """Look the moving volume up at the compared samples.

    Args:
        pull: The volumes.
        matrix: (3, 4) float64; fixed index to moving index.

    Returns:
        The values and their weights, both (z, y, x // stride), float32.
    """
    z, y, _ = pull.fixed.shape
    if pull.fixed.device.type != "cpu":
        at = _lookup(pull, matrix, slice(0, z))
        return at.value, at.weight
    f, m, u, v = _arrays(pull)
    value = np.zeros((z, y, pull.count), dtype=np.float32)
    weight = np.zeros_like(value)
    place = np.ascontiguousarray(matrix, dtype=np.float64)
    share(lambda a, b: _warp(f, m, u, v, place, pull.stride, value, weight, a, b), z)
    return torch.from_numpy(value), torch.from_numpy(weight)


def linear_chain(pull: Pull, slope: Volume, matrix: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Carry a derivative by the warped samples on to the twelve numbers of the matrix.

    Args:
        pull: The volumes.
        slope: (z, y, x // stride); derivative of a loss by each sample of ``linear_warp``.
        matrix: (3, 4) float64; fixed index to moving index.
        centre: (3,) float64; see ``linear_sums``.

    Returns:
        (12,) float64, in the order of ``Sums.first``.
    """
    if pull.fixed.device.type != "cpu":
        return _chain_torch(pull, slope, matrix, centre)
    f, m, _, _ = _arrays(pull)
    s = slope.detach().to(torch.float32).contiguous().numpy()
    out = np.zeros((len(f), 12))
    place = np.ascontiguousarray(matrix, dtype=np.float64)
    middle = np.asarray(centre, dtype=np.float64)
    share(lambda a, b: _chain(m, s, place, middle, pull.stride, out, a, b), len(f))
    total: np.ndarray = out.sum(axis=0)
    return total


def compared(pull: Pull) -> Volume:
    """Give the fixed samples that are compared, (z, y, x // stride)."""
    if pull.stride == 1:
        return pull.fixed
    z, y, _ = pull.fixed.shape
    device = pull.fixed.device
    return torch.gather(pull.fixed, 2, _columns(pull, slice(0, z)).to(device).expand(z, y, -1))


def _columns(pull: Pull, planes: slice) -> Tensor:
    z, y, _ = pull.fixed.shape
    rows = torch.arange(z)[planes, None, None] * 3 + torch.arange(y)[:, None] * 5
    return rows % pull.stride + pull.stride * torch.arange(pull.count)


def _arrays(pull: Pull) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    none = np.zeros((0, 0, 0), dtype=np.float32)
    f, m, u, v = (
        none if t is None else t.detach().to(torch.float32).contiguous().numpy()
        for t in (pull.fixed, pull.moving, pull.fixed_weight, pull.moving_weight)
    )
    return f, m, u, v


def _spread(total: np.ndarray) -> Sums:
    """Bring the products of slopes and places into a symmetric 12 x 12 matrix."""
    packed = total[42:].reshape(6, 10)
    slope, place = np.zeros((3, 3), dtype=int), np.zeros((4, 4), dtype=int)
    slope[np.triu_indices(3)] = np.arange(6)
    place[np.triu_indices(4)] = np.arange(10)
    slope, place = np.maximum(slope, slope.T), np.maximum(place, place.T)
    second = packed[slope[:, None, :, None], place[None, :, None, :]].reshape(12, 12)
    return Sums(total[:6].copy(), total[6:42].reshape(3, 12).copy(), second)


@kernel
@no_type_check
def _range(p, d, n, count):
    """Give the steps k from 0 for which p + k d stays within [0, n - 1]."""
    if n == 1:
        return 0, count
    low, high = ZERO, ZERO + count - 1
    if d == 0.0:
        if p < 0.0 or p > n - 1:
            return 0, 0
        return 0, count
    a, b = -p / d, (n - 1 - p) / d
    low, high = max(low, min(a, b)), min(high, max(a, b))
    if not low <= high:
        return 0, 0
    return math.ceil(low), math.floor(high) + 1


@kernel
@no_type_check
def _row(place, z, y, stride, shape, count):
    """Give where a row begins, its step, and its first and last sample inside the volume."""
    x = (z * 3 + y * 5) % stride
    pz = place[0, 0] * z + place[0, 1] * y + place[0, 2] * x + place[0, 3]
    py = place[1, 0] * z + place[1, 1] * y + place[1, 2] * x + place[1, 3]
    px = place[2, 0] * z + place[2, 1] * y + place[2, 2] * x + place[2, 3]
    dz, dy, dx = place[0, 2] * stride, place[1, 2] * stride, place[2, 2] * stride
    a, b = _range(pz, dz, shape[0], count)
    c, d = _range(py, dy, shape[1], count)
    e, f = _range(px, dx, shape[2], count)
    return x, pz, py, px, dz, dy, dx, max(a, max(c, e)), min(b, min(d, f))


@kernel
@no_type_check
def _cell(p, n):
    """Give the cell and the place in it; an axis of one sample is always at that sample."""
    if n == 1:
        return 0, ZERO, 1.0
    p = min(max(p, ZERO), ZERO + n - 1)
    i = min(int(p), n - 2)
    return i, p - i, min(1.0, min(p, n - 1 - p))


@kernel
@no_type_check
def _value(flat, at, sz, sy, sx, fz, fy, fx):
    """Give the linear interpolant and its slope along the three axes."""
    at, sz, sy, sx = np.uint64(at), np.uint64(sz), np.uint64(sy), np.uint64(sx)
    a, e = flat[at], flat[at + sx] - flat[at]
    at += sy
    b, f = flat[at], flat[at + sx] - flat[at]
    at += sz
    d, h = flat[at], flat[at + sx] - flat[at]
    at -= sy
    c, g = flat[at], flat[at + sx] - flat[at]
    a, b, c, d = a + fx * e, b + fx * f, c + fx * g, d + fx * h
    e, g = e + fy * (f - e), g + fy * (h - g)
    p, q = a + fy * (b - a), c + fy * (d - c)
    return p + fz * (q - p), q - p, (b - a) + fz * ((d - c) - (b - a)), e + fz * (g - e)


@kernel
@no_type_check
def _at(flat, pz, py, px, nz, ny, nx):
    """Look up value, slopes, fade and cell at a position."""
    iz, fz, wz = _cell(pz, nz)
    iy, fy, wy = _cell(py, ny)
    ix, fx, wx = _cell(px, nx)
    at = (iz * ny + iy) * nx + ix
    sz = ny * nx if nz > 1 else 0
    sy = nx if ny > 1 else 0
    sx = 1 if nx > 1 else 0
    m, gz, gy, gx = _value(flat, at, sz, sy, sx, fz, fy, fx)
    return m, gz, gy, gx, wz * wy * wx, at, fz, fy, fx


@kernel
@no_type_check
def _masked(flat, at, nz, ny, nx, fz, fy, fx):
    sz = ny * nx if nz > 1 else 0
    sy = nx if ny > 1 else 0
    sx = 1 if nx > 1 else 0
    return _value(flat, at, sz, sy, sx, fz, fy, fx)[0]


@kernel
@no_type_check
def _sums(fixed, moving, fixed_weight, moving_weight, place, centre, stride, out, start, stop):
    shape = moving.shape
    nz, ny, nx = shape
    flat, mask = moving.ravel(), moving_weight.ravel()
    count = fixed.shape[2] // stride
    row = np.zeros(42)
    for z in range(start, stop):
        for y in range(fixed.shape[1]):
            x0, pz, py, px, dz, dy, dx, first, last = _row(place, z, y, stride, shape, count)
            if last <= first:
                continue
            s0 = s1 = s2 = s3 = s4 = s5 = ZERO
            a0 = a1 = a2 = a3 = a4 = a5 = b0 = b1 = b2 = b3 = b4 = b5 = ZERO
            c0 = c1 = c2 = c3 = c4 = c5 = ZERO
            d0 = d1 = d2 = d3 = d4 = d5 = e0 = e1 = e2 = e3 = e4 = e5 = ZERO
            k0 = k1 = k2 = k3 = k4 = k5 = ZERO
            for k in range(first, last):
                m, gz, gy, gx, w, at, fz, fy, fx = _at(
                    flat, pz + k * dz, py + k * dy, px + k * dx, nz, ny, nx
                )
                x = x0 + k * stride
                if fixed_weight.size:
                    w *= fixed_weight[z, y, x]
                if mask.size:
                    w *= _masked(mask, at, nz, ny, nx, fz, fy, fx)
                if w <= 0.0:
                    continue
                f, t = ZERO + fixed[z, y, x], x - centre[2]
                wf, wm = w * f, w * m
                s0, s1, s2 = s0 + w, s1 + wf, s2 + wm
                s3, s4, s5 = s3 + wf * f, s4 + wm * m, s5 + wf * m
                if gz == 0.0 and gy == 0.0 and gx == 0.0:
                    continue
                p, q, r = w * gz, w * gy, w * gx
                a0, a1, a2 = a0 + p, a1 + q, a2 + r
                b0, b1, b2 = b0 + p * f, b1 + q * f, b2 + r * f
                c0, c1, c2 = c0 + p * m, c1 + q * m, c2 + r * m
                v0, v1, v2, v3, v4, v5 = p * gz, p * gy, p * gx, q * gy, q * gx, r * gx
                d0, d1, d2, d3, d4, d5 = d0 + v0, d1 + v1, d2 + v2, d3 + v3, d4 + v4, d5 + v5
                p, q, r = p * t, q * t, r * t
                a3, a4, a5 = a3 + p, a4 + q, a5 + r
                b3, b4, b5 = b3 + p * f, b4 + q * f, b5 + r * f
                c3, c4, c5 = c3 + p * m, c4 + q * m, c5 + r * m
                v0, v1, v2, v3, v4, v5 = v0 * t, v1 * t, v2 * t, v3 * t, v4 * t, v5 * t
                e0, e1, e2, e3, e4, e5 = e0 + v0, e1 + v1, e2 + v2, e3 + v3, e4 + v4, e5 + v5
                k0, k1, k2 = k0 + v0 * t, k1 + v1 * t, k2 + v2 * t
                k3, k4, k5 = k3 + v3 * t, k4 + v4 * t, k5 + v5 * t
            row[0], row[1], row[2], row[3], row[4], row[5] = s0, s1, s2, s3, s4, s5
            row[6], row[7], row[8], row[9], row[10], row[11] = a0, a1, a2, a3, a4, a5
            row[12], row[13], row[14], row[15], row[16], row[17] = b0, b1, b2, b3, b4, b5
            row[18], row[19], row[20], row[21], row[22], row[23] = c0, c1, c2, c3, c4, c5
            row[24], row[25], row[26], row[27], row[28], row[29] = d0, d1, d2, d3, d4, d5
            row[30], row[31], row[32], row[33], row[34], row[35] = e0, e1, e2, e3, e4, e5
            row[36], row[37], row[38], row[39], row[40], row[41] = k0, k1, k2, k3, k4, k5
            _add_row(row, z - centre[0], y - centre[1], out[z])


@kernel
@no_type_check
def _add_row(row, u, v, out):
    """Spread the sums of one row over the places (1, u, v, t) and their products."""
    for i in range(6):
        out[i] += row[i]
    for q in range(3):
        for g in range(3):
            s0, s1 = row[6 + 6 * q + g], row[9 + 6 * q + g]
            at = 6 + 12 * q + 4 * g
            out[at] += s0
            out[at + 1] += u * s0
            out[at + 2] += v * s0
            out[at + 3] += s1
    for g in range(6):
        s0, s1, s2 = row[24 + g], row[30 + g], row[36 + g]
        at = 42 + 10 * g
        out[at] += s0
        out[at + 1] += u * s0
        out[at + 2] += v * s0
        out[at + 3] += s1
        out[at + 4] += u * u * s0
        out[at + 5] += u * v * s0
        out[at + 6] += u * s1
        out[at + 7] += v * v * s0
        out[at + 8] += v * s1
        out[at + 9] += s2


@kernel
@no_type_check
def _warp(fixed, moving, fixed_weight, moving_weight, place, stride, value, weight, start, stop):
    shape = moving.shape
    nz, ny, nx = shape
    flat, mask = moving.ravel(), moving_weight.ravel()
    for z in range(start, stop):
        for y in range(value.shape[1]):
            x0, pz, py, px, dz, dy, dx, first, last = _row(
                place, z, y, stride, shape, value.shape[2]
            )
            for k in range(first, last):
                m, _, _, _, w, at, fz, fy, fx = _at(
                    flat, pz + k * dz, py + k * dy, px + k * dx, nz, ny, nx
                )
                if fixed_weight.size:
                    w *= fixed_weight[z, y, x0 + k * stride]
                if mask.size:
                    w *= _masked(mask, at, nz, ny, nx, fz, fy, fx)
                value[z, y, k] = m
                weight[z, y, k] = w


@kernel
@no_type_check
def _chain(moving, slope, place, centre, stride, out, start, stop):
    shape = moving.shape
    nz, ny, nx = shape
    flat = moving.ravel()
    for z in range(start, stop):
        u = z - centre[0]
        for y in range(slope.shape[1]):
            x0, pz, py, px, dz, dy, dx, first, last = _row(
                place, z, y, stride, shape, slope.shape[2]
            )
            a0 = a1 = a2 = a3 = a4 = a5 = ZERO
            for k in range(first, last):
                s = slope[z, y, k]
                if s == 0.0:
                    continue
                _, gz, gy, gx, _, _, _, _, _ = _at(
                    flat, pz + k * dz, py + k * dy, px + k * dx, nz, ny, nx
                )
                t = x0 + k * stride - centre[2]
                p, q, r = s * gz, s * gy, s * gx
                a0, a1, a2 = a0 + p, a1 + q, a2 + r
                a3, a4, a5 = a3 + p * t, a4 + q * t, a5 + r * t
            v = y - centre[1]
            for g, s0, s1 in ((0, a0, a3), (4, a1, a4), (8, a2, a5)):
                out[z, g] += s0
                out[z, g + 1] += u * s0
                out[z, g + 2] += v * s0
                out[z, g + 3] += s1


@dataclass(frozen=True, slots=True, eq=False)
class _Lookup:
    value: Tensor
    slope: Tensor
    weight: Tensor


def _lookup(pull: Pull, matrix: np.ndarray, planes: slice) -> _Lookup:
    """Do what ``_at`` does for whole planes, by torch."""
    device = pull.fixed.device
    m = torch.as_tensor(matrix, dtype=torch.float64, device=device)
    z, y, x = _places(pull, planes)
    position = m[:, 0] * z + m[:, 1] * y + m[:, 2] * x + m[:, 3]
    sizes = torch.tensor(pull.moving.shape, dtype=torch.float64, device=device)
    inside = ((position >= 0) & (position <= sizes - 1)) | (sizes == 1)
    fade = torch.minimum(position, sizes - 1 - position).clamp(0, 1)
    weight = torch.where(sizes == 1, 1.0, fade).prod(-1) * inside.all(-1)
    clamped = torch.where(sizes == 1, 0.0, torch.minimum(position.clamp(min=0), sizes - 1))
    cell = torch.minimum(clamped.long(), (sizes - 2).clamp(min=0).long())
    share_of = (clamped - cell).to(torch.float32)
    value, slope = _corners(pull.moving, cell, share_of)
    if pull.fixed_weight is not None:
        columns = _columns(pull, planes).to(device)
        weight = weight * torch.gather(
            pull.fixed_weight[planes], 2, columns.expand(columns.shape[0], pull.fixed.shape[1], -1)
        )
    if pull.moving_weight is not None:
        weight = weight * _corners(pull.moving_weight, cell, share_of)[0]
    outside = ~inside.all(-1)
    return _Lookup(value.masked_fill(outside, 0), slope, weight.to(torch.float32))


def _places(pull: Pull, planes: slice) -> tuple[Tensor, Tensor, Tensor]:
    z, y, _ = pull.fixed.shape
    device = pull.fixed.device
    x = _columns(pull, planes).to(device, torch.float64)[..., None]
    planes_z = torch.arange(z, dtype=torch.float64, device=device)[planes, None, None, None]
    rows = torch.arange(y, dtype=torch.float64, device=device)[None, :, None, None]
    return planes_z, rows, x


def _corners(volume: Tensor, cell: Tensor, share_of: Tensor) -> tuple[Tensor, Tensor]:
    """Give the linear interpolant and its slope, (..., ) and (..., 3)."""
    step = [1 if n > 1 else 0 for n in volume.shape]
    iz, iy, ix = cell.unbind(-1)
    fz, fy, fx = share_of.unbind(-1)
    c = [
        volume[iz + a * step[0], iy + b * step[1], ix + d * step[2]]
        for a in (0, 1)
        for b in (0, 1)
        for d in (0, 1)
    ]
    rows = [c[i] + fx * (c[i + 1] - c[i]) for i in (0, 2, 4, 6)]
    along = [c[i + 1] - c[i] for i in (0, 2, 4, 6)]
    low, high = rows[0] + fy * (rows[1] - rows[0]), rows[2] + fy * (rows[3] - rows[2])
    gy = (rows[1] - rows[0]) + fz * ((rows[3] - rows[2]) - (rows[1] - rows[0]))
    e, g = along[0] + fy * (along[1] - along[0]), along[2] + fy * (along[3] - along[2])
    slope = torch.stack([high - low, gy, e + fz * (g - e)], dim=-1)
    return low + fz * (high - low), slope


def _by_torch(pull: Pull, matrix: np.ndarray, centre: np.ndarray) -> Sums:
    z, y, _ = pull.fixed.shape
    fixed = compared(pull)
    middle = torch.as_tensor(centre, dtype=torch.float64, device=pull.fixed.device)
    slab = max(1, (1 << 20) // (y * max(1, pull.count)))
    moments, first = np.zeros(6), np.zeros((3, 12))
    second = np.zeros((12, 12))
    for start in range(0, z, slab):
        planes = slice(start, min(z, start + slab))
        at = _lookup(pull, matrix, planes)
        w, m, f = at.weight.double(), at.value.double(), fixed[planes].double()
        j = _rate(at.slope, _places(pull, planes), middle).reshape(-1, 12)
        w, m, f = w.reshape(-1), m.reshape(-1), f.reshape(-1)
        values = torch.stack([torch.ones_like(f), f, m, f * f, m * m, f * m])
        moments += (values @ w).cpu().numpy()
        first += (torch.stack([w, w * f, w * m]) @ j).cpu().numpy()
        second += (j.T @ (w[:, None] * j)).cpu().numpy()
    return Sums(moments, first, second)


def _rate(slope: Tensor, places: tuple[Tensor, Tensor, Tensor], centre: Tensor) -> Tensor:
    shape = slope.shape[:-1]
    z, y, x = ((p[..., 0] - c).expand(shape) for p, c in zip(places, centre, strict=True))
    h = torch.stack([torch.ones_like(z), z, y, x], dim=-1)
    return slope.double()[..., :, None] * h[..., None, :]


def _chain_torch(pull: Pull, slope: Tensor, matrix: np.ndarray, centre: np.ndarray) -> np.ndarray:
    z, y, _ = pull.fixed.shape
    middle = torch.as_tensor(centre, dtype=torch.float64, device=pull.fixed.device)
    slab = max(1, (1 << 20) // (y * max(1, pull.count)))
    total = np.zeros(12)
    for start in range(0, z, slab):
        planes = slice(start, min(z, start + slab))
        at = _lookup(pull, matrix, planes)
        rate = _rate(at.slope, _places(pull, planes), middle).reshape(-1, 12)
        given = slope[planes].double().reshape(-1)
        total += (given * (at.weight.reshape(-1) > 0) @ rate).cpu().numpy()
    return total
