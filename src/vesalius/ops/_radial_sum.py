"""Sums of radial functions about many centres at many points: the hot loop of landmark splines."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal, get_args, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._jit import kernel
from vesalius.ops._threads import share

Form = Literal["-r", "r^2 log r", "gaussian", "wendland 2", "wendland 4"]
Force = Literal["r", "1/r"]
LANES = 32  # points handled side by side, so that the inner loop is one vector instruction each
TINY = 1e-24


def radial_sum(
    points: Float[Tensor, "m d"],
    centres: Float[Tensor, "n d"],
    weights: Float[Tensor, "n 3"],
    *,
    form: Form,
    scale: float = 1.0,
) -> Float[Tensor, "m 3"]:
    """Sum ``w_i phi(|x - p_i|)`` at each point; on the CPU, without derivatives.

    Args:
        points: x, any unit; d of 2 or 3.
        centres: p.
        weights: w.
        form: phi: ``-r``; ``r^2 log r``; ``exp(-r^2 / 2 scale^2)``; Wendland's functions of
            ``r / scale`` with 2 or 4 continuous derivatives.
        scale: Of those that have one.

    Returns:
        float64.
    """
    code = get_args(Form).index(form)
    x, p, w = _solid(points), _solid(centres), weights.double().contiguous().numpy()
    out = np.zeros((len(x), 3))
    share(lambda a, b: _radial(x[a:b], p, w, code, scale, out[a:b]), len(x), least=2 * LANES)
    return torch.from_numpy(out)


def radial_slope(
    points: Float[Tensor, "m d"],
    centres: Float[Tensor, "n d"],
    weights: Float[Tensor, "n 3"],
    *,
    form: Form,
    scale: float = 1.0,
) -> Float[Tensor, "m 3 d"]:
    """Give the derivative of ``radial_sum`` by the point; the kink of ``-r`` at r = 0 is flat.

    Args:
        points: x, any unit; d of 2 or 3.
        centres: p.
        weights: w.
        form: phi, see ``radial_sum``.
        scale: Of those that have one.

    Returns:
        float64; row a, column b is the derivative of sum a by coordinate b.
    """
    code = get_args(Form).index(form)
    x, p, w = _solid(points), _solid(centres), weights.double().contiguous().numpy()
    out = np.zeros((len(x), 9))
    share(lambda a, b: _slope(x[a:b], p, w, code, scale, out[a:b]), len(x), least=2 * LANES)
    return torch.from_numpy(out).reshape(-1, 3, 3)[:, :, : points.shape[1]].contiguous()


def elastic_sum(
    points: Float[Tensor, "m 3"],
    centres: Float[Tensor, "n 3"],
    weights: Float[Tensor, "n 3"],
    *,
    force: Force,
    direct: float,
) -> Float[Tensor, "m 3"]:
    """Sum the displacements of an elastic body's forces; on the CPU, without derivatives.

    Args:
        points: x.
        centres: p.
        weights: w, the forces.
        force: With y = x - p: ``"r"`` is ``(direct r^2 w - 3 y (y.w)) r``, ``"1/r"`` is
            ``(direct r^2 w - y (y.w)) / r``.
        direct: Davis' alpha or beta.

    Returns:
        float64.
    """
    x, p, w = _solid(points), _solid(centres), weights.double().contiguous().numpy()
    out = np.zeros((len(x), 3))
    near = force == "1/r"
    share(lambda a, b: _elastic(x[a:b], p, w, near, direct, out[a:b]), len(x), least=2 * LANES)
    return torch.from_numpy(out)


def _solid(points: Tensor) -> np.ndarray:
    """Give (m, 3) float64; a plane's points get a third coordinate of 0."""
    flat = points.detach().double()
    if flat.shape[1] == 2:
        flat = torch.cat([flat, torch.zeros_like(flat[:, :1])], dim=1)
    return flat.contiguous().numpy()


