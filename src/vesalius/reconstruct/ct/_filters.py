"""Ramp filters of filtered back-projection, made from the band-limited kernel in space."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ConfigError, GeometryError
from vesalius.ops._fast_size import fast_size

Window = Literal["ram-lak", "shepp-logan", "cosine", "hamming", "hann", "parzen"]


@final
@dataclass(frozen=True, slots=True)
class Ramp:
    """A ramp filter.

    Attributes:
        window: What the ramp is multiplied by. ``"ram-lak"``: nothing; the others fall towards
            the cutoff, in this order from sharp to smooth: Shepp-Logan, cosine, Hamming, Hann,
            Parzen.
        cutoff: Highest frequency that passes, as a part of the Nyquist frequency of the columns.

    Raises:
        ConfigError: The cutoff is not in (0, 1].
    """

    window: Window = "ram-lak"
    cutoff: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.cutoff <= 1.0:
            raise ConfigError(
                f"cutoff must be in (0, 1], got {self.cutoff:g}: it is a part of the Nyquist "
                "frequency"
            )


def apodisation(ramp: Ramp, frequency: Float[Tensor, " f"]) -> Float[Tensor, " f"]:
    """Give the window at frequencies from 0 to 1, in parts of the Nyquist frequency.

    Args:
        ramp: Which window, and its cutoff.
        frequency: (f,) from 0 to 1.

    Returns:
        (f,) from 1 at frequency 0; 0 above the cutoff.
    """
    x = frequency / ramp.cutoff
    if ramp.window == "ram-lak":
        shape = torch.ones_like(x)
    elif ramp.window == "shepp-logan":
        shape = torch.sinc(x / 2)
    elif ramp.window == "cosine":
        shape = torch.cos(math.pi * x / 2)
    elif ramp.window == "hamming":
        shape = 0.54 + 0.46 * torch.cos(math.pi * x)
    elif ramp.window == "hann":
        shape = 0.5 + 0.5 * torch.cos(math.pi * x)
    else:
        shape = torch.where(x <= 0.5, 1 - 6 * x**2 * (1 - x), 2 * (1 - x) ** 3)
    # a frequency that is the cutoff but for rounding belongs to the band
    return torch.where(x <= 1.0 + 1e-12, shape, torch.zeros_like(x))


def ramp_kernel(size: int, pitch_mm: float, *, step_rad: float = 0.0) -> Float[Tensor, " size"]:
    """Sample the band-limited ramp in space, with lag 0 first and negative lags at the end.

    Args:
        size: Number of lags; lag n stands at index ``n mod size``.
        pitch_mm: Distance between columns, mm.
        step_rad: 0 for a flat detector; else the angle between columns of an arc, radians:
            the kernel is multiplied by ``(a / sin a)^2`` at the angle a of its lag.

    Returns:
        (size,) float64, 1/mm^2.

    Raises:
        GeometryError: The kernel of an arc would span 135 degrees or more.

    References:
        Kak, Slaney (1988), Principles of computerized tomographic imaging,
        doi:10.1137/1.9780898719277, ch. 3 eq. 61 (flat), section 3.4.1 (arc). Differs: the factor
        1/2 of the arc is left to the redundancy weights.
    """
    index = torch.arange(size, dtype=torch.float64)
    lag = torch.minimum(index, size - index)
    odd = lag % 2 == 1
    kernel = torch.where(odd, -1.0 / (math.pi * lag.clamp_min(1.0) * pitch_mm) ** 2, 0.0)
    kernel[0] = 0.25 / pitch_mm**2
    if step_rad > 0:
        reach = step_rad * (size // 2)
        if reach >= 0.75 * math.pi:
            raise GeometryError(
                f"the columns of an arc must span less than 135 degrees, got "
                f"{math.degrees(reach):.4g} degrees with the margin of the filter: "
                "check pitch and radius"
            )
        kernel = kernel / torch.sinc(lag * step_rad / math.pi) ** 2
    return kernel


def response(
    size: int, ramp: Ramp, *, pitch_mm: float, step_rad: float = 0.0
) -> Float[Tensor, " frequency"]:
    """Give what the spectrum of a padded row is multiplied by.

    Args:
        size: Length of the padded row.
        ramp: Window and cutoff.
        pitch_mm: Distance between columns, mm.
        step_rad: Angle between columns of an arc; 0 for a flat detector.

    Returns:
        (size // 2 + 1,) float64, 1/mm.

    Raises:
        GeometryError: An arc is too wide.
    """
    kernel = ramp_kernel(size, pitch_mm, step_rad=step_rad)
    spectrum = torch.fft.rfft(kernel).real * pitch_mm
    frequency = torch.arange(len(spectrum), dtype=torch.float64) / (size / 2)
    shaped: Tensor = spectrum * apodisation(ramp, frequency)
    return shaped


def filter_rows(
    rows: Float[Tensor, "*batch column"],
    ramp: Ramp,
    *,
    pitch_mm: float,
    extend: tuple[int, int] = (0, 0),
    step_rad: float = 0.0,
) -> Float[Tensor, "*batch wider"]:
    """Convolve each row with a ramp filter, linearly: zeros lie beyond the row.

    Made from the kernel in space, the filter keeps the mean right: sampling the ramp in frequency
    shifts the whole image by a constant.

    Args:
        rows: (*batch, column).
        ramp: Window and cutoff.
        pitch_mm: Distance between columns, at the rotation axis, mm.
        extend: How many columns to give beyond (the first, the last).
        step_rad: Angle between columns of an arc; 0 for a flat detector.

    Returns:
        (*batch, extend[0] + column + extend[1]), in the unit of ``rows`` per mm.

    Raises:
        GeometryError: An arc is too wide.
    """
    columns = rows.shape[-1]
    before, after = extend
    size = fast_size(2 * (columns + max(before, after)))
    shape = response(size, ramp, pitch_mm=pitch_mm, step_rad=step_rad)
    spectrum = torch.fft.rfft(rows, n=size) * shape.to(rows.device, rows.dtype)
    wide: Tensor = torch.fft.irfft(spectrum, n=size)
    if before == 0:
        return wide[..., : columns + after]
    return torch.cat([wide[..., size - before :], wide[..., : columns + after]], dim=-1)
