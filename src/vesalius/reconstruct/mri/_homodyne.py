"""Homodyne detection: an image from little more than half of k-space."""
# SPDX-License-Identifier: Apache-2.0

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vesalius.errors import RegionError, ShapeError
from vesalius.physics.mri import inverse_fourier
from vesalius.physics.mri._fourier import check_complex, check_finite


def homodyne(
    kspace: Shaped[Tensor, "*batch y x"], *, lines: Bool[Tensor, "..."]
) -> Float[Tensor, "*batch y x"]:
    """Reconstruct from one side of k-space and a band about its centre (partial Fourier).

    What is missing is the mirror image of what was measured where the image is real; its slow
    phase, seen in the symmetric band, is taken off first.

    Args:
        kspace: (*batch, y, x), the lines that were not measured are 0.
        lines: (y,), True where a line along x was measured: from one end without gaps to beyond
            the middle.

    Returns:
        (*batch, y, x), the image with its slow phase taken off: real, negative where the phase
        changes fast. The root-sum-of-squares over a batch of coils combines it. Of an even number
        of lines, the first has no mirror image: where it was not measured it is lost.

    Raises:
        UnitError: ``kspace`` is real.
        IntensityError: ``kspace`` has NaN or infinity.
        ShapeError: ``lines`` does not have one entry for each line.
        RegionError: The measured lines have a gap, do not reach an end, or do not pass the middle.

    References:
        Noll, Nishimura, Macovski (1991), doi:10.1109/42.79473, eq. (9) with a linear ramp.
    """
    check_complex(kspace, "k-space")
    check_finite(kspace, "k-space")
    n = int(kspace.shape[-2])
    if tuple(lines.shape) != (n,):
        raise ShapeError(
            f"lines must have the shape ({n},) of the lines of k-space, got {tuple(lines.shape)}"
        )
    weight, band = _weights(lines)
    real = kspace.real.dtype
    low = inverse_fourier(kspace * band.to(kspace.device, real)[:, None], axes=(-2, -1))
    full = inverse_fourier(kspace * weight.to(kspace.device, real)[:, None], axes=(-2, -1))
    return (full * torch.polar(torch.ones_like(low.real), -low.angle())).real


def _weights(lines: Tensor) -> tuple[Tensor, Tensor]:
    """Give the weight of each line, w(j) + w(-j) = 2, and that of the symmetric band."""
    n = lines.numel()
    at = lines.nonzero()[:, 0] - n // 2
    first, last = (int(at[0]), int(at[-1])) if len(at) else (0, -1)
    ends = first == -(n // 2) or last == (n - 1) // 2
    if last - first + 1 != len(at) or not ends or not first < 0 < last:
        raise RegionError(
            "measured lines must reach from one end of k-space without a gap to beyond the middle, "
            f"got {len(at)} lines from {first} to {last} about the middle"
        )
    j = torch.arange(n, dtype=torch.float64) - n // 2
    side = 1 if last + first >= 0 else -1
    half = min(-first, last)
    weight = (1 + side * j / (half + 1)).clamp(0, 2)
    if n % 2 == 0:
        weight[0] = 1.0  # the line at -n/2 is its own mirror image
    band = (j.abs() <= half).to(torch.float64) * (0.5 + 0.5 * torch.cos(torch.pi * j / (half + 1)))
    return weight * lines.to(weight.device), band
