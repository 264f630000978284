"""Finite differences with repeated edges, and their exact adjoints."""
# SPDX-License-Identifier: Apache-2.0

import torch
from torch import Tensor

Spacing = tuple[float, ...]


def forward_differences(x: Tensor, spacing: Spacing) -> Tensor:
    """Take the difference to the next sample along each of the last axes.

    Args:
        x: (*batch, *shape), any number type with fractions, real or complex.
        spacing: Distance between samples along each of the last ``len(spacing)`` axes.

    Returns:
        (*batch, axis, *shape), the unit of ``x`` per that of ``spacing``; 0 at the last sample of
        an axis.
    """
    parts = []
    for axis, step in zip(_axes(spacing), spacing, strict=True):
        part = torch.zeros_like(x)
        n = x.shape[axis] - 1
        part.narrow(axis, 0, n).copy_(x.narrow(axis, 1, n) - x.narrow(axis, 0, n))
        parts.append(part / step)
    return torch.stack(parts, dim=-len(spacing) - 1)


def forward_differences_adjoint(p: Tensor, spacing: Spacing) -> Tensor:
    """Apply the adjoint of :func:`forward_differences`: minus the divergence.

    Args:
        p: (*batch, axis, *shape).
        spacing: As there.

    Returns:
        (*batch, *shape).
    """
    out = torch.zeros_like(p.select(-len(spacing) - 1, 0))
    for axis, (part, step) in zip(
        _axes(spacing),
        zip(p.unbind(-len(spacing) - 1), spacing, strict=True),
        strict=True,
    ):
        n = part.shape[axis] - 1
        inner = part.narrow(axis, 0, n) / step
        out.narrow(axis, 1, n).add_(inner)
        out.narrow(axis, 0, n).sub_(inner)
    return out


def differences_norm2(spacing: Spacing) -> float:
    """Give an upper bound of the squared norm of :func:`forward_differences`: 4 sum 1/h^2."""
    return 4.0 * sum(1.0 / h**2 for h in spacing)


def _axes(spacing: Spacing) -> range:
    return range(-len(spacing), 0)
