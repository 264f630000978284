"""KSpace: what a Cartesian MR scan measured, with the grid of its image."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.physics.mri._fourier import check_complex


@final
@dataclass(frozen=True, slots=True, eq=False)
class KSpace:
    """Measured samples of the Fourier transform of an image, of every coil.

    Attributes:
        data: (coil, z, y, x), complex; the zero frequency stands at index ``n // 2``, samples that
            were not measured are 0.
        mask: (z, y, x), True where measured.
        grid: Of the image; its shape is that of k-space.

    Raises:
        ShapeError: ``data`` or ``mask`` does not fit the grid.
        UnitError: ``data`` is real.
        IntensityError: A measured sample is NaN or infinite.
        RegionError: Nothing was measured.
    """

    data: Shaped[Tensor, "..."]
    mask: Bool[Tensor, "..."]
    grid: Grid

    def __post_init__(self) -> None:
        check_complex(self.data, "k-space")
        shape = tuple(self.data.shape)
        if len(shape) != 4 or shape[1:] != self.grid.shape or not shape[0]:
            raise ShapeError(
                f"k-space must have the shape (coil, z, y, x) with the grid's {self.grid.shape}, "
                f"got {shape}"
            )
        if tuple(self.mask.shape) != self.grid.shape:
            raise ShapeError(
                f"the mask of k-space must have the grid's shape {self.grid.shape}, got "
                f"{tuple(self.mask.shape)}"
            )
        if not bool(self.mask.any()):
            raise RegionError("k-space must hold at least one measured sample, got none")
        if not bool(torch.isfinite(torch.view_as_real(self.data[:, self.mask])).all()):
            raise IntensityError(
                "measured k-space must be finite, got NaN or infinity: leave spoiled samples out "
                "of the mask"
            )


def measured(data: Shaped[Tensor, "coil *image"]) -> Bool[Tensor, "*image"]:
    """Find the mask of zero-filled k-space: where any coil is not 0.

    Args:
        data: (coil, *image).

    Returns:
        (*image), True where measured.
    """
    found: Tensor = (data != 0).any(0)
    return found
