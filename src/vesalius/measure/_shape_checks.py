"""What the shape families ask of a region before they measure it, and the tight box around it."""
# SPDX-License-Identifier: Apache-2.0

import torch
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import GeometryError, RegionError
from vesalius.ops._hull import row_spans

Box = tuple[slice, slice, slice]


def require_orthogonal(grid: Grid) -> None:
    """Refuse a sheared grid by name.

    Raises:
        GeometryError: The axes are not at right angles.
    """
    if not grid.is_orthogonal:
        raise GeometryError(
            "shape needs a grid with axes at right angles, this one is sheared: "
            "resample the image and its labels to an orthogonal grid first"
        )


def tight_box(mask: Tensor) -> Box:
    """Find the bounding box of a mask.

    Args:
        mask: (z, y, x) bool.

    Returns:
        Slices along (z, y, x).

    Raises:
        RegionError: The mask is empty.
    """
    first, last = row_spans(mask)
    filled = first >= 0
    if not bool(filled.any()):
        raise RegionError("region must have a voxel inside to have a shape, got an empty mask")
    z, y = torch.nonzero(filled.any(dim=1))[:, 0], torch.nonzero(filled.any(dim=0))[:, 0]
    return (
        slice(int(z[0]), int(z[-1]) + 1),
        slice(int(y[0]), int(y[-1]) + 1),
        slice(int(first[filled].min()), int(last.max()) + 1),
    )