@kernel
@no_type_check
def _radial(x, p, w, code, scale, out):
    r2 = np.empty(LANES)
    f = np.empty(LANES)
    sums = np.empty((3, LANES))
    at = np.zeros((3, LANES))
    for start in range(0, len(x), LANES):
        count = min(LANES, len(x) - start)
        for j in range(count):
            for a in range(3):
                at[a, j] = x[start + j, a]
        sums[:] = 0.0
        for i in range(len(p)):
            for j in range(LANES):
                dz, dy, dx = at[0, j] - p[i, 0], at[1, j] - p[i, 1], at[2, j] - p[i, 2]
                r2[j] = dz * dz + dy * dy + dx * dx
            if code == 0:
                for j in range(LANES):
                    f[j] = -math.sqrt(r2[j])
            elif code == 1:
                for j in range(LANES):
                    f[j] = 0.5 * r2[j] * math.log(max(r2[j], TINY))
            elif code == 2:
                for j in range(LANES):
                    f[j] = math.exp(r2[j] / (-2.0 * scale * scale))
            else:
                for j in range(LANES):
                    t = math.sqrt(r2[j]) / scale
                    rest = max(1.0 - t, 0.0)
                    square = rest * rest
                    if code == 3:
                        f[j] = square * square * (4.0 * t + 1.0)
                    else:
                        f[j] = square * square * square * (35.0 * t * t + 18.0 * t + 3.0) / 3.0
            for a in range(3):
                for j in range(LANES):
                    sums[a, j] += w[i, a] * f[j]
        for j in range(count):
            for a in range(3):
                out[start + j, a] = sums[a, j]


@kernel
@no_type_check
def _slope(x, p, w, code, scale, out):
    y = np.empty((3, LANES))
    f = np.empty(LANES)
    sums = np.empty((9, LANES))
    at = np.zeros((3, LANES))
    for start in range(0, len(x), LANES):
        count = min(LANES, len(x) - start)
        for j in range(count):
            for a in range(3):
                at[a, j] = x[start + j, a]
        sums[:] = 0.0
        for i in range(len(p)):
            for j in range(LANES):
                dz, dy, dx = at[0, j] - p[i, 0], at[1, j] - p[i, 1], at[2, j] - p[i, 2]
                y[0, j], y[1, j], y[2, j] = dz, dy, dx
                f[j] = dz * dz + dy * dy + dx * dx
            if code == 0:
                for j in range(LANES):
                    f[j] = -1.0 / math.sqrt(f[j]) if f[j] > TINY else 0.0
            elif code == 1:
                for j in range(LANES):
                    f[j] = math.log(max(f[j], TINY)) + 1.0
            elif code == 2:
                for j in range(LANES):
                    f[j] = -math.exp(f[j] / (-2.0 * scale * scale)) / (scale * scale)
            else:
                for j in range(LANES):
                    t = math.sqrt(f[j]) / scale
                    rest = max(1.0 - t, 0.0)
                    cube = rest * rest * rest / (scale * scale)
                    if code == 3:
                        f[j] = -20.0 * cube
                    else:
                        f[j] = -56.0 / 3.0 * cube * rest * rest * (5.0 * t + 1.0)
            for a in range(3):
                for b in range(3):
                    for j in range(LANES):
                        sums[3 * a + b, j] += w[i, a] * f[j] * y[b, j]
        for j in range(count):
            for k in range(9):
                out[start + j, k] = sums[k, j]


@kernel
@no_type_check
def _elastic(x, p, w, near, direct, out):
    sums = np.empty((3, LANES))
    at = np.zeros((3, LANES))
    for start in range(0, len(x), LANES):
        count = min(LANES, len(x) - start)
        for j in range(count):
            for a in range(3):
                at[a, j] = x[start + j, a]
        sums[:] = 0.0
        for i in range(len(p)):
            wa, wb, wc = w[i, 0], w[i, 1], w[i, 2]
            for j in range(LANES):
                ya, yb, yc = at[0, j] - p[i, 0], at[1, j] - p[i, 1], at[2, j] - p[i, 2]
                r2 = max(ya * ya + yb * yb + yc * yc, TINY)
                along = ya * wa + yb * wb + yc * wc
                r = math.sqrt(r2)
                if near:
                    own, mixed = direct * r, -along / r
                else:
                    own, mixed = direct * r2 * r, -3.0 * r * along
                sums[0, j] += own * wa + mixed * ya
                sums[1, j] += own * wb + mixed * yb
                sums[2, j] += own * wc + mixed * yc
        for j in range(count):
            for a in range(3):
                out[start + j, a] = sums[a, j]
