"""MTF: how much of each frequency an image keeps; from a system, an edge, a disc or a wire."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vesalius.core import Grid, Image
from vesalius.errors import GeometryError, IntensityError, RegionError, ShapeError

FINER = 4
"""Bins of an edge profile for each voxel."""
DIRECTIONS = 64
"""Directions over which a wire's transform is averaged."""
LEAST_SLANT, MOST_SLANT = math.tan(math.radians(1.5)), math.tan(math.radians(45))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Mtf:
    """Modulation transfer along the frequency.

    Attributes:
        frequency_per_mm: (sample,) from 0, cycles per mm.
        value: (sample,) 1 at frequency 0.
        contrast: Of the edge or disc that it was measured with, in the image's unit; 0 where there
            is none. With a method that is not linear the MTF depends on it, and is called task
            transfer function.
    """

    frequency_per_mm: Float[Tensor, "_"]
    value: Float[Tensor, "_"]
    contrast: float = 0.0

    def frequency_at(self, level: float) -> float:
        """Give the frequency where the MTF first falls to a level, cycles per mm.

        Raises:
            RegionError: It does not fall so far.
        """
        below = (self.value < level).nonzero().flatten()
        if len(below) == 0 or int(below[0]) == 0:
            raise RegionError(
                f"the MTF must fall to {level:g}, it ends at {float(self.value[-1]):.3g} at "
                f"{float(self.frequency_per_mm[-1]):.3g} per mm: ask for a higher level"
            )
        k = int(below[0])
        (f0, f1), (m0, m1) = (
            t[k - 1 : k + 1].tolist() for t in (self.frequency_per_mm, self.value)
        )
        return float(f0 + (f1 - f0) * (m0 - level) / (m0 - m1))


