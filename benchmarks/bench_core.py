"""Resampling and smoothing beside SciPy: the same work, one thread, no input or output.

Run it as ``python benchmarks/bench_core.py``. Both sides get the positions or the matrix ready
made; the error printed is the largest difference of the two results by the range of the samples.
"""
# SPDX-License-Identifier: Apache-2.0

import _timing  # first: it sets the number of threads

import argparse  # isort: skip
from collections.abc import Callable

import _cases
import numpy as np
import scipy.ndimage as ndi
import torch
from torch import Tensor

from vesalius.ops._filters import gaussian
from vesalius.ops._sampling import resample_affine, sample

ORDER = {"nearest": 0, "linear": 1, "cubic": 3}


def positions(matrix: Tensor, size: int) -> Tensor:
    """Give the input position of every output sample; (z, y, x, 3)."""
    axis = torch.arange(size, dtype=torch.float64)
    index = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    return index @ matrix[:3, :3].T + matrix[:3, 3]


def compare(name: str, ours: Callable[[], Tensor], rival: Callable[[], np.ndarray]) -> None:
    """Print the line of one case."""
    error = np.abs(ours()[0].double().numpy() - rival()).max()
    print(_timing.compare(name, ours, rival), f" error {error:.1e}", flush=True)


def lattices(size: int, dtype: torch.dtype) -> None:
    """Resample a whole volume by map_coordinates and by ours."""
    volume = _cases.noise_volume(size, dtype=dtype)[None]
    array = volume[0].numpy()
    kind = str(dtype).removeprefix("torch.")
    for shape, matrix in (
        ("axis-aligned", _cases.scaled_index_map()),
        ("rotated", _cases.rotated_index_map(size)),
    ):
        at = positions(matrix, size)
        coordinates = np.ascontiguousarray(np.moveaxis(at.numpy(), -1, 0))
        for word, order in ORDER.items():
            compare(
                f"{word} {shape} {size}^3 {kind}",
                lambda m=matrix, w=word: resample_affine(
                    volume, m, shape=(size, size, size), interpolation=w
                ),
                lambda c=coordinates, o=order: ndi.map_coordinates(
                    array, c, order=o, mode="nearest"
                ),
            )
        if shape == "rotated":
            for word in ("linear", "cubic"):
                compare(
                    f"{word} any positions {size}^3 {kind}",
                    lambda a=at, w=word: sample(volume, a, interpolation=w),
                    lambda c=coordinates, o=ORDER[word]: ndi.map_coordinates(
                        array, c, order=o, mode="nearest"
                    ),
                )


def blocks() -> None:
    """Resample one small block many times, as the perturbations of a region do."""
    generator = torch.Generator().manual_seed(_cases.SEED)
    volume = torch.rand(1, 60, 80, 80, generator=generator, dtype=torch.float64)
    matrix = _cases.rotated_index_map(70)
    for word in ("linear", "cubic"):
        compare(
            f"{word} rotated block 60x80x80 (affine_transform)",
            lambda w=word: resample_affine(volume, matrix, shape=(60, 80, 80), interpolation=w),
            lambda o=ORDER[word]: ndi.affine_transform(
                volume[0].numpy(),
                matrix.numpy(),
                output_shape=(60, 80, 80),
                order=o,
                mode="nearest",
            ),
        )


def smoothing(size: int) -> None:
    """Smooth a whole volume."""
    volume = _cases.noise_volume(size)[None]
    for sigma in (1.0, 3.0):
        compare(
            f"gaussian sigma {sigma:g} {size}^3 float32",
            lambda s=sigma: gaussian(volume, (s, s, s)),
            lambda s=sigma: ndi.gaussian_filter(volume[0].numpy(), s, mode="nearest"),
        )


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="samples along each axis")
    size = parser.parse_args().size
    _timing.single_thread()
    blocks()
    smoothing(size)
    for dtype in (torch.float32, torch.float64):
        lattices(size, dtype)


if __name__ == "__main__":
    main()
