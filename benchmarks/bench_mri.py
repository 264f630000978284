"""MR reconstruction beside BART on real k-space, and the non-uniform FFT beside BART's.

Run: ``python benchmarks/bench_mri.py`` with VESALIUS_TEST_DATA set. BART must be on the PATH
(Debian's ``bart``, 0.8). CPU seconds, one thread each, best of 3.

The scan is itself undersampled (8.04 times, fully sampled centre of 24 x 24), so there is no truth.
A tenth of the acquired samples outside the centre is held out, at random, with three seeds; the
error is |predicted - measured| / |measured| over them (predicting 0 is 1). Our choices (weight
0.003, 30 steps, two shifts a step) were fixed on other splits (seeds 100 to 102) of this scan.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # isort: skip  # noqa: F401 - one thread, before torch

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vesalius.core import Grid
from vesalius.physics.mri import KSpace, NonUniformFourier, fourier, measured, radial
from vesalius.reconstruct.mri import Sense, complex_of, espirit, sense

SEEDS = (0, 1, 2)
BART = ("-l1 -r 1e-3", "-l1 -r 2e-3", "-l1 -r 5e-3", "-l1 -r 1e-2", "-l2 -r 1e-2")
OURS = {
    "wavelet .003": Sense(),
    "TV .002": Sense("tv", 0.002, 40),
    "Tikhonov .01": Sense("tikhonov", 0.01),
}
BAR = 1.05


def best(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Give the least seconds of three runs."""
    found = []
    for _ in range(3):
        start = clock()
        work()
        found.append(clock() - start)
    return min(found)


def children() -> float:
    """CPU seconds of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bart(folder: Path, *words: str) -> None:
    """Run BART in a folder of .cfl files."""
    one = dict(os.environ, OMP_NUM_THREADS="1")
    subprocess.run(["bart", *words], cwd=folder, env=one, check=True, stdout=subprocess.DEVNULL)


def write(folder: Path, name: str, data: np.ndarray) -> None:
    """Write BART's format: the first dimension runs fastest."""
    sizes = " ".join(map(str, data.shape[::-1]))
    (folder / f"{name}.hdr").write_text(f"# Dimensions\n{sizes}\n")
    data.astype(np.complex64).tofile(folder / f"{name}.cfl")


