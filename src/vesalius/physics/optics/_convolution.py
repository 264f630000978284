"""Convolution: blur by any PSF, linear and not circular, with its exact adjoint."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import IntensityError, ShapeError, UnitError
from vesalius.ops._fast_size import fast_size
from vesalius.physics.optics._samples import check_samples

Extent = Literal["same", "valid", "full"]
Shape = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Convolution(LinearOperator):
    """``y = psf * x`` by FFT, zero outside of the domain, never wrapped around.

    Attributes:
        psf: The kernel, float32 or float64, as many axes as the domain; its origin is the sample
            at index ``size // 2`` of each axis. A sum of 1 keeps the counts.
        shape: Shape of the domain.
        extent: What is kept of the result. ``"same"``: the samples of the domain. ``"valid"``:
            only samples that no border touches, ``shape - psf.shape + 1``; seen the other way
            round, an object known to reach beyond the camera's field. ``"full"``: all that is
            not zero, ``shape + psf.shape - 1``.

    Raises:
        ShapeError: The axes differ in number, one is empty, or ``"valid"`` leaves nothing.
        UnitError: The PSF is not float32 or float64.
        IntensityError: The PSF has NaN or infinity.
    """

    psf: Float[Tensor, "*kernel"]
    shape: Shape
    extent: Extent = "same"
    _transfer: Tensor = field(init=False, repr=False)
    _padded: Shape = field(init=False, repr=False)
    _start: Shape = field(init=False, repr=False)
    _codomain: Shape = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        kernel = tuple(self.psf.shape)
        if not shape or len(shape) != len(kernel) or min(*shape, *kernel) < 1:
            raise ShapeError(
                f"psf and shape must have the same axes, none empty, got {kernel} and {shape}"
            )
        if self.psf.dtype not in (torch.float32, torch.float64):
            raise UnitError(f"psf must be float32 or float64, got {self.psf.dtype}: cast it")
        if not bool(torch.isfinite(self.psf).all()):
            raise IntensityError("psf must be finite, got NaN or infinity: mask bad pixels first")
        pairs = list(zip(shape, kernel, strict=True))
        match self.extent:
            case "same":
                start, kept = tuple(k // 2 for k in kernel), shape
            case "valid":
                start = tuple(k - 1 for k in kernel)
                kept = tuple(n - k + 1 for n, k in pairs)
            case "full":
                start, kept = tuple(0 for _ in kernel), tuple(n + k - 1 for n, k in pairs)
        if min(kept) < 1:
            raise ShapeError(
                f"a 'valid' convolution must leave at least one sample, got shape {shape} for a "
                f"psf of {kernel}: use 'same' or crop the psf"
            )
        # of a valid result nothing that wraps around is kept, so the padding can be less
        least = shape if self.extent == "valid" else tuple(n + k - 1 for n, k in pairs)
        padded = tuple(fast_size(n) for n in least)
        axes = tuple(range(-len(kernel), 0))
        transfer = torch.fft.rfftn(self.psf.detach().double(), s=padded, dim=axes)
        for name, value in (
            ("shape", shape),
            ("_transfer", transfer.to(_complex(self.psf.dtype))),
            ("_padded", padded),
            ("_start", start),
            ("_codomain", kept),
        ):
            object.__setattr__(self, name, value)

    @property
    def domain(self) -> Shape:
        """Shape of the object."""
        return self.shape

    @property
    def codomain(self) -> Shape:
        """Shape of what is seen of it."""
        return self._codomain

    def apply(self, x: Tensor) -> Tensor:
        """Convolve (*batch, *domain) with the PSF."""
        check_samples(x)
        if x.is_complex():
            return torch.complex(self.apply(x.real), self.apply(x.imag))
        blurred = self._filter(x, self._transfer)
        return _cut(blurred, self._start, self._codomain)

    def adjoint(self, y: Tensor) -> Tensor:
        """Correlate (*batch, *codomain) with the PSF."""
        check_samples(y)
        if y.is_complex():
            return torch.complex(self.adjoint(y.real), self.adjoint(y.imag))
        margins = [
            (first, total - first - kept)
            for first, kept, total in zip(self._start, self._codomain, self._padded, strict=True)
        ]
        flat = [edge for pair in reversed(margins) for edge in pair]
        spread = self._filter(torch.nn.functional.pad(y, flat), self._transfer.conj())
        return _cut(spread, tuple(0 for _ in self.shape), self.shape)

    def _filter(self, x: Tensor, transfer: Tensor) -> Tensor:
        axes = tuple(range(-len(self.shape), 0))
        spectrum = torch.fft.rfftn(x, s=self._padded, dim=axes)
        spectrum = spectrum * transfer.to(x.device, spectrum.dtype)
        back: Tensor = torch.fft.irfftn(spectrum, s=self._padded, dim=axes)
        return back


def _cut(x: Tensor, start: Shape, shape: Shape) -> Tensor:
    for axis, (first, size) in enumerate(zip(start, shape, strict=True)):
        x = x.narrow(axis - len(shape), first, size)
    return x


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex64 if dtype == torch.float32 else torch.complex128