def point_spread(
    system: Callable[[Tensor], Tensor], *, background: Image, amplitude: float
) -> Image:
    """Measure the local impulse response: how an image changes when one voxel does.

    Args:
        system: From an image's samples (z, y, x) to an image's, such as
            ``lambda x: reconstruct(project(x))``.
        background: What is imaged, one channel; a linear system does not care. The middle voxel
            ``n // 2`` is changed.
        amplitude: By how much, in its unit.

    Returns:
        The response over the amplitude, on the grid of the background; no unit.

    Raises:
        ShapeError: The background has several channels, or the system gives another shape.
        IntensityError: The background is not finite.

    References:
        Fessler, Rogers (1996), doi:10.1109/83.535846, eq. (4).
    """
    x = _single(background)
    z, y, c = (n // 2 for n in background.grid.shape)
    changed = x.clone()
    changed[z, y, c] += amplitude
    response = (system(changed) - system(x)) / amplitude
    if tuple(response.shape) != background.grid.shape:
        raise ShapeError(
            f"the system must give an image of shape {background.grid.shape} (z, y, x), it gives "
            f"{tuple(response.shape)}"
        )
    return Image(response[None], background.grid)


def optical_transfer(psf: Image) -> Complex[Tensor, "z y x"]:
    """Transform a point spread function whose middle is voxel ``n // 2``.

    Args:
        psf: One channel.

    Returns:
        The OTF, 1 at frequency 0, which is at index ``n // 2``; step 1 / (n spacing) per mm.

    Raises:
        ShapeError: There are several channels.
        IntensityError: The PSF is not finite.
        RegionError: The PSF sums to 0.
    """
    x = _single(psf)
    total = x.sum()
    if float(total.abs()) <= 1e-12 * float(x.abs().sum()):
        raise RegionError("a PSF must not sum to 0 to have an OTF, it does: check its background")
    axes = (0, 1, 2)
    spectrum: Tensor = torch.fft.fftn(torch.fft.ifftshift(x, dim=axes)) / total
    centred: Tensor = torch.fft.fftshift(spectrum, dim=axes)
    return centred


def edge_mtf(image: Image) -> Mtf:
    """Measure the MTF across a straight, slightly slanted edge.

    Args:
        image: One channel; the part with the edge and nothing else (``image.crop``). Several
            slices are averaged.

    Returns:
        MTF up to twice the Nyquist frequency of the voxels.

    Raises:
        RegionError: There is no edge, or its slant is not 1.5 to 45 degrees: the profile could not
            be finer than the voxels.
        IntensityError: The image is not finite.

    References:
        ISO 12233:2017, annex D (e-SFR). Differs from it in: voxels are binned by their distance
        perpendicular to the edge; the window is Hann's; both differentiation and binning are
        divided out.
    """
    plane = _single(image).double().mean(dim=0)
    _, dy, dx = image.grid.spacing_mm
    steps = [float((plane.diff(dim=k).mean(dim=1 - k)).abs().max()) for k in (0, 1)]
    if steps[0] > steps[1]:
        plane, dy, dx = plane.T, dx, dy
    place, slant = _fit_edge(plane)
    tilt = abs(slant) * dx / dy
    if not LEAST_SLANT <= tilt <= MOST_SLANT:
        raise RegionError(
            f"the edge must be slanted by 1.5 to 45 degrees against the voxels, it is by "
            f"{math.degrees(math.atan(tilt)):.2g}: turn the edge a little"
        )
    rows, columns = plane.shape
    line = place + slant * torch.arange(rows, dtype=torch.float64)
    across = (torch.arange(columns, dtype=torch.float64)[None] - line[:, None]) * dx
    return _from_profile(across / math.hypot(1.0, tilt), plane, dx / FINER)


def disc_mtf(image: Image, *, centre_mm: tuple[float, float], radius_mm: float) -> Mtf:
    """Measure the MTF, or task transfer function, across the edge of a disc or cylinder.

    Args:
        image: Slices through a uniform cylinder along z; all are averaged, as many as the noise
            needs. One channel.
        centre_mm: World (x, y) of its axis, mm.
        radius_mm: Its radius, mm; voxels from half of it to one and a half are used.

    Returns:
        MTF up to twice the Nyquist frequency, and the contrast inside minus outside.

    Raises:
        GeometryError: The slices are not axial.
        RegionError: The ring leaves the image, is too thin, or has no edge.
        IntensityError: The image is not finite.

    References:
        Richard et al. (2012), doi:10.1118/1.4725171; AAPM TG-233 (2019), doi:10.1002/mp.13763,
        section III.C.
    """
    plane = _single(image).double().mean(dim=0)
    x, y = _axial(image.grid)
    away = torch.hypot(x[None, :] - centre_mm[0], y[:, None] - centre_mm[1])
    pixel = max(image.grid.spacing_mm[1:])
    reach = radius_mm / 2
    inside = min(float(centre_mm[k] - t.min()) for k, t in enumerate((x, y)))
    inside = min(inside, *(float(t.max() - centre_mm[k]) for k, t in enumerate((x, y))))
    if not (4 * pixel <= reach and radius_mm + 4 * pixel <= inside):
        raise RegionError(
            f"the disc must have a radius of at least 8 voxels and 4 voxels around it, got radius "
            f"{radius_mm:g} mm, {inside:.3g} mm to the border, voxels of {pixel:g} mm"
        )
    reach = min(reach, inside - radius_mm)
    ring = (away - radius_mm).abs() <= reach
    return _from_profile(away[ring] - radius_mm, plane[ring], pixel / FINER)


def wire_mtf(image: Image, *, diameter_mm: float = 0.0) -> Mtf:
    """Measure the MTF from a thin wire or bead across the slices.

    Args:
        image: One channel, axis-aligned; the part with the wire in its middle third and flat
            background around it. Several slices are averaged.
        diameter_mm: Of the wire; its own transform is divided out. 0 takes it as a point.

    Returns:
        MTF up to the Nyquist frequency, averaged over directions; up to half of the wire's first
        zero.

    Raises:
        RegionError: Nothing stands out of the border's mean.
        IntensityError: The image is not finite.
    """
    plane = _single(image).double().mean(dim=0)
    x, y = _axial(image.grid)
    border = torch.cat([plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]])
    net = plane - border.mean()
    total = net.sum()
    if float(net.abs().max()) < 5 * float(border.std()) or float(total.abs()) == 0:
        raise RegionError(
            f"the wire must stand out of the border's noise of {float(border.std()):.3g}, the "
            f"largest difference is {float(net.abs().max()):.3g}: take the part around the wire"
        )
    x0, y0 = (net.sum(dim=0) @ x) / total, (net.sum(dim=1) @ y) / total
    nyquist = 1 / (2 * max(image.grid.spacing_mm[1:]))
    last = min(nyquist, 0.61 / diameter_mm) if diameter_mm > 0 else nyquist
    frequency = torch.linspace(0, last, 65, dtype=torch.float64)
    angle = torch.arange(DIRECTIONS, dtype=torch.float64) * math.pi / DIRECTIONS
    value = torch.zeros_like(frequency)
    for c, s in zip(angle.cos().tolist(), angle.sin().tolist(), strict=True):
        along_x = torch.polar(torch.ones(65, len(x)).double(), _phase(frequency * c, x - x0))
        along_y = torch.polar(torch.ones(65, len(y)).double(), _phase(frequency * s, y - y0))
        value += torch.einsum("fy,yx,fx->f", along_y, net.to(along_x.dtype), along_x).real
    value = value.abs() / value[0].abs()  # a void in a solid is a wire of negative contrast
    argument = math.pi * diameter_mm * frequency
    own = torch.where(argument > 0, 2 * torch.special.bessel_j1(argument) / argument, 1.0)
    return Mtf(frequency, value / own)


def _phase(frequency: Tensor, place: Tensor) -> Tensor:
    return -2 * math.pi * frequency[:, None] * place[None, :]


