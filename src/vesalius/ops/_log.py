"""Laplacian of Gaussian: blobs of a size stand out."""
# SPDX-License-Identifier: Apache-2.0

import math

from jaxtyping import Float
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.ops._convolve import Boundary, Samples, Taps, axis_matrix, check_float
from vesalius.ops._laws import box
from vesalius.ops._rotations import separable_sum

Stack = Float[Tensor, "*batch z y x"]
Triple = tuple[float, float, float]


def laplacian_of_gaussian(
    x: Samples,
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
        from it in: the sampled Gaussian is scaled to the sum 1 along each axis, and the mean of the
        truncated kernel is taken off, so that a constant gives 0.
    """
    check_float(x)
    if min(sigma) < 0 or max(sigma) == 0:
        raise ShapeError(f"sigma must be at least 0, and above 0 along one axis, got {sigma}")
    axes = [axis for axis in range(3) if sigma[axis] > 0]
    terms = {tuple((_part(axis, axes, d), 0) for axis in range(3)): weights[d] for d in axes}
    taps = {d: (gaussian_taps(sigma[d], truncate), _second(sigma[d], truncate)) for d in axes}
    leak = sum(weights[d] * sum(taps[d][1].values) for d in axes)
    terms[tuple((3 if axis in axes else 0, 0) for axis in range(3))] = -leak

    def matrix(item: tuple[int, int], axis: int) -> Tensor:
        if item[0] == 0:
            return axis_matrix((), x.shape[axis - 3], boundary)
        window = box(len(taps[axis][0].values))
        chain = window if item[0] == 3 else (taps[axis][item[0] - 1],)
        return axis_matrix(chain, x.shape[axis - 3], boundary)

    return separable_sum(x, terms, matrix)


def _part(axis: int, axes: list[int], derived: int) -> int:
    if axis not in axes:
        return 0
    return 2 if axis == derived else 1


def gaussian_taps(sigma: float, truncate: float = 4.0) -> Taps:
    """Sample a Gaussian of sum 1; the radius is ``truncate * sigma``, rounded."""
    radius = log_radius(sigma, truncate)
    values = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1)]
    total = sum(values)
    return Taps.of(tuple(v / total for v in values))


def log_radius(sigma: float, truncate: float = 4.0) -> int:
    """Give the radius of the kernel, samples."""
    return int(truncate * sigma + 0.5)


def _second(sigma: float, truncate: float) -> Taps:
    smooth = gaussian_taps(sigma, truncate)
    offsets = [k - smooth.centre for k in range(len(smooth.values))]
    values = zip(offsets, smooth.values, strict=True)
    return Taps.of(tuple(((k / sigma**2) ** 2 - 1 / sigma**2) * g for k, g in values))
