"""Point spread functions: Gaussian, Born-Wolf, and measured from beads."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, Points
from vesalius.errors import GeometryError, IntensityError, RegionError, ShapeError
from vesalius.ops import sample
from vesalius.physics.optics._objective import Objective

Approximation = Literal["paraxial", "nonparaxial"]
Shape = tuple[int, int, int]
Triple = tuple[float, float, float]
TABLE = 2_000_000
"""Values of Bessel's function at a time."""


def gaussian_widths_mm(
    objective: Objective, *, approximation: Approximation = "nonparaxial"
) -> tuple[float, float]:
    """Give the widths of the Gaussian that is closest to a widefield PSF.

    Args:
        objective: The microscope.
        approximation: ``"paraxial"`` for a low aperture; ``"nonparaxial"`` for any.

    Returns:
        Standard deviations (axial, lateral), mm.

    References:
        Zhang, Zerubia and Olivo-Marin (2007), doi:10.1364/AO.46.001819, table 1, three-dimensional
        widefield fluorescence.
    """
    n, k = objective.index, objective.wavenumber
    if approximation == "paraxial":
        return 2 * math.sqrt(6) * n / (k * objective.na**2), math.sqrt(2) / (k * objective.na)
    c = math.cos(objective.half_angle)
    lateral = math.sqrt((7 * (1 - c**1.5)) / (4 - 7 * c**1.5 + 3 * c**3.5)) / (n * k)
    spread = 4 * c**5 - 25 * c**3.5 + 42 * c**2.5 - 25 * c**1.5 + 4
    axial = 5 * math.sqrt(7) * (1 - c**1.5) / (math.sqrt(6) * n * k * math.sqrt(spread))
    return axial, lateral


def gaussian_psf(
    objective: Objective,
    *,
    shape: Shape,
    spacing_mm: Triple,
    approximation: Approximation = "nonparaxial",
) -> Image:
    """Make the Gaussian that is closest to a widefield PSF.

    Args:
        objective: The microscope.
        shape: Samples along (z, y, x).
        spacing_mm: Distance between samples along (z, y, x), mm.
        approximation: See :func:`gaussian_widths_mm`.

    Returns:
        (1, z, y, x) float64 with sum 1; the sample at ``size // 2`` is the origin of the world.
    """
    axial, lateral = gaussian_widths_mm(objective, approximation=approximation)
    z, y, x = _offsets_mm(shape, spacing_mm)
    r2 = (z / axial)[:, None, None] ** 2
    r2 = r2 + (y / lateral)[:, None] ** 2 + (x / lateral) ** 2
    return _as_image(torch.exp(-r2 / 2), spacing_mm)


def born_wolf(objective: Objective, *, shape: Shape, spacing_mm: Triple) -> Image:
    """Make the widefield PSF of scalar diffraction at a circular lens, in focus and out of it.

    Args:
        objective: The microscope.
        shape: Samples along (z, y, x).
        spacing_mm: Distance between samples along (z, y, x), mm.

    Returns:
        (1, z, y, x) float64 with sum 1; the sample at ``size // 2`` is the origin of the world.
        The values are taken at the sample's centre, not averaged over it.

    References:
        Born and Wolf (1999), Principles of Optics, section 8.8.1, eq. (11):
        h = |2 int_0^1 J0(k NA r s) exp(-i k z NA^2 s^2 / (2 n)) s ds|^2; by Gauss-Legendre
        quadrature with nodes enough for the fastest phase of the array.
    """
    z, y, x = _offsets_mm(shape, spacing_mm)
    r2 = (y[:, None] ** 2 + x**2).flatten()
    # symmetric samples share a radius: rounding to 1e-12 of the largest finds them
    scale = max(float(r2.max()), 1e-300)
    radius2, back = torch.unique((r2 / scale * 1e12).round(), return_inverse=True)
    field = _defocused(objective, (radius2 * scale / 1e12).sqrt(), z)
    intensity = field.abs().square()[:, back].reshape(shape)
    return _as_image(intensity, spacing_mm)


