"""Detectability: how well an observer tells a disc from noise, d'."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import RegionError
from vesalius.physics.quality._mtf import Mtf
from vesalius.physics.quality._noise_power import NoisePower

Observer = Literal["npw", "npwe"]
EYE_RISE, EYE_PEAK = 1.3, 4.0
"""Exponent of the eye filter at low frequency, and where it peaks, cycles per degree."""


@final
@dataclass(frozen=True, slots=True)
class DiscTask:
    """What is to be seen: a disc on a flat background.

    Attributes:
        diameter_mm: Its diameter, mm.
        contrast: Disc minus background, in the unit of the noise.
    """

    diameter_mm: float
    contrast: float

    def __post_init__(self) -> None:
        if not (0 < self.diameter_mm < math.inf and math.isfinite(self.contrast)):
            raise RegionError(
                f"a disc must have a positive diameter and a finite contrast, got "
                f"{self.diameter_mm:g} mm and {self.contrast:g}"
            )

    def spectrum(self, frequency_per_mm: Tensor) -> Tensor:
        """Give the disc's Fourier transform, contrast times mm^2."""
        radius = self.diameter_mm / 2
        f = frequency_per_mm.clamp_min(1e-9 / self.diameter_mm)
        spectrum: Tensor = torch.special.bessel_j1(2 * math.pi * radius * f) / f
        return self.contrast * radius * spectrum


@final
@dataclass(frozen=True, slots=True)
class Viewing:
    """How an observer looks at the image.

    Attributes:
        distance_mm: Eye to display, mm.
        zoom: Size on the display over size in the patient.
    """

    distance_mm: float = 500.0
    zoom: float = 3.0

    def per_degree(self, frequency_per_mm: Tensor) -> Tensor:
        """Turn cycles per mm in the patient into cycles per degree at the eye."""
        return frequency_per_mm / self.zoom * self.distance_mm * math.tan(math.radians(1.0))


def eye_filter(frequency_per_mm: Tensor, viewing: Viewing) -> Float[Tensor, "*shape"]:
    """Give the eye's response to contrast, 1 at its peak.

    Args:
        frequency_per_mm: Any shape, cycles per mm in the patient.
        viewing: Distance and zoom.

    Returns:
        Same shape: rho^1.3 exp(-c rho^2) over its peak, which is at 4 cycles per degree.

    References:
        Burgess (1994), doi:10.1364/JOSAA.11.001237.
    """
    rho = viewing.per_degree(frequency_per_mm) / EYE_PEAK
    return rho**EYE_RISE * torch.exp(0.5 * EYE_RISE * (1 - rho**2))


def detectability(
    task: DiscTask,
    *,
    transfer: Mtf,
    noise: NoisePower,
    observer: Observer = "npwe",
    viewing: Viewing = Viewing(),
) -> float:
    """Compute d' of an observer who does not whiten the noise.

    Args:
        task: The disc.
        transfer: Task transfer function at its contrast (``disc_mtf``); beyond its end 0.
        noise: Noise power in the same images.
        observer: ``"npw"``: matched filter of what is seen. ``"npwe"``: with the eye's filter.
        viewing: For ``"npwe"``.

    Returns:
        d', no unit.

    Raises:
        RegionError: The regions of the noise are smaller than twice the disc, so that its spectrum
            is sampled too coarsely; or there is no noise.

    References:
        AAPM TG-233 (2019), doi:10.1002/mp.13763, section III.D; Burgess (1994),
        doi:10.1364/JOSAA.11.001237. Differs from the report in: Burgess' eye
        filter, no internal noise.
    """
    extent = min(1 / step for step in noise.step_per_mm)
    if extent < 2 * task.diameter_mm:
        raise RegionError(
            f"noise must be measured in regions of at least twice the disc, got {extent:.3g} mm "
            f"for a disc of {task.diameter_mm:g} mm: crop larger regions"
        )
    if float(noise.power.max()) <= 0:
        raise RegionError("there must be noise to limit detection, its power is 0 everywhere")
    f = noise.frequencies()
    seen = (task.spectrum(f) * _at(transfer, f)).square()
    eye = eye_filter(f, viewing).square() if observer == "npwe" else torch.ones_like(f)
    area = noise.step_per_mm[0] * noise.step_per_mm[1]
    signal = float((seen * eye).sum()) * area
    spread = float((seen * eye.square() * noise.power).sum()) * area
    return signal / math.sqrt(spread)


def _at(transfer: Mtf, frequency: Tensor) -> Tensor:
    """Interpolate by straight lines; 0 beyond the end."""
    known, value = transfer.frequency_per_mm, transfer.value
    right = torch.searchsorted(known, frequency.contiguous()).clamp(1, len(known) - 1)
    part = (frequency - known[right - 1]) / (known[right] - known[right - 1])
    found = value[right - 1] + part * (value[right] - value[right - 1])
    return torch.where(frequency > known[-1], 0.0, found)
