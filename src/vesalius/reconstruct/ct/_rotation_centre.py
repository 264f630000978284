"""Rotation centre: the column that the axis projects to, found from the projections alone."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import Tensor

from vesalius.errors import GeometryError, IntensityError
from vesalius.physics.ct import Projections

SMOOTH = 2.0
"""Standard deviation of the smoothing before opposite views are compared, columns."""
ROWS = 4
"""Most detector rows that are looked at; they are spread evenly."""


@final
@dataclass(frozen=True, slots=True)
class RotationCentre:
    """Where the axis projects to.

    Attributes:
        column: Index of the column, fractional.
        offset_mm: How far the detector's middle lies from the axis, along the columns, mm; what
            ``offset_mm`` is in ``physics.ct.parallel``.
        spread: Standard deviation between rows and pairs of views, columns; 0 for a single one.
    """

    column: float
    offset_mm: float
    spread: float


def rotation_centre(
    projections: Projections,
    *,
    method: Literal["opposite", "fourier"] = "opposite",
    within: float = 0.25,
) -> RotationCentre:
    """Find the rotation centre of a parallel scan.

    Args:
        projections: Line integrals in parallel rays over 180 degrees or more.
        method: ``"opposite"``: views half a turn apart are mirror images of each other about the
            axis; their squared difference, over the columns both have, is least there. Needs two
            such views; where they are a step short of half a turn (0 to 179 degrees), mass r
            columns off the axis moves the centre by up to r step / 2 (step in radians): then use
            ``"fourier"``. ``"fourier"``: scan and mirrored scan together are a smooth sinogram of a
            full turn only at the right centre; else its spectrum has energy outside the double
            wedge. Needs about 180 degrees, and no exact pair.
        within: Largest distance of the axis from the detector's middle, as a part of its width.

    Returns:
        The centre. Apply it with ``centred``.

    Raises:
        GeometryError: The rays are not parallel, or no two views are half a turn apart.
        IntensityError: The projections are not line integrals, are constant, or ``within`` is out
            of range.

    References:
        Vo et al. (2014), doi:10.1364/OE.22.019078 (``"fourier"``). Differs from it in: the
        mirrored part is shifted in the Fourier domain, and fine centres are tried where the coarse
        score is least.
    """
    geometry = projections.geometry
    if geometry.beam != "parallel":
        raise GeometryError(
            f"rays must be parallel to find the centre from mirror images, got a {geometry.beam} "
            "beam: calibrate it with a marker"
        )
    _check(projections, within)
    views = projections.data[:, _rows(projections.data.shape[1])].double()
    if method == "opposite":
        found = torch.tensor(_by_pairs(views, geometry.angles_deg, within), dtype=torch.float64)
    else:
        sinograms = _half_turn(views, geometry.angles_deg).unbind(1)
        found = torch.tensor([_by_wedge(s, within) for s in sinograms], dtype=torch.float64)
    column = float(found.median()) if len(found) > 2 else float(found.mean())
    spread = float(found.std(correction=0))
    middle = (geometry.shape[1] - 1) / 2
    return RotationCentre(column, (middle - column) * geometry.pitch_mm[1], spread)


def centred(projections: Projections, centre: RotationCentre) -> Projections:
    """Put the rotation centre into the geometry; the samples stay as they are.

    Args:
        projections: Of the scan that the centre was found in.
        centre: The column that the axis projects to.

    Returns:
        The same samples in the right geometry.
    """
    geometry = projections.geometry
    moved = replace(geometry, middle=(geometry.middle[0], centre.column))
    return replace(projections, geometry=moved)


def _check(projections: Projections, within: float) -> None:
    if projections.quantity != "line integral":
        raise IntensityError(
            f"projections must be line integrals to find their centre, got "
            f"{projections.quantity}: apply flat_field and to_line_integrals first"
        )
    if not 0 < within < 0.5:
        raise IntensityError(
            f"within must be a part of the width between 0 and 0.5, got {within:g}"
        )
    data = projections.data
    if float(data.max()) == float(data.min()):
        raise IntensityError(
            "projections must show an object to find their centre, all samples are "
            f"{float(data.min()):g}: check the file"
        )


def _rows(rows: int) -> Tensor:
    return torch.linspace(0, rows - 1, min(rows, ROWS)).round().long()


def _pairs(angles_deg: Tensor) -> list[tuple[int, int]]:
    """Views half a turn apart, to within one angular step, each view once."""
    order = angles_deg.sort().values
    step = float((order[1:] - order[:-1]).median()) if len(order) > 1 else 0.0
    turn = (angles_deg[None, :] - angles_deg[:, None]).remainder(360.0)
    away = (turn - 180.0).abs()
    best, other = away.min(dim=1)
    near = float(best.min())
    if near > step * 1.001:
        return []
    wanted = (best <= near + 1e-3 * step).nonzero().flatten().tolist()
    found = {(min(i, j), max(i, j)) for i in wanted for j in [int(other[i])]}
    return sorted(found)


def _by_pairs(views: Tensor, angles_deg: Tensor, within: float) -> list[float]:
    pairs = _pairs(angles_deg)
    if not pairs:
        span = float(angles_deg.max() - angles_deg.min())
        raise GeometryError(
            "two views must be half a turn apart, to one step, to compare mirror images, the views "
            f"span {span:.4g} degrees and none are: use method='fourier'"
        )
    smooth = _smoothed(views)
    # a few pairs tell as much as all: neighbouring ones share their object and its noise
    kept = pairs[:: max(1, len(pairs) // 16)]
    rows = range(views.shape[1])
    return [_mirror(smooth[i, row], smooth[j, row], within) for i, j in kept for row in rows]


def _smoothed(views: Tensor) -> Tensor:
    reach = int(4 * SMOOTH)
    place = torch.arange(-reach, reach + 1, dtype=views.dtype)
    taps = torch.exp(-0.5 * (place / SMOOTH) ** 2)
    flat = views.reshape(-1, 1, views.shape[-1])
    padded = torch.nn.functional.pad(flat, (reach, reach), mode="replicate")
    blurred: Tensor = torch.nn.functional.conv1d(padded, (taps / taps.sum())[None, None])
    return blurred.reshape(views.shape)


def _mirror(view: Tensor, opposite: Tensor, within: float) -> float:
    """Centre of two mirror images: the least mean squared difference over their overlap."""
    n = len(view)
    mirrored = opposite.flip(0)
    reach = int(2 * within * n)
    scores = []
    for shift in range(-reach, reach + 1):
        # view at column k against the mirror image at k - shift
        one = view[max(shift, 0) : n + min(shift, 0)]
        two = mirrored[max(-shift, 0) : n - max(shift, 0)]
        scores.append(float(((one - two) ** 2).mean()))
    return (n - 1) / 2 + (_least(scores) - reach) / 2


def _least(scores: list[float]) -> float:
    """Place of the least score, by a parabola through it and its neighbours."""
    k = min(range(len(scores)), key=scores.__getitem__)
    if not 0 < k < len(scores) - 1:
        return float(k)
    a, b, c = scores[k - 1 : k + 2]
    bend = a - 2 * b + c
    return k + (0.5 * (a - c) / bend if bend > 0 else 0.0)


def _half_turn(views: Tensor, angles_deg: Tensor) -> Tensor:
    """The views of the first half turn, in order of their angle."""
    order = angles_deg.argsort()
    turned = angles_deg[order] - angles_deg[order[0]]
    span = float(turned[-1]) if len(turned) > 1 else 0.0
    step = span / max(len(turned) - 1, 1)
    if span + step < 170.0:
        raise GeometryError(
            f"views must span about 180 degrees to be joined with their mirror images, got "
            f"{span:.4g} degrees"
        )
    half: Tensor = views[order[turned < 180.0 - 1e-6 * step]]
    return half


def _by_wedge(sinogram: Tensor, within: float) -> float:
    """Centre whose joined full-turn sinogram has least energy outside the double wedge."""
    n = sinogram.shape[1]
    middle, reach = (n - 1) / 2, within * n
    coarse = [middle + k / 2 for k in range(-int(2 * reach), int(2 * reach) + 1, 2)]
    window = _outside(2 * sinogram.shape[0], n)
    scores = [_energy(sinogram, c, window) for c in coarse]
    near = coarse[min(range(len(scores)), key=scores.__getitem__)]
    fine = [near + 0.125 * k for k in range(-12, 13)]
    return fine[0] + 0.125 * _least([_energy(sinogram, c, window) for c in fine])


def _outside(views: int, columns: int) -> Tensor:
    """True outside the double wedge |angular frequency| <= radius x |radial frequency|."""
    angular = torch.fft.fftfreq(views, d=1.0 / views, dtype=torch.float64).abs()
    radial = torch.fft.rfftfreq(columns, dtype=torch.float64)
    # an object of half the detector's width as its radius, and a few lines to spare
    wedge = 2 * torch.pi * radial * columns / 2
    outside: Tensor = angular[:, None] > wedge[None, :] + 4
    return outside


def _energy(sinogram: Tensor, centre: float, window: Tensor) -> float:
    n = sinogram.shape[1]
    shift = 2 * centre - (n - 1)
    frequency = torch.fft.rfftfreq(2 * n, dtype=torch.float64)
    phase = torch.polar(torch.ones_like(frequency), -2 * torch.pi * frequency * shift)
    mirrored = torch.nn.functional.pad(sinogram.flip(1), (0, n), mode="replicate")
    # the second half of the padding belongs to the left end, for a shift to the right
    mirrored[:, n + n // 2 :] = sinogram[:, -1:]
    mirrored = torch.fft.irfft(torch.fft.rfft(mirrored) * phase, n=2 * n)[:, :n]
    column = torch.arange(n, dtype=torch.float64)
    seen = (column - shift >= 0) & (column - shift <= n - 1)
    # columns that the mirror image does not reach: the scan itself, so that they add no step
    mirrored = torch.where(seen, mirrored, sinogram)
    spectrum = torch.fft.rfft2(torch.cat([sinogram, mirrored]))
    return float(spectrum.abs()[window].mean())
