"""Histograms of the values of an image: one bin for each whole number, equal bins for the rest."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError, RegionError
from vesalius.ops._jit import kernel

EXACT = 1 << 16
"""Integers that span up to this many values have a bin each; wider ones are binned like floats."""

_THINNEST = 1e-300
"""Bins thinner than this have no reciprocal: such values are as good as equal."""

Floats = NDArray[np.float64]


class ValueHistogram(NamedTuple):
    """How often each value occurs.

    Attributes:
        values: (n,) centres of the bins, ascending and evenly spaced.
        counts: (n,) float64, samples in each bin; the first and the last are not 0.
        width: Of one bin.
        exact: Whether each bin holds one whole number only.
    """

    values: Floats
    counts: Floats
    width: float
    exact: bool

    def cut(self, index: int) -> float:
        """Give the largest value that still belongs to a bin: above it is the next bin.

        Args:
            index: Of the bin.

        Returns:
            The value itself where the bins are exact, otherwise the upper edge.
        """
        value = float(self.values[index])
        return value if self.exact else value + self.width / 2


def value_histogram(
    x: Shaped[Tensor, "..."], *, bins: int, inside: Bool[Tensor, "..."] | None = None
) -> ValueHistogram:
    """Count the values of an image in one pass.

    Whole numbers that span at most ``EXACT`` values have a bin each, whatever ``bins`` says, so
    that 8-bit and 16-bit images are counted exactly. Other values are counted in ``bins`` equal
    bins from the lowest to the highest, the last one closed.

    Args:
        x: Any shape; real, finite.
        bins: Number of bins of floats.
        inside: True where a value counts; None for everywhere.

    Returns:
        The histogram from the lowest value that counts to the highest.

    Raises:
        ConfigError: Fewer than 2 bins.
        RegionError: Nothing counts.
        IntensityError: All values that count are equal.
    """
    if bins < 2:
        raise ConfigError(f"bins must be at least 2 to part two sides, got {bins}")
    flat = _samples(x)
    counted = None if inside is None else _flags(inside)
    if flat.size == 0 or (counted is not None and not counted.any()):
        raise RegionError("an image must have values inside the mask to be counted, got none")
    found = _exact(flat, counted) if flat.dtype.kind in "iu" else None
    return _binned(flat, counted, bins) if found is None else found


def _samples(x: Tensor) -> NDArray[np.generic]:
    # half precision is counted as float32, which holds each of its values
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    flat: NDArray[np.generic] = wide.detach().cpu().contiguous().numpy().reshape(-1)
    return flat


def _flags(inside: Tensor) -> NDArray[np.uint8]:
    flags: NDArray[np.uint8] = inside.detach().cpu().contiguous().numpy().reshape(-1).view(np.uint8)
    return flags


def _exact(flat: NDArray[np.generic], counted: NDArray[np.uint8] | None) -> ValueHistogram | None:
    """Count whole numbers in a table; None where they span too many values."""
    low, high = _limits(flat.dtype)
    if high - low >= EXACT:  # the number type is wide: see what is there
        low, high = _extremes(flat, counted)
        if high - low >= EXACT:
            return None
    if counted is None:
        table = _count_all(flat, low, high - low + 1)
    else:
        table = _count_some(flat, counted, low, high - low + 1)
    used = np.flatnonzero(table)
    first, last = int(used[0]), int(used[-1])
    if first == last:
        _refuse_constant(low + first)
    values = np.arange(low + first, low + last + 1, dtype=np.float64)
    return ValueHistogram(values, table[first : last + 1].astype(np.float64), 1.0, True)


def _limits(dtype: "np.dtype[np.generic]") -> tuple[int, int]:
    kind = np.iinfo(np.dtype(dtype).name)
    return int(kind.min), int(kind.max)


def _refuse_constant(value: float) -> None:
    raise IntensityError(
        f"an image must have two different values to be parted, all are {value:g}: "
        "check the mask, or that the right channel was read"
    )


def _extremes(flat: NDArray[np.generic], counted: NDArray[np.uint8] | None) -> tuple[int, int]:
    part = flat if counted is None else flat[counted != 0]
    return int(part.min()), int(part.max())


def _ends(part: NDArray[np.generic]) -> tuple[float, float]:
    return float(part.min()), float(part.max())


def _binned(
    flat: NDArray[np.generic], counted: NDArray[np.uint8] | None, bins: int
) -> ValueHistogram:
    part = flat if counted is None else flat[counted != 0]
    least, most = torch.aminmax(torch.from_numpy(part)) if part.dtype.kind == "f" else _ends(part)
    low, high = float(least), float(most)
    # halves before they are subtracted: the span of all floats is not a float
    width = (high / bins) - (low / bins)
    if not width > _THINNEST:
        _refuse_constant(low)
    table = _count_bins(part, low, 1.0 / width, bins).astype(np.float64)
    share = (np.arange(bins, dtype=np.float64) + 0.5) / bins
    values: Floats = low * (1 - share) + high * share
    return ValueHistogram(values, table, width, False)


# four tables in turn: equal neighbours would otherwise wait for each other's sum to be stored


@kernel
@no_type_check
def _count_all(flat, low, size):
    table = np.zeros((4, size), np.int64)
    whole = len(flat) // 4 * 4
    for i in range(0, whole, 4):
        table[0, np.int64(flat[i]) - low] += 1
        table[1, np.int64(flat[i + 1]) - low] += 1
        table[2, np.int64(flat[i + 2]) - low] += 1
        table[3, np.int64(flat[i + 3]) - low] += 1
    for i in range(whole, len(flat)):
        table[0, np.int64(flat[i]) - low] += 1
    return table[0] + table[1] + table[2] + table[3]


@kernel
@no_type_check
def _count_some(flat, counted, low, size):
    table = np.zeros((2, size), np.int64)
    for i in range(len(flat)):
        if counted[i]:
            table[i & 1, np.int64(flat[i]) - low] += 1
    return table[0] + table[1]


@kernel
@no_type_check
def _count_bins(flat, low, scale, bins):
    table = np.zeros((4, bins), np.int64)
    # halves, so that the span of all floats does not overflow; clamped, so that rounding is safe
    first, twice = 0.5 * low, 2.0 * scale
    for i in range(len(flat)):
        at = np.int64((0.5 * np.float64(flat[i]) - first) * twice)
        table[i & 3, np.uint64(min(max(at, 0), bins - 1))] += 1
    return table[0] + table[1] + table[2] + table[3]
