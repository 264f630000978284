"""Differences of a field on its lattice, differentiable: along edges, across cells, at corners."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

Field = Float[Tensor, "3 z y x"]
Spacing = tuple[float, float, float]


def edge_differences(x: Tensor, axis: int, spacing: float) -> Tensor:
    """Take the difference to the next sample; one sample fewer along ``axis``.

    Args:
        x: Any shape.
        axis: -3, -2 or -1.
        spacing: Distance of samples along it.

    Returns:
        The slope on each edge, unit of ``x`` per that of ``spacing``.
    """
    n = x.shape[axis] - 1
    return (x.narrow(axis, 1, n) - x.narrow(axis, 0, n)) / spacing


def edge_means(x: Tensor, axis: int) -> Tensor:
    """Take the mean with the next sample; one sample fewer along ``axis``."""
    n = x.shape[axis] - 1
    return 0.5 * (x.narrow(axis, 1, n) + x.narrow(axis, 0, n))


def active_axes(x: Tensor) -> tuple[int, ...]:
    """Give those of the axes -3, -2, -1 that have more than one sample."""
    return tuple(axis for axis in (-3, -2, -1) if x.shape[axis] > 1)


def padded(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Add zeros behind the last samples of the last three axes until they have ``shape``."""
    need = [n - m for n, m in zip(shape[-3:], x.shape[-3:], strict=True)]
    z, y, x_ = need
    return torch.nn.functional.pad(x, (0, x_, 0, y, 0, z))


def laplacian(x: Tensor, spacing: Spacing) -> Tensor:
    """Apply the Laplacian whose samples repeat beyond the edges (no flux through them).

    Args:
        x: (*batch, z, y, x).
        spacing: Distance of samples along (z, y, x).

    Returns:
        As ``x``; unit of ``x`` per that of ``spacing`` squared.
    """
    out = torch.zeros_like(x)
    for axis in active_axes(x):
        slope = edge_differences(x, axis, spacing[axis] ** 2)
        out = out + _ended(slope, axis) - _begun(slope, axis)
    return out


def corner_slopes(field: Field, spacing: Spacing) -> Iterator[Float[Tensor, "3 3 a b c"]]:
    """Give the one-sided derivative at each corner of the lattice's cells.

    A central difference does not see a checkerboard; the corners of the cells do.

    Args:
        field: (3, z, y, x), displacement along (z, y, x).
        spacing: Distance of samples along (z, y, x), same unit.

    Yields:
        8 times (4 in a plane, ``z == 1``) the derivative of component c by axis a as ``[c, a]``,
        on the cells; no derivative along an axis of one sample.
    """
    axes = active_axes(field)
    edges = {axis: edge_differences(field, axis, spacing[axis]) for axis in axes}
    cells = [max(1, n - 1) for n in field.shape[1:]]
    for corner in product((0, 1), repeat=len(axes)):
        start = dict(zip(axes, corner, strict=True))
        columns = []
        for axis in (-3, -2, -1):
            if axis not in edges:
                columns.append(torch.zeros_like(field[:, :1, :1, :1]).expand(3, *cells))
                continue
            part = edges[axis]
            for other in axes:
                if other != axis:
                    part = part.narrow(other, start[other], cells[other])
            columns.append(part)
        yield torch.stack(columns, dim=1)


def determinant(slopes: Float[Tensor, "3 3 *cells"]) -> Float[Tensor, "*cells"]:
    """Give the determinant of identity plus slopes, the change of volume."""
    a, b, c = slopes[0, 0] + 1, slopes[0, 1], slopes[0, 2]
    d, e, f = slopes[1, 0], slopes[1, 1] + 1, slopes[1, 2]
    g, h, i = slopes[2, 0], slopes[2, 1], slopes[2, 2] + 1
    out: Tensor = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return out


def _ended(slope: Tensor, axis: int) -> Tensor:
    """The slope to the next sample, 0 at the last."""
    return torch.cat([slope, torch.zeros_like(slope.narrow(axis, 0, 1))], dim=axis)


def _begun(slope: Tensor, axis: int) -> Tensor:
    """The slope from the sample before, 0 at the first."""
    return torch.cat([torch.zeros_like(slope.narrow(axis, 0, 1)), slope], dim=axis)
