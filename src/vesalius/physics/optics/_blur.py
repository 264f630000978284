"""Blur and Downsample: a Gaussian PSF and a coarser detector, both with exact adjoints."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.core._operator import SquareOperator
from vesalius.errors import GeometryError, ShapeError
from vesalius.ops._convolve import AXES, Taps, apply_axis, axis_matrix
from vesalius.physics.optics._samples import check_samples

Shape = tuple[int, int, int]
Triple = tuple[float, float, float]
TRUNCATE = 6.0
"""Radius of the Gaussian, in standard deviations: what is cut off is below 1e-8."""
SHARP = 0.5
"""Samples: a narrower Gaussian, taken at shifted samples, has its centre elsewhere."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Blur(SquareOperator):
    """Separable Gaussian blur with a sub-pixel shift; zero outside of the domain.

    Much faster than :class:`Convolution` for a Gaussian PSF: each axis is one banded matrix.

    Attributes:
        shape: (z, y, x) of domain and codomain.
        sigma: Standard deviation along (z, y, x), samples; 0 leaves an axis sharp.
        shift: How far the content moves along (z, y, x), samples; linear interpolation where
            ``sigma`` is below half a sample. Several shifted images of one object carry more
            detail than one.

    Raises:
        GeometryError: A ``sigma`` is negative, or a value is not finite.
        ShapeError: A size is below 1.
    """

    shape: Shape
    sigma: Triple
    shift: Triple = (0.0, 0.0, 0.0)
    _matrices: tuple[Tensor | None, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ShapeError(f"shape must be (z, y, x) of at least 1, got {self.shape}")
        if not all(math.isfinite(v) for v in (*self.sigma, *self.shift)) or min(self.sigma) < 0:
            raise GeometryError(
                f"sigma must be finite and at least 0 and shift finite, got {self.sigma} and "
                f"{self.shift}: give samples"
            )
        rows = zip(self.shape, self.sigma, self.shift, strict=True)
        object.__setattr__(self, "_matrices", tuple(_matrix(*row) for row in rows))

    def apply(self, x: Tensor) -> Tensor:
        """Blur (*batch, z, y, x)."""
        check_samples(x)
        for axis, matrix in zip(AXES, self._matrices, strict=True):
            x = x if matrix is None else apply_axis(x, matrix, axis)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Blur with the mirrored kernel."""
        check_samples(y)
        for axis, matrix in zip(AXES, self._matrices, strict=True):
            y = y if matrix is None else apply_axis(y, matrix.T, axis)
        return y


def _matrix(size: int, sigma: float, shift: float) -> Tensor | None:
    if sigma == 0 and shift == 0:
        return None
    low = math.floor(shift)
    if sigma < SHARP:
        # so narrow a Gaussian falls between the samples: blur in place, then interpolate
        side = math.exp(-0.5 / sigma**2) if sigma > 0.02 else 0.0
        part = shift - low
        still = torch.tensor([side, 1.0, side], dtype=torch.float64) / (1 + 2 * side)
        weight = torch.zeros(4, dtype=torch.float64)
        weight[:3] += (1 - part) * still
        weight[1:] += part * still
        offsets = torch.arange(low - 1, low + 3, dtype=torch.float64)
    else:
        reach = math.ceil(TRUNCATE * sigma)
        offsets = torch.arange(low - reach, low + reach + 2, dtype=torch.float64)
        weight = torch.exp(-0.5 * ((offsets - shift) / sigma) ** 2)
        weight = weight / weight.sum()
    first, last = int(offsets[0]), int(offsets[-1])
    # taps must reach the sample itself, wherever the shift has moved them
    before, after = max(first, 0), max(-last, 0)
    values = (0.0,) * before + tuple(weight.tolist()) + (0.0,) * after
    return axis_matrix((Taps(values, before - first),), size, "zero")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Downsample(LinearOperator):
    """Average blocks of samples: a detector with larger elements.

    Attributes:
        shape: (z, y, x) of the fine grid.
        factors: Fine samples per coarse one along (z, y, x).

    Raises:
        ShapeError: A factor is below 1 or does not divide the size.
    """

    shape: Shape
    factors: Shape

    def __post_init__(self) -> None:
        if min(self.factors) < 1 or any(
            n < 1 or n % f for n, f in zip(self.shape, self.factors, strict=True)
        ):
            raise ShapeError(
                f"factors must be at least 1 and divide the shape, got {self.factors} for "
                f"{self.shape}: crop or pad the fine grid"
            )

    @property
    def domain(self) -> Shape:
        """Shape (z, y, x) of the fine grid."""
        return self.shape

    @property
    def codomain(self) -> Shape:
        """Shape (z, y, x) of the coarse grid."""
        z, y, x = (n // f for n, f in zip(self.shape, self.factors, strict=True))
        return (z, y, x)

    def apply(self, x: Tensor) -> Tensor:
        """Average each block of (*batch, z, y, x)."""
        check_samples(x)
        z, y, w = self.codomain
        fz, fy, fx = self.factors
        batch = x.shape[:-3]
        return x.reshape(*batch, z, fz, y, fy, w, fx).mean(dim=(-5, -3, -1))

    def adjoint(self, y: Tensor) -> Tensor:
        """Spread each coarse sample evenly over its block."""
        check_samples(y)
        for axis, factor in zip((-3, -2, -1), self.factors, strict=True):
            y = y.repeat_interleave(factor, dim=axis)
        return y / math.prod(self.factors)
