"""Sparse-view CT: total variation beside the best filtered back-projection, 60 views, 1e4 photons.

Run: python benchmarks/bench_sparse.py [--seeds 5] [--rule sure]. Nothing is tuned to the truth
but the window and cutoff of the back-projection, which get the best of all. Shepp-Logan data are
closed-form integrals, averaged over each element; head data are projected from a grid of a ninth
of the voxel size. The strength of TV is chosen from each noisy data set alone.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import os
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from vesalius import io
from vesalius.core import Grid
from vesalius.physics import rasterise, shepp_logan
from vesalius.physics.ct import Geometry, Projections, Projector, exact_projections, parallel
from vesalius.reconstruct.ct import Iterative, fbp, iterate

PHOTONS, VIEWS = 1e4, 60
WINDOWS = ("ram-lak", "shepp-logan", "cosine", "hamming", "hann", "parzen")
CUTOFFS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3)


def centred(size: int, side_mm: float, *, thick_mm: float = 1.0) -> Grid:
    """One slice of size x size voxels about the isocentre."""
    step = side_mm / size
    first = -(size - 1) / 2 * step
    return Grid.from_spacing((1, size, size), (thick_mm, step, step), origin_mm=(first, first, 0.0))


def turned(columns: int, pitch_mm: float) -> Geometry:
    """Sixty parallel views over half a turn."""
    angles = torch.arange(VIEWS, dtype=torch.float64) * (180.0 / VIEWS)
    return parallel(angles, shape=(1, columns), pitch_mm=(1.0, pitch_mm))


def head_shepp_logan(size: int = 256) -> tuple[Tensor, Projections, Grid]:
    """Truth on the grid, exact line integrals, and the grid."""
    grid = centred(size, 200.0)
    geometry = turned(3 * size // 2, 200.0 / size)
    phantom = shepp_logan()
    line = exact_projections(phantom, geometry, subrays=(1, 8))
    return rasterise(phantom, grid).data[0], line, grid


def head_real(path: Path, slice_index: int) -> tuple[Tensor, Projections, Grid]:
    """A slice of a real head: stored value = HU + 1024, by its look (air ~ 0, brain ~ 1050).

    mu = .0206 / mm times value / 1024, so water is .0206. The truth is the slice as it is, its
    voxels taken as boxes: data come from 9 x 9 parts of each, averaged over 9 rays an element.
    """
    raw = io.open(path).read().data[0, slice_index].float().clamp_min(0.0) * (0.0206 / 1024.0)
    size, side, parts = 64, 64 * 3.2, 9
    fine = raw.repeat_interleave(parts, 0).repeat_interleave(parts, 1)[None]
    columns = 3 * size // 2
    sharp = turned(parts * columns, side / size / parts)
    line = Projector(sharp, centred(parts * size, side))(fine)
    line = line.reshape(VIEWS, 1, columns, parts).mean(dim=-1)
    geometry = turned(columns, side / size)
    return raw[None], Projections(line, geometry), centred(size, side)


def noisy(line: Projections, seed: int) -> Projections:
    """Poisson counts of the open beam's photons, as line integrals."""
    generator = torch.Generator().manual_seed(seed)
    mean = PHOTONS * torch.exp(-line.data.double())
    counts = torch.poisson(mean, generator=generator).clamp_min(1.0)
    return Projections(-torch.log(counts / PHOTONS).float(), line.geometry)


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal to noise, dB, the peak of the truth."""
    return float(10 * torch.log10(truth.max() ** 2 / (image - truth).square().mean()))


def best_fbp(data: Projections, truth: Tensor, grid: Grid) -> tuple[float, str]:
    """The best window and cutoff, chosen with the truth in hand."""
    found = []
    for window in WINDOWS:
        for cutoff in CUTOFFS:
            image = fbp(data, like=grid, window=window, cutoff=cutoff).image.data[0]
            clipped = psnr(image.clamp_min(0.0), truth)
            how = f"{window} {cutoff:g}; {clipped:.2f} dB with negative values set to 0"
            found.append((psnr(image, truth), how))
    return max(found)


def compare(case: tuple[Tensor, Projections, Grid], seed: int, rule: str) -> tuple[float, float]:
    """Decibels of the best FBP and of TV on one noisy data set."""
    truth, line, grid = case
    data = noisy(line, seed)
    rival, how = best_fbp(data, truth, grid)
    start = time.process_time()
    method = Iterative("tv", steps=80, tol=1e-4, strength=rule, photons=PHOTONS)
    found = iterate(data, like=grid, method=method)
    seconds = time.process_time() - start
    mine = psnr(found.image.data[0], truth)
    print(
        f"  seed {seed}: FBP {rival:.2f} dB ({how}), TV {mine:.2f} dB, {mine - rival:+.2f}; "
        f"{next(r for r in found.remarks if r.startswith('strength'))}; {seconds:.1f} CPU s",
        flush=True,
    )
    return rival, mine


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rule", default="sure")
    parser.add_argument("--case", choices=("shepp-logan", "head", "both"), default="both")
    args = parser.parse_args()
    data = Path(os.environ.get("VESALIUS_TEST_DATA", "shared/data"))
    cases = {}
    if args.case != "head":
        cases["Shepp-Logan 256 x 256"] = (head_shepp_logan(), 8.0)
    if args.case != "shepp-logan":
        head = data / "reconstruction" / "ct_head" / "head.mha"
        cases["ct_head slice 40, 64 x 64"] = (head_real(head, 40), 1.0)
    for name, (case, bar) in cases.items():
        print(name)
        pairs = [compare(case, seed, args.rule) for seed in range(args.seeds)]
        gain = statistics.median(mine - rival for rival, mine in pairs)
        print(
            f"  median gain {gain:+.2f} dB, bar +{bar:g} dB: {'met' if gain >= bar else 'MISSED'}"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
