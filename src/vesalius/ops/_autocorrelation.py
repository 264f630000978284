"""Moran's I and Geary's C over all pairs of voxels, without visiting pairs.

Both are quadratic forms sum_ij w(i - j) f_i g_j, which are inner products in Fourier space: the
transform of the weights times that of the fields, summed. So nothing is transformed back. The last
axis of the transform is taken in slices of columns, so the padded volume never exists at once.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import RegionError

Array = npt.NDArray[np.float64]

_SLICE_BYTES = 24 << 20  # of one field's columns in flight


@dataclass(frozen=True, slots=True)
class Autocorrelation:
    """How alike near voxels are.

    Attributes:
        moran: Moran's I; NaN where all values are equal.
        geary: Geary's C; NaN where all values are equal.
    """

    moran: float
    geary: float


def spatial_autocorrelation(
    values: Float[Tensor, "z y x"],
    mask: Bool[Tensor, "z y x"],
    spacing: tuple[float, float, float],
) -> Autocorrelation:
    """Measure Moran's I and Geary's C with inverse-distance weights over all pairs in a mask.

    Args:
        values: (z, y, x) floating point, finite inside the mask.
        mask: (z, y, x), True inside; a tight block saves time and memory.
        spacing: Size of a voxel along (z, y, x).

    Returns:
        Both indices; equal to the double loop to about 1e-12.

    Raises:
        RegionError: Fewer than two voxels are inside.

    References:
        IBSI reference manual, N365 and NPT7.
    """
    inside = mask.detach().cpu().numpy()
    count = int(np.count_nonzero(inside))
    if count < 2:
        raise RegionError(f"mask must hold at least two voxels to have pairs, got {count}")
    samples = values.detach().to("cpu", torch.float64).numpy()
    chosen = samples[inside]
    mean = float(chosen.mean())
    if float(chosen.min()) == float(chosen.max()):
        return Autocorrelation(float("nan"), float("nan"))
    scale = float(np.abs(chosen - mean).max())
    deviation = np.where(inside, (samples - mean) / scale, 0.0)
    weights, products, squares = _pair_sums(inside, deviation, spacing)
    variance = float(np.square(deviation).sum())
    return Autocorrelation(
        moran=count / weights * products / variance,
        geary=(count - 1) / weights * (squares - products) / variance,
    )


def _pair_sums(
    inside: npt.NDArray[np.bool_], deviation: Array, spacing: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Sum w_ij m_i m_j, w_ij x_i x_j and w_ij x_i^2 m_j over all pairs."""
    from scipy import fft

    # twice the size and even: lags of either sign then fit, and the weights are an even function
    size = [2 * fft.next_fast_len(n, real=True) for n in inside.shape]
    kernel = _weights_transform(size, spacing)
    fields = (inside.astype(np.float64), deviation, np.square(deviation))
    rows = [fft.rfft(field, n=size[2], axis=2) for field in fields]
    total = np.zeros(3)
    width = max(1, _SLICE_BYTES // (16 * size[0] * size[1]))
    for start in range(0, size[2] // 2 + 1, width):
        part = slice(start, min(start + width, size[2] // 2 + 1))
        spectra = [_columns(row[:, :, part], size) for row in rows]
        total += _inner_products(
            spectra, kernel[:, :, part], (start == 0, part.stop > size[2] // 2)
        )
    return tuple((total / np.prod(size)).tolist())


def _columns(rows: npt.NDArray[np.complex128], size: list[int]) -> npt.NDArray[np.complex128]:
    from scipy import fft

    planes = fft.fft(rows, n=size[1], axis=1)
    columns: npt.NDArray[np.complex128] = fft.fft(planes, n=size[0], axis=0)
    return columns


def _inner_products(
    spectra: list[npt.NDArray[np.complex128]], kernel: Array, ends: tuple[bool, bool]
) -> Array:
    """Sum over a slice of columns; a real field's transform holds each inner column once of two."""
    mask, value, square = spectra
    double = np.full(kernel.shape[2], 2.0)
    double[0] -= ends[0]
    double[-1] -= ends[1]
    folded = _unfold(kernel, mask.shape) * double
    products = (
        mask.real**2 + mask.imag**2,
        value.real**2 + value.imag**2,
        mask.real * square.real + mask.imag * square.imag,
    )
    return np.array([float((folded * product).sum()) for product in products])


def _unfold(kernel: Array, shape: tuple[int, ...]) -> Array:
    z, y = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape[:2])
    return kernel[z[:, None], y[None, :]]


def _weights_transform(size: list[int], spacing: tuple[float, float, float]) -> Array:
    """Transform 1 / distance over the period; even, so one octant by cosine transforms is all."""
    from scipy import fft

    z, y, x = (np.arange(n // 2 + 1) * s for n, s in zip(size, spacing, strict=True))
    square = (z**2)[:, None, None] + (y**2)[None, :, None] + (x**2)[None, None, :]
    square[0, 0, 0] = np.inf
    np.sqrt(square, out=square)
    np.divide(1.0, square, out=square)
    transform: Array = fft.dctn(square, type=1, overwrite_x=True)
    return transform
