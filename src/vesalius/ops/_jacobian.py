"""Jacobian determinants of a flow: how much the map swells and shrinks, and where it folds."""
# SPDX-License-Identifier: Apache-2.0

from itertools import product
from typing import Any, no_type_check

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._jit import kernel
from vesalius.ops._threads import share

Flow = Float[Tensor, "3 z y x"]

LEAST = 1 << 14  # cells worth a thread of their own


def determinants(flow: Flow) -> Float[Tensor, "z y x"]:
    """Give the determinant of the map ``i + flow[i]`` at each sample, by central differences.

    Differences are one-sided at the edges. Central differences miss a fold that alternates from
    sample to sample: ``folding`` does not.

    Args:
        flow: (3, z, y, x), samples; an axis of one sample (2-D) is not moved along.

    Returns:
        (z, y, x); 1 keeps the volume, 0 or less is a fold. Differentiable.

    Raises:
        ShapeError: ``flow`` is empty.
    """
    _check(flow)
    return _determinant([_central(flow, axis) for axis in (1, 2, 3)])


def corner_determinants(flow: Flow) -> Float[Tensor, "8 z2 y2 x2"]:
    """Give the determinants of the map at the 8 corners of each cell between samples.

    Each is six times the signed volume of the tetrahedron that the three edges of the moved cell
    at this corner span.

    Args:
        flow: (3, z, y, x), samples.

    Returns:
        (8, z - 1, y - 1, x - 1), the corners in binary order (z, y, x); an axis of one sample
        keeps its one layer, and its corners come twice. Differentiable.

    Raises:
        ShapeError: ``flow`` is empty.

    References:
        Liu et al. (2024), doi:10.1007/s11263-024-02047-1 (digital diffeomorphisms).
    """
    _check(flow)
    edges = [torch.diff(flow, dim=a) if flow.shape[a] > 1 else flow * 0 for a in (1, 2, 3)]
    corners = []
    for corner in product((0, 1), repeat=3):
        columns = [_edge(edges[a], a, corner, flow) for a in range(3)]
        corners.append(_determinant(columns))
    return torch.stack(corners)


def folding(flow: Flow) -> Float[Tensor, "z2 y2 x2"]:
    """Give the smallest of the 8 corner determinants of each cell; the map folds where it is <= 0.

    Args:
        flow: (3, z, y, x), samples.

    Returns:
        (z - 1, y - 1, x - 1), as ``corner_determinants(flow).amin(0)``. Not differentiable.

    Raises:
        ShapeError: ``flow`` is empty.
    """
    _check(flow)
    if flow.device.type != "cpu":
        return corner_determinants(flow.detach()).amin(dim=0)
    depth, height, width = (max(n - 1, 1) for n in flow.shape[1:])
    out = flow.new_empty((depth, height, width))
    source, target = flow.detach().contiguous().numpy(), out.numpy()
    share(
        lambda a, b: _smallest_rows(source, target, a, b),
        depth * height,
        least=1 + LEAST // width,
    )
    return out


def _check(flow: Tensor) -> None:
    if not flow.numel():
        raise ShapeError(f"flow must have samples, got {tuple(flow.shape)}")


def _central(flow: Tensor, axis: int) -> Tensor:
    """Give the derivative of the map along an axis of the lattice."""
    column = torch.zeros_like(flow)
    if flow.shape[axis] > 1:
        (column,) = torch.gradient(flow, dim=axis)
    return column + _unit(axis - 1, flow)


def _unit(axis: int, like: Tensor) -> Tensor:
    return torch.eye(3, dtype=like.dtype, device=like.device)[axis].reshape(3, 1, 1, 1)


def _edge(edge: Tensor, axis: int, corner: Any, flow: Tensor) -> Tensor:
    """Give the edges along an axis that end in one corner of each cell."""
    for other in range(3):
        n = flow.shape[other + 1]
        if other != axis and n > 1:
            edge = edge.narrow(other + 1, corner[other], n - 1)
    return edge + _unit(axis, flow)


def _determinant(columns: list[Tensor]) -> Tensor:
    a, b, c = columns
    out: Tensor = (a * torch.linalg.cross(b, c, dim=0)).sum(dim=0)
    return out


@kernel
@no_type_check
def _smallest_rows(flow, out, start, stop):
    """Fill rows of ``out`` with the smallest determinant of each cell's corners."""
    _, nz, ny, nx = flow.shape
    height, width = out.shape[1], out.shape[2]
    up, down, right = 1 if nz > 1 else 0, 1 if ny > 1 else 0, 1 if nx > 1 else 0
    one = flow.dtype.type(1)
    for row in range(start, stop):
        k, j = row // height, row % height
        line = out[k, j]
        for corner in range(8):
            a, b, c = (corner >> 2) * up, ((corner >> 1) & 1) * down, (corner & 1) * right
            # rows of samples on both ends of the edges along z and y, at this corner
            low, high = flow[:, k, j + b], flow[:, k + up, j + b]
            near, far = flow[:, k + a, j], flow[:, k + a, j + down]
            here = flow[:, k + a, j + b]
            for i in range(width):
                e, p = i + c, i + right
                zz = one + high[0, e] - low[0, e]
                zy, zx = high[1, e] - low[1, e], high[2, e] - low[2, e]
                yy = one + far[1, e] - near[1, e]
                yz, yx = far[0, e] - near[0, e], far[2, e] - near[2, e]
                xx = one + here[2, p] - here[2, i]
                xz, xy = here[0, p] - here[0, i], here[1, p] - here[1, i]
                found = (
                    zz * (yy * xx - yx * xy) - zy * (yz * xx - yx * xz) + zx * (yz * xy - yy * xz)
                )
                line[i] = found if corner == 0 else min(line[i], found)
