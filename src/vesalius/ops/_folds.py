"""Folds of a flow: where a map turns inside out, how much volume, and how its swelling spreads."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import RegionError, ShapeError
from vesalius.ops._jit import kernel
from vesalius.ops._threads import share

Flow = Float[Tensor, "3 z y x"]
LEAST = 1 << 14  # samples worth a thread of their own


class Folds(NamedTuple):
    """Figures of the Jacobian determinant of a map.

    Attributes:
        folded: Share of samples whose determinant by central differences is 0 or less, 0 to 1.
        folded_cells: Share of cells between samples with a tetrahedron of volume 0 or less.
        lost_volume: Non-diffeomorphic volume: what the turned tetrahedra enclose, in cells.
        sd_log: Standard deviation of the logarithm of the determinant, over the samples where it
            is positive.
        smallest: Smallest determinant by central differences.
        largest: Largest determinant by central differences.
        samples: Samples that were looked at.
        cells: Cells that were looked at.
    """

    folded: float
    folded_cells: float
    lost_volume: float
    sd_log: float
    smallest: float
    largest: float
    samples: int
    cells: int


def fold_statistics(flow: Flow, mask: Bool[Tensor, "z2 y2 x2"] | None = None) -> Folds:
    """Measure folds by central differences and by tetrahedra.

    Central differences skip the sample itself: they call a checkerboard of displacements smooth.
    Each cell of 8 samples is therefore cut into five tetrahedra in both ways that there are: 4 + 4
    at its corners and 2 in its middle. The map is a digital diffeomorphism where all ten keep
    their orientation; half the volume of those that do not is the non-diffeomorphic volume. In
    2-D the same is done with the four triangles at the corners of each square.

    Args:
        flow: (3, z, y, x), samples along (z, y, x); an axis of one sample is not moved along.
        mask: Samples that count; a cell counts where all its samples do. None counts all.

    Returns:
        The figures.

    Raises:
        ShapeError: ``flow`` is empty or not finite, or the mask has another shape.
        RegionError: The mask is empty.

    Example:
        >>> fold_statistics(torch.zeros(3, 4, 4, 4)).folded
        0.0

    References:
        Liu et al. (2024), doi:10.1007/s11263-024-02047-1, sections 3.2 and 3.3 (digital
        diffeomorphisms; non-diffeomorphic volume). Differs from it in: one-sided differences at
        the edges of the lattice for ``folded`` and ``sd_log``.
    """
    _check(flow, mask)
    source = flow.detach().cpu().contiguous().numpy()
    counted = np.ones(source.shape[1:], np.bool_) if mask is None else mask.cpu().numpy()
    if not counted.any():
        raise RegionError("mask must have a sample inside to look for folds, got an empty one")
    _, nz, ny, nx = source.shape
    rows, cells = np.zeros((nz * ny, 6)), np.zeros((nz * ny, 3))
    share(lambda a, b: _sample_rows(source, counted, rows, a, b), nz * ny, least=1 + LEAST // nx)
    share(lambda a, b: _cell_rows(source, counted, cells, a, b), nz * ny, least=1 + LEAST // nx)
    count, folded, total, squares = rows[:, :4].sum(axis=0).tolist()
    seen, broken, lost = cells.sum(axis=0).tolist()
    kept = max(count - folded, 1.0)
    present = rows[:, 0] > 0
    return Folds(
        folded=folded / count,
        folded_cells=broken / seen if seen else math.nan,
        lost_volume=lost,
        sd_log=math.sqrt(max(squares / kept - (total / kept) ** 2, 0.0)),
        smallest=float(rows[present, 4].min()),
        largest=float(rows[present, 5].max()),
        samples=int(count),
        cells=int(seen),
    )


def _check(flow: Tensor, mask: Tensor | None) -> None:
    if not flow.numel():
        raise ShapeError(f"flow must have samples to look for folds, got {tuple(flow.shape)}")
    if not bool(torch.isfinite(flow).all()):
        raise ShapeError("flow must be finite to look for folds, got NaN or infinity")
    if mask is not None and mask.shape != flow.shape[1:]:
        raise ShapeError(
            f"mask must have the shape of the lattice {tuple(flow.shape[1:])}, "
            f"got {tuple(mask.shape)}"
        )


@kernel
@no_type_check
def _determinant(a, b, c, d, e, f, g, h, i):
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


@kernel
@no_type_check
def _sample_rows(flow, mask, out, start, stop):
    """Of each row: count, folds, sum and sum of squares of the logarithm, smallest, largest."""
    _, nz, ny, nx = flow.shape
    for row in range(start, stop):
        z, y = row // ny, row % ny
        z0, z1, y0, y1 = max(z - 1, 0), min(z + 1, nz - 1), max(y - 1, 0), min(y + 1, ny - 1)
        fz, fy = 1.0 / max(z1 - z0, 1), 1.0 / max(y1 - y0, 1)
        count, folded, total, squares = 0, 0, 0.0, 0.0
        low, high = np.inf, -np.inf
        for x in range(nx):
            if not mask[z, y, x]:
                continue
            x0, x1 = max(x - 1, 0), min(x + 1, nx - 1)
            fx = 1.0 / max(x1 - x0, 1)
            j = _determinant(
                1 + fz * (float(flow[0, z1, y, x]) - float(flow[0, z0, y, x])),
                fy * (float(flow[0, z, y1, x]) - float(flow[0, z, y0, x])),
                fx * (float(flow[0, z, y, x1]) - float(flow[0, z, y, x0])),
                fz * (float(flow[1, z1, y, x]) - float(flow[1, z0, y, x])),
                1 + fy * (float(flow[1, z, y1, x]) - float(flow[1, z, y0, x])),
                fx * (float(flow[1, z, y, x1]) - float(flow[1, z, y, x0])),
                fz * (float(flow[2, z1, y, x]) - float(flow[2, z0, y, x])),
                fy * (float(flow[2, z, y1, x]) - float(flow[2, z, y0, x])),
                1 + fx * (float(flow[2, z, y, x1]) - float(flow[2, z, y, x0])),
            )
            count += 1
            low, high = min(low, j), max(high, j)
            if j <= 0:
                folded += 1
            else:
                value = np.log(j)
                total += value
                squares += value * value
        out[row, 0], out[row, 1], out[row, 2], out[row, 3] = count, folded, total, squares
        out[row, 4], out[row, 5] = low, high


@kernel
@no_type_check
def _cell_rows(flow, mask, out, start, stop):
    """Of each row of cells: count, broken ones, non-diffeomorphic volume."""
    _, nz, ny, nx = flow.shape
    sz, sy, sx = min(nz - 1, 1), min(ny - 1, 1), min(nx - 1, 1)
    corner = np.empty((8, 3))
    for row in range(start, stop):
        z, y = row // ny, row % ny
        if z + sz >= nz or y + sy >= ny:
            continue
        count, broken, lost = 0, 0, 0.0
        for x in range(nx - sx):
            inside = True
            for k in range(8):
                a, b, c = k >> 2, (k >> 1) & 1, k & 1
                at = z + a * sz, y + b * sy, x + c * sx
                inside = inside and mask[at]
                corner[k, 0] = a + flow[0, at[0], at[1], at[2]]
                corner[k, 1] = b + flow[1, at[0], at[1], at[2]]
                corner[k, 2] = c + flow[2, at[0], at[1], at[2]]
            if not inside:
                continue
            low, turned = _cell(corner, sz * sy * sx == 0)
            count += 1
            lost += turned
            broken += low <= 0
        out[row, 0], out[row, 1], out[row, 2] = count, broken, lost


@kernel
@no_type_check
def _cell(p, planar):
    """Give the smallest determinant of the ten tetrahedra, and half the turned volume."""
    low, turned = np.inf, 0.0
    for k in range(8):
        # the three edges that meet at corner k, each along its axis
        a, b, c = k ^ 4, k ^ 2, k ^ 1
        sign = -1.0 if ((k >> 2) + (k >> 1) + k) & 1 else 1.0
        j = sign * _span(p, k, a, b, c)
        low = min(low, j)
        turned += max(-j, 0.0)
    if planar:  # each of the four triangles was seen twice, as half a square
        return low, turned / 8
    # the two in the middle join the corners of odd and of even parity; each is twice as large
    for j in (_span(p, 7, 1, 2, 4), -_span(p, 0, 6, 5, 3)):
        low = min(low, j)
        turned += max(-j, 0.0)
    return low, turned / 12


@kernel
@no_type_check
def _span(p, o, a, b, c):
    """Six times the signed volume of a tetrahedron."""
    return _determinant(
        p[a, 0] - p[o, 0],
        p[b, 0] - p[o, 0],
        p[c, 0] - p[o, 0],
        p[a, 1] - p[o, 1],
        p[b, 1] - p[o, 1],
        p[c, 1] - p[o, 1],
        p[a, 2] - p[o, 2],
        p[b, 2] - p[o, 2],
        p[c, 2] - p[o, 2],
    )
