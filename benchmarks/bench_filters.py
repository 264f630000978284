"""Filters beside SciPy and PyWavelets, and eight wavelet bands of a two-million-voxel region.

Run it as ``python benchmarks/bench_filters.py``. One thread, warm, no input or output; the error
printed is the largest difference of the two results.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first: it sets the number of threads

import time  # isort: skip
from collections.abc import Callable

import _cases
import _measure_cases
import numpy as np
import scipy.ndimage as ndi
import torch
from torch import Tensor

from vesalius.core import Grid, Image, Labels
from vesalius.enhance import (
    GaborFilter,
    LawsFilter,
    LogFilter,
    MeanFilter,
    NonseparableFilter,
    WaveletFilter,
    apply_filter,
    wavelet_bands,
)
from vesalius.measure import Config, extract

FILTERS = {
    "mean 5": MeanFilter(size=5),
    "LoG 1.5 mm": LogFilter(sigma_mm=1.5),
    "Laws L5E5E5, 24 rotations, energy 7": LawsFilter(rotation="max", energy_distance=7),
    "coif1 LLH": WaveletFilter(band="LLH"),
    "coif1 LLH, 24 rotations": WaveletFilter(band="LLH", rotation="mean"),
    "db3 HHH level 2, 24 rotations": WaveletFilter(
        family="db3", band="HHH", level=2, rotation="mean"
    ),
    "Simoncelli level 1": NonseparableFilter(),
    "Gabor, one direction": GaborFilter(),
    "Gabor, 16 directions": GaborFilter(rotation="mean", step_deg=22.5),
}


def compare(name: str, ours: Callable[[], Tensor], rival: Callable[[], np.ndarray]) -> None:
    """Print the line of one case."""
    error = np.abs(ours()[0].double().numpy() - rival()).max()
    print(_timing.compare(name, ours, rival), f" error {error:.1e}", flush=True)


def beside_scipy(image: Image) -> None:
    """Filter a cube by scipy.ndimage and by ours."""
    x = image.data[0].numpy()
    low = np.asarray([0.25, 0.5, 0.25, 0.1, 0.05, 0.02])

    def band() -> np.ndarray:
        out = x
        for axis in range(3):
            out = ndi.convolve1d(out, low, axis=axis, mode="reflect")
        return out

    from vesalius.ops._convolve import Taps, convolve_separable

    chain = (Taps.of(tuple(low.tolist())),)
    compare(
        "six taps along three axes",
        lambda: convolve_separable(image.data, (chain,) * 3, "mirror"),
        band,
    )
    compare(
        "mean 5",
        lambda: apply_filter(image, FILTERS["mean 5"]).data,
        lambda: ndi.uniform_filter(x, 5, mode="reflect"),
    )
    compare(
        "LoG 1.5 mm",
        lambda: apply_filter(image, FILTERS["LoG 1.5 mm"]).data,
        lambda: ndi.gaussian_laplace(x, 1.5, mode="reflect"),
    )


def each_filter(image: Image) -> None:
    """Print what every filter costs for one voxel."""
    for name, spec in FILTERS.items():
        apply_filter(image, spec)
        start = time.process_time()
        apply_filter(image, spec)
        cost = (time.process_time() - start) / image.data.numel() * 1e9
        print(f"{name:40s} {cost:8.0f} CPU-ns per voxel", flush=True)


def eight_bands() -> None:
    """Filter the seeded region by the eight bands, alone and with all texture features."""
    case = _measure_cases.seeded()
    grid = Grid.from_spacing(case.intensity.shape, case.spacing_mm)
    image = Image(torch.from_numpy(case.intensity)[None], grid, "HU")
    labels = Labels(torch.from_numpy(case.mask.astype(np.int16))[None], grid)
    bands = wavelet_bands("coif1")
    start = time.process_time()
    for spec in bands:
        apply_filter(image, spec)
    print(f"eight bands of {case.intensity.size:,} voxels: {time.process_time() - start:.2f} CPU-s")
    for filters in ((), bands):
        config = Config.model_validate(
            {"filters": filters, "features": {"spatial_autocorrelation": False}}
        )
        extract(image, labels, config=config)
        start = time.process_time()
        rows = len(extract(image, labels, config=config).table)
        spent = time.process_time() - start
        print(
            f"{len(filters)} bands and all features: {rows} values, {spent:.2f} CPU-s", flush=True
        )


def main() -> None:
    """Run every case."""
    cube = _cases.noise_volume(160, dtype=torch.float64)[None]
    image = Image(cube, Grid.from_spacing((160, 160, 160)))
    beside_scipy(image)
    each_filter(image)
    eight_bands()


if __name__ == "__main__":
    main()
