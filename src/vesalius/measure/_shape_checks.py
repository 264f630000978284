"""What the shape families ask of a region before they measure it, and the tight box around it."""
# SPDX-License-Identifier: Apache-2.0

from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import GeometryError, RegionError
from vesalius.ops._inside import box_of

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
    (z, z1), (y, y1), (x, x1) = box_of(mask.detach().cpu().contiguous().numpy()).tolist()
    if z1 == 0:
        raise RegionError("region must have a voxel inside to have a shape, got an empty mask")
    return slice(z, z1), slice(y, y1), slice(x, x1)
