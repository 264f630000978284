"""Region and Levels: one region of interest, cropped and ready to be measured."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from vesalius.core import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A block of the image around one region of interest.

    The block is the bounding box of the morphological mask plus a margin (as far as the image
    reaches) that the local intensity peak needs. Both masks have the shape of ``intensity``.

    Attributes:
        grid: Where the block is.
        intensity: (z, y, x) float64, in ``unit``; finite inside ``morphological``.
        morphological: True inside the region as drawn: shape is measured on it.
        mask: True inside the region after re-segmentation: intensity is measured on it.
            A subset of ``morphological``, never empty.
        unit: Unit of the intensities.
    """

    grid: Grid
    intensity: Float[Tensor, "z y x"]
    morphological: Bool[Tensor, "z y x"]
    mask: Bool[Tensor, "z y x"]
    unit: str


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Discretised intensities, padded, shared by all texture families.

    The block is the bounding box of the morphological mask with ``pad`` voxels of 0 around it.

    Attributes:
        data: (z, y, x) int16, or int32 above 32767 levels; 1 to ``count`` inside the intensity
            mask, 0 outside. Contiguous.
        morphological: (z, y, x), the morphological mask on the same block.
        count: Number of grey levels Ng.
        pad: Width of the border of zeros, voxels; at least the largest distance used.
        spacing_mm: Voxel size along (z, y, x), mm.
    """

    data: Int[Tensor, "z y x"]
    morphological: Bool[Tensor, "z y x"]
    count: int
    pad: int
    spacing_mm: tuple[float, float, float]
