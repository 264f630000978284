"""Quality: how far an image is from a known truth, on the truth's own grid."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import torch

from vesalius.core import Image, differences
from vesalius.errors import GeometryError, RegionError, UnitError


@dataclass(frozen=True, slots=True)
class Error:
    """Difference of an image from the truth, in their unit.

    Attributes:
        rmse: Root of the mean squared difference.
        bias: Mean difference, image less truth.
        largest: Largest absolute difference.
        psnr_db: 20 log10(range of the truth / rmse), dB.
    """

    rmse: float
    bias: float
    largest: float
    psnr_db: float


def compare(image: Image, truth: Image) -> Error:
    """Compare an image with the truth, voxel by voxel.

    Args:
        image: What was reconstructed, one channel.
        truth: On the same grid, in the same unit.

    Returns:
        The differences.

    Raises:
        GeometryError: The grids differ.
        UnitError: The units differ.
    """
    different = differences(image.grid, truth.grid)
    if different:
        raise GeometryError(
            f"truth must lie on the grid of the image, {different[0]}: reconstruct with --like it"
        )
    if image.unit != truth.unit:
        raise UnitError(
            f"truth must have the unit of the image, {image.unit}, got {truth.unit}: use --unit"
        )
    gap = image.data[0].double() - truth.data[0].double()
    rmse = float(gap.square().mean().sqrt())
    span = float(truth.data.max()) - float(truth.data.min())
    psnr = math.inf if rmse == 0 else 20 * math.log10(max(span, 1e-300) / rmse)
    return Error(rmse, float(gap.mean()), float(gap.abs().max()), psnr)


def through_middle(image: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the row of the first channel through the middle of the image.

    Args:
        image: Any image.

    Returns:
        Place along x from the middle, mm, and values, both float64.
    """
    z, y, x = image.grid.shape
    values = image.data[0, z // 2, y // 2].double().cpu()
    place = (torch.arange(x, dtype=torch.float64) - (x - 1) / 2) * image.grid.spacing_mm[2]
    return place, values


def transfer(image: Image, truth: Image) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimate how much of each spatial frequency of the truth is in the image.

    The cross spectrum of image and truth over the power of the truth, on rings of the plane,
    averaged over slices, under a Hann window. For a linear method without noise it is the MTF; for
    others it holds for this object alone.

    Args:
        image: One channel, at least 16 x 16 in the plane.
        truth: On the same grid.

    Returns:
        Frequency, cycles per mm, up to Nyquist's of the coarser axis; and the transfer.

    Raises:
        RegionError: The plane is smaller than 16 x 16.
    """
    _, rows, columns = image.grid.shape
    if min(rows, columns) < 16:
        raise RegionError(
            f"the plane must be at least 16 x 16 voxels for a spectrum, got {rows} x {columns}"
        )
    hann = torch.hann_window(rows, dtype=torch.float64)[:, None] * torch.hann_window(
        columns, dtype=torch.float64
    )
    spectra = []
    for volume in (image, truth):
        planes = volume.data[0].double().cpu()
        level = truth.data[0, :, :1, :1].double().cpu()
        spectra.append(torch.fft.fft2((planes - level) * hann))
    ours, known = spectra
    _, dy, dx = image.grid.spacing_mm
    ring = torch.hypot(
        torch.fft.fftfreq(rows, dy, dtype=torch.float64)[:, None],
        torch.fft.fftfreq(columns, dx, dtype=torch.float64)[None, :],
    )
    last = 0.5 / max(dy, dx)
    count = min(rows, columns) // 4
    place = (ring / last * count).long()
    inside = place < count
    cross = (ours * known.conj()).real.sum(dim=0)[inside]
    power = known.abs().square().sum(dim=0)[inside]
    sums = torch.zeros(2, count, dtype=torch.float64)
    sums[0].index_add_(0, place[inside], cross)
    sums[1].index_add_(0, place[inside], power)
    frequency = (torch.arange(count, dtype=torch.float64) + 0.5) * last / count
    return frequency, sums[0] / sums[1].clamp_min(1e-300)
