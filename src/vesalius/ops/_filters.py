"""Separable smoothing along the last three axes."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import IntensityError, UnitError
from vesalius.ops._band import Band, apply_band

Stack = Float[Tensor, "*batch z y x"]


def gaussian(x: Stack, sigma: tuple[float, float, float], *, truncate: float = 4.0) -> Stack:
    """Smooth the last three axes with a separable Gaussian; edges are repeated.

    Args:
        x: (*batch, z, y, x), float32 or float64, any unit.
        sigma: Standard deviation along (z, y, x), samples. 0 leaves an axis alone.
        truncate: Radius of the kernel, in standard deviations.

    Returns:
        Same shape, dtype, device and unit as ``x``; equal to SciPy's ``gaussian_filter`` with
        ``mode="nearest"``. Differentiable.

    Raises:
        UnitError: ``x`` is not float32 or float64.
        IntensityError: A ``sigma`` or ``truncate`` is negative or not finite.

    Example:
        >>> gaussian(torch.ones(1, 4, 4, 4), (1, 1, 1)).shape
        torch.Size([1, 4, 4, 4])
    """
    require_floats(x, "gaussian smoothing")
    if not all(np.isfinite(s) and s >= 0 for s in (*sigma, truncate)):
        raise IntensityError(
            f"sigma and truncate must be finite and at least 0, got {sigma} and {truncate}: "
            "0 leaves an axis alone"
        )
    out = x
    for axis, width in zip((-3, -2, -1), sigma, strict=True):
        radius = int(truncate * width + 0.5)
        if radius > 0 and x.shape[axis] > 1:
            out = apply_band(out, _gaussian_band(x.shape[axis], width, radius), axis=axis)
    return out


def require_floats(x: Tensor, what: str) -> None:
    """Refuse samples that would have to be cast.

    Args:
        x: The samples.
        what: What needs floats, for the message.

    Raises:
        UnitError: ``x`` is not float32 or float64.
    """
    if x.dtype not in (torch.float32, torch.float64):
        raise UnitError(
            f"{what} needs float32 or float64 samples, got {x.dtype}: values are never cast "
            "silently, convert with x.float() or image.map(lambda x: x.float())"
        )


def _gaussian_band(size: int, sigma: float, radius: int) -> Band:
    steps = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 * (steps / sigma) ** 2)
    weight /= weight.sum()
    if (far := radius - size) > 0:  # steps longer than the axis all end on its outermost samples
        before, after = weight[:far].sum(), weight[-far:].sum()
        steps, weight = steps[far:-far], weight[far:-far]
        weight[0] += before
        weight[-1] += after
    index = np.clip(np.arange(size)[:, None] + steps, 0, size - 1)
    return Band(index, np.broadcast_to(weight, index.shape), size)
