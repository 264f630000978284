"""Gridding: parallel rays reconstructed in Fourier space, by the central-slice theorem."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final, no_type_check

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vesalius.core import Grid, Image
from vesalius.errors import GeometryError
from vesalius.ops._fast_size import fast_size
from vesalius.ops._jit import kernel
from vesalius.ops._threads import share
from vesalius.physics.ct import Projections
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.ct._analytic import Choice, Plan, plan, remarks, slices
from vesalius.reconstruct.ct._filters import Ramp, Window, response

WIDTH = 6
"""Cells of the lattice that one sample spreads over, along each axis."""
OVERSAMPLING = 1.5
"""The lattice is at least this much finer than the image needs."""
FINE = 512
"""Table entries per cell; between them the kernel is interpolated linearly."""


def gridding(
    projections: Projections, *, like: Grid, window: Window = "ram-lak", cutoff: float = 1.0
) -> Reconstruction:
    """Reconstruct parallel rays by spreading their spectra onto a lattice and one inverse FFT.

    The same sum as filtered back-projection, with the rows interpolated by trigonometric
    polynomials instead of lines: sharper, and noisier by as much. Its time hardly grows with the
    number of pixels per view.

    Args:
        projections: Line integrals of parallel rays, over half a turn or any number of turns.
        like: Grid of the image; its z axis must be the rotation axis.
        window: What the ramp filter is multiplied by.
        cutoff: Highest frequency that passes, as a part of the Nyquist frequency, in (0, 1].

    Returns:
        mu in 1/mm, in the dtype and on the device of the projections. A remark tells of half turns
        that were not covered, and of rows that are cut by the detector's edge.

    Raises:
        UnitError: The projections are not line integrals.
        ConfigError: The cutoff is out of range.
        GeometryError: Rays are not parallel, the grid is tilted, or the volume misses the
            detector.

    References:
        O'Sullivan (1985), doi:10.1109/TMI.1985.4307723; Jackson et al. (1991),
        doi:10.1109/42.97598 (kernel); Beatty et al. (2005), doi:10.1109/TMI.2005.848376, eq. 5
        (its width). The weight of a sample is the spectrum of the band-limited ramp kernel, which
        keeps the mean right, times the angle of its view.
    """
    geometry = projections.geometry
    if geometry.beam != "parallel":
        raise GeometryError(f"gridding takes parallel rays, got a {geometry.beam}: use fbp or fdk")
    planned = plan(projections, like, Choice(Ramp(window, cutoff), "full", "none"))
    if not planned.found.is_aligned:
        raise GeometryError(
            "gridding needs a grid whose z axis is the rotation axis, got a tilted one: use fbp"
        )
    data = projections.data
    volume = data.new_zeros(like.shape)
    lattice = _lattice(planned)
    for part, lines in slices(data, planned):
        for k, z in enumerate(part.tolist()):
            volume[z] = _slice(lines[k], planned, lattice)
    said = remarks(planned, data)
    return Reconstruction(Image(volume[None], like, "1/mm"), "gridding", remarks=said)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where samples of the spectra fall, the same for all slices.

    Attributes:
        size: Cells along (y, x).
        padded: Length of the padded rows.
        shift: (view, frequency) what moves a row's origin to the image's middle, with all weights.
        slope: (view, 2) change of the position along (y, x) per frequency, cells.
        table: The spreading kernel.
        correction: (y, x) one over the kernel's transform.
    """

    size: tuple[int, int]
    padded: int
    shift: Complex[Tensor, "view frequency"]
    slope: Float[Tensor, "view 2"]
    table: Float[Tensor, " fine"]
    correction: Float[Tensor, "y x"]