def _defocused(objective: Objective, radius: Tensor, z: Tensor) -> Tensor:
    """Amplitude (z, radius) of the diffraction integral; 1 at the focus."""
    lateral = objective.wavenumber * objective.na
    axial = objective.wavenumber * objective.na**2 / (2 * objective.index)
    phase = float(radius.max()) * lateral + 2 * float(z.abs().max()) * axial
    # n nodes integrate a phase of n exactly to rounding; half more is safe
    nodes, weights = legendre(int(32 + 0.75 * phase))
    focus = torch.exp(-1j * axial * z[:, None] * nodes**2) * (2 * weights * nodes)
    # in parts: the table of a wide array with long pixels would take gigabytes
    count = max(1, TABLE // len(nodes))
    parts = (radius[first : first + count] for first in range(0, len(radius), count))
    tables = (bessel_j0(lateral * nodes[:, None] * part) for part in parts)
    return torch.cat([focus @ table.to(focus.dtype) for table in tables], dim=1)


def legendre(count: int) -> tuple[Tensor, Tensor]:
    """Give Gauss-Legendre nodes and weights on [0, 1], float64."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)


def bessel_j0(x: Tensor) -> Tensor:
    """Give Bessel's J0 to rounding; torch's own is good to 1e-8 only."""
    from scipy.special import j0

    return torch.from_numpy(j0(x.numpy()))


def measured_psf(beads: Image, centres: Points, *, shape: Shape) -> Image:
    """Measure a PSF: beads smaller than it, background taken off, centred, averaged.

    Args:
        beads: (1, z, y, x) floating point, a stack of single beads.
        centres: Where the beads are, to a voxel, mm; each is refined by its centroid.
        shape: Samples along (z, y, x) to keep around each bead.

    Returns:
        (1, z, y, x) float64 with sum 1 and the spacing of the stack; the sample at ``size // 2``
        is the origin of the world. Bright beads weigh more. It holds the size of the beads and of
        the pixels too, and where noise is left, the half of it above 0: average many beads.

    Raises:
        ShapeError: The stack has more than one channel, or ``shape`` is empty.
        RegionError: There is no bead, one is too close to the border, or it is not brighter than
            what surrounds it.
        IntensityError: The stack has NaN or infinity.
    """
    if beads.data.shape[0] != 1:
        raise ShapeError(
            f"beads must have one channel, got {beads.data.shape[0]}: measure each by itself"
        )
    if min(shape) < 1:
        raise ShapeError(f"shape must be (z, y, x) of at least 1, got {shape}")
    data = beads.data.double()
    if not bool(torch.isfinite(data).all()):
        raise IntensityError("beads must be finite, got NaN or infinity: crop the bad pixels")
    if len(centres) == 0:
        raise RegionError("centres must name at least one bead, got none: pick them by eye")
    total = torch.zeros(shape, dtype=torch.float64)
    for at in beads.grid.to_index(centres.data.double()):
        total += _centred(data, at, shape)
    # noise below 0 is cut once, when the beads have averaged it
    return _as_image(total.clamp(min=0), beads.grid.spacing_mm)


def _centred(data: Tensor, at: Tensor, shape: Shape) -> Tensor:
    """One bead without background, its centroid moved to ``size // 2``."""
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in shape]
    steps = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    last = torch.tensor(data.shape[1:], dtype=torch.float64) - 1
    window = torch.zeros(shape, dtype=torch.float64)
    for _ in range(8):
        low, high = at + steps[0, 0, 0], at + steps[-1, -1, -1]
        if bool((low < -0.5).any()) or bool((high > last + 0.5).any()):
            raise RegionError(
                f"a bead must lie at least half the shape {shape} from the border, got one at "
                f"index {[round(v, 1) for v in at.tolist()]} of {tuple(data.shape[1:])}: "
                "leave it out or keep a smaller shape"
            )
        window = sample(data, at + steps, interpolation="cubic")[0]
        window = window - _rim(window).median()
        # noise far from the bead would pull the centroid: use its bright part
        bright = (window - 0.2 * window.max()).clamp(min=0)
        if float(bright.sum()) <= 0:
            raise RegionError("a bead must be brighter than its surroundings, got none at a centre")
        shift = (bright[..., None] * steps).sum(dim=(0, 1, 2)) / bright.sum()
        at = at + shift
        if float(shift.abs().max()) < 1e-4:
            break
    return window


def _rim(window: Tensor) -> Tensor:
    """The outermost samples along every axis that has more than two."""
    inside = torch.ones(window.shape, dtype=torch.bool)
    for axis, size in enumerate(window.shape):
        if size > 2:
            inside.select(axis, 0).fill_(False)
            inside.select(axis, size - 1).fill_(False)
    return window[~inside] if not bool(inside.all()) else window.flatten()


def _offsets_mm(shape: Shape, spacing_mm: Triple) -> tuple[Tensor, Tensor, Tensor]:
    if min(shape) < 1 or not all(math.isfinite(s) and s > 0 for s in spacing_mm):
        raise GeometryError(
            f"a psf must have a shape of at least 1 and positive spacing, got {shape} and "
            f"{spacing_mm} mm: 0.1 um is 1e-4 mm"
        )
    z, y, x = (
        (torch.arange(n, dtype=torch.float64) - n // 2) * s
        for n, s in zip(shape, spacing_mm, strict=True)
    )
    return z, y, x


def _as_image(data: Float[Tensor, "z y x"], spacing_mm: Triple) -> Image:
    nz, ny, nx = data.shape
    dz, dy, dx = spacing_mm
    origin = (-(nx // 2) * dx, -(ny // 2) * dy, -(nz // 2) * dz)
    grid = Grid.from_spacing((nz, ny, nx), spacing_mm, origin_mm=origin)
    return Image((data / data.sum())[None], grid, "1")
