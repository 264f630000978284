"""LightField: a volume to the light-field camera's frame, by one convolution for each phase."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import IntensityError, ShapeError
from vesalius.ops._fast_size import fast_size
from vesalius.physics.optics._lightfield_psf import Kernel
from vesalius.physics.optics._samples import check_samples

Shape = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class LightField(LinearOperator):
    """Sum over depths of what every voxel throws on the sensor, nothing wrapped around.

    The PSF repeats from lenslet to lenslet but not within one. So voxels are sorted by depth and
    place within their lenslet, pixels by place within theirs: between the sorted images of
    (lenslet rows, lenslet columns) the map is a plain convolution, and at each frequency a small
    dense matrix.

    Attributes:
        psf: (depth, voxel y, voxel x, sensor y, sensor x) from ``lightfield_psf``; the sensor is
            an odd number of lenslets of ``pixels`` across.
        pixels: Sensor pixels across a lenslet.
        lenslets: Lenslets (rows, columns) of the frame; the volume covers the same ones.

    Raises:
        ShapeError: The PSF is not square in voxels and an odd number of lenslets on the sensor, or
            there is no lenslet.
        IntensityError: The PSF has NaN, infinity or negative values.
    """

    psf: Kernel
    pixels: int
    lenslets: tuple[int, int]
    _transfer: Tensor = field(init=False, repr=False)
    _padded: tuple[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        depth, vy, vx, sy, sx = self.psf.shape
        across = sy // self.pixels if self.pixels > 0 else 0
        if vy != vx or sy != sx or across % 2 == 0 or across * self.pixels != sy:
            raise ShapeError(
                f"psf must have (depth, n, n, m, m) with m an odd number of lenslets of "
                f"{self.pixels} pixels, got {tuple(self.psf.shape)}: use lightfield_psf"
            )
        if min(self.lenslets) < 1:
            raise ShapeError(f"lenslets must be (rows, columns) of at least 1, got {self.lenslets}")
        if not bool(torch.isfinite(self.psf).all()) or bool((self.psf < 0).any()):
            raise IntensityError("psf must be finite and at least 0, got others: recompute it")
        n = self.pixels
        blocks = self.psf.detach().reshape(depth, vy, vx, across, n, across, n)
        blocks = blocks.permute(4, 6, 0, 1, 2, 3, 5).reshape(n * n, depth * vy * vx, across, across)
        rows, columns = (fast_size(m + across - 1) for m in self.lenslets)
        spectrum = torch.fft.rfft2(blocks, s=(rows, columns))
        # frequencies first: one matrix (pixel phases x voxel phases) for each
        transfer = spectrum.permute(2, 3, 0, 1).contiguous()
        object.__setattr__(self, "_transfer", transfer)
        object.__setattr__(self, "_padded", (rows, columns))

    @property
    def domain(self) -> Shape:
        """Shape (depth, y, x) of the volume."""
        depth, voxels = self.psf.shape[:2]
        return (depth, self.lenslets[0] * voxels, self.lenslets[1] * voxels)

    @property
    def codomain(self) -> Shape:
        """Shape (y, x) of the rectified frame."""
        return (self.lenslets[0] * self.pixels, self.lenslets[1] * self.pixels)

    @property
    def _reach(self) -> int:
        return int(self.psf.shape[-1] // self.pixels // 2)

    def apply(self, x: Tensor) -> Tensor:
        """Show volumes (*batch, depth, y, x) to the camera."""
        check_samples(x)
        if x.is_complex():
            return torch.complex(self.apply(x.real), self.apply(x.imag))
        batch, r = x.shape[:-3], self._reach
        phases = _split(x.reshape(-1, *self.domain), int(self.psf.shape[1]))
        full = self._product(phases, adjoint=False)
        rows, columns = self.lenslets
        n = self.pixels
        seen = full[..., r : r + rows, r : r + columns].reshape(-1, 1, n, n, rows, columns)
        return _merge(seen).reshape(*batch, *self.codomain)

    def adjoint(self, y: Tensor) -> Tensor:
        """Throw frames (*batch, y, x) back into the volume."""
        check_samples(y)
        if y.is_complex():
            return torch.complex(self.adjoint(y.real), self.adjoint(y.imag))
        batch, r = y.shape[:-2], self._reach
        phases = _split(y.reshape(-1, 1, *self.codomain), self.pixels)
        phases = torch.nn.functional.pad(phases, (r, 0, r, 0))
        full = self._product(phases, adjoint=True)
        rows, columns = self.lenslets
        depth, v = self.psf.shape[:2]
        back = full[..., :rows, :columns].reshape(-1, depth, v, v, rows, columns)
        return _merge(back).reshape(*batch, *self.domain)

    def _product(self, phases: Tensor, *, adjoint: bool) -> Tensor:
        """Multiply (batch, phase, rows, columns) by the matrix of each frequency."""
        spectrum = torch.fft.rfft2(phases, s=self._padded).permute(2, 3, 1, 0)
        transfer = self._transfer.to(phases.device, spectrum.dtype)
        # the small factor is conjugated, never the matrices
        product = (spectrum.mH @ transfer).mH if adjoint else transfer @ spectrum
        product = product.permute(3, 2, 0, 1)
        back: Tensor = torch.fft.irfft2(product, s=self._padded)
        return back


def _split(x: Tensor, n: int) -> Tensor:
    """(batch, depth, y n, x n) -> (batch, depth n n, y, x)."""
    batch, depth, height, width = x.shape
    parts = x.reshape(batch, depth, height // n, n, width // n, n).permute(0, 1, 3, 5, 2, 4)
    return parts.reshape(batch, depth * n * n, height // n, width // n)


def _merge(parts: Tensor) -> Tensor:
    """(batch, depth, n, n, y, x) -> (batch, depth, y n, x n)."""
    batch, depth, n, _, y, x = parts.shape
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(batch, depth, y * n, x * n)
