"""Carry: the template's face mask on the grid of a scan."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from torch import Tensor

from vesalius.core import Grid, Labels, Linear
from vesalius.errors import GeometryError
from vesalius.ops import resample_affine
from vesalius.ops._distance_field import distance_to


def carry(face: Labels, like: Grid, transform: Linear, *, margin_mm: float = 0.0) -> Tensor:
    """Bring a face mask onto a grid by nearest voxel.

    Beyond its own grid a mask goes on as it is at its border: a nose that is longer than the
    template's field of view is face too.

    Args:
        face: Every label that is not 0; in the template's world.
        like: The grid of the scan.
        transform: Scan's world to template's world.
        margin_mm: How far the mask grows, mm of the template.

    Returns:
        (z, y, x), True in the face.

    Raises:
        GeometryError: The mask is to grow on a grid whose axes are not orthogonal.
    """
    mask = (face.data != 0).any(dim=0)
    grid = face.grid
    if margin_mm > 0:
        mask, grid = _grown(mask, grid, margin_mm)
    matrix = torch.linalg.inv(grid.affine) @ transform.matrix @ like.affine
    found = resample_affine(
        mask[None].to(torch.uint8), matrix, shape=like.shape, interpolation="nearest"
    )
    return found[0] > 0


def _grown(mask: Tensor, grid: Grid, margin_mm: float) -> tuple[Tensor, Grid]:
    if not grid.is_orthogonal:
        raise GeometryError(
            "a face mask must lie on orthogonal axes to grow by a margin, got a sheared grid: "
            "resample it, or use margin 0"
        )
    spacing = grid.spacing_mm
    z, y, x = (math.ceil(margin_mm / s) + 1 for s in spacing)
    wide = torch.nn.functional.pad(mask[None, None].float(), (x, x, y, y, z, z), mode="replicate")[
        0, 0
    ]
    near = distance_to(wide > 0, spacing) <= margin_mm
    affine = grid.affine.clone()
    affine[:3, 3] -= affine[:3, :3] @ torch.tensor([z, y, x], dtype=torch.float64)
    shape = (near.shape[0], near.shape[1], near.shape[2])
    return near, Grid(shape, affine)
