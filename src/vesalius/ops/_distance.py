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
        (z, y, x) int32, same device: 0 outside, 1 on the edge, 2 one step further in, ...

    Raises:
        ShapeError: ``mask`` is not (z, y, x).

    References:
        IBSI manual, doi:10.48550/arXiv.1612.07003, chapter 3.9 (distance to the ROI edge).
    """
    _check(mask)
    if mask.is_cuda:
        return _peel(mask, planar=planar)
    depth = mask.to(torch.int32).contiguous()
    if mask.numel():
        _city_block(depth.numpy(), planar)
    return depth


def _check(mask: Tensor) -> None:
    if mask.ndim != 3:
        raise ShapeError(f"mask must have shape (z, y, x), got {tuple(mask.shape)}")


def _peel(mask: Tensor, *, planar: bool) -> Tensor:
    """Take the outermost layer off again and again; the layer's number is the distance."""
    inside = torch.nn.functional.pad(mask, (1, 1, 1, 1, 1, 1))
    depth = torch.zeros(inside.shape, dtype=torch.int32, device=mask.device)
    while inside.any():
        depth += inside
        kept = inside
        for axis in (1, 2) if planar else (0, 1, 2):
            kept = kept & inside.roll(1, axis) & inside.roll(-1, axis)
        inside = kept
    return depth[1:-1, 1:-1, 1:-1].contiguous()


@kernel
@no_type_check
def _city_block(depth, planar):
    slices, rows, columns = depth.shape
    _scan_columns(depth.reshape(slices * rows, columns))
    for z in range(slices):
        _scan_rows(depth[z])
    if not planar:
        # Seen from the side, a volume is one plane: its rows are the slices.
        _scan_rows(depth.reshape(slices, rows * columns))


@kernel
@no_type_check
def _scan_columns(plane):
    rows, columns = plane.shape
    for y in range(rows):
        near = 0
        for x in range(columns):
            near = near + 1 if plane[y, x] > 0 else 0
            plane[y, x] = near
        near = 0
        for k in range(columns):
            x = columns - 1 - k
            near = min(near + 1, plane[y, x])
            plane[y, x] = near


@kernel
@no_type_check
def _scan_rows(plane):
    rows, columns = plane.shape
    for x in range(columns):
        plane[0, x] = min(plane[0, x], 1)
    for y in range(1, rows):
        for x in range(columns):
            plane[y, x] = min(plane[y, x], plane[y - 1, x] + 1)
    for x in range(columns):
        plane[rows - 1, x] = min(plane[rows - 1, x], 1)
    for k in range(1, rows):
        y = rows - 1 - k
        for x in range(columns):
            plane[y, x] = min(plane[y, x], plane[y + 1, x] + 1)