def _lattice(planned: Plan) -> Lattice:
    found = planned.found
    columns, (height, width) = found.geometry.shape[1], found.grid.shape[1:]
    padded = fast_size(2 * (columns + max(planned.extend)))
    size = (fast_size(math.ceil(OVERSAMPLING * height)), fast_size(math.ceil(OVERSAMPLING * width)))
    frequency = torch.arange(padded // 2 + 1, dtype=torch.float64) / padded
    step = found.across[:, 1:3]
    middle = torch.tensor([height // 2, width // 2], dtype=torch.float64)
    place = found.across[:, 3] + found.geometry.middle[1] + step @ middle
    turns = torch.remainder(place[:, None] * frequency, 1.0)
    weight = response(padded, planned.choice.ramp, pitch_mm=planned.seen.pitch_mm) / padded
    # a real row has the conjugate at the negative frequency: twice the real part, but once at 0
    twice = torch.full_like(weight, 2.0)
    twice[0] = 1.0
    if padded % 2 == 0:
        twice[-1] = 1.0
    shift = torch.polar(weight * twice * planned.weights.share[:, None], 2 * math.pi * turns)
    cells = torch.tensor(size, dtype=torch.float64)
    beta, table = _kaiser_bessel()
    across = _correction(height, size[0], beta)[:, None] * _correction(width, size[1], beta)
    return Lattice(size, padded, shift, step * cells / padded, table, across)


def _slice(rows: Float[Tensor, "view column"], planned: Plan, lattice: Lattice) -> Tensor:
    complex_type = torch.complex64 if rows.dtype == torch.float32 else torch.complex128
    spectrum = torch.fft.rfft(rows.contiguous(), n=lattice.padded)
    spectrum = (spectrum * lattice.shift.to(rows.device, complex_type)).contiguous().cpu()
    height, width = planned.found.grid.shape[1:]
    real = spectrum.real.new_zeros(0).dtype
    parts: dict[int, Tensor] = {}
    slope, table = lattice.slope.contiguous().numpy(), lattice.table.to(real).numpy()

    def spread(a: int, b: int) -> None:
        part = torch.zeros(lattice.size, dtype=complex_type)
        _spread(spectrum[a:b].numpy(), slope[a:b], table, part.numpy())
        parts[a] = part

    share(spread, len(spectrum), least=64)
    # in the order of the views, whichever thread was first: the same bits every time
    first, *others = (parts[a] for a in sorted(parts))
    total = sum(others, start=first).to(rows.device)
    image = torch.fft.ifft2(total, norm="forward").real
    # the image's middle is index 0 of the transform
    image = image.roll((height // 2, width // 2), dims=(0, 1))[:height, :width]
    corrected: Tensor = image * lattice.correction.to(rows.device, rows.dtype)
    return corrected


def _kaiser_bessel() -> tuple[float, Float[Tensor, " fine"]]:
    """Give the shape parameter and half a kernel, sampled from its middle to its end."""
    ratio = WIDTH / OVERSAMPLING * (OVERSAMPLING - 0.5)
    beta = math.pi * math.sqrt(ratio**2 - 0.8)
    x = torch.arange(WIDTH * FINE // 2 + 2, dtype=torch.float64) / (WIDTH * FINE / 2)
    half = torch.i0(beta * (1 - x.clamp(max=1.0) ** 2).sqrt())
    return beta, torch.where(x > 1.0, 0.0, half)


def _correction(count: int, cells: int, beta: float) -> Float[Tensor, " count"]:
    """Give one over the transform of the kernel at the pixels of one axis."""
    place = (torch.arange(count, dtype=torch.float64) - count // 2) / cells
    root = (beta**2 - (math.pi * WIDTH * place) ** 2).clamp_min(1e-12).sqrt()
    corrected: Tensor = root / (WIDTH * torch.sinh(root))
    return corrected


@kernel
@no_type_check
def _spread(spectrum, slope, table, total):
    # each sample of each spectrum adds to WIDTH x WIDTH cells around it, cyclically
    height, width = total.shape
    real = table.dtype.type
    down, right = np.zeros(WIDTH, table.dtype), np.zeros(WIDTH, table.dtype)
    for v in range(spectrum.shape[0]):
        for j in range(spectrum.shape[1]):
            value = spectrum[v, j]
            y, x = slope[v, 0] * j, slope[v, 1] * j
            top, left = math.ceil(y - WIDTH / 2), math.ceil(x - WIDTH / 2)
            for k in range(WIDTH):
                place = abs(top + k - y) * FINE
                i = int(place)
                down[k] = table[i] + real(place - i) * (table[i + 1] - table[i])
                place = abs(left + k - x) * FINE
                i = int(place)
                right[k] = table[i] + real(place - i) * (table[i + 1] - table[i])
            first = left % width
            for k in range(WIDTH):
                line = total[(top + k) % height]
                part = value * down[k]
                if first + WIDTH <= width:
                    for m in range(WIDTH):
                        line[first + m] += part * right[m]
                else:
                    for m in range(WIDTH):
                        line[(first + m) % width] += part * right[m]
