"""The Fourier transform of ellipses in closed form: k-space without any grid."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vesalius.errors import ShapeError


def ellipse_spectrum(
    ellipses: Float[Tensor, "..."], *, k: Float[Tensor, "..."]
) -> Complex[Tensor, "..."]:
    """Transform a sum of uniform ellipses: truth for simulated k-space, with no inverse crime.

    Args:
        ellipses: Rows of (value, half axis a, half axis b, centre x, centre y, angle_deg), lengths
            in any unit; the angle turns the axis a from x towards y.
        k: (*samples, 2), cycles per that unit, axes (y, x).

    Returns:
        The integral of the image times ``exp(-2 pi i k . r)``, complex128, in value times squared
        unit.

    Raises:
        ShapeError: ``ellipses`` has not six columns, a half axis is not positive, or ``k`` has not
            two.

    References:
        The transform of a disk: Bracewell (1986), jinc; Van de Walle et al. (2000),
        doi:10.1109/42.897811, eq. (4) for ellipses.
    """
    if k.shape[-1] != 2:
        raise ShapeError(f"k must have shape (*samples, 2), axes (y, x), got {tuple(k.shape)}")
    if ellipses.ndim != 2 or ellipses.shape[1] != 6 or not bool((ellipses[:, 1:3] > 0).all()):
        raise ShapeError(
            "ellipses must be rows of (value, a, b, x, y, angle_deg) with positive half axes, got "
            f"shape {tuple(ellipses.shape)}"
        )
    total = torch.zeros(k.shape[:-1], dtype=torch.complex128)
    ky, kx = k.to(torch.float64).unbind(-1)
    for value, a, b, x, y, angle in ellipses.tolist():
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        q = torch.sqrt((a * (kx * c + ky * s)) ** 2 + (b * (ky * c - kx * s)) ** 2)
        at = (2 * math.pi * q).clamp_min(1e-9)
        size = 2 * math.pi * a * b * value * torch.special.bessel_j1(at) / at
        total += torch.polar(torch.ones_like(q), -2 * math.pi * (kx * x + ky * y)) * size
    return total
