"""Plan: raw files opened and looked at, ready to be reconstructed."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vesalius import io
from vesalius.core import Image, Step, hash_samples
from vesalius.errors import ConfigError, FormatError
from vesalius.physics.ct import Geometry
from vesalius.reconstruct import Reconstruction
from vesalius.study._charts import Chart
from vesalius.study.reconstruct._ct import reconstruct_ct
from vesalius.study.reconstruct._job import MAGNETIC, Job
from vesalius.study.reconstruct._measured import (
    Measured,
    check_memory,
    correct,
    needed_bytes,
    open_beam,
    open_scan,
)
from vesalius.study.reconstruct._mr import open_coils, reconstruct_mr

OnStep = Callable[[Step], None]
Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What would be done, and how to do it.

    Attributes:
        job: What the user said, with the method that ``"auto"`` stands for.
        lead: What was measured, in words.
        methods: The same for a methods section.
        facts: Name and value of what was measured and what it will need.
        remarks: What was assumed so far.
        run: Does it.
        charts: Draws what was measured.
        inputs: Hashes of what went in, by role.
    """

    job: Job
    lead: str
    methods: str
    facts: Facts
    remarks: tuple[str, ...]
    run: Callable[[OnStep | None], Reconstruction]
    charts: Callable[[], tuple[Chart, ...]]
    inputs: Callable[[], Mapping[str, str]]


def open_plan(
    raw: Path,
    job: Job,
    *,
    geometry: Path | None = None,
    like: Path | None = None,
    noise: Path | None = None,
) -> Plan:
    """Open raw measurements and say what would be made of them.

    Args:
        raw: Projections or k-space.
        job: What is to be done.
        geometry: Geometry file of a CT; ``None`` where the raw file holds it.
        like: An image whose grid a CT takes; ``None`` takes the geometry file's, or the
            detector's.
        noise: Noise samples of MR coils; ``None`` where the raw file holds them or none are known.

    Returns:
        The plan.

    Raises:
        ConfigError: The options contradict each other or the file, or memory does not suffice.
        FormatError: The raw file cannot be read.
    """
    if job.method in MAGNETIC or (job.method == "auto" and _is_kspace(raw)):
        if geometry is not None or like is not None:
            raise ConfigError(
                "--geometry and --like belong to a CT, got one with k-space: leave it out"
            )
        return _mr_plan(raw, job, noise)
    if noise is not None or job.coils:
        raise ConfigError("--noise and --coils belong to k-space, got one with projections")
    return _ct_plan(raw, job, geometry, like)


def _is_kspace(raw: Path) -> bool:
    """Whether a file is k-space, by its name or by what it holds."""
    suffix = raw.suffix.lower()
    if suffix in {".cfl", ".hdr", ".mrd"}:
        return True
    if suffix == ".npy":
        import numpy as np

        try:
            return bool(np.iscomplexobj(np.load(raw, mmap_mode="r", allow_pickle=False)))
        except (OSError, ValueError):
            return False  # the reader of projections says what is wrong
    if suffix in {".h5", ".hdf5"}:
        import h5py

        try:
            with h5py.File(raw) as file:
                return "kspace" in file or "dataset" in file
        except OSError:
            return False
    return False


def _ct_plan(raw: Path, job: Job, geometry: Path | None, like: Path | None) -> Plan:
    data, scanner, remarks = open_scan(raw, geometry=geometry, like=like, assume=job.quantity)
    rays, grid = scanner.geometry, scanner.grid
    if grid is None:
        raise FormatError(f"a grid must be known for {raw.name!r}, got none: give --like IMAGE")
    cone = rays.beam == "cone" and rays.shape[0] > 1
    if job.method == "auto":
        job = replace(job, method="fdk" if cone else "fbp")
    needed = needed_bytes(rays, grid, job.method)
    check_memory(needed)
    views, more = correct(data, rays, job)
    measured = Measured(views, grid, open_beam(data), (*remarks, *more))
    span = float(rays.angles_deg.max() - rays.angles_deg.min())
    rows, columns = rays.shape
    facts = (
        ("Measured", f"{rays.views} views of {rows} x {columns} elements ({data.quantity})"),
        ("Rays", f"{_beam(rays)}, angles over {span:.4g} deg"),
        ("Image", " x ".join(str(n) for n in grid.shape) + " voxels (z, y, x)"),
        ("Method", job.method),
        ("Memory", f"about {needed / 2**20:.0f} MiB"),
    )

    def charts() -> tuple[Chart, ...]:
        from vesalius.study.reconstruct._tell import sinogram_chart

        return (sinogram_chart(views.data.cpu().numpy(), rays.pitch_mm[1]),)

    return Plan(
        job,
        lead=f"{rays.views} {_beam(rays)} views of {rows} x {columns} elements",
        methods=f"{rays.views} views over {span:.4g} degrees were measured in a {_beam(rays)} "
        f"geometry with elements of {rays.pitch_mm[1]:.4g} mm.",
        facts=facts,
        remarks=measured.remarks,
        run=lambda on_step: reconstruct_ct(measured, job, on_step=on_step),
        charts=charts,
        inputs=lambda: {"raw": hash_samples(data.counts, torch.eye(4))},
    )


def _beam(rays: Geometry) -> str:
    return {"parallel": "parallel-beam", "fan": "fan-beam", "cone": "cone-beam"}[rays.beam]


def _mr_plan(raw: Path, job: Job, noise: Path | None) -> Plan:
    if job.method == "auto":
        job = replace(job, method="cs")
    if job.unit != "1/mm" or job.centre != "file" or job.stripes != "none":
        raise ConfigError(
            "--unit, --centre and --stripes belong to a CT, got one with k-space: leave them out"
        )
    coils = open_coils(raw, noise=noise, coils=job.coils)
    first = coils.slices[0]
    count, z, y, x = first.data.shape
    part = float(first.mask.double().mean())
    slices = f"{len(coils.slices)} slice{'s' * (len(coils.slices) != 1)}"
    facts = (
        ("Measured", f"{slices} of {z} x {y} x {x} samples, {count} coils"),
        ("Sampled", f"{100 * part:.3g} % of k-space ({1 / max(part, 1e-9):.3g}-fold undersampled)"),
        ("Method", job.method),
    )
    return Plan(
        job,
        lead=f"K-space of {count} coils, {100 * part:.3g} % of it measured",
        methods=f"K-space of {count} coils was sampled on a Cartesian grid at {100 * part:.3g} %.",
        facts=facts,
        remarks=coils.remarks,
        run=lambda on_step: reconstruct_mr(coils, job, on_step=on_step),
        charts=lambda: (),
        inputs=lambda: {"raw": hash_samples(torch.view_as_real(first.data), torch.eye(4))},
    )


def open_image(path: Path, unit: str) -> Image:
    """Read one CT volume with its unit.

    Args:
        path: A file or a folder with one DICOM series.
        unit: Unit where the file does not tell, or empty.

    Returns:
        The image.

    Raises:
        ConfigError: The unit is in neither place.
        FormatError: The file cannot be read, or holds several volumes.
    """
    image = io.open(path).read()
    if unit:
        image = replace(image, unit=unit)
    if image.unit not in {"HU", "1/mm"}:
        raise ConfigError(
            f"{path.name!r} must be in HU or 1/mm, its unit is {image.unit!r}: say --unit HU if "
            "that is what its values are"
        )
    return image
