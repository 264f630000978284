"""Rescan: one slice of a CT measured again at low dose and reconstructed three ways."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vesalius.core import Grid, Image, Step
from vesalius.physics.ct import Geometry, fan
from vesalius.study.reconstruct._ct import reconstruct_ct
from vesalius.study.reconstruct._job import Job
from vesalius.study.reconstruct._measured import Measured, correct
from vesalius.study.reconstruct._simulate import Exposure, middle, place, simulate

Point = tuple[float, float, float]
OnStep = Callable[[Step], None]

VIEWS = 240
EXPOSURE = Exposure(photons=4e4, electronic=8.0, kev=70.0, seed=11)
SOURCE_MM = 570.0
DETECTOR_MM = 1040.0

WAYS = (
    ("filtered back-projection", Job(method="fbp", unit="HU")),
    ("the same with a Hann window", Job(method="fbp", unit="HU", window="hann")),
    ("total variation", Job(method="tv", unit="HU", steps=60)),
)


@dataclass(frozen=True, slots=True)
class Way:
    """One reconstruction against the truth, HU.

    Attributes:
        name: The method.
        rmse: Root mean square difference inside the field of view.
        spot: Mean difference inside the region of interest.
        noise: Standard deviation of the difference in soft tissue (-50 to 150 HU).
    """

    name: str
    rmse: float
    spot: float
    noise: float


@dataclass(frozen=True, slots=True, eq=False)
class Rescan:
    """A low-dose rescan.

    Attributes:
        ways: Errors of each reconstruction.
        images: Truth first, then one for each way; one slice each, HU.
        note: What was simulated, in a sentence.
    """

    ways: tuple[Way, ...]
    images: tuple[Image, ...] = field(repr=False)
    note: str


def rescan(
    image: Image, spot_mm: Point, *, radius_mm: float, on_step: OnStep | None = None
) -> Rescan:
    """Measure the slice through a point again with few photons, and reconstruct it three ways.

    The measurement is made on the scan's own voxels, four rays per element, averaged as light; the
    images are made on voxels of twice the size, so that no method meets the grid or the rays that
    the data came from.

    Args:
        image: CT in HU, orthogonal axes, one channel.
        spot_mm: Point (L, P, S) of the region of interest.
        radius_mm: Its radius, mm.
        on_step: Told of each step.

    Returns:
        The errors and the images.
    """
    z = round(float(image.grid.to_index(torch.tensor(spot_mm, dtype=torch.float64))[0]))
    _, rows, columns = image.grid.shape
    even = (1, rows - rows % 2, columns - columns % 2)
    slab = image.map(lambda x: x.float().clamp_min(-1000.0)).crop((z, 0, 0), even)
    truth = halved(slab)
    rays = place(scanner(slab.grid), middle(slab))
    raw = simulate(slab, rays, exposure=EXPOSURE, on_step=on_step)
    views, remarks = correct(raw, rays, Job())
    measured = Measured(views, truth.grid, remarks=tuple(remarks))
    ways, images = [], [truth]
    for name, job in WAYS:
        found = reconstruct_ct(measured, job, on_step=on_step).image
        ways.append(_way(name, found, truth, spot_mm, radius_mm))
        images.append(found)
    return Rescan(tuple(ways), tuple(images), NOTE)


NOTE = (
    f"The slice through the nodule was measured again in a simulated fan beam: {VIEWS} views, "
    f"{EXPOSURE.photons:g} photons per element, readout noise of {EXPOSURE.electronic:g} photons. "
    "The strength of total variation was chosen from the data alone."
)


def halved(slab: Image) -> Image:
    """Average blocks of 2 x 2 voxels of a slice; the world stays where it is."""
    z, y, x = slab.grid.shape
    data = slab.data.reshape(1, z, y // 2, 2, x // 2, 2).mean(dim=(3, 5))
    affine = slab.grid.affine.clone()
    affine[:3, 3] += 0.5 * (affine[:3, 1] + affine[:3, 2])
    affine[:3, 1:3] *= 2
    return Image(data, Grid((z, y // 2, x // 2), affine), slab.unit)


def scanner(grid: Grid) -> Geometry:
    """Make a fan that covers the whole slice: an arc of elements of a clinical CT's size."""
    _, y, x = grid.shape
    _, dy, dx = grid.spacing_mm
    radius = 0.5 * math.hypot(y * dy, x * dx)
    reach = math.asin(min(0.95, radius / SOURCE_MM)) * DETECTOR_MM
    pitch = 2 * dx * DETECTOR_MM / SOURCE_MM
    columns = 2 * math.ceil(reach / pitch) + 1
    angles = torch.arange(VIEWS, dtype=torch.float64) * (360.0 / VIEWS)
    return fan(
        angles,
        shape=(1, columns),
        pitch_mm=(grid.spacing_mm[0], pitch),
        source_mm=SOURCE_MM,
        detector_mm=DETECTOR_MM,
        offset_mm=(0.0, pitch / 4),
        arc=True,
    )


def _way(name: str, found: Image, truth: Image, spot_mm: Point, radius_mm: float) -> Way:
    gap = (found.data - truth.data)[0, 0].double()
    inside, spot = _disc(truth.grid), _ball(truth.grid, spot_mm, radius_mm)
    soft = inside & (truth.data[0, 0] > -50) & (truth.data[0, 0] < 150)
    return Way(
        name,
        rmse=float(gap[inside].square().mean().sqrt()),
        spot=float(gap[spot].mean()),
        noise=float(gap[soft].std()) if int(soft.sum()) > 1 else math.nan,
    )


def _disc(grid: Grid) -> Tensor:
    """The largest disc in the slice."""
    _, rows, columns = grid.shape
    y = torch.linspace(-1, 1, rows)[:, None]
    x = torch.linspace(-1, 1, columns)[None, :]
    return y**2 + x**2 <= 1


def _ball(grid: Grid, centre_mm: Point, radius_mm: float) -> Tensor:
    z, rows, columns = grid.shape
    index = torch.cartesian_prod(torch.arange(z), torch.arange(rows), torch.arange(columns))
    away = grid.to_world(index.double()) - torch.tensor(centre_mm, dtype=torch.float64)
    found: Tensor = (away.norm(dim=1) <= radius_mm).reshape(rows, columns)
    return found
