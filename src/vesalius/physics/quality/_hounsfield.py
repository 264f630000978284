"""Hounsfield units and attenuation: one from the other at a stated effective energy."""
# SPDX-License-Identifier: Apache-2.0

import math
from bisect import bisect_right

from torch import Tensor

from vesalius.core import Image
from vesalius.errors import IntensityError, UnitError

WATER_CM2_PER_G = (
    (10.0, 5.329),
    (15.0, 1.673),
    (20.0, 0.8096),
    (30.0, 0.3756),
    (40.0, 0.2683),
    (50.0, 0.2269),
    (60.0, 0.2059),
    (80.0, 0.1837),
    (100.0, 0.1707),
    (150.0, 0.1505),
    (200.0, 0.1370),
    (300.0, 0.1186),
    (400.0, 0.1061),
    (500.0, 0.09687),
)
"""Photon energy, keV, and mu / rho of liquid water with coherent scattering, cm^2/g."""

CM2_PER_G_TO_PER_MM = 0.1  # times 1 g/cm^3, the density that the scale of Hounsfield assumes


def mu_water(kev: float) -> float:
    """Give the attenuation of water at one photon energy.

    Args:
        kev: Energy, keV, 10 to 500; for a tube the effective one, such as 70 at 120 kVp.

    Returns:
        mu in 1/mm, at 1 g/cm^3; straight lines between the table's points, both axes logarithmic.

    Raises:
        UnitError: The energy is outside the table.

    Example:
        >>> round(mu_water(60.0), 5)
        0.02059

    References:
        Hubbell and Seltzer, NISTIR 5632 (NIST standard reference database 126), table 4,
        "Water, Liquid", doi:10.18434/T4D01F.
    """
    first, last = WATER_CM2_PER_G[0][0], WATER_CM2_PER_G[-1][0]
    if not first <= kev <= last:
        raise UnitError(
            f"kev must be {first:g} to {last:g} keV to find water in the table, got {kev:g}: "
            "give the effective energy in keV, not the tube voltage in V"
        )
    above = min(bisect_right(WATER_CM2_PER_G, (kev, math.inf)), len(WATER_CM2_PER_G) - 1)
    (e0, m0), (e1, m1) = WATER_CM2_PER_G[above - 1 : above + 1]
    part = math.log(kev / e0) / math.log(e1 / e0)
    return CM2_PER_G_TO_PER_MM * m0 * math.exp(part * math.log(m1 / m0))


def to_mu(image: Image, *, kev: float) -> Image:
    """Turn Hounsfield units into attenuation: mu = mu_water (1 + HU / 1000).

    Args:
        image: CT, unit ``"HU"``, floating point.
        kev: Effective energy, keV; see ``mu_water``.

    Returns:
        mu, unit ``"1/mm"``; below -1000 HU it is negative, and not clipped.

    Raises:
        UnitError: The unit is not HU, the samples are integers, or the energy is outside the table.

    Notes:
        Air counts as mu = 0, as in DICOM's definition of HU; in truth it is about 0.1 % of water.
    """
    _check(image, "HU", "to_mu")
    water = mu_water(kev)
    data = (image.data + 1000.0) * (water / 1000.0)
    return Image(data, image.grid, "1/mm", image.channels)


def to_hu(image: Image, *, kev: float) -> Image:
    """Turn attenuation into Hounsfield units: HU = 1000 (mu - mu_water) / mu_water.

    Args:
        image: Attenuation, unit ``"1/mm"``, floating point.
        kev: Effective energy, keV; see ``mu_water``.

    Returns:
        CT, unit ``"HU"``; air (mu = 0) is -1000.

    Raises:
        UnitError: The unit is not 1/mm, the samples are integers, or the energy is outside the
            table.
    """
    _check(image, "1/mm", "to_hu")
    data = image.data * (1000.0 / mu_water(kev)) - 1000.0
    return Image(data, image.grid, "HU", image.channels)


def drift_hu(hu: Tensor, *, error: float) -> Tensor:
    """Tell how far HU move when the scanner's water value is wrong.

    With water calibrated at mu_water (1 + e) every HU is off by -(HU + 1000) e / (1 + e): most in
    bone, nothing in air.

    Args:
        hu: True values, HU, any shape, floating point.
        error: e, the relative error of mu_water; 0.005 is half a percent.

    Returns:
        What is added to each value, HU.

    Raises:
        IntensityError: ``error`` is -1 or less: no attenuation would be left.

    Example:
        >>> import torch
        >>> round(float(drift_hu(torch.tensor(45.0), error=0.005)), 1)
        -5.2
    """
    if not (math.isfinite(error) and error > -1):
        raise IntensityError(
            f"error must be a relative error above -1, got {error:g}: 0.005 is half a percent"
        )
    return -(hu + 1000.0) * (error / (1.0 + error))


def _check(image: Image, unit: str, name: str) -> None:
    if image.unit != unit:
        raise UnitError(
            f"{name} must be given an image in {unit}, got unit {image.unit!r}: say what the "
            f"samples are with Image(data, grid, {unit!r})"
        )
    if not image.data.is_floating_point():
        raise UnitError(
            f"{name} must be given floating point samples, got {image.data.dtype}: "
            "convert with image.map(lambda x: x.float())"
        )
