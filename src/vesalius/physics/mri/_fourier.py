"""The centred, unitary Fourier transform, sampling masks and their operators."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool
from torch import Tensor

from vesalius.core._operator import SquareOperator
from vesalius.errors import IntensityError, ShapeError, UnitError

Shape = tuple[int, ...]


def fourier(x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    """Transform from image to k-space, zero frequency and origin at index ``n // 2``.

    Args:
        x: Any shape, real or complex.
        axes: The axes to transform.

    Returns:
        Complex, same shape; the transform is unitary: it keeps the sum of squares.

    References:
        X[k] = n^-1/2 sum_j x[j] exp(-2 pi i (j - n // 2) (k - n // 2) / n).
    """
    shifted = torch.fft.ifftshift(x, dim=axes)
    spectrum: Tensor = torch.fft.fftshift(torch.fft.fftn(shifted, dim=axes, norm="ortho"), dim=axes)
    return spectrum


def inverse_fourier(y: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    """Transform from k-space to image: inverse and adjoint of :func:`fourier`.

    Args:
        y: Any shape, real or complex.
        axes: The axes to transform.

    Returns:
        Complex, same shape.
    """
    shifted = torch.fft.ifftshift(y, dim=axes)
    image: Tensor = torch.fft.fftshift(torch.fft.ifftn(shifted, dim=axes, norm="ortho"), dim=axes)
    return image


def check_complex(x: Tensor, name: str) -> None:
    """Refuse real numbers where complex ones are meant.

    Args:
        x: What came.
        name: What it is called in the message.

    Raises:
        UnitError: ``x`` is not complex.
    """
    if not x.is_complex():
        raise UnitError(
            f"{name} must be complex, got {x.dtype}: cast with .to(torch.complex64), or join real "
            "and imaginary parts with torch.complex"
        )


def check_finite(x: Tensor, name: str) -> None:
    """Refuse NaN and infinity, which one sample would spread over all.

    Args:
        x: What came, complex.
        name: What it is called in the message.

    Raises:
        IntensityError: A sample is not finite.
    """
    if not bool(torch.isfinite(torch.view_as_real(x)).all()):
        raise IntensityError(
            f"{name} must be finite, got NaN or infinity: leave spoiled samples out of the mask "
            "and set them to 0"
        )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fourier(SquareOperator):
    """Image to k-space by the centred unitary FFT; complex64 and complex128.

    Attributes:
        shape: Shape of image and k-space, such as (coil, z, y, x).
        axes: Axes of ``shape`` to transform, counted from the end: -1 is the last.

    Raises:
        ShapeError: An axis is not a negative number within ``shape``, or is named twice.
    """

    shape: Shape
    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        fits = all(-len(self.shape) <= axis < 0 for axis in self.axes)
        if not fits or not self.axes or len(set(self.axes)) != len(self.axes):
            raise ShapeError(
                f"axes must be different numbers from -{len(self.shape)} to -1 for the shape "
                f"{self.shape}, got {self.axes}"
            )

    def apply(self, x: Tensor) -> Tensor:
        """Transform; ``x`` is complex."""
        check_complex(x, "the image")
        return fourier(x, axes=self.axes)

    def adjoint(self, y: Tensor) -> Tensor:
        """Transform back; ``y`` is complex."""
        check_complex(y, "k-space")
        return inverse_fourier(y, axes=self.axes)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sampling(SquareOperator):
    """Keep what was measured, put 0 elsewhere; its own adjoint.

    Attributes:
        mask: True where measured; of ``shape`` or of its last axes.
        shape: Shape of k-space, such as (coil, z, y, x).

    Raises:
        ShapeError: ``mask`` is not of the last axes of ``shape``, or is False everywhere.
    """

    mask: Bool[Tensor, "..."]
    shape: Shape

    def __post_init__(self) -> None:
        size = tuple(self.mask.shape)
        if not size or size != self.shape[len(self.shape) - len(size) :]:
            raise ShapeError(
                f"mask must have the shape of the last axes of k-space {self.shape}, got {size}"
            )
        if not bool(self.mask.any()):
            raise ShapeError("mask must keep at least one sample, got False everywhere")

    def apply(self, x: Tensor) -> Tensor:
        """Keep what was measured; what was not cannot spread NaN."""
        return x.masked_fill(~self.mask.to(x.device), 0)

    def adjoint(self, y: Tensor) -> Tensor:
        """Do the same."""
        return self.apply(y)
