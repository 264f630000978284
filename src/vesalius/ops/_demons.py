"""The force of demons: where a warped image should move, from optical flow, in one pass."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._jit import kernel
from vesalius.ops._threads import share

Stack = Float[Tensor, "c z y x"]
Spacing = tuple[float, float, float]
LEAST = 1 << 16  # samples worth a thread of their own
FLAT = 1e-4  # mean squared slopes added to the normaliser: noise in flat regions pushes nothing


@dataclass(frozen=True, slots=True, eq=False)
class Optics:
    """What a demons force needs beside the images.

    Attributes:
        spacing: Distance of samples along (z, y, x), mm.
        longest: Longest displacement that a force may ask for, mm: ``1 / (2 alpha)``.
        from_fixed: Share of the fixed image's gradient, 0 to 1; the rest is of the warped one.
        channel_weights: One for each channel.
        floor: Squared slope per mm^2 added to the normaliser of each channel.
    """

    spacing: Spacing
    longest: float
    from_fixed: float
    channel_weights: tuple[float, ...]
    floor: tuple[float, ...]


def flat_floor(fixed: Stack, spacing: Spacing) -> tuple[float, ...]:
    """Give the squared slope below which a channel counts as flat, per mm^2."""
    total = torch.zeros(len(fixed), dtype=torch.float64, device=fixed.device)
    for axis, h in zip((-3, -2, -1), spacing, strict=True):
        n = fixed.shape[axis]
        if n > 1:
            step = fixed.narrow(axis, 1, n - 1) - fixed.narrow(axis, 0, n - 1)
            total += (step.double() ** 2).mean(dim=(1, 2, 3)) / h**2
    return tuple(float(t) for t in FLAT * total)


def demons_force(
    fixed: Stack, warped: Stack, weight: Float[Tensor, "1 z y x"] | None, optics: Optics
) -> tuple[float, Float[Tensor, "3 z y x"]]:
    """Give the mean square difference and the displacement that should lower it.

    ``u = d g / (|g|^2 + alpha^2 d^2)`` with ``d = fixed - warped``, summed over channels above and
    below the line, and 0 where both are flat. It is the displacement to compose *before* the
    present one: ``warped(x + u)`` comes nearer to ``fixed(x)``.

    Args:
        fixed: (c, z, y, x), float32 or float64.
        warped: Same shape and dtype.
        weight: 0 to 1, or None; multiplies the displacement.
        optics: Spacing, longest displacement, whose gradient.

    Returns:
        The weighted mean of ``d^2``, and the displacement along (z, y, x), samples; 0 along an
        axis of one sample.
    """
    if fixed.device.type != "cpu":
        return _by_torch(fixed, warped, weight, optics)
    _, depth, height, width = fixed.shape
    out = torch.zeros((3, depth, height, width), dtype=fixed.dtype)
    lines = np.zeros((depth * height, 2))
    ones = torch.ones((1, 1, 1, 1), dtype=fixed.dtype)
    arrays = [
        t.detach().contiguous().numpy()
        for t in (fixed, warped, ones if weight is None else weight, out)
    ]
    kind = arrays[0].dtype
    share_of = np.array(optics.channel_weights, kind)
    pace = np.array([1 / h for h in optics.spacing], kind)
    floor = np.array(optics.floor, kind)
    mix, alpha2 = kind.type(optics.from_fixed), kind.type(1 / (2 * optics.longest) ** 2)
    share(
        lambda a, b: _rows(*arrays, lines, share_of, floor, pace, mix, alpha2, a, b),
        depth * height,
        least=1 + LEAST // width,
    )
    total, count = lines.sum(axis=0)
    return float(total / max(count, 1e-30)), out


@kernel
@no_type_check
def _rows(fixed, warped, weight, out, lines, share_of, floor, pace, mix, alpha2, start, stop):
    """Fill rows ``start`` to ``stop`` (of z * y) of ``out``; ``lines`` gets sums of each row."""
    channels, nz, ny, nx = fixed.shape
    half = fixed.dtype.type(0.5)
    zero = half - half
    tiny = np.float32(1e-30)
    whole = weight.shape[3] == 1 and weight.shape[1] == 1 and weight.shape[2] == 1
    below = np.empty(nx, fixed.dtype)
    rest = fixed.dtype.type(1) - mix
    pz, py, px = pace[0] * half, pace[1] * half, pace[2] * half
    for row in range(start, stop):
        k, j = row // ny, row % ny
        oz, oy, ox = out[0, k, j], out[1, k, j], out[2, k, j]
        below[:] = zero
        total = 0.0
        for c in range(channels):
            f, m = fixed[c, k, j], warped[c, k, j]
            fu, fd = fixed[c, min(k + 1, nz - 1), j], fixed[c, max(k - 1, 0), j]
            mu, md = warped[c, min(k + 1, nz - 1), j], warped[c, max(k - 1, 0), j]
            fs, fn = fixed[c, k, min(j + 1, ny - 1)], fixed[c, k, max(j - 1, 0)]
            ms, mn = warped[c, k, min(j + 1, ny - 1)], warped[c, k, max(j - 1, 0)]
            part, flat = share_of[c], floor[c]
            line = zero
            for i in range(nx):
                a, b = max(i - 1, 0), min(i + 1, nx - 1)
                gz = (mix * (fu[i] - fd[i]) + rest * (mu[i] - md[i])) * pz
                gy = (mix * (fs[i] - fn[i]) + rest * (ms[i] - mn[i])) * py
                gx = (mix * (f[b] - f[a]) + rest * (m[b] - m[a])) * px
                d = f[i] - m[i]
                below[i] += part * (gz * gz + gy * gy + gx * gx + alpha2 * d * d + flat)
                oz[i] += part * d * gz
                oy[i] += part * d * gy
                ox[i] += part * d * gx
                w = weight[0, 0, 0, 0] if whole else weight[0, k, j, i]
                line += part * w * d * d
            total += line
        count = 0.0
        for i in range(nx):
            w = weight[0, 0, 0, 0] if whole else weight[0, k, j, i]
            count += w
            gain = w / below[i] if below[i] > tiny else zero
            oz[i] *= gain * pace[0]
            oy[i] *= gain * pace[1]
            ox[i] *= gain * pace[2]
        lines[row, 0] = total
        lines[row, 1] = count


def _by_torch(
    fixed: Stack, warped: Stack, weight: Tensor | None, optics: Optics
) -> tuple[float, Tensor]:
    ones = torch.ones_like(fixed[:1]) if weight is None else weight
    share_of = fixed.new_tensor(optics.channel_weights)[:, None, None, None]
    floor = fixed.new_tensor(optics.floor)[:, None, None, None]
    mixed = optics.from_fixed * fixed + (1 - optics.from_fixed) * warped
    slope = torch.stack(
        [_central(mixed, a) / h for a, h in zip((1, 2, 3), optics.spacing, strict=True)], dim=1
    )
    off = fixed - warped
    alpha2 = 1 / (2 * optics.longest) ** 2
    below = (share_of * ((slope**2).sum(dim=1) + alpha2 * off**2 + floor)).sum(dim=0)
    above = (share_of[:, None] * off[:, None] * slope).sum(dim=0)
    gain = torch.where(below > 1e-30, ones[0] / below.clamp(min=1e-30), 0.0)
    pace = fixed.new_tensor([1 / h for h in optics.spacing])[:, None, None, None]
    loss = (share_of * ones * off**2).sum() / ones.sum().clamp(min=1e-30)
    return float(loss), above * gain * pace


def _central(x: Tensor, axis: int) -> Tensor:
    n = x.shape[axis]
    index = torch.arange(n, device=x.device)
    up, down = (index + 1).clamp_max(n - 1), (index - 1).clamp_min(0)
    return 0.5 * (x.index_select(axis, up) - x.index_select(axis, down))
