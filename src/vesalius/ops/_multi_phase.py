"""Four regions of nearly constant value by two level sets, which may meet in any way."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._chan_vese import Listener, framed, ratios, standardised
from vesalius.ops._chan_vese_loops import Flow, frame, length
from vesalius.ops._multi_phase_loops import step, sums

Spacing = tuple[float, float, float]
Means = tuple[float, float, float, float]

_NO_MASK = np.zeros((0, 0, 0), np.float32)
_SIGNS = ((-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0))
"""Of the two level sets in the regions 0 to 3: neighbours in value differ in one sign alone."""


@final
@dataclass(frozen=True, slots=True)
class FourPhases:
    """How two level sets evolve; values are scaled to unit spread first.

    Attributes:
        weight: Of the length (area in 3-D) of both contours, in samples of the finest axis.
        time_step: Of one step, in the time of the flow.
        width: Of the smoothed delta function; 1 lets regions appear far from the contours.
        steps: Largest number of steps.
        tol: Stops where the root mean square change of the level sets falls below it, where only
            what lies near a contour counts.

    Raises:
        ConfigError: A number is out of range.
    """

    weight: float = 0.1
    time_step: float = 1.0
    width: float = 1.0
    steps: int = 200
    tol: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("weight", "tol"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(
                    f"{name} must be 0 or a positive number, got {getattr(self, name)}"
                )
        for name in ("time_step", "width", "steps"):
            if not 0 < getattr(self, name) < np.inf:
                raise ConfigError(f"{name} must be a positive number, got {getattr(self, name)}")


class Parted(NamedTuple):
    """Where two contours came to rest.

    Attributes:
        region: (z, y, x) uint8, 0 to 3 in the order of the means.
        means: Of each region, as in the image, rising; NaN where a region is empty, last.
        energies: One for each step, per voxel, for values of unit spread.
        settled: Whether the change fell below ``tol``.
    """

    region: Tensor
    means: Means
    energies: tuple[float, ...]
    settled: bool


def multi_phase(
    image: Shaped[Tensor, "z y x"],
    start: Float[Tensor, "2 z2 y2 x2"],
    spacing: Spacing,
    *,
    phases: FourPhases,
    mask: Bool[Tensor, "z3 y3 x3"] | None = None,
    on_step: Listener | None = None,
) -> Parted:
    """Move two contours so that the values in the four regions they part are nearly constant.

    Args:
        image: (z, y, x) real; a volume of one slice is a plane.
        start: Both first level sets, of size about 1.
        spacing: Size of a voxel along (z, y, x), any unit.
        phases: How they evolve.
        mask: Voxels that count; elsewhere the level sets stay as they are.
        on_step: Told of each step: its number, and the energy.

    Returns:
        The regions and what they were found by.

    Raises:
        ShapeError: The shapes differ.
        RegionError: The mask is empty.
        IntensityError: The values are not finite, or constant.

    References:
        Vese and Chan (2002), doi:10.1023/A:1020874308076, eq. (10) to (13) for two level sets.
        Each length counts where it lies, as there; semi-implicit steps as in ``chan_vese``, the
        second level set after the first. The energy has local minima: it matters where it starts.
    """
    values, (middle, spread) = standardised(image, start[0], mask)
    free = _NO_MASK if mask is None else mask.cpu().numpy().astype(np.float32)
    ratio = ratios(image.shape, spacing)
    flow = Flow(phases.weight, 1.0, 1.0, phases.time_step, phases.width, ratio)
    old = np.stack([framed(one) for one in start])
    new, energies, settled = old.copy(), [], False
    total = sums(old, values, free)
    count = float(total[:, 0].sum())
    for number in range(1, phases.steps + 1):
        total, change = step(old, new, values, free, flow, _means(total))
        for one in new:
            frame(one)
        energies.append(_energy(total, new, flow) / count)
        old, new = new, old
        if on_step is not None:
            on_step(number, energies[-1])
        settled = bool(np.sqrt(change / (2 * count)) < phases.tol)
        if settled:
            break
    region, means = _ordered(old, total)
    c1, c2, c3, c4 = (middle + spread * c for c in means)
    return Parted(region, (c1, c2, c3, c4), tuple(energies), settled)


def signs_of(region: Int[Tensor, "z y x"]) -> Float[Tensor, "2 z y x"]:
    """Make both level sets from regions 0 to 3; neighbours in number share one contour.

    Args:
        region: (z, y, x) 0 to 3.

    Returns:
        (2, z, y, x), 1 and -1.
    """
    table = torch.tensor(_SIGNS, dtype=torch.float32)
    return table[region.long()].movedim(-1, 0).contiguous()


def nearest_of_four(image: Shaped[Tensor, "z y x"], mask: Tensor | None) -> Int[Tensor, "z y x"]:
    """Part values into four classes by Lloyd's rule, starting from even shares of their range.

    Args:
        image: (z, y, x) real.
        mask: Voxels that count.

    Returns:
        (z, y, x) 0 to 3, darkest first.

    Raises:
        IntensityError: The values are constant.
    """
    values = image.detach().cpu().double().numpy()
    counted = values if mask is None else values[mask.cpu().numpy()]
    low, high = float(counted.min()), float(counted.max())
    if not low < high:
        raise IntensityError(f"values must vary to be told apart, all are {low:g}")
    heights, ends = np.histogram(counted, bins=1024, range=(low, high))
    at = (ends[1:] + ends[:-1]) / 2
    means = low + (high - low) * (np.arange(4) + 0.5) / 4
    for _ in range(100):
        kind = np.digitize(at, (means[1:] + means[:-1]) / 2)
        fresh = [_mean(at[kind == k], heights[kind == k], means[k]) for k in range(4)]
        if np.array_equal(fresh, means):
            break
        means = np.array(fresh)
    cuts = (means[1:] + means[:-1]) / 2
    return torch.from_numpy(np.digitize(values, cuts).astype(np.int64))


def _mean(at: NDArray[np.float64], heights: NDArray[np.int64], otherwise: float) -> float:
    total = int(heights.sum())
    return float(at @ heights / total) if total else float(otherwise)


def _means(total: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give the mean of each phase; an empty one has the mean of all."""
    whole = total[:, 1].sum() / total[:, 0].sum()
    some = total[:, 0] > 0
    return np.where(some, total[:, 1] / np.where(some, total[:, 0], 1), whole).astype(np.float32)


def _energy(total: NDArray[np.float64], phi: NDArray[np.float32], flow: Flow) -> float:
    some = total[total[:, 0] > 0]
    spread = float((some[:, 2] - some[:, 1] ** 2 / some[:, 0]).sum())
    return spread + flow.weight * sum(float(length(one, flow)) for one in phi)


def _ordered(phi: NDArray[np.float32], total: NDArray[np.float64]) -> tuple[Tensor, list[float]]:
    """Number the phases by their means, empty ones last."""
    means = np.where(total[:, 0] > 0, total[:, 1] / np.maximum(total[:, 0], 1), np.nan)
    order = np.argsort(means, kind="stable")
    rank = np.empty(4, np.uint8)
    rank[order] = np.arange(4)
    first, second = (one[1:-1, 1:-1, 1:-1] > 0 for one in phi)
    return torch.from_numpy(rank[2 * first + second]), [float(m) for m in means[order]]
