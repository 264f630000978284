"""Boundary overlap: how much of the rims of two masks lies together."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.errors import ShapeError, UnitError
from vesalius.ops._distance_field import distance_to

Spacing = tuple[float, float, float]


def boundary_iou(
    first: Bool[Tensor, "z y x"],
    second: Bool[Tensor, "z2 y2 x2"],
    *,
    width: float,
    spacing: Spacing,
) -> float:
    """Intersection over union of the inner rims of two masks.

    The rim of a mask holds its voxels that are at most ``width`` from a voxel outside it; beyond
    the block is outside (in a block of one slice only within the plane). A rim that is as wide as
    the objects gives the plain intersection over union.

    Args:
        first: (z, y, x), True inside.
        second: Same shape.
        width: Of the rim, in the unit of the spacing.
        spacing: Size of a voxel along (z, y, x).

    Returns:
        0 to 1; NaN where both masks are empty, 0 where one is.

    Raises:
        ShapeError: The masks differ in shape.
        UnitError: ``width`` is not at least the smallest spacing.

    References:
        Cheng et al. (2021), doi:10.1109/CVPR46437.2021.01508, eq. (1), where the width is 2 % of
        the image's diagonal. Differs from it in: distances are Euclidean, not counted in erosions.
    """
    if first.shape != second.shape:
        raise ShapeError(
            "masks must have one shape to be compared by their rims, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}: bring them onto one grid first"
        )
    felt = [s for s, n in zip(spacing, first.shape, strict=True) if n > 1] or list(spacing)
    if not (math.isfinite(width) and width >= min(felt)):
        raise UnitError(
            f"width must be at least the smallest spacing {min(felt):g}, got {width:g}: a thinner "
            "rim holds no voxel"
        )
    rims = [_rim(mask.detach().cpu(), width, spacing) for mask in (first, second)]
    either = int((rims[0] | rims[1]).sum())
    return int((rims[0] & rims[1]).sum()) / either if either else math.nan


def _rim(mask: Tensor, width: float, spacing: Spacing) -> Tensor:
    inside = mask.nonzero()
    if not len(inside):
        return mask
    # one voxel around the object is enough, but for the axis of a single slice
    pad = [0 if n == 1 else 1 for n in mask.shape]
    low, high = inside.amin(dim=0).tolist(), (inside.amax(dim=0) + 1).tolist()
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    framed = torch.nn.functional.pad(mask[box], (pad[2], pad[2], pad[1], pad[1], pad[0], pad[0]))
    rim = torch.zeros_like(mask)
    if bool(framed.all()):  # a block of one voxel has no outside
        rim[box] = True
        return rim
    near = framed & (distance_to(~framed, spacing) <= width * (1 + 1e-9))
    rim[box] = near[tuple(slice(p, n - p) for p, n in zip(pad, framed.shape, strict=True))]
    return rim
