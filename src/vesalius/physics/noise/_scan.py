"""Low-dose CT: line integrals seen by a detector that counts photons and has read-out noise."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import replace

import torch

from vesalius.errors import IntensityError, UnitError
from vesalius.physics.ct._projections import Projections
from vesalius.physics.noise._draw import mixed


def scan(
    projections: Projections,
    *,
    photons: float,
    electronic: float = 0.0,
    generator: torch.Generator,
) -> Projections:
    """Count photons behind an object: Poisson noise by Beer-Lambert, then read-out noise.

    Args:
        projections: Noiseless line integrals, or transmissions.
        photons: Mean number of photons that an element gets without an object, I0.
        electronic: Standard deviation of the read-out noise, photons.
        generator: Source of the noise.

    Returns:
        Counts, in the dtype that came; behind dense objects some may be 0, and with read-out
        noise below 0. They are left as drawn: what to do before the logarithm is for
        :func:`to_transmission` and the correction after it to say.

    Raises:
        UnitError: The projections are counts already.
        IntensityError: ``photons`` is not positive, or counts overflow the dtype.
    """
    if projections.quantity == "counts":
        raise UnitError(
            "projections must be line integrals or transmissions to be scanned, got counts: "
            "use to_transmission(projections, photons=...)"
        )
    _check(photons)
    data = projections.data
    passed = torch.exp(-data) if projections.quantity == "line integral" else data
    counts = mixed(photons * passed, electronic, generator=generator)
    return replace(projections, data=counts, quantity="counts")


def to_transmission(projections: Projections, *, photons: float, least: float = 0.0) -> Projections:
    """Divide counts by the photons that came in.

    Args:
        projections: Counts.
        photons: Mean number without an object, I0.
        least: Counts below this are lifted to it first, photons. 0 lifts only negative ones; for
            a logarithm it must be positive: .5 is half of the smallest real count, and makes no
            ray longer than log(2 I0).

    Returns:
        Transmissions I / I0.

    Raises:
        UnitError: The projections are not counts.
        IntensityError: ``photons`` is not positive, or ``least`` is negative.
    """
    if projections.quantity != "counts":
        raise UnitError(
            f"projections must be counts to be divided by photons, got {projections.quantity}"
        )
    _check(photons)
    if not 0 <= least < math.inf:
        raise IntensityError(f"least must be at least 0 counts, got {least:g}: .5 is usual")
    data = projections.data.clamp_min(least) / photons
    return replace(projections, data=data, quantity="transmission")


def _check(photons: float) -> None:
    if not 0 < photons < math.inf:
        raise IntensityError(f"photons must be positive and finite, got {photons:g}: 1e5 is usual")
