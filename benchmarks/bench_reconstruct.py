"""Analytic CT: CPU seconds and PSNR of FBP, gridding and FDK beside ASTRA, scikit-image and RTK.

    python benchmarks/bench_reconstruct.py [--large] [--both]

One thread. Every tool gets the same projections, exact line integrals of the Shepp-Logan phantom
(modified contrast), either along the middle ray of each element or averaged over each element, as
a detector does. The truth is the phantom averaged over each pixel (8 x 8, 4 x 4 x 4 for the
volume); the peak is 1, the phantom's range; errors count within the circle (the ball) that every
view sees. The time of the rivals is their own, without any copy.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first: it sets the number of threads

# isort: split
import argparse
import math
import os
import resource
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from _rivals import Case, Rival

from vesalius.core import Grid
from vesalius.physics import rasterise, shepp_logan, shepp_logan_3d
from vesalius.physics.ct import Projections, cone, exact_projections, parallel
from vesalius.reconstruct.ct import fbp, fdk, gridding

FBP_BAR, GRIDDING_BAR, FDK_BAR = 0.4, 0.22, 0.25


def cube(shape: tuple[int, int, int]) -> Grid:
    """Voxels of 1 mm about the isocentre."""
    z, y, x = (-(n - 1) / 2 for n in shape)
    return Grid.from_spacing(shape, origin_mm=(x, y, z))


def inside(grid: Grid) -> np.ndarray:
    """Voxels within the circle, or the ball, that touches the sides."""
    axes = [np.arange(n) - (n - 1) / 2 for n in grid.shape]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 < (grid.shape[2] / 2) ** 2


def psnr(found: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """Peak 1, dB."""
    return -10 * math.log10(float(((found - truth)[where] ** 2).mean()))


def amplitude(found: np.ndarray, truth: np.ndarray) -> float:
    """Factor by which the truth fits best."""
    return float((found * truth).sum() / (truth * truth).sum())


def any_way(found: np.ndarray, truth: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """PSNR and amplitude of a rival's slice in whichever of eight directions it came."""
    ways = [
        np.ascontiguousarray(np.rot90(found[0], turn)[:: 1 - 2 * flip])[None]
        for turn, flip in product(range(4), range(2))
    ]
    best = max(ways, key=lambda way: psnr(way, truth, where))
    return psnr(best, truth, where), amplitude(best, truth)


def case_of(projections: Projections) -> Case:
    """Projections as a case for a rival."""
    data = projections.data.double().numpy()
    return Case("projections", data, np.ones(1, bool), (1.0, 1.0, 1.0), "1")


def iradon(projections: Projections) -> Callable[[], np.ndarray]:
    """scikit-image's filtered back-projection."""
    from skimage.transform import iradon as theirs

    sinogram = np.ascontiguousarray(projections.data[:, 0].numpy().T)
    angles = projections.geometry.angles_deg.numpy()
    return lambda: theirs(sinogram, theta=angles, circle=True)[None]


def plane(size: int, views: int, *, with_iradon: bool) -> None:
    """Print times and errors of one slice."""
    phantom = shepp_logan(half_size_mm=size / 2, per_mm=1.0)
    grid = cube((1, size, size))
    geometry = parallel(torch.arange(views, dtype=torch.float64) * 180 / views, shape=(1, size))
    truth = rasterise(phantom, grid, supersample=8).data[0].numpy()
    where = inside(grid)
    for rays, name in ((1, "middle rays"), (8, "element means")):
        given = exact_projections(phantom, geometry, subrays=(1, rays))
        print(f"{size} x {size}, {views} views, {name}")
        ours = {"fbp": lambda p=given: fbp(p, like=grid)}
        ours["gridding"] = lambda p=given: gridding(p, like=grid)
        for method, run in ours.items():
            found = run().image.data[0].numpy()
            db, factor = psnr(found, truth, where), amplitude(found, truth)
            print(f"  {method:<10} {db:.2f} dB, amplitude {factor:.4f}")
        if with_iradon:
            theirs = iradon(given)
            seconds = _timing.timed(theirs).cpu_s
            db, factor = any_way(theirs(), truth, where)
            print(f"  iradon     {db:.2f} dB, amplitude {factor:.4f}, {seconds:.2f} CPU-s")
        beside_astra(given, ours, (truth, where), timing=rays == 1)


