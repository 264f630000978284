"""Noise: the level of white noise in an image, estimated from the image alone."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError

_ROOT7 = math.sqrt(7.0)
_COIF1 = tuple(
    v / (16 * math.sqrt(2.0))
    for v in (
        3 - _ROOT7,
        1 - _ROOT7,
        -(14 - 2 * _ROOT7),
        14 + 2 * _ROOT7,
        -(5 + _ROOT7),
        1 - _ROOT7,
    )
)
"""High-pass filter of the coiflet of order 1, unit norm."""

NOISE_SAMPLES = len(_COIF1)
"""Fewest samples along y and x from which noise can be estimated."""

_NORMAL_MAD = 0.6744897501960817
"""Median of the absolute value of a standard normal variable."""

_CLIPPED_MAD = 0.6723672950630585
"""The same among the values below 3: the x with 2 Phi(x) - 1 = Phi(3) - 1/2."""


_ENOUGH = 200_000
"""So many coefficients give the median within .2 %; more of them are thinned out."""


def noise_level(x: Float[Tensor, "z y x"]) -> float:
    """Estimate the standard deviation of white noise, slice by slice in the (y, x) plane.

    The finest diagonal wavelet band holds noise and little else; the median of its size, taken
    again among the values below 3 sigma until it stays, does not see the coefficients of edges.
    Slices are never mixed, so thick slices do no harm. Samples that are exactly flat (padding,
    saturation) are left out.

    Args:
        x: Samples, any unit; at least 6 along y and x.

    Returns:
        Standard deviation, unit of ``x``. Noise that is correlated between neighbours, as most
        reconstructions make it, gives a smaller value than its standard deviation. 0 where
        everything is flat.

    Raises:
        ShapeError: Fewer than 6 samples along y or x.
        IntensityError: A sample is NaN or infinite.

    References:
        Chang, Yu, Vetterli (2000), doi:10.1109/83.862633, as used for perturbation by Zwanenburg
        et al. (2019), doi:10.1038/s41598-018-36938-4. Differs from them in: the band is not
        decimated; outliers are clipped; flat samples are left out; the divisor is .6745.
    """
    if min(x.shape[1:]) < NOISE_SAMPLES:
        raise ShapeError(
            f"x must have at least 6 samples along y and x, got {tuple(x.shape)}: take a larger box"
        )
    band = _high(_high(x.to(torch.float64), 1), 2)
    if not bool(torch.isfinite(band).all()):
        raise IntensityError("samples must be finite to estimate noise: crop or repair the image")
    size = band.abs().ravel()
    size = size[size > 1e-9 * float(x.abs().max())]
    size = size[:: max(1, len(size) // _ENOUGH)]
    return _robust(size) if size.numel() else 0.0


def _robust(size: Tensor) -> float:
    """Scale of a half-normal variable among outliers: the median, then again within 3 sigma."""
    sigma = float(size.median()) / _NORMAL_MAD
    for _ in range(8):
        clipped = float(size[size < 3 * sigma].median()) / _CLIPPED_MAD
        if abs(clipped - sigma) < 1e-4 * sigma:
            return clipped
        sigma = clipped
    return sigma


def _high(x: Tensor, axis: int) -> Tensor:
    n = x.shape[axis] - len(_COIF1) + 1
    total = torch.zeros_like(x.narrow(axis, 0, n))
    for k, weight in enumerate(_COIF1):
        total.add_(x.narrow(axis, k, n), alpha=weight)
    return total
