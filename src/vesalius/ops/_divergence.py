"""Divergence of a flow: damp it, so that a deformation changes volumes less than it shears."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._jit import kernel
from vesalius.ops._local_ncc import central_differences
from vesalius.ops._threads import share

Field = Float[Tensor, "3 z y x"]
STEEPEST = 1 / 3  # weight from which the finest ripples would change their sign
LEAST = 1 << 16  # samples worth a thread of their own


def damp_divergence(
    field: Field, weight: float, *, scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Field:
    """Give ``u + weight grad div u``: one explicit step of the equation of volume change.

    Central differences per sample; borders repeat; an axis of one sample has no differences. A
    field without divergence (rotation, shear) stays as it is.

    Args:
        field: (3, z, y, x), components along (z, y, x).
        weight: 0 to 1/3, samples squared.
        scale: Multiplies the differences along (z, y, x): the finest spacing over each spacing.

    Returns:
        As ``field``. Differentiable.

    Raises:
        ConfigError: ``weight`` is outside 0 to 1/3.

    Example:
        >>> swelling = torch.zeros(3, 1, 1, 5)
        >>> swelling[2] = torch.arange(5.0) ** 2 / 2
        >>> (damp_divergence(swelling, 0.25) - swelling)[2, 0, 0, 2]
        tensor(0.2500)
    """
    require_damping(weight)
    if weight == 0:
        return field
    if field.device.type != "cpu" or (torch.is_grad_enabled() and field.requires_grad):
        return _by_torch(field, weight, scale)
    source = field.detach().contiguous().numpy()
    divergence = field.new_empty(field.shape[1:]).numpy()
    out = torch.empty_like(field, memory_format=torch.contiguous_format)
    target, depth = out.numpy(), field.shape[1]
    kind = source.dtype.type
    halves = tuple(kind(s / 2) for s in scale)
    steps = tuple(kind(weight * s / 2) for s in scale)
    least = 1 + LEAST // max(field[0, 0].numel(), 1)
    share(lambda a, b: _divergence(source, halves, divergence, a, b), depth, least=least)
    share(lambda a, b: _add_gradient(source, divergence, steps, target, a, b), depth, least=least)
    return out


def require_damping(weight: float) -> None:
    """Refuse a weight that is not finite, negative, or so large that ripples turn over."""
    if not 0 <= weight <= STEEPEST:
        raise ConfigError(
            f"the weight on divergence must be from 0 to 1/3, got {weight:g}: take a smaller one, "
            "more often"
        )


def _by_torch(field: Field, weight: float, scale: tuple[float, float, float]) -> Field:
    parts = [s * central_differences(field[k])[k] for k, s in enumerate(scale)]
    factors = torch.tensor(scale, dtype=field.dtype, device=field.device)[:, None, None, None]
    return field + weight * factors * central_differences(parts[0] + parts[1] + parts[2])


@kernel
@no_type_check
def _divergence(field, half, out, first, last):
    """Write the divergence of planes ``first`` to ``last``."""
    depth, rows, columns = field.shape[1:]
    for z in range(first, last):
        for j in range(rows):
            up, down = field[0, min(z + 1, depth - 1), j], field[0, max(z - 1, 0), j]
            back, front = field[1, z, min(j + 1, rows - 1)], field[1, z, max(j - 1, 0)]
            row, target = field[2, z, j], out[z, j]
            for i in range(columns):
                target[i] = half[0] * (up[i] - down[i]) + half[1] * (back[i] - front[i])
            for i in range(1, columns - 1):
                target[i] += half[2] * (row[i + 1] - row[i - 1])
            end = columns - 1
            if end > 0:
                target[0] += half[2] * (row[1] - row[0])
                target[end] += half[2] * (row[end] - row[end - 1])


@kernel
@no_type_check
def _add_gradient(field, potential, step, out, first, last):
    """Write the field plus a gradient, for planes ``first`` to ``last``."""
    depth, rows, columns = potential.shape
    for z in range(first, last):
        for j in range(rows):
            up, down = potential[min(z + 1, depth - 1), j], potential[max(z - 1, 0), j]
            back, front = potential[z, min(j + 1, rows - 1)], potential[z, max(j - 1, 0)]
            row = potential[z, j]
            a, b, c = field[0, z, j], field[1, z, j], field[2, z, j]
            dz, dy, dx = out[0, z, j], out[1, z, j], out[2, z, j]
            for i in range(columns):
                dz[i] = a[i] + step[0] * (up[i] - down[i])
                dy[i] = b[i] + step[1] * (back[i] - front[i])
                dx[i] = c[i]
            for i in range(1, columns - 1):
                dx[i] += step[2] * (row[i + 1] - row[i - 1])
            end = columns - 1
            if end > 0:
                dx[0] += step[2] * (row[1] - row[0])
                dx[end] += step[2] * (row[end] - row[end - 1])
