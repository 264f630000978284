"""Orthonormal transforms in which few numbers hold most of an image: DCT, DFT, wavelets."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.core._operator import SquareOperator
from vesalius.errors import ConfigError
from vesalius.ops._dct import dct, idct
from vesalius.ops._dwt import halvings, inverse_wavelet, wavelet
from vesalius.ops._wavelets import Family

Shape = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Dct(SquareOperator):
    """Orthonormal cosine transform (DCT-II) along chosen axes.

    Attributes:
        shape: Shape of the image.
        axes: Negative axes.
    """

    shape: Shape
    axes: tuple[int, ...] = (-2, -1)

    def apply(self, x: Tensor) -> Tensor:
        """Transform."""
        return dct(x, axes=self.axes)

    def adjoint(self, y: Tensor) -> Tensor:
        """Transform back."""
        return idct(y, axes=self.axes)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Dft(SquareOperator):
    """Unitary Fourier transform along chosen axes, frequency 0 first; gives complex numbers.

    Attributes:
        shape: Shape of the image.
        axes: Negative axes.
    """

    shape: Shape
    axes: tuple[int, ...] = (-2, -1)

    def apply(self, x: Tensor) -> Tensor:
        """Transform."""
        c: Tensor = torch.fft.fftn(x, dim=self.axes, norm="ortho")
        return c

    def adjoint(self, y: Tensor) -> Tensor:
        """Transform back; the result is complex."""
        x: Tensor = torch.fft.ifftn(y, dim=self.axes, norm="ortho")
        return x


@final
@dataclass(frozen=True, slots=True, eq=False)
class Wavelet(SquareOperator):
    """Orthonormal wavelet transform with decimation, periodic at the edges.

    Coefficients have the shape of the image: the coarsest approximation first, details behind it.

    Attributes:
        shape: Shape of the image.
        family: Orthogonal wavelet.
        axes: Negative axes to decompose; one is halved as often as it is even.
        levels: Most halvings.

    Raises:
        ShapeError: No axis can be halved.
    """

    shape: Shape
    family: Family = "db4"
    axes: tuple[int, ...] = (-2, -1)
    levels: int = 4

    def __post_init__(self) -> None:
        halvings(self.shape, self.axes, self.levels)

    @property
    def details(self) -> Tensor:
        """1 for details, 0 for the coarsest approximation: weights that spare the latter."""
        corner, halved = halvings(self.shape, self.axes, self.levels)[-1]
        ones = torch.ones(self.shape)
        part = ones[corner]
        for axis in halved:
            part = part.narrow(axis, 0, part.shape[axis] // 2)
        part.zero_()
        return ones

    def apply(self, x: Tensor) -> Tensor:
        """Decompose."""
        return wavelet(x, self.family, axes=self.axes, levels=self.levels)

    def adjoint(self, y: Tensor) -> Tensor:
        """Compose."""
        return inverse_wavelet(y, self.family, axes=self.axes, levels=self.levels)


def keep_largest(x: Tensor, transform: LinearOperator, count: int) -> Tensor:
    """Give the best approximation by ``count`` coefficients of an orthonormal transform.

    Args:
        x: (*domain).
        transform: T.
        count: How many coefficients stay.

    Returns:
        T^H applied to the largest ``count`` coefficients of T x.

    Raises:
        ConfigError: ``count`` is below 1 or above the number of coefficients.
    """
    c = transform(x)
    if not 1 <= count <= c.numel():
        raise ConfigError(f"count must lie from 1 to {c.numel()}, got {count}")
    largest = c.abs().flatten().topk(count).indices
    kept = torch.zeros_like(c).flatten()
    kept[largest] = c.flatten()[largest]
    back = transform.H(kept.reshape(c.shape))
    near: Tensor = back.real if back.is_complex() and not x.is_complex() else back
    return near