def read(folder: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read BART's format."""
    return np.fromfile(folder / f"{name}.cfl", np.complex64).reshape(shape)


def held_out(mask: np.ndarray, seed: int) -> np.ndarray:
    """Draw a tenth of the acquired samples outside the centre."""
    y, x = (n // 2 for n in mask.shape)
    outside = mask.copy()
    outside[y - 12 : y + 12, x - 12 : x + 12] = False
    at = np.flatnonzero(outside)
    chosen = np.random.default_rng(seed).choice(at, len(at) // 10, replace=False)
    found = np.zeros(mask.size, bool)
    found[chosen] = True
    return found.reshape(mask.shape)


def error(predicted: np.ndarray, data: np.ndarray, held: np.ndarray) -> float:
    """Relative error over the held-out samples of all coils."""
    gap = np.linalg.norm((predicted - data)[:, held])
    return float(gap / np.linalg.norm(data[:, held]))


def by_bart(data: np.ndarray, held: np.ndarray, folder: Path) -> dict[str, tuple[float, float]]:
    """Give error and CPU seconds (maps and image) of each setting of BART."""
    write(folder, "kspace", (data * ~held)[:, None])
    maps_s = best(lambda: bart(folder, "ecalib", "-m1", "kspace", "maps"), children)
    out = {}
    for setting in BART:
        words = ("pics", "-S", *setting.split(), "kspace", "maps", "image")
        seconds = best(lambda words=words: bart(folder, *words), children)
        bart(folder, "fmac", "image", "maps", "coils")
        bart(folder, "fft", "-u", "3", "coils", "predicted")
        predicted = read(folder, "predicted", data.shape)
        # its image has the other sign where an axis has 2 mod 4 samples: ask the known samples
        sign = np.sign(np.vdot(predicted[:, ~held], data[:, ~held]).real)
        value = error(sign * predicted, data, held)
        out[f"BART {setting}"] = (value, maps_s + seconds)
    return out


def by_us(data: np.ndarray, held: np.ndarray) -> dict[str, tuple[float, float]]:
    """Give error and CPU seconds (maps and image) of our priors."""
    full = torch.from_numpy(data)[:, None]
    mask = measured(full) & ~torch.from_numpy(held)
    kspace = KSpace(full * mask, mask, Grid(tuple(mask.shape), torch.eye(4, dtype=torch.float64)))
    maps = espirit(kspace.data, mask=mask).maps
    maps_s = best(lambda: espirit(kspace.data, mask=mask), time.process_time)
    out = {}
    for name, options in OURS.items():
        run = lambda options=options: sense(kspace, maps=maps, options=options)  # noqa: E731
        seconds = best(run, time.process_time)
        x = complex_of(run().image)
        predicted = fourier(maps * x, axes=(-2, -1))[:, 0].numpy()
        out[f"vesalius {name}"] = (error(predicted, data, held), maps_s + seconds)
    return out


def held_out_bar(root: Path) -> bool:
    """Print the table of held-out errors; say whether the bar is met."""
    data = np.load(root / "reconstruction" / "mri_sigpy" / "cartesian_ksp.npy")
    table: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            held = held_out((data != 0).any(0), seed)
            for name, result in (by_bart(data, held, Path(folder)) | by_us(data, held)).items():
                table.setdefault(name, []).append(result)
    means = {}
    for name, results in table.items():
        means[name] = statistics.mean(r[0] for r in results)
        each = " ".join(f"{r[0]:.4f}" for r in results)
        cpu = statistics.median(r[1] for r in results)
        print(f"{name:24} error {each}  mean {means[name]:.4f}  CPU {cpu:.2f} s")
    rival = min(v for k, v in means.items() if k.startswith("BART"))
    ratio = means["vesalius wavelet .003"] / rival
    verdict = "met" if ratio <= BAR else "MISSED"
    print(f"wavelet over BART's best: {ratio:.3f} (bar {BAR})  {verdict}")
    return ratio <= BAR


def nufft_speed(size: int = 256, spokes: int = 400, coils: int = 8) -> None:
    """Print CPU seconds and error of the non-uniform FFT and of BART's, forward and adjoint."""
    k = radial(spokes, samples=2 * size) * 0.999
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(coils, size, size, generator=generator, dtype=torch.complex64)
    op = NonUniformFourier((size, size), k)
    y = op(x)
    op.H(y)
    ours = [best(lambda: op(x), time.process_time), best(lambda: op.H(y), time.process_time)]
    build = best(lambda: NonUniformFourier((size, size), k), time.process_time)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cycles = (k * size).numpy()
        three = np.stack([cycles[..., 1], cycles[..., 0], 0 * cycles[..., 0]], axis=-1)
        write(folder, "k", three)
        write(folder, "x", x[:, None].numpy())
        write(folder, "y", y[..., None].numpy())
        theirs = [
            best(lambda: bart(folder, "nufft", "k", "x", "out"), children),
            best(lambda: bart(folder, "nufft", "-a", "k", "y", "back"), children),
        ]
        forward = read(folder, "out", tuple(y.shape))
    some = slice(0, None, 97)
    direct = _direct(x[0], k.reshape(-1, 2)[some])
    for label, values in (("vesalius", y[0].numpy()), ("BART", forward[0])):
        at = torch.from_numpy(values.reshape(-1))[some].to(torch.complex128)
        scale = torch.vdot(at, direct) / torch.vdot(at, at)
        gap = float((at * scale - direct).norm() / direct.norm())
        print(f"NUFFT {label}: error against the direct sum {gap:.1e}")
    print(
        f"NUFFT {coils} x {size}^2, {k.shape[0] * k.shape[1]} samples, CPU s forward, adjoint: "
        f"vesalius {ours[0]:.2f}, {ours[1]:.2f} (kernel made once: {build:.2f}); "
        f"BART {theirs[0]:.2f}, {theirs[1]:.2f} (with reading and writing files)"
    )


def _direct(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    at = torch.arange(x.shape[0], dtype=torch.float64) - x.shape[0] // 2
    rows, columns = (torch.exp(-2j * torch.pi * c[:, None] * at) for c in k.unbind(-1))
    return torch.einsum("my,yx,mx->m", rows, x.to(torch.complex128), columns) / x.shape[0]


def main() -> None:
    """Run everything; end with 1 where the bar is missed."""
    torch.set_num_threads(1)
    data = os.environ.get("VESALIUS_TEST_DATA", "")
    if shutil.which("bart") is None or not data:
        print("skipped: needs BART on the PATH and VESALIUS_TEST_DATA, the folder of test data")
        return
    met = held_out_bar(Path(data))
    nufft_speed()
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