def beside_astra(
    given: Projections,
    ours: dict[str, Callable[[], object]],
    judge: tuple[np.ndarray, np.ndarray],
    *,
    timing: bool,
) -> None:
    """Print ASTRA's error, and the ratios of times."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "image.npy"
        try:
            with Rival("astra_fbp", case_of(given), str(out)) as rival:
                rival.go()
                found = np.load(out)[None]
                db, factor = any_way(found, *judge)
                print(f"  astra      {db:.2f} dB, amplitude {factor:.4f}")
                for method, bar in (("fbp", FBP_BAR), ("gridding", GRIDDING_BAR)):
                    if timing:
                        name = f"  {method} (bar {bar})"
                        print(_timing.compare(name, ours[method], rival.go, pairs=3))
        except FileNotFoundError as absent:
            for method, run in ours.items():
                print(f"  {method}: {_timing.timed(run).cpu_s:.4f} CPU-s; skipped: {absent}")


def volume(size: int, views: int) -> None:
    """Print time, error and memory of a cone beam."""
    phantom = shepp_logan_3d(half_size_mm=size / 2, per_mm=1.0)
    grid = cube((size, size, size))
    pitch, source, detector = 1.5, 8.0 * size, 12.0 * size
    geometry = cone(
        torch.arange(views, dtype=torch.float64) * 360 / views,
        shape=(size, size),
        pitch_mm=(pitch, pitch),
        source_mm=source,
        detector_mm=detector,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    given = exact_projections(phantom, geometry)
    found = fdk(given, like=grid).image.data[0].numpy()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    truth = rasterise(phantom, grid, supersample=4).data[0].numpy()
    where = inside(grid)
    mine = psnr(found, truth, where)
    print(f"{size}^3, {views} views of {size} x {size}, FDK")
    print(f"  fdk {mine:.2f} dB, peak {peak:.0f} MiB ({before:.0f} before; bar 600 in all)")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "volume.npy"
        try:
            with Rival("rtk_fdk", case_of(given), f"{out} {pitch} {source} {detector}") as rival:
                rival.go()
                db = psnr(np.load(out), truth, where)
                print(f"  rtk {db:.2f} dB (bar: ours at least {db - 0.1:.2f})")
                name = f"  fdk (bar {FDK_BAR})"
                print(_timing.compare(name, lambda: fdk(given, like=grid), rival.go, pairs=3))
                print(f"  rtk peak {rival.ask('values')['rss_mb']:.0f} MiB")
        except FileNotFoundError as absent:
            seconds = _timing.timed(lambda: fdk(given, like=grid)).cpu_s
            print(f"  {seconds:.3f} CPU-s; rival skipped: {absent}")


def both_cores() -> None:
    """Print wall seconds by the number of threads, best of 5."""
    flat, solid = cube((1, 513, 513)), cube((128, 128, 128))
    geometry = parallel(torch.arange(720, dtype=torch.float64) / 4, shape=(1, 513))
    draw = torch.Generator().manual_seed(0)
    rows = Projections(torch.rand(geometry.codomain, generator=draw), geometry)
    beam = cone(
        torch.arange(180, dtype=torch.float64) * 2,
        shape=(128, 128),
        pitch_mm=(1.5, 1.5),
        source_mm=1000.0,
        detector_mm=1500.0,
    )
    shadows = Projections(torch.rand(beam.codomain, generator=draw), beam)
    runs = {
        "fbp": lambda: fbp(rows, like=flat),
        "gridding": lambda: gridding(rows, like=flat),
        "fdk": lambda: fdk(shadows, like=solid),
    }
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        best = {k: min(_timing.timed(run).wall_s for _ in range(5)) for k, run in runs.items()}
        print(f"{threads} threads: " + ", ".join(f"{k} {s:.3f} s" for k, s in best.items()))
    torch.set_num_threads(1)


def main() -> None:
    """Print all tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--large", action="store_true", help="1025 x 1025 from 1440 views too")
    options.add_argument("--both", action="store_true", help="time with all cores too")
    chosen = options.parse_args()
    _timing.single_thread()
    volume(128, 180)
    plane(513, 720, with_iradon=True)
    if chosen.large:
        plane(1025, 1440, with_iradon=False)
    if chosen.both:
        both_cores()


if __name__ == "__main__":
    main()
