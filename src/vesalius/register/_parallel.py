"""Parallel: a moving image on axes that lie as the fixed one's, for what compares directions."""
# SPDX-License-Identifier: Apache-2.0

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, Linear, resample

ENOUGH = 1e-3  # radians: axes nearer than this are parallel


def parallel(
    moving: Image, mask: Image | None, *, fixed: Grid, start: Linear
) -> tuple[Image, Image | None]:
    """Bring an image onto axes that the start lays along the fixed ones.

    Features with a direction (gradients, self-similarity) are made along the axes of a lattice. A
    header may store the same anatomy with its axes exchanged, reversed or oblique; its features
    would then be compared with those of other directions.

    Args:
        moving: Any grid.
        mask: Where it counts; None for everywhere.
        fixed: Whose axes are wanted.
        start: Fixed world to moving world; its rotation is followed.

    Returns:
        Image and mask as they are where the axes are parallel; else on the smallest lattice that
        holds the image, of about its spacing, with a mask of 0 where the image has no samples.
    """
    wanted = _rotation(start.matrix[:3, :3].double().cpu()) @ fixed.direction.double().cpu()
    turn = moving.grid.direction.double().cpu().T @ wanted
    if float((turn - torch.eye(3, dtype=torch.float64)).abs().max()) < ENOUGH:
        return moving, mask
    grid = _around(moving.grid, wanted, turn)
    ones = Image(torch.ones_like(moving.data[:1]), moving.grid)
    seen = resample(ones, grid, fill=0)
    if mask is not None:
        seen = Image(seen.data * resample(mask, grid, fill=0).data, grid)
    return resample(moving, grid), seen


def _rotation(matrix: Float[Tensor, "3 3"]) -> Float[Tensor, "3 3"]:
    """Give the orthogonal matrix nearest to a matrix."""
    left, _, right = torch.linalg.svd(matrix)
    nearest: Tensor = left @ right
    return nearest


def _around(old: Grid, axes: Float[Tensor, "3 3"], turn: Float[Tensor, "3 3"]) -> Grid:
    """Give the lattice along ``axes`` whose samples reach the corners of an old one."""
    spacing = (turn.square().T @ torch.tensor(old.spacing_mm, dtype=torch.float64).square()).sqrt()
    ends = [(0.0, n - 1.0) for n in old.shape]
    corners = old.to_world(torch.tensor(list(product(*ends)), dtype=torch.float64))
    along = corners @ axes
    low, high = along.amin(dim=0), along.amax(dim=0)
    z, y, x = (int(n) for n in ((high - low) / spacing - 1e-6).ceil().clamp(min=0) + 1)
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = axes @ low
    return Grid((z, y, x), affine)
