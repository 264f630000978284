"""FreeForm: displacements at control points, spread by cubic B-splines."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import BSpline, Grid
from vesalius.errors import GeometryError
from vesalius.ops._axis_maps import along_axes
from vesalius.register._basis import Basis

ROUNDING = 1e-6  # a turned header has a spacing of 2.0000000000000004 mm, and no more parameters


@final
@dataclass(frozen=True, slots=True)
class FreeForm(Basis):
    """Cubic B-spline free-form deformation; the parameters are displacements in mm.

    The control points stand about the middle of the fixed image, along its axes, and reach beyond
    it by as many as its border needs. Parameters are (3, z, y, x), along the lattice's (z, y, x);
    an axis of one sample has one control point and no bend.

    Attributes:
        spacing_mm: Distance of control points; the finest bend that can be followed is about two
            of them.

    Raises:
        GeometryError: ``spacing_mm`` is not positive.

    References:
        Rueckert et al. (1999), doi:10.1109/42.796284.
    """

    spacing_mm: float = 20.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.spacing_mm) and self.spacing_mm > 0):
            raise GeometryError(
                f"spacing_mm of control points must be positive, got {self.spacing_mm}: "
                "a tenth of the image is usual"
            )

    def start(self, grid: Grid) -> Float[Tensor, "3 cz cy cx"]:
        """Give zeros at each control point, float32."""
        counts = [
            1 if n == 1 else math.ceil(n * h / self.spacing_mm - ROUNDING) + 3
            for n, h in zip(grid.shape, grid.spacing_mm, strict=True)
        ]
        return torch.zeros((3, *counts))

    def flow(self, parameters: Float[Tensor, "3 cz cy cx"], grid: Grid) -> Float[Tensor, "3 z y x"]:
        """Give the displacement at each sample, samples."""
        spacing = grid.spacing_mm
        z, y, x = (
            _weights(n, c, h / self.spacing_mm).to(parameters.device, parameters.dtype)
            for n, c, h in zip(grid.shape, parameters.shape[1:], spacing, strict=True)
        )
        pace = parameters.new_tensor([1 / h for h in spacing])[:, None, None, None]
        return along_axes(parameters * pace, (z, y, x))

    def transform(self, parameters: Float[Tensor, "3 cz cy cx"], grid: Grid) -> BSpline:
        """Give the spline as a transform of the world."""
        cz, cy, cx = parameters.shape[1:]
        middle = (torch.tensor(grid.shape, dtype=torch.float64) - 1) / 2
        centre = (torch.tensor((cz, cy, cx), dtype=torch.float64) - 1) / 2
        affine = grid.affine.clone()
        affine[:3, :3] = grid.direction * self.spacing_mm
        affine[:3, 3] = grid.to_world(middle) - affine[:3, :3] @ centre
        turn = grid.direction.to(parameters.device, parameters.dtype)
        world = torch.einsum("wi,izyx->wzyx", turn, parameters)
        return BSpline(world, Grid((cz, cy, cx), affine))


def _weights(n: int, count: int, pace: float) -> Float[Tensor, "n count"]:
    """Give what each control point adds at each sample; both lattices have one middle.

    Args:
        n: Samples.
        count: Control points.
        pace: Distance of samples, in distances of control points.
    """
    if count == 1:
        return torch.ones((n, 1), dtype=torch.float64)
    at = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * pace + (count - 1) / 2
    away = (at[:, None] - torch.arange(count, dtype=torch.float64)).abs()
    near = 2 / 3 - away**2 * (1 - away / 2)
    far = (2 - away).clamp(min=0) ** 3 / 6
    return torch.where(away < 1, near, far)
