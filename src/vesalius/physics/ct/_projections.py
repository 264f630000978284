"""Projections: what a CT measured, with the geometry it was measured in."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Shaped
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.physics.ct._geometry import Geometry

Quantity = Literal["line integral", "transmission", "counts"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Projections:
    """Measured or simulated views.

    Attributes:
        data: (view, row, column), float32 or float64.
        geometry: Where the rays run; ``data`` has its shape.
        quantity: ``"line integral"``: integral of mu in 1/mm over mm, no unit;
            ``"transmission"``: part of the photons that pass, I / I0;
            ``"counts"``: detected photons.

    Raises:
        ShapeError: ``data`` does not fit the geometry.
        UnitError: ``data`` is not floating point.
        IntensityError: ``data`` has NaN or infinity.
    """

    data: Shaped[Tensor, "view row column"]
    geometry: Geometry
    quantity: Quantity = "line integral"

    def __post_init__(self) -> None:
        if tuple(self.data.shape) != self.geometry.codomain:
            raise ShapeError(
                f"projections must have the shape (views, rows, columns) of their geometry, "
                f"{self.geometry.codomain}, got {tuple(self.data.shape)}"
            )
        if not self.data.is_floating_point():
            raise UnitError(
                f"projections must be floating point, got {self.data.dtype}: cast raw counts with "
                "data.float()"
            )
        if not bool(torch.isfinite(self.data).all()):
            raise IntensityError(
                "projections must be finite, got NaN or infinity: correct dead pixels first "
                "(reconstruct.flat_field)"
            )
