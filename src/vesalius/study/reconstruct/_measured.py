"""Measured: raw projections corrected, with a geometry and a grid: what a CT method takes."""
# SPDX-License-Identifier: Apache-2.0

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vesalius import io
from vesalius.core import Grid
from vesalius.errors import ConfigError, IntensityError
from vesalius.io.raw import RawProjections, Scanner, open_geometry, open_projections
from vesalius.physics.ct import Geometry, Projections
from vesalius.physics.ct._projections import Quantity
from vesalius.study.reconstruct._job import ANALYTIC, Job

COPIES = {"fbp": 3, "gridding": 6, "fdk": 3, "sirt": 6, "sart": 6, "os-sart": 6, "cgls": 6}
"""Volumes that a method keeps at once, counted on its loops; others keep ten."""

MOST_STARVED = 0.2
"""Part of the elements that may let no light through before the measurement is refused."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Line integrals and where they are to become an image.

    Attributes:
        projections: Corrected line integrals.
        grid: Where the image is wanted.
        photons: Counts of an element without an object, which say how much each ray can be
            believed; 0 where they are not known.
        remarks: What was assumed on the way.
    """

    projections: Projections
    grid: Grid
    photons: float = 0.0
    remarks: tuple[str, ...] = ()


def open_scan(
    raw: Path, *, geometry: Path | None, like: Path | None, assume: Quantity = "counts"
) -> tuple[RawProjections, Scanner, tuple[str, ...]]:
    """Read raw projections and find their geometry and grid.

    Args:
        raw: The measurements.
        geometry: A geometry file; ``None`` takes the one in the raw file.
        like: An image whose grid is taken; ``None`` takes the geometry file's.
        assume: What the samples are, where the raw file does not tell.

    Returns:
        The measurements, the scanner with a grid, and remarks.

    Raises:
        ConfigError: There is no geometry, or it is of another scan.
    """
    data = open_projections(raw, assume=assume)
    scanner = _scanner(data, geometry)
    if scanner.geometry.codomain != tuple(data.counts.shape):
        raise ConfigError(
            f"the geometry must be of this scan: it has {_size(scanner.geometry.codomain)}, the "
            f"measurements have {_size(tuple(data.counts.shape))} (views x rows x columns)"
        )
    if like is not None:
        return data, replace(scanner, grid=io.open(like).grid), ()
    if scanner.grid is not None:
        return data, scanner, ()
    grid = natural_grid(scanner.geometry)
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing_mm)
    remark = (
        f"No grid was given: {_size(grid.shape)} voxels of {spacing} mm (z, y, x) about the "
        "isocentre, one per detector element at the axis."
    )
    return data, replace(scanner, grid=grid), (remark,)


def _scanner(data: RawProjections, geometry: Path | None) -> Scanner:
    if geometry is not None:
        return open_geometry(geometry, angles_deg=data.angles_deg)
    if data.geometry is None:
        raise ConfigError(
            "a geometry must be known: the raw file holds none, give --geometry FILE.yaml (docs: "
            "concepts, CT geometry)"
        )
    return Scanner(data.geometry)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def natural_grid(geometry: Geometry) -> Grid:
    """Give the grid that a detector sees: one voxel per element, scaled to the axis.

    Args:
        geometry: A turning scanner.

    Returns:
        As many voxels across as there are columns, as many slices as rows, about the isocentre.
    """
    rows, columns = geometry.shape
    dv, du = (pitch / geometry.magnification for pitch in geometry.pitch_mm)
    x, y, z = geometry.isocentre_mm
    across, up = du * (columns - 1) / 2, dv * (rows - 1) / 2
    origin = (x - across, y - across, z - up)
    return Grid.from_spacing((rows, columns, columns), (dv, du, du), origin_mm=origin)


def needed_bytes(geometry: Geometry, grid: Grid, method: str) -> int:
    """Estimate the memory of a reconstruction: measurements, filtered views and volumes.

    Args:
        geometry: The rays.
        grid: The image.
        method: Name of the method.

    Returns:
        Bytes, float32.
    """
    views = geometry.views * geometry.shape[0] * geometry.shape[1]
    voxels = grid.shape[0] * grid.shape[1] * grid.shape[2]
    return 4 * ((3 if method in ANALYTIC else 6) * views + COPIES.get(method, 10) * voxels)


def check_memory(needed: int) -> None:
    """Refuse what cannot fit.

    Args:
        needed: Estimated bytes.

    Raises:
        ConfigError: More than the machine has free.
    """
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if needed > free:
        raise ConfigError(
            f"the reconstruction must fit into memory: it needs about {needed / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free: take a coarser grid or fewer rows"
        )


def correct(data: RawProjections, geometry: Geometry, job: Job) -> tuple[Projections, list[str]]:
    """Turn what was measured into line integrals: flat field, logarithm, axis, stripes.

    Args:
        data: The measurements.
        geometry: Where the rays run.
        job: What the user asked for.

    Returns:
        Line integrals in the corrected geometry, and remarks.
    """
    from vesalius.reconstruct.ct import centred, flat_field, rotation_centre, to_line_integrals

    remarks: list[str] = []
    views = Projections(data.counts, geometry, data.quantity)
    if views.quantity == "counts":
        if data.flats is None:
            raise ConfigError(
                "counts must come with flat frames, this file has none: put them into the raw "
                "file, or say with --quantity that it holds transmission or line integrals"
            )
        views = flat_field(views, flats=data.flats, darks=data.darks)
    if views.quantity == "transmission":
        floor = _floor(views.data)
        low = int((views.data < floor).sum())
        if low > MOST_STARVED * views.data.numel():
            share = 100 * low / views.data.numel()
            raise IntensityError(
                f"transmission must be positive to be believed, {share:.3g} % of the elements are "
                f"below {floor:.2g}: check flat and dark frames, or --quantity"
            )
        views = to_line_integrals(views, floor=floor)
        if low:
            remarks.append(
                f"{low} elements ({100 * low / views.data.numel():.2g} %) let through less than "
                f"{floor:.2g} of the light (photon starvation): they count as {floor:.2g}."
            )
    views = _without_stripes(views, job, remarks)
    if job.centre == "find":
        found = rotation_centre(views)
        remarks.append(f"The rotation axis was found at column {found.column:.2f}.")
        views = centred(views, found)
    elif job.centre != "file":
        moved = replace(geometry, middle=(geometry.middle[0], float(job.centre)))
        views = replace(views, geometry=moved)
    return views, remarks


def open_beam(data: RawProjections) -> float:
    """Give the mean counts of an element without an object; 0 where they are not known.

    Args:
        data: The measurements; flat frames are photons only where the detector counts them.

    Returns:
        Mean of flats less darks.
    """
    if data.quantity != "counts" or data.flats is None:
        return 0.0
    dark = 0.0 if data.darks is None else float(data.darks.double().mean())
    return max(0.0, float(data.flats.double().mean()) - dark)


def _floor(transmission: torch.Tensor) -> float:
    """Least transmission that is believed: a hundredth of what the darkest percent lets through."""
    positive = transmission[transmission > 0]
    if positive.numel() == 0:
        return 1e-6
    step = max(1, positive.numel() // 1_000_000)
    return max(1e-6, 0.01 * float(positive.flatten()[::step].double().quantile(0.01)))


def _without_stripes(views: Projections, job: Job, remarks: list[str]) -> Projections:
    from vesalius.reconstruct.ct import remove_stripes

    if job.stripes == "none":
        return views
    remarks.append(f"Stripes of unequal detector elements were taken out ({job.stripes}).")
    return remove_stripes(views, method=job.stripes)
