"""Light-field PSF: scalar waves from a point, through objective and microlenses, to the sensor."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import GeometryError
from vesalius.ops._fast_size import fast_size
from vesalius.physics.optics._objective import Objective
from vesalius.physics.optics._psf import bessel_j0, legendre

MARGIN = 1
"""Lenslets simulated beyond those kept, so that nothing wraps around in the Fresnel step."""
TABLE = 150
"""Samples of the radial table in wavelength / NA: linear interpolation is then good to 1e-4."""
Kernel = Float[Tensor, "depth voxel_y voxel_x sensor_y sensor_x"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class MicrolensArray:
    """Square lenslets side by side at the image of the focal plane, the sensor one focal length on.

    Attributes:
        pitch_mm: Distance between lenslets, mm.
        focal_mm: Their focal length, mm.
        pixels: Sensor pixels across a lenslet, after rectification.
        oversample: Samples of the wave across a pixel; 3 resolves every fringe that a lenslet of
            the same aperture as the objective can make.

    Raises:
        GeometryError: A length is not positive, or a number below 1.
    """

    pitch_mm: float
    focal_mm: float
    pixels: int
    oversample: int = 3

    def __post_init__(self) -> None:
        lengths = (self.pitch_mm, self.focal_mm)
        if not all(math.isfinite(v) and v > 0 for v in lengths):
            raise GeometryError(
                f"pitch_mm and focal_mm must be positive, got {lengths}: 100 um is 0.1 mm"
            )
        if min(self.pixels, self.oversample) < 1:
            raise GeometryError(
                f"pixels and oversample must be at least 1, got {self.pixels} and {self.oversample}"
            )


def lightfield_reach(objective: Objective, array: MicrolensArray, depths_mm: Tensor) -> int:
    """Give how many lenslets away from its own a point still throws light.

    Args:
        objective: The microscope, with its magnification.
        array: The lenslets.
        depths_mm: (depth,) mm from the focal plane.

    Returns:
        Lenslets on each side: the geometric disk, the spread behind a lenslet, and one more.
    """
    largest = float(depths_mm.abs().max())
    disk = largest * math.tan(objective.half_angle) * objective.magnification / array.pitch_mm
    return math.ceil(disk) + 1


def lightfield_psf(
    objective: Objective, array: MicrolensArray, depths_mm: Tensor, *, voxels: int = 3
) -> Kernel:
    """Compute what the sensor sees of points at each depth and place behind the middle lenslet.

    The wave of a point in the focal plane's image follows from the Debye integral; each lenslet
    multiplies it by exp(-i k r^2 / (2 f)); Fresnel's transfer function carries it to the sensor;
    its square is added over each pixel.

    Args:
        objective: The microscope, with its magnification.
        array: The lenslets.
        depths_mm: (depth,) mm from the focal plane; positive is away from the objective.
        voxels: Places per lenslet along each side; their distance in the specimen is
            ``pitch_mm / magnification / voxels``. An odd number has one on the lenslet's axis.

    Returns:
        (depth, voxel y, voxel x, sensor y, sensor x) float32; the sensor has
        ``pixels * (2 reach + 1)`` pixels a side, the middle lenslet in its middle. The sum over
        the sensor is the part of the point's collected light that is caught, near 1.

    Raises:
        GeometryError: A depth is not finite, there is none, or ``voxels`` is below 1.

    References:
        Broxton et al. (2013), doi:10.1364/OE.21.025418, eqs. (3)-(7). Differs from it in: the
        exact phase n k z cos(theta) instead of the form factored by sin^2(theta / 2), which is the
        same up to a constant phase, and unit energy instead of its leading constant.
    """
    if voxels < 1 or depths_mm.numel() == 0 or not bool(torch.isfinite(depths_mm).all()):
        raise GeometryError(
            f"depths_mm must be finite, at least one, and voxels at least 1, got "
            f"{depths_mm.tolist()} and {voxels}"
        )
    reach = lightfield_reach(objective, array, depths_mm)
    bench = _Bench(objective, array, reach)
    side = array.pixels * (2 * reach + 1)
    out = torch.zeros(len(depths_mm), voxels, voxels, side, side, dtype=torch.float32)
    for at, table in enumerate(bench.tables(depths_mm.double().cpu())):
        for i in range((voxels + 1) // 2):
            for j in range(i, (voxels + 1) // 2):
                shift = [((k + 0.5) / voxels - 0.5) * array.pitch_mm for k in (i, j)]
                _mirror(out[at], bench.seen(table, shift[0], shift[1]), i, j)
    return out


def _mirror(out: Tensor, seen: Tensor, i: int, j: int) -> None:
    """Fill all places that a square lenslet's symmetry makes equal to (i, j)."""
    last = out.shape[0] - 1
    for a, b, image in ((i, j, seen), (j, i, seen.T)):
        out[a, b] = image
        out[last - a, b] = image.flip(0)
        out[a, last - b] = image.flip(1)
        out[last - a, last - b] = image.flip(0, 1)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """The optical bench, sampled: what is the same for every point."""

    objective: Objective
    array: MicrolensArray
    reach: int
    _axis: Tensor = field(init=False, repr=False)
    _lens: Tensor = field(init=False, repr=False)
    _fresnel: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        array, k = self.array, self.objective.wavenumber
        fine = array.pixels * array.oversample
        step = array.pitch_mm / fine
        lenslets = 2 * (self.reach + MARGIN) + 1
        axis = (torch.arange(fine * lenslets, dtype=torch.float64) + 0.5) * step
        within = axis.remainder(array.pitch_mm) - array.pitch_mm / 2
        lens = torch.exp(-0.5j * k / array.focal_mm * within**2)
        size = fast_size(len(axis))
        frequency = torch.fft.fftfreq(size, step, dtype=torch.float64)
        wavelength = self.objective.wavelength_mm
        fresnel = torch.exp(-1j * math.pi * wavelength * array.focal_mm * frequency**2)
        object.__setattr__(self, "_axis", axis - lenslets * array.pitch_mm / 2)
        object.__setattr__(self, "_lens", lens.to(torch.complex64))
        object.__setattr__(self, "_fresnel", fresnel.to(torch.complex64))

    def tables(self, depths_mm: Tensor) -> Tensor:
        """Amplitude (depth, radius in the specimen), finely sampled, unit energy."""
        optics = self.objective
        k, alpha = optics.wavenumber * optics.index, optics.half_angle
        step = optics.wavelength_mm / optics.na / TABLE
        farthest = 2 * float(self._axis.max()) / optics.magnification
        radius = torch.arange(0, farthest + 2 * step, step, dtype=torch.float64)
        deepest = float(depths_mm.abs().max())
        phase = k * math.sin(alpha) * farthest + k * deepest * (1 - math.cos(alpha))
        nodes, weights = legendre(int(64 + 0.75 * phase))
        theta = nodes * alpha
        pupil = theta.cos().sqrt() * theta.sin() * weights * alpha
        waves = pupil * torch.exp(1j * k * depths_mm[:, None] * theta.cos())
        bessel = bessel_j0(k * radius * theta.sin()[:, None])
        amplitude = torch.complex(waves.real @ bessel, waves.imag @ bessel)
        # in s = k sin(theta) this is int P(s) J0(s r) s ds with P = cos^(-1/2) / k^2: by Parseval
        # its energy over the plane is 2 pi int P^2 s ds
        energy = 2 * math.pi / k**2 * (1 - math.cos(alpha))
        return amplitude / math.sqrt(energy)

    def seen(self, table: Tensor, y_mm: float, x_mm: float) -> Tensor:
        """Light on the sensor of a point whose image is at (y, x) of the middle lenslet."""
        axis, optics, fine = self._axis, self.objective, self.array.oversample
        radius = torch.hypot(axis[:, None] - y_mm, axis - x_mm) / optics.magnification
        place = radius * (TABLE * optics.na / optics.wavelength_mm)
        low = place.long()
        part = (place - low).float()
        low = low.flatten()
        values = table.to(torch.complex64)
        wave = torch.lerp(
            torch.view_as_real(values[low]),
            torch.view_as_real(values[low + 1]),
            part.reshape(-1, 1),
        )
        wave = torch.view_as_complex(wave).reshape(part.shape)
        wave = wave * self._lens[:, None] * self._lens
        size = len(self._fresnel)
        spectrum = torch.fft.fft2(wave, s=(size, size))
        wave = torch.fft.ifft2(spectrum * self._fresnel[:, None] * self._fresnel)
        light = wave[: len(axis), : len(axis)].abs().square()
        pixels = len(axis) // fine
        light = light.reshape(pixels, fine, pixels, fine).sum(dim=(1, 3))
        margin = MARGIN * self.array.pixels
        area = float((axis[1] - axis[0]) / optics.magnification) ** 2
        kept: Tensor = light[margin : pixels - margin, margin : pixels - margin] * area
        return kept
