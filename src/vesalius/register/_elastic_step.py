"""Elastic step: a Gaussian, then a damping of the divergence; cheap enough for every update."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.ops._divergence import damp_divergence, require_damping
from vesalius.register._gaussian import Gaussian
from vesalius.register._regulariser import Smoother


@final
@dataclass(frozen=True, slots=True)
class ElasticStep(Smoother):
    """One explicit step of ``mu Lap + (lame + mu) grad div``, as two cheap convolutions.

    The Gaussian of variance ``2 t mu`` is the flow of the first term for a time t; the second is
    one Euler step, ``u + volume h^2 grad div u`` with the finest spacing h. Against a Gaussian
    alone, volumes change less for the same fit: a fold needs a change of volume first.
    ``ElasticSolver`` is the implicit, exact twin, and costs several FFTs.

    Attributes:
        sigma: Deviation of the Gaussian, samples.
        volume: Weight on the divergence, 0 to 1/3; 0 is the Gaussian alone.

    Raises:
        ConfigError: ``sigma`` is negative or not finite, or ``volume`` is outside 0 to 1/3.

    References:
        Modersitzki (2004), Numerical Methods for Image Registration,
        doi:10.1093/acprof:oso/9780198528418.001.0001, section 9.3 (Navier's equation). Differs
        from it in: explicit, and split into its two terms.
    """

    sigma: float = 0.5
    volume: float = 0.1

    def __post_init__(self) -> None:
        Gaussian(sigma=self.sigma)
        require_damping(self.volume)

    def __call__(self, field: Float[Tensor, "3 z y x"], grid: Grid) -> Float[Tensor, "3 z y x"]:
        """Smooth a field on ``grid``; see ``Smoother``."""
        smooth = Gaussian(sigma=self.sigma)(field, grid)
        spacing = grid.spacing_mm
        # an axis of one sample has no differences, whatever its spacing
        moved = [s for n, s in zip(grid.shape, spacing, strict=True) if n > 1]
        finest = min(moved, default=math.inf)
        z, y, x = (min(finest / s, 1.0) for s in spacing)
        return damp_divergence(smooth, self.volume, scale=(z, y, x))
