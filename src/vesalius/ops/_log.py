"""Laplacian of Gaussian: blobs of a size stand out."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._convolve import Boundary, Chain, Taps, axis_matrix, check_float
from vesalius.ops._rotations import separable_sum

Stack = Float[Tensor, "*batch z y x"]
Triple = tuple[float, float, float]


def laplacian_of_gaussian(
    x: Stack,
    sigma: Triple,
    *,
    truncate: float = 4.0,
    boundary: Boundary = "mirror",
    weights: Triple = (1.0, 1.0, 1.0),
) -> Stack:
    """Filter the last three axes with the Laplacian of a Gaussian.

    Args:
        x: (*batch, z, y, x), floating point, any unit.
        sigma: Standard deviation along (z, y, x), samples. 0 leaves an axis out: neither smoothed
            nor differentiated.
        truncate: Radius of the kernel, in standard deviations.
        boundary: What lies beyond the border.
        weights: Factor of the second derivative along (z, y, x).

    Returns:
        Same shape, dtype and device as ``x``; unit of ``x`` per squared sample.

    Raises:
        ShapeError: A ``sigma`` is negative or all are 0.
        UnitError: ``x`` is not floating point.

    References:
        IBSI reference manual, chapter 2 (arXiv:2006.05470), Laplacian-of-Gaussian filter. Differs
        from it in: the sampled Gaussian is scaled to the sum 1 along each axis, as SciPy does.
    """
    check_float(x)
    if min(sigma) < 0 or max(sigma) == 0:
        raise ShapeError(f"sigma must be at least 0, and above 0 along one axis, got {sigma}")
    axes = [axis for axis in range(3) if sigma[axis] > 0]
    terms = {
        tuple((int(axis in axes) * (1 + int(axis == d)), 0) for axis in range(3)): weights[d]
        for d in axes
    }

    def matrix(item: tuple[int, int], axis: int) -> Tensor:
        chain = _chain(item[0], sigma[axis], truncate)
        return axis_matrix(chain, x.shape[axis - 3], boundary)

    return separable_sum(x, terms, matrix)


def gaussian_taps(sigma: float, truncate: float = 4.0) -> Taps:
    """Sample a Gaussian of sum 1; the radius is ``truncate * sigma``, rounded."""
    radius = log_radius(sigma, truncate)
    values = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1)]
    total = sum(values)
    return Taps.of(tuple(v / total for v in values))


def log_radius(sigma: float, truncate: float = 4.0) -> int:
    """Give the radius of the kernel, samples."""
    return int(truncate * sigma + 0.5)


def _chain(order: int, sigma: float, truncate: float) -> Chain:
    if order == 0:
        return ()
    smooth = gaussian_taps(sigma, truncate)
    if order == 1:
        return (smooth,)
    offsets = torch.arange(len(smooth.values), dtype=torch.float64) - smooth.centre
    factor = (offsets / sigma**2) ** 2 - 1 / sigma**2
    return (Taps.of(tuple((factor * torch.tensor(smooth.values).double()).tolist())),)
