"""CosineBasis: a field of low frequencies, cosines along each axis."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Displacement, Grid
from vesalius.errors import GeometryError
from vesalius.ops._axis_maps import along_axes
from vesalius.register._basis import Basis

ROUNDING = 1e-6  # a turned header has a spacing of 2.0000000000000004 mm, and no more parameters


@final
@dataclass(frozen=True, slots=True)
class CosineBasis(Basis):
    """Band-limited displacement: cosines no shorter than a cut-off; the parameters are in mm.

    Along each axis the cosines of ``0, 1/2, 1, 3/2, ...`` periods over a length that holds the
    image and is the next whole number of half cut-offs. Parameters are (3, kz, ky, kx), along the
    lattice's (z, y, x), the amplitude of each product of cosines.

    Attributes:
        cutoff_mm: Shortest period.

    Raises:
        GeometryError: ``cutoff_mm`` is not positive.

    References:
        Ashburner, Friston (1999), doi:10.1002/(SICI)1097-0193(1999)7:4<254::AID-HBM4>3.0.CO;2-G.
        Differs from it in: the length is rounded up, so that one set of parameters serves all
        scales; amplitudes instead of orthonormal coefficients.
    """

    cutoff_mm: float = 40.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cutoff_mm) and self.cutoff_mm > 0):
            raise GeometryError(
                f"cutoff_mm must be a positive period, got {self.cutoff_mm}: "
                "a quarter of the image is usual"
            )

    def start(self, grid: Grid) -> Float[Tensor, "3 kz ky kx"]:
        """Give zeros, float32."""
        counts = [
            1 if n == 1 else math.ceil(2 * n * h / self.cutoff_mm - ROUNDING) + 1
            for n, h in zip(grid.shape, grid.spacing_mm, strict=True)
        ]
        return torch.zeros((3, *counts))

    def flow(self, parameters: Float[Tensor, "3 kz ky kx"], grid: Grid) -> Float[Tensor, "3 z y x"]:
        """Give the displacement at each sample, samples."""
        spacing = grid.spacing_mm
        z, y, x = (
            _cosines(n, c, 2 * h / self.cutoff_mm).to(parameters.device, parameters.dtype)
            for n, c, h in zip(grid.shape, parameters.shape[1:], spacing, strict=True)
        )
        pace = parameters.new_tensor([1 / h for h in spacing])[:, None, None, None]
        return along_axes(parameters * pace, (z, y, x))

    def transform(self, parameters: Float[Tensor, "3 kz ky kx"], grid: Grid) -> Displacement:
        """Give the field at the samples of ``grid`` as a transform."""
        return Displacement.from_flow(self.flow(parameters, grid), grid)


def _cosines(n: int, count: int, pace: float) -> Float[Tensor, "n count"]:
    """Give each cosine at each sample; ``pace`` is their distance in half cut-offs."""
    if count == 1:
        return torch.ones((n, 1), dtype=torch.float64)
    length = count - 1
    at = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * pace + length / 2
    order = torch.arange(count, dtype=torch.float64)
    return torch.cos(math.pi * order * at[:, None] / length)
