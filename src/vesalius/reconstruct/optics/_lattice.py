"""Lattice: where the lenslets of a light-field camera stand, and frames resampled to them."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.errors import GeometryError, IntensityError, RegionError, ShapeError
from vesalius.ops import sample

Frame = Float[Tensor, "y x"]
Frames = Float[Tensor, "*batch y x"]
Pair = tuple[float, float]


@final
@dataclass(frozen=True, slots=True)
class Lattice:
    """Centres of lenslets on the sensor: ``origin + i row + j column``, pixels (y, x).

    Attributes:
        origin: Centre of lenslet (0, 0), the first that lies wholly in the frame.
        row: Step from one row of lenslets to the next.
        column: Step from one column to the next.
        lenslets: Rows and columns that lie wholly in the frame.
        residual_px: Root mean square distance of the measured centres from the lattice, pixels.
        worst_px: Largest such distance.
    """

    origin: Pair
    row: Pair
    column: Pair
    lenslets: tuple[int, int]
    residual_px: float
    worst_px: float

    @property
    def pitch_px(self) -> Pair:
        """Distance between (rows, columns), pixels."""
        return math.hypot(*self.row), math.hypot(*self.column)

    @property
    def rotation_deg(self) -> float:
        """Angle by which a row of lenslets runs down towards +y, degrees."""
        return math.degrees(math.atan2(self.column[0], self.column[1]))

    def centres(self) -> Float[Tensor, "row column 2"]:
        """Give all centres (y, x), pixels, float64."""
        i, j = (torch.arange(n, dtype=torch.float64)[:, None] for n in self.lenslets)
        row, column, origin = (
            torch.tensor(v, dtype=torch.float64) for v in (self.row, self.column, self.origin)
        )
        return origin + (i * row)[:, None] + (j * column)[None]


def find_lattice(white: Frame, *, pitch_px: float) -> Lattice:
    """Find the lenslets in a frame of even light.

    The steps come from the peaks of the spectrum, the offset from their phases; then the lattice
    is fitted to the centroids of all lenslets by least squares, two times.

    Args:
        white: (y, x) floating point, the radiometry frame less the dark frame.
        pitch_px: Distance between lenslets by the data sheet, pixels; good to 15 %.

    Returns:
        The lattice.

    Raises:
        GeometryError: The pitch is below 3 pixels or the frame shows fewer than 3 x 3 lenslets.
        IntensityError: The frame has NaN or infinity.
        RegionError: There is no lattice of this pitch.
    """
    if not bool(torch.isfinite(white).all()):
        raise IntensityError("white must be finite, got NaN or infinity: correct dead pixels")
    if not (math.isfinite(pitch_px) and pitch_px >= 3 and min(white.shape) >= 4 * pitch_px):
        raise GeometryError(
            f"a frame must show at least 4 lenslets of at least 3 pixels along each side, got "
            f"{tuple(white.shape)} pixels and a pitch of {pitch_px:g}"
        )
    frame = white.double().cpu()
    waves = torch.stack([_peak(frame, pitch_px, axis) for axis in (0, 1)])
    steps = torch.linalg.inv(waves[:, :2])  # columns: row step, column step
    origin = steps @ waves[:, 2]
    residual = torch.zeros(1, dtype=torch.float64)
    for _ in range(2):
        index, at = _inside(frame, origin, steps, margin=0.5)
        measured = _centroids(frame, at, pitch_px)
        design = torch.cat([index, torch.ones(len(index), 1, dtype=torch.float64)], dim=1)
        fit = torch.linalg.lstsq(design, measured).solution
        steps, origin = fit[:2].T.contiguous(), fit[2]
        residual = (measured - design @ fit).norm(dim=1)
    index, _ = _inside(frame, origin, steps, margin=0.5)
    first, last = index.min(dim=0).values, index.max(dim=0).values
    origin = origin + steps @ first
    (a, c), (b, d) = steps.tolist()
    rows, columns = (int(n) + 1 for n in (last - first).tolist())
    y, x = origin.tolist()
    rms = float(residual.square().mean().sqrt())
    return Lattice((y, x), (a, b), (c, d), (rows, columns), rms, float(residual.max()))


def _peak(frame: Tensor, pitch: float, axis: int) -> Tensor:
    """Frequency (y, x) of the lattice along one axis, cycles per pixel, and its phase in cycles."""
    taper = [torch.hann_window(n, periodic=False, dtype=torch.float64) for n in frame.shape]
    smooth = (frame - frame.mean()) * taper[0][:, None] * taper[1]
    centre = torch.zeros(2, dtype=torch.float64)
    centre[axis] = 1 / pitch
    span, count = 0.15 / pitch, 31
    ys, xs = (torch.arange(n, dtype=torch.float64) for n in frame.shape)
    value = torch.zeros((), dtype=torch.complex128)
    for _ in range(5):  # a finer search around the best, each time
        offsets = torch.linspace(-span, span, count, dtype=torch.float64)
        fy, fx = centre[0] + offsets, centre[1] + offsets
        left = torch.exp(-2j * math.pi * fy[:, None] * ys)
        right = torch.exp(-2j * math.pi * xs[:, None] * fx)
        spectrum = left @ smooth.to(left.dtype) @ right
        best = int(spectrum.abs().argmax())
        centre = torch.stack([fy[best // count], fx[best % count]])
        value = spectrum.flatten()[best]
        span = span / 5
    strength = float(value.abs() / (smooth.abs().sum() + 1e-300))
    if strength < 0.05:
        raise RegionError(
            f"white must show a lattice of {pitch:g} pixels, its spectrum has none along "
            f"{'yx'[axis]} (strength {strength:.3f}): check the pitch and the frame"
        )
    phase = -torch.angle(value) / (2 * math.pi)
    return torch.cat([centre, phase[None]])


def _inside(
    frame: Tensor, origin: Tensor, steps: Tensor, *, margin: float
) -> tuple[Tensor, Tensor]:
    """Indices and centres of the largest block of lenslets that lies in the frame."""
    limit = torch.tensor(frame.shape, dtype=torch.float64) - 0.5
    reach = margin * (steps[:, 0].abs() + steps[:, 1].abs())
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    found = torch.linalg.solve(steps, (corners * limit - origin).T).T
    # every lenslet of the block must be inside: a turned lattice loses a rim
    low, high = found.min(dim=0).values.floor(), found.max(dim=0).values.ceil()
    while True:
        ends = torch.stack([low, torch.stack([low[0], high[1]]), high])
        ends = torch.cat([ends, torch.stack([high[0], low[1]])[None]])
        place = origin + ends @ steps.T
        if bool((high - low < 2).any()):
            raise GeometryError(
                f"a frame must show at least 3 x 3 whole lenslets, got {tuple(frame.shape)} pixels"
            )
        outside = [
            (place[[0, 1]] - reach < -0.5)[:, 0].any(),
            (place[[0, 3]] - reach < -0.5)[:, 1].any(),
            (place[[2, 3]] + reach > limit)[:, 0].any(),
            (place[[1, 2]] + reach > limit)[:, 1].any(),
        ]
        if not any(bool(o) for o in outside):
            break
        low = low + torch.tensor([float(outside[0]), float(outside[1])], dtype=torch.float64)
        high = high - torch.tensor([float(outside[2]), float(outside[3])], dtype=torch.float64)
    i = torch.arange(float(low[0]), float(high[0]) + 1, dtype=torch.float64)
    j = torch.arange(float(low[1]), float(high[1]) + 1, dtype=torch.float64)
    index = torch.cartesian_prod(i, j)
    return index, origin + index @ steps.T


def _centroids(frame: Tensor, at: Tensor, pitch: float) -> Tensor:
    """Centroid (y, x) of the bright part around each place."""
    reach = int(pitch / 2)
    offsets = torch.arange(-reach, reach + 1)
    middle = at.round().long()
    y = (middle[:, 0, None] + offsets).clamp(0, frame.shape[0] - 1)
    x = (middle[:, 1, None] + offsets).clamp(0, frame.shape[1] - 1)
    window = frame[y[:, :, None], x[:, None, :]]
    low, high = window.amin(dim=(1, 2), keepdim=True), window.amax(dim=(1, 2), keepdim=True)
    # the lower third belongs to the neighbours' rims too
    bright = (window - low - (high - low) / 3).clamp(min=0)
    total = bright.sum(dim=(1, 2)).clamp(min=1e-300)
    cy = (bright.sum(dim=2) * y).sum(dim=1) / total
    cx = (bright.sum(dim=1) * x).sum(dim=1) / total
    return torch.stack([cy, cx], dim=1)


def rectify(
    frames: Frames, lattice: Lattice, *, pixels: int
) -> Float[Tensor, "*batch rows columns"]:
    """Resample frames so that each lenslet has a whole number of pixels and stands upright.

    Args:
        frames: (*batch, y, x) floating point, raw frames of the camera of the lattice.
        lattice: Where the lenslets stand.
        pixels: Pixels across a lenslet afterwards; near the pitch, odd to have one on its axis.

    Returns:
        (*batch, rows * pixels, columns * pixels); linear interpolation, times the ratio of the
        pixels' areas, so that counts stay counts.

    Raises:
        ShapeError: ``pixels`` is below 1 or the lattice does not fit the frame.
    """
    if pixels < 1:
        raise ShapeError(f"pixels must be at least 1 across a lenslet, got {pixels}")
    within = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels - 0.5
    rows, columns = lattice.lenslets
    i = (torch.arange(rows, dtype=torch.float64)[:, None] + within).flatten()
    j = (torch.arange(columns, dtype=torch.float64)[:, None] + within).flatten()
    row, column, origin = (
        torch.tensor(v, dtype=torch.float64) for v in (lattice.row, lattice.column, lattice.origin)
    )
    place = origin + i[:, None, None] * row + j[None, :, None] * column
    limit = torch.tensor(frames.shape[-2:], dtype=torch.float64) - 0.5
    if bool((place < -0.5).any()) or bool((place > limit).any()):
        raise ShapeError(
            f"the lattice must lie in the frame, got a frame of {tuple(frames.shape[-2:])} pixels "
            f"and lenslets up to {[round(v, 1) for v in place.amax(dim=(0, 1)).tolist()]}"
        )
    area = abs(float(row[0] * column[1] - row[1] * column[0])) / pixels**2
    points = torch.cat([torch.zeros_like(place[..., :1]), place], dim=-1).to(frames.device)
    flat = frames.reshape(-1, 1, *frames.shape[-2:])
    found = sample(flat, points) * area
    return found.reshape(*frames.shape[:-2], *place.shape[:2])
