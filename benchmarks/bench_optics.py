"""Optics and PET: the accuracy bars of deconvolution, light-field and emission, printed.

Data never come from the operator under test: closed forms, or waves sampled finer and places off
the lattice. The real light-field frame needs ``VESALIUS_TEST_DATA``.
"""
# SPDX-License-Identifier: Apache-2.0

import itertools
import os
from pathlib import Path

import _timing  # noqa: F401 - one thread, before torch
import numpy as np
import torch
from torch import Tensor

from vesalius.core import Grid
from vesalius.physics.ct import Projections, Projector, parallel
from vesalius.physics.optics import LightField, MicrolensArray, Objective, lightfield_psf
from vesalius.physics.pet import System
from vesalius.reconstruct.optics import RichardsonLucy, find_lattice, lightfield_volume, rectify
from vesalius.reconstruct.pet import Corrections, Emission, emission
from vesalius.reconstruct.solve import mlem

UM = 1e-3
OBJECTIVE = Objective(na=1.2, index=1.35, wavelength_nm=593, magnification=60)
ARRAY = MicrolensArray(pitch_mm=0.1, focal_mm=2.5, pixels=15)
GEOMETRY = parallel(torch.arange(120).double() * 1.5, shape=(1, 96), pitch_mm=(3.0, 3.0))
GRID = Grid.from_spacing((1, 80, 80), (3.0, 3.0, 3.0), origin_mm=(-118.5, -118.5, 0.0))
DISKS = [(0, 0, 100, 1.0), (40, 20, 15, 3.0), (-45, 10, 20, 2.0), (0, -50, 10, 6.0)]


def chords(x: float, y: float, radius: float) -> Tensor:
    """Length of each line in a disk, mean over 8 sub-rays, in closed form."""
    start, unit = GEOMETRY.rays()
    total = torch.zeros(GEOMETRY.codomain, dtype=torch.float64)
    for part in (torch.arange(8) + 0.5) / 8 - 0.5:
        at = start + part * GEOMETRY.u[:, None, None]
        distance = (x - at[..., 0]) * unit[..., 1] - (y - at[..., 1]) * unit[..., 0]
        total += 2 * (radius**2 - distance**2).clamp(min=0).sqrt() / 8
    return total


def pet() -> list[str]:
    """Counts kept, likelihood monotone, activity unbiased."""
    factors = torch.exp(-0.0096 * chords(0, 0, 100))
    mean = sum(v * chords(x, y, r) for x, y, r, v in DISKS) * factors
    truth = sum(np.pi * r**2 * v for _, _, r, v in DISKS)
    y = torch.poisson(mean, generator=torch.Generator().manual_seed(0))
    system = System(Projector(GEOMETRY, GRID), factors, torch.ones_like(factors))
    run = mlem(system, y, steps=30)
    kept = abs(float(system(run.x).sum() / y.sum()) - 1)
    falls = all(b <= a for a, b in itertools.pairwise(run.objective))
    background = torch.full_like(mean, 0.5 * float(mean.mean()))
    totals = []
    for seed in range(5):
        y = torch.poisson(mean + background, generator=torch.Generator().manual_seed(seed))
        known = Corrections(factors, None, background)
        made = emission(
            Projections(y, GEOMETRY, "counts"),
            like=GRID,
            corrections=known,
            options=Emission(40),
        )
        totals.append(float(made.image.data.sum()) * 9 / truth - 1)
    return [
        f"PET counts kept to {kept:.1e} without randoms and scatter (bar 1e-4)",
        f"PET likelihood monotone over 30 steps: {falls}",
        f"PET activity with randoms and scatter: mean bias {np.mean(totals):+.2%}, "
        f"largest of 5 seeds {max(totals, key=abs):+.2%} (bar 2 %)",
    ]


def beads() -> list[str]:
    """Error of the place of simulated beads, 2e4 photons, steps of 1 um."""
    fine = MicrolensArray(pitch_mm=0.1, focal_mm=2.5, pixels=15, oversample=5)
    lines = []
    for depth in (-3.4, -2.6, -1.5, 0.4, 1.7, 2.5, 3.3):
        psf = lightfield_psf(OBJECTIVE, fine, torch.tensor([depth * UM]).double(), voxels=9)
        op = LightField(psf, 15, (12, 12))
        x = torch.zeros(op.domain)
        x[0, 56, 50] = 2e4
        frame = torch.poisson(op(x).clamp(min=0) + 1, generator=torch.Generator().manual_seed(1))
        depths = torch.arange(-5, 6).double() * UM
        options = RichardsonLucy(steps=15, background=1.0)
        image = lightfield_volume(frame, OBJECTIVE, ARRAY, depths_mm=depths, options=options).image
        data = image.data[0]
        peak = torch.tensor(np.unravel_index(int(data.argmax()), data.shape))
        index = torch.cartesian_prod(*(torch.arange(n) for n in data.shape))
        near = ((index - peak).abs() <= torch.tensor([1, 2, 2])).all(dim=1)
        weight = data.flatten()[near].double()
        at = image.grid.to_world((index[near] * weight[:, None]).sum(dim=0) / weight.sum()) / UM
        place = [(k - 53.5) / 9 * 100 / 60 for k in (50, 56)]
        error = [float(at[0]) - place[0], float(at[1]) - place[1], float(at[2]) - depth]
        lines.append(
            f"bead at z = {depth:+.1f} um: error x {error[0]:+.2f}, y {error[1]:+.2f}, "
            f"z {error[2]:+.2f} um (bar z: 0.5)"
        )
    return lines


def vesicle(folder: Path) -> list[str]:
    """Rectification and reprojection of the real frame."""
    import tifffile

    def read(name: str) -> Tensor:
        return torch.from_numpy(tifffile.imread(folder / f"{name}_GUVExperim1.tif").astype("f4"))

    white = read("Radiometry") - read("DarkFrame")
    lattice = find_lattice(white, pitch_px=100 / 6.5)
    frame, even = (rectify(f, lattice, pixels=15) for f in (read("Lightfield"), white))
    depths = torch.arange(-7, 8).double() * UM
    lines = [
        f"GUV lattice: residual {lattice.residual_px:.3f} px rms, {lattice.worst_px:.3f} px worst "
        f"(bar 0.3); pitch {lattice.pitch_px[0]:.3f} x {lattice.pitch_px[1]:.3f} px, "
        f"turned {lattice.rotation_deg:+.3f} deg"
    ]
    for name, pupil in (("ideal", None), ("measured", even)):
        result, seconds = timed(frame, depths, pupil)
        falls = all(b < a for a, b in itertools.pairwise(result))
        lines.append(
            f"GUV, {name} pupil, 15 slices, 15 steps: error {result[0]:.3f} -> {result[-1]:.3f}, "
            f"monotone {falls}, {seconds:.1f} CPU s"
        )
    return lines


def timed(frame: Tensor, depths: Tensor, pupil: Tensor | None) -> tuple[tuple[float, ...], float]:
    """Reprojection error of each step, and CPU seconds."""
    import time

    start = time.process_time()
    found = lightfield_volume(
        frame,
        OBJECTIVE,
        ARRAY,
        depths_mm=depths,
        white=pupil,
        options=RichardsonLucy(steps=15),
    )
    return found.residual, time.process_time() - start


if __name__ == "__main__":
    lines = pet() + beads()
    root = os.environ.get("VESALIUS_TEST_DATA")
    if root is None:
        lines.append("GUV: skipped, VESALIUS_TEST_DATA is not set")
    else:
        lines += vesicle(Path(root) / "reconstruction" / "lfm_guv")
    print("\n".join(lines))