def _single(image: Image) -> Tensor:
    if image.data.shape[0] != 1:
        raise ShapeError(
            f"image must have one channel to measure its quality, got {image.data.shape[0]}: pick "
            "one"
        )
    if not bool(torch.isfinite(image.data).all()):
        raise IntensityError("image must be finite to measure its quality, got NaN or infinity")
    return image.data[0]


def _axial(grid: Grid) -> tuple[Tensor, Tensor]:
    """World x of the columns and y of the rows; the axes may run either way."""
    affine = grid.affine
    off = [float(affine[i, j].abs()) for i, j in ((0, 0), (0, 1), (1, 0), (1, 2))]
    if max(off) > 1e-6 * float(affine[:3, :3].abs().max()):
        raise GeometryError(
            "slices must be axial, with rows along x and columns along y, got a turned grid "
            f"{grid!r}: resample it"
        )
    _, rows, columns = grid.shape
    x = affine[0, 3] + affine[0, 2] * torch.arange(columns, dtype=torch.float64)
    y = affine[1, 3] + affine[1, 1] * torch.arange(rows, dtype=torch.float64)
    return x, y


def _fit_edge(plane: Tensor) -> tuple[float, float]:
    """Column of the edge in row 0 and its step for each row, by the centroid of each derivative."""
    slope = plane.diff(dim=1)
    column = torch.arange(slope.shape[1], dtype=torch.float64) + 0.5
    rows = torch.arange(plane.shape[0], dtype=torch.float64)
    design = torch.stack([torch.ones_like(rows), rows], dim=1)
    line = column[slope.mean(dim=0).abs().argmax()].expand(len(rows))
    half = max(8.0, slope.shape[1] / 2)
    for _ in range(4):  # the window follows the line, and closes a little
        part = ((column[None] - line[:, None]) / half).clamp(-1, 1)
        weight = slope * (0.5 + 0.5 * torch.cos(math.pi * part))
        total = weight.sum(dim=1)
        if float(total.abs().min()) < 1e-9 * float(plane.abs().max()) + 1e-300:
            raise RegionError(
                "each row must cross one edge, one row has none: take the part with the edge alone"
            )
        centroid = (weight @ column) / total
        place, step = torch.linalg.lstsq(design, centroid[:, None]).solution.flatten().tolist()
        line = place + step * rows
        half = max(6.0, half / 1.5)
    return place, step


def _from_profile(away: Tensor, values: Tensor, width: float) -> Mtf:
    """Bin values by their distance from an edge, differentiate, transform."""
    away, values = away.flatten(), values.flatten()
    reach = min(float(-away.min()), float(away.max()))
    half = int(reach / width)
    index = (away / width).round().long() + half
    kept = (index >= 0) & (index <= 2 * half)
    count = torch.zeros(2 * half + 1, dtype=torch.float64)
    count.index_add_(0, index[kept], torch.ones(int(kept.sum()), dtype=torch.float64))
    total = torch.zeros_like(count).index_add_(0, index[kept], values[kept])
    place = torch.zeros_like(count).index_add_(0, index[kept], away[kept])
    filled = count > 0
    if half < 4 * FINER or float(filled.double().mean()) < 0.8:
        raise RegionError(
            f"the edge must be seen over at least 4 voxels on each side and by enough voxels, got "
            f"{reach:.3g} mm and {100 * float(filled.double().mean()):.3g} % of the fine bins "
            "filled: take a larger part"
        )
    profile = _even(place[filled] / count[filled], total[filled] / count[filled], half, width)
    contrast = float(profile[: half // 2].mean() - profile[-(half // 2) :].mean())
    spread = profile.diff()
    middle = torch.arange(len(spread), dtype=torch.float64) - (len(spread) - 1) / 2
    spread = spread * (0.5 + 0.5 * torch.cos(2 * math.pi * middle / len(spread)))
    if abs(contrast) < 1e-12 * float(values.abs().max()) or float(spread.sum()) == 0:
        raise RegionError("there must be an edge, both sides have the same mean: check its place")
    frequency = torch.linspace(0, 1 / (FINER * width), 129, dtype=torch.float64)
    phase = _phase(frequency, middle * width)
    value = torch.complex((spread * phase.cos()).sum(dim=1), (spread * phase.sin()).sum(dim=1))
    # differences and bins each blur by their width
    value = value.abs() / value[0].abs() / torch.sinc(frequency * width) ** 2
    return Mtf(frequency, value, contrast)


def _even(place: Tensor, values: Tensor, half: int, width: float) -> Tensor:
    """Bring bin means from where their voxels were to even places, by straight lines."""
    wanted = (torch.arange(2 * half + 1, dtype=torch.float64) - half) * width
    right = torch.searchsorted(place, wanted).clamp(1, len(place) - 1)
    left = right - 1
    part = ((wanted - place[left]) / (place[right] - place[left])).clamp(0, 1)
    return values[left] + part * (values[right] - values[left])
