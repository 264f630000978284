"""System: what a PET scanner expects to count, y = N A P x, before randoms and scatter."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import IntensityError, ShapeError

Shape = tuple[int, ...]
Factors = Float[Tensor, "..."]
DENSEST = 0.5
"""1/mm; gold and tungsten have about 0.25 at 511 keV: more is another unit, such as HU or 1/cm"""


@final
@dataclass(frozen=True, slots=True, eq=False)
class System(LinearOperator):
    """Activity -> expected true coincidences, ``normalisation * attenuation * (P x)``.

    Randoms and scatter are no part of a linear map: give their expectation to the likelihood as
    its background, so that ``y ~ Poisson(N A P x + randoms + scatter)``.

    Attributes:
        projector: P, line integrals of the activity, such as ``physics.ct.Projector``.
        attenuation: Part of the photon pairs that leave the patient along each line, in [0, 1];
            see :func:`attenuation_factors`. The codomain of P.
        normalisation: Counts for each unit of the line integral: detector efficiency, time and
            calibration, at least 0; 0 for a dead line. The codomain of P.

    Raises:
        ShapeError: A factor does not have the shape of the codomain.
        IntensityError: A factor is negative or not finite, or ``attenuation`` is above 1.
    """

    projector: LinearOperator
    attenuation: Factors
    normalisation: Factors

    def __post_init__(self) -> None:
        for name in ("attenuation", "normalisation"):
            value = getattr(self, name)
            if tuple(value.shape) != self.projector.codomain:
                raise ShapeError(
                    f"{name} must have one factor per line of response, "
                    f"{self.projector.codomain}, got {tuple(value.shape)}"
                )
            if not bool(torch.isfinite(value).all()) or bool((value < 0).any()):
                raise IntensityError(
                    f"{name} must be finite and at least 0, got {float(value.min()):g} to "
                    f"{float(value.max()):g}: 0 is a dead line"
                )
        if bool((self.attenuation > 1).any()):
            raise IntensityError(
                f"attenuation must be at most 1, the part that passes, got "
                f"{float(self.attenuation.max()):g}: a correction factor is its inverse"
            )

    @property
    def domain(self) -> Shape:
        """Shape of the activity."""
        return self.projector.domain

    @property
    def codomain(self) -> Shape:
        """Shape of the sinogram."""
        return self.projector.codomain

    def apply(self, x: Tensor) -> Tensor:
        """Expect the true coincidences of an activity."""
        return self.projector.apply(x) * self._factor(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Project back, weighted by the same factors."""
        return self.projector.adjoint(y * self._factor(y))

    def _factor(self, like: Tensor) -> Tensor:
        factor: Tensor = (self.attenuation.double() * self.normalisation.double()).to(
            like.device, like.dtype
        )
        return factor


def attenuation_factors(projector: LinearOperator, mu: Float[Tensor, "..."]) -> Factors:
    """Give the part of the photon pairs that leaves the patient along each line.

    Args:
        projector: Line integrals in mm of an image of shape ``projector.domain``.
        mu: Attenuation coefficients at 511 keV, 1/mm (water: 0.0096).

    Returns:
        ``exp(-P mu)``, of the shape of the codomain.

    Raises:
        IntensityError: A coefficient is negative, not finite, or denser than any metal.
    """
    if not bool(torch.isfinite(mu).all()) or bool((mu < 0).any()) or bool((mu > DENSEST).any()):
        raise IntensityError(
            f"mu must be finite and from 0 to {DENSEST:g} per mm, got {float(mu.min()):g} to "
            f"{float(mu.max()):g}: convert HU at 511 keV first"
        )
    return torch.exp(-projector(mu))
