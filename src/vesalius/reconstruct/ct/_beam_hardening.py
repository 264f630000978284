"""Beam hardening: a polynomial that turns measured line integrals into those of one energy."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError
from vesalius.physics.ct import Projections
from vesalius.physics.quality import mu_water

Samples = Float[Tensor, "_"]


@final
@dataclass(frozen=True, slots=True)
class Linearisation:
    """A polynomial without a constant: p = sum of a_k measured^k, k from 1.

    Attributes:
        coefficients: a_1, a_2, ...
        limit: Largest measured line integral that it was fitted to; beyond it goes straight on.
        mu_per_mm: mu of the material that the result speaks of, 1/mm.
    """

    coefficients: tuple[float, ...]
    limit: float
    mu_per_mm: float


def calibrate_hardening(
    measured: Samples, *, thickness_mm: Samples, mu_per_mm: float, degree: int = 3
) -> Linearisation:
    """Fit a linearisation to a wedge or steps of known thickness.

    Args:
        measured: Line integrals behind the material.
        thickness_mm: Thickness that each ray crossed, mm.
        mu_per_mm: mu that the material is to have, 1/mm, such as ``mu_water(70)``.
        degree: Highest power.

    Returns:
        The linearisation; the fit is least squares, through zero.

    Raises:
        ConfigError: ``degree`` is below 1, or there are fewer samples than powers.
        IntensityError: A sample is negative or not finite, or the fit does not rise everywhere:
            two thicknesses would look the same.

    References:
        Herman (1979), doi:10.1088/0031-9155/24/1/008.
    """
    x, t = measured.double(), thickness_mm.double()
    if degree < 1 or x.numel() < degree or x.shape != t.shape:
        raise ConfigError(
            f"degree must be 1 or more with at least as many samples, got degree {degree}, "
            f"{x.numel()} samples and {t.numel()} thicknesses"
        )
    both = torch.cat([x, t])
    if not bool(torch.isfinite(both).all()) or float(both.min()) < 0 or float(x.max()) == 0:
        raise IntensityError(
            "samples of the wedge must be finite and not negative, some positive, got "
            f"{float(x.min()):.3g} to {float(x.max()):.3g} behind {float(t.min()):.3g} to "
            f"{float(t.max()):.3g} mm"
        )
    # powers of x / limit: well conditioned whatever the unit
    limit = float(x.max())
    powers = torch.stack([(x / limit) ** k for k in range(1, degree + 1)], dim=1)
    scaled = torch.linalg.lstsq(powers, mu_per_mm * t).solution
    coefficients = tuple(float(a) / limit**k for k, a in enumerate(scaled.tolist(), 1))
    fit = Linearisation(coefficients, limit, mu_per_mm)
    slopes = _slope(torch.linspace(0, limit, 512, dtype=torch.float64), fit)
    if float(slopes.min()) <= 0:
        raise IntensityError(
            f"the fit must rise from 0 to {limit:.3g}, a polynomial of degree {degree} does not: "
            "use a lower degree or more steps of the wedge"
        )
    return fit


def water_hardening(
    kev: Samples, *, photons: Samples, reference_kev: float, largest_mm: float = 400.0
) -> Linearisation:
    """Compute the linearisation of water for a known spectrum.

    Args:
        kev: (sample,) photon energies, keV.
        photons: (sample,) detected photons at each energy, any scale.
        reference_kev: Energy that the result is to have, keV.
        largest_mm: Thickest water that is fitted, mm.

    Returns:
        A linearisation of degree 5.

    Raises:
        UnitError: An energy is outside the table of water.
        IntensityError: No photons, or negative ones.
    """
    weights = photons.double()
    if float(weights.min()) < 0 or not 0 < float(weights.sum()) < float("inf"):
        raise IntensityError(
            "photons must not be negative and some positive, got "
            f"{float(weights.min()):.3g} to {float(weights.max()):.3g}"
        )
    mu = torch.tensor([mu_water(energy) for energy in kev.tolist()], dtype=torch.float64)
    t = torch.linspace(0, largest_mm, 200, dtype=torch.float64)
    passed = (torch.exp(-t[:, None] * mu) * weights).sum(dim=1) / weights.sum()
    target = mu_water(reference_kev)
    return calibrate_hardening(-passed.log(), thickness_mm=t, mu_per_mm=target, degree=5)


def linearise(projections: Projections, *, by: Linearisation) -> Projections:
    """Apply a linearisation to line integrals.

    Args:
        projections: Line integrals of a polychromatic beam.
        by: The polynomial; below 0 and beyond its limit it goes on with its slope there.

    Returns:
        Line integrals as of one energy.

    Raises:
        IntensityError: The projections are not line integrals.
    """
    if projections.quantity != "line integral":
        raise IntensityError(
            f"projections must be line integrals to be linearised, got {projections.quantity}: "
            "apply flat_field and to_line_integrals first"
        )
    x = projections.data
    inside = x.clamp(0, by.limit)
    total = torch.zeros_like(x)
    for a in reversed(by.coefficients):
        total = (total + a) * inside
    return replace(projections, data=total + (x - inside) * _slope(inside, by))


def _slope(x: Tensor, by: Linearisation) -> Tensor:
    total = torch.zeros_like(x)
    for k in range(len(by.coefficients), 0, -1):
        total = total * x + k * by.coefficients[k - 1]
    return total
