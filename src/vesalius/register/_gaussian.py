"""Gaussian: smooth a field by convolution, the plain smoother of greedy searches."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import ConfigError
from vesalius.ops._filters import gaussian
from vesalius.register._regulariser import Smoother

TRUNCATE = 3.0  # radius of the kernel, deviations: what lies beyond weighs 0.3 %


@final
@dataclass(frozen=True, slots=True)
class Gaussian(Smoother):
    """Convolve each component with a Gaussian; the edge of the field is repeated.

    Attributes:
        sigma_mm: Standard deviation, mm.
        sigma: Standard deviation in samples of each scale, added in quadrature: it follows the
            scales, as in ANTs and greedy.

    Raises:
        ConfigError: A deviation is negative or not finite.
    """

    sigma_mm: float = 0.0
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(s) and s >= 0 for s in (self.sigma_mm, self.sigma)):
            raise ConfigError(
                "sigma_mm and sigma must be finite and at least 0, got "
                f"{self.sigma_mm} and {self.sigma}"
            )

    def __call__(self, field: Float[Tensor, "3 z y x"], grid: Grid) -> Float[Tensor, "3 z y x"]:
        """Smooth a field on ``grid``; see ``Smoother``."""
        z, y, x = (math.hypot(self.sigma_mm / s, self.sigma) for s in grid.spacing_mm)
        return gaussian(field, (z, y, x), truncate=TRUNCATE)
