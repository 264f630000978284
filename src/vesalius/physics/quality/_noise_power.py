"""Noise power spectrum: how the variance of an image is spread over frequencies."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Image
from vesalius.errors import RegionError

Trend = Literal["mean", "plane", "quadratic", "ensemble"]
DEGREE: dict[Trend, int] = {"mean": 0, "plane": 1, "quadratic": 2}


@final
@dataclass(frozen=True, slots=True, eq=False)
class NoisePower:
    """The spectrum of an image's noise in its plane.

    Attributes:
        power: (y, x) float64, squared unit of the image times mm^2; frequency 0 at ``n // 2``.
        step_per_mm: Distance between samples along (y, x), cycles per mm.
        unit: Of the image, such as ``"HU"``.
        regions: Number of regions that were averaged.
    """

    power: Float[Tensor, "y x"]
    step_per_mm: tuple[float, float]
    unit: str
    regions: int

    @property
    def variance(self) -> float:
        """The integral over all frequencies, squared unit."""
        return float(self.power.sum()) * self.step_per_mm[0] * self.step_per_mm[1]

    def frequencies(self) -> Float[Tensor, "y x"]:
        """Give the distance of each sample from frequency 0, cycles per mm."""
        v, u = (
            (torch.arange(n, dtype=torch.float64) - n // 2) * step
            for n, step in zip(self.power.shape, self.step_per_mm, strict=True)
        )
        return torch.hypot(v[:, None], u[None, :])

    def radial(self) -> tuple[Tensor, Tensor]:
        """Average over directions.

        Returns:
            Frequencies, cycles per mm, and the mean power in a ring of one step about each, up to
            the Nyquist frequency; frequency 0, which detrending empties, is left out.
        """
        step = max(self.step_per_mm)
        index = (self.frequencies() / step).round().long().flatten()
        rings = min(n * s for n, s in zip(self.power.shape, self.step_per_mm, strict=True)) / 2
        last = int(rings / step)
        kept = (index >= 1) & (index <= last)
        total = torch.zeros(last + 1, dtype=torch.float64)
        count = torch.zeros_like(total)
        total.index_add_(0, index[kept], self.power.flatten()[kept])
        count.index_add_(0, index[kept], torch.ones(int(kept.sum()), dtype=torch.float64))
        frequency = torch.arange(1, last + 1, dtype=torch.float64) * step
        return frequency, total[1:] / count[1:].clamp_min(1)


def noise_power(regions: tuple[Image, ...], *, trend: Trend = "plane") -> NoisePower:
    """Estimate the noise power spectrum from uniform regions.

    Args:
        regions: Parts of one size and spacing (``image.crop``) where nothing but noise differs;
            every channel and slice counts as a region of its own.
        trend: What is taken off each region: its mean, a plane, or a quadratic surface; or the
            mean of all regions at each voxel (``"ensemble"``: for repeated scans of anything,
            corrected for the lost degree of freedom).

    Returns:
        The spectrum; its integral is the variance of what is left.

    Raises:
        RegionError: There is none, sizes, spacings or units differ, one is smaller than 8 x 8, or
            an ensemble has fewer than two.

    References:
        ICRU report 54 (1996); Siewerdsen, Cunningham, Jaffray (2002), doi:10.1118/1.1513158,
        eq. (14); AAPM TG-233 (2019), doi:10.1002/mp.13763, section III.B.
    """
    planes = _planes(regions)
    if trend == "ensemble":
        if len(planes) < 2:
            raise RegionError(
                f"an ensemble must have at least two regions, got {len(planes)}: scan again, or "
                "take off a plane"
            )
        noise = (planes - planes.mean(dim=0)) * math.sqrt(len(planes) / (len(planes) - 1))
    else:
        noise = _detrended(planes, DEGREE[trend])
    rows, columns = planes.shape[1:]
    _, dy, dx = regions[0].grid.spacing_mm
    power = torch.fft.fft2(noise).abs().square().mean(dim=0) * (dy * dx / (rows * columns))
    step = (1 / (rows * dy), 1 / (columns * dx))
    return NoisePower(torch.fft.fftshift(power), step, regions[0].unit, len(planes))


def _planes(regions: tuple[Image, ...]) -> Float[Tensor, "region y x"]:
    if not regions:
        raise RegionError("noise must be measured in at least one region, got none")
    first = regions[0]
    for one in regions:
        alike = one.data.shape[2:] == first.data.shape[2:] and one.unit == first.unit
        spacing = zip(one.grid.spacing_mm[1:], first.grid.spacing_mm[1:], strict=True)
        if not alike or any(abs(a - b) > 1e-6 * b for a, b in spacing):
            raise RegionError(
                f"regions must have one size, spacing and unit, got {first!r} and {one!r}: crop "
                "them alike"
            )
    rows, columns = (int(n) for n in first.data.shape[2:])
    if min(rows, columns) < 8:
        raise RegionError(
            f"a region must have at least 8 x 8 voxels to show frequencies, got {rows} x {columns}"
        )
    return torch.cat([one.data.double().flatten(0, 1) for one in regions])


def _detrended(planes: Tensor, degree: int) -> Tensor:
    rows, columns = planes.shape[1:]
    y = torch.linspace(-1, 1, rows, dtype=torch.float64)[:, None].expand(rows, columns).flatten()
    x = torch.linspace(-1, 1, columns, dtype=torch.float64)[None].expand(rows, columns).flatten()
    terms = [y**i * x**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    basis = torch.linalg.qr(torch.stack(terms, dim=1)).Q
    flat = planes.flatten(1)
    left: Tensor = flat - (flat @ basis) @ basis.T
    return left.reshape(planes.shape)
