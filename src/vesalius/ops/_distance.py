"""City-block distance to the edge of a mask."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._jit import kernel


def edge_distance(mask: Bool[Tensor, "z y x"], *, planar: bool = False) -> Int[Tensor, "z y x"]:
    """Measure how many voxel steps lead out of a mask, along the axes (city-block).

    Args:
        mask: (z, y, x); beyond the border of the array counts as outside.
        planar: Steps stay within a slice.

    Returns:
        (z, y, x) int16 (int32 on very long axes), same device: 0 outside, 1 on the edge, 2 one
        step further in, ...

    Raises:
        ShapeError: ``mask`` is not (z, y, x).

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.9 (distance to the ROI edge).
    """
    _check(mask)
    if mask.is_cuda:
        return _peel(mask, planar=planar)
    depth = torch.empty(mask.shape, dtype=_depth_type(mask))
    if mask.numel():
        _city_block(mask.contiguous().numpy(), depth.numpy(), planar)
    return depth


def _check(mask: Tensor) -> None:
    if mask.ndim != 3:
        raise ShapeError(f"mask must have shape (z, y, x), got {tuple(mask.shape)}")


def _depth_type(mask: Tensor) -> torch.dtype:
    return torch.int16 if max(mask.shape) < 32767 else torch.int32


def _peel(mask: Tensor, *, planar: bool) -> Tensor:
    """Take the outermost layer off again and again; the layer's number is the distance."""
    inside = torch.nn.functional.pad(mask, (1, 1, 1, 1, 1, 1))
    depth = torch.zeros(inside.shape, dtype=_depth_type(mask), device=mask.device)
    while inside.any():
        depth += inside
        kept = inside
        for axis in (1, 2) if planar else (0, 1, 2):
            kept = kept & inside.roll(1, axis) & inside.roll(-1, axis)
        inside = kept
    return depth[1:-1, 1:-1, 1:-1].contiguous()


@kernel
@no_type_check
def _city_block(mask, depth, planar):
    slices, rows, columns = depth.shape
    _measure_rows(mask.reshape(-1), depth.reshape(-1), columns)
    for z in range(slices):
        _sweep(depth[z])
    if not planar:
        # Seen from the side, a volume is one plane: its rows are the slices.
        _sweep(depth.reshape(slices, rows * columns))


@kernel
@no_type_check
def _measure_rows(mask, depth, columns):
    """Along x: the distance to the nearer end of the run of voxels."""
    for first in range(0, mask.size, columns):
        x = first
        while x < first + columns:
            if not mask[x]:
                depth[x] = 0
                x += 1
                continue
            end = x + 1
            while end < first + columns and mask[end]:
                end += 1
            for k in range(end - x):
                depth[x + k] = min(k + 1, end - x - k)
            x = end


@kernel
@no_type_check
def _sweep(plane):
    """Down and up: one more than the row beside, if that is less."""
    rows, columns = plane.shape
    for x in range(columns):
        plane[0, x] = min(plane[0, x], 1)
    for y in range(1, rows):
        _lower(plane[y], plane[y - 1])
    for x in range(columns):
        plane[rows - 1, x] = min(plane[rows - 1, x], 1)
    for k in range(1, rows):
        _lower(plane[rows - 1 - k], plane[rows - k])


@kernel
@no_type_check
def _lower(row, beside):
    for x in range(row.size):
        row[x] = min(row[x], beside[x] + 1)
