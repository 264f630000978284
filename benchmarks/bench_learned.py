"""Learned CT: plug-and-play beside total variation, and a field beside SIRT; both without a crime.

Run: python benchmarks/bench_learned.py [--case pnp|field|both] [--seeds 3]. Plug-and-play: slices
of a real head, 60 views, 1e4 photons (the cases of bench_sparse.py). Field: the Shepp-Logan head
in 64^3 from 30 cone-beam views and 1e5 photons, closed-form integrals; SIRT is stopped where the
truth likes it best. CPU seconds of one thread.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import os
import statistics
import time
from pathlib import Path

import _timing  # noqa: F401 - one thread, before torch
import torch
from bench_sparse import PHOTONS, head_real, noisy, psnr
from torch import Tensor

from vesalius.core import Grid
from vesalius.physics import rasterise, shepp_logan_3d
from vesalius.physics.ct import Projections, cone, exact_projections
from vesalius.reconstruct.ct import Iterative, iterate
from vesalius.reconstruct.learned import (
    Denoiser,
    Implicit,
    PlugAndPlay,
    implicit_ct,
    plug_and_play_ct,
)


def plug(seeds: int) -> None:
    """Print PSNR and seconds of plug-and-play and of total variation."""
    data = Path(os.environ.get("VESALIUS_TEST_DATA", "shared/data"))
    denoiser = Denoiser.pretrained()
    for number in (25, 40, 55):
        truth, line, grid = head_real(data / "reconstruction" / "ct_head" / "head.mha", number)
        gains = []
        for seed in range(seeds):
            scan = noisy(line, seed)
            start = time.process_time()
            method = Iterative("tv", steps=80, strength="sure", photons=PHOTONS)
            rival = psnr(iterate(scan, like=grid, method=method).image.data[0], truth)
            middle = time.process_time()
            how = PlugAndPlay(photons=PHOTONS)
            found = plug_and_play_ct(scan, like=grid, denoiser=denoiser, method=how)
            mine, end = psnr(found.image.data[0], truth), time.process_time()
            gains.append(mine - rival)
            print(
                f"  head slice {number}, seed {seed}: TV {rival:.2f} dB in {middle - start:.1f} "
                f"CPU s, plug-and-play {mine:.2f} dB in {end - middle:.1f}, {gains[-1]:+.2f}"
            )
        gain = statistics.median(gains)
        print(f"head slice {number}: median {gain:+.2f} dB: {'met' if gain >= 0 else 'MISSED'}")


def sparse_volume() -> tuple[Tensor, Projections, Grid]:
    """The 3-D Shepp-Logan head in 64^3, 30 views."""
    step = 200.0 / 64
    first = -31.5 * step
    grid = Grid.from_spacing((64, 64, 64), (step, step, step), origin_mm=(first, first, first))
    angles = torch.arange(30) * 12.0
    rays = cone(angles, shape=(96, 96), pitch_mm=(4.0, 4.0), source_mm=1000, detector_mm=1250)
    phantom = shepp_logan_3d()
    line = exact_projections(phantom, rays, subrays=(2, 3))
    generator = torch.Generator().manual_seed(0)
    counts = torch.poisson(1e5 * torch.exp(-line.data.double()), generator=generator)
    scan = Projections(-torch.log(counts.clamp_min(1.0) / 1e5).float(), rays)
    return rasterise(phantom, grid).data[0], scan, grid


def field() -> None:
    """Print PSNR and seconds of the hash grid and of SIRT."""
    truth, scan, grid = sparse_volume()
    rivals = []
    for steps in (100, 200, 400):
        method = Iterative("sirt", steps=steps, tol=0.0)
        rivals.append((psnr(iterate(scan, like=grid, method=method).image.data[0], truth), steps))
    best, steps = max(rivals)
    start = time.process_time()
    generator = torch.Generator().manual_seed(0)
    found = implicit_ct(scan, like=grid, method=Implicit(), generator=generator)
    mine = psnr(found.image.data[0], truth)
    seconds = time.process_time() - start
    gain = mine - best
    print(
        f"hash grid {mine:.2f} dB in {seconds:.0f} CPU s; SIRT {best:.2f} dB ({steps} steps, the "
        f"best of {[s for _, s in rivals]}); {gain:+.2f} dB, bar +1: "
        f"{'met' if gain >= 1 else 'MISSED'}"
    )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=("pnp", "field", "both"), default="both")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    if args.case != "field":
        plug(args.seeds)
    if args.case != "pnp":
        field()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
