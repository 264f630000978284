"""Regions without edges: two phases of nearly constant value by the level set of Chan and Vese."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.ops._chan_vese_loops import Flow, frame, length, step

Spacing = tuple[float, float, float]
Listener = Callable[[int, float], None]
"""Told of each step: its number from 1 on, and the energy."""

_NO_MASK = np.zeros((0, 0, 0), np.float32)


@final
@dataclass(frozen=True, slots=True)
class Evolution:
    """How a contour without edges evolves; values are scaled to unit spread first.

    Attributes:
        weight: Of the length (area in 3-D) of the contour, in samples of the finest axis.
        inside: Weight of the spread inside.
        outside: Weight of the spread outside.
        time_step: Of one step, in the time of the flow.
        width: Of the smoothed delta function; 1 lets regions appear far from the contour.
        steps: Largest number of steps.
        tol: Stops where the root mean square change of the level set falls below it, where only
            what lies near a contour counts.

    Raises:
        ConfigError: A number is out of range.
    """

    weight: float = 0.2
    inside: float = 1.0
    outside: float = 1.0
    time_step: float = 1.0
    width: float = 1.0
    steps: int = 50
    tol: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("weight", "inside", "outside", "tol"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(
                    f"{name} must be 0 or a positive number, got {getattr(self, name)}"
                )
        for name in ("time_step", "width", "steps"):
            if not 0 < getattr(self, name) < np.inf:
                raise ConfigError(f"{name} must be a positive number, got {getattr(self, name)}")


class Evolved(NamedTuple):
    """Where a contour came to rest.

    Attributes:
        phi: (z, y, x) float32, positive inside.
        means: Value inside and outside, as in the image.
        energies: One for each step, per voxel, for values of unit spread: spread inside and
            outside, and the weighted length.
        settled: Whether the change fell below ``tol``.
    """

    phi: Tensor
    means: tuple[float, float]
    energies: tuple[float, ...]
    settled: bool


def checkerboard(shape: tuple[int, int, int], side: int = 5) -> Float[Tensor, "z y x"]:
    """Make a level set of many small regions, so that a contour is near everywhere.

    Args:
        shape: (z, y, x); an axis of one sample does not alternate.
        side: Of a square or cube, samples.

    Returns:
        Product of sines, float32, 0 at the borders of the squares.
    """
    # doubles, since the signs at the borders of the squares are those of the rounding
    x, y, z = (torch.arange(n, dtype=torch.float64) * (torch.pi / side) for n in shape[::-1])
    parts = [torch.ones(1) if len(a) == 1 else torch.sin(a) for a in (z, y, x)]
    return (parts[0][:, None, None] * parts[1][:, None] * parts[2]).float()


def chan_vese(
    image: Shaped[Tensor, "z y x"],
    start: Float[Tensor, "z2 y2 x2"],
    spacing: Spacing,
    *,
    evolution: Evolution,
    mask: Bool[Tensor, "z3 y3 x3"] | None = None,
    on_step: Listener | None = None,
) -> Evolved:
    """Move a contour so that the values inside and outside are nearly constant.

    Args:
        image: (z, y, x) real; a volume of one slice is a plane.
        start: First level set, positive inside, of size about 1.
        spacing: Size of a voxel along (z, y, x), any unit.
        evolution: How it evolves.
        mask: Voxels that count; elsewhere the level set stays as it is.
        on_step: Told of each step.

    Returns:
        The level set and what it was found by.

    Raises:
        ShapeError: The shapes differ.
        RegionError: The mask is empty.
        IntensityError: The values are not finite, or constant.

    References:
        Chan and Vese (2001), doi:10.1109/83.902291, eq. (9), without area term; scheme of
        Getreuer (2012), doi:10.5201/ipol.2012.g-cv, eq. (15), with all neighbours from the last
        step (it sweeps in place), in n-D, and with values of unit spread in place of 0..255.
    """
    values, (middle, spread) = standardised(image, start, mask)
    free = _NO_MASK if mask is None else mask.cpu().numpy().astype(np.float32)
    flow = Flow(
        evolution.weight,
        evolution.inside,
        evolution.outside,
        evolution.time_step,
        evolution.width,
        ratios(image.shape, spacing),
    )
    old = framed(start)
    phases = _Phases(values, free, flow)
    means = phases.of(old)
    new, energies, settled = old.copy(), [], False
    for number in range(1, evolution.steps + 1):
        total = step(old, new, values, free, flow, means)
        frame(new)
        means = phases.means(total)
        energies.append(phases.energy(total, means, new))
        old, new = new, old
        if on_step is not None:
            on_step(number, energies[-1])
        settled = bool(np.sqrt(total[3] / phases.count) < evolution.tol)
        if settled:
            break
    phi = torch.from_numpy(old[1:-1, 1:-1, 1:-1].copy())
    c1, c2 = (middle + spread * c for c in means)
    return Evolved(phi, (c1, c2), tuple(energies), settled)


class _Phases:
    """Sums over the two phases, from the sums over the inside."""

    def __init__(self, values: NDArray[np.float32], free: NDArray[np.float32], flow: Flow) -> None:
        weight = free if free.size else np.ones((1, 1, 1), np.float32)
        self.values, self.free, self.flow = values, free, flow
        self.count = float(weight.sum()) if free.size else float(values.size)
        self.sum = float((weight * values).sum(dtype=np.float64))
        self.squares = float((weight * values * values).sum(dtype=np.float64))

    def of(self, phi: NDArray[np.float32]) -> tuple[float, float]:
        """Give the means of a level set that no step was made from."""
        inside = phi[1:-1, 1:-1, 1:-1] > 0
        if self.free.size:
            inside = inside & (self.free > 0)
        total = np.zeros(5)
        total[:2] = inside.sum(), self.values[inside].sum(dtype=np.float64)
        return self.means(total)

    def means(self, total: NDArray[np.float64]) -> tuple[float, float]:
        """Give the mean inside and outside; an empty phase has the mean of all."""
        n, m = total[0], self.count - total[0]
        whole = self.sum / self.count
        c1 = float(total[1] / n) if n > 0 else whole
        return c1, float((self.sum - total[1]) / m) if m > 0 else whole

    def energy(
        self, total: NDArray[np.float64], means: tuple[float, float], phi: NDArray[np.float32]
    ) -> float:
        """Give what is made small, per voxel."""
        n, s, q = total[:3]
        c1, c2 = means
        within = q - 2 * c1 * s + c1 * c1 * n
        without = self.squares - q - 2 * c2 * (self.sum - s) + c2 * c2 * (self.count - n)
        flow = self.flow
        whole = flow.inside * within + flow.outside * without + flow.weight * length(phi, flow)
        return float(whole / self.count)


def standardised(
    image: Tensor, start: Tensor, mask: Tensor | None
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Check a scene, and scale its values to mean 0 and unit spread inside the mask.

    Args:
        image: (z, y, x) real.
        start: First level set.
        mask: Voxels that count.

    Returns:
        Float32 values, and the mean and the standard deviation that were taken out.

    Raises:
        ShapeError: The shapes differ.
        RegionError: The mask is empty.
        IntensityError: The values are not finite, or constant.
    """
    for name, other in (("start", start), ("mask", mask)):
        if other is not None and other.shape != image.shape:
            raise ShapeError(
                f"{name} must have the shape of the image {tuple(image.shape)}, "
                f"got {tuple(other.shape)}"
            )
    values = image.detach().cpu().double()
    counted = values if mask is None else values[mask.cpu()]
    if not counted.numel():
        raise RegionError("mask must have a voxel to segment in, got an empty one")
    middle, spread = float(counted.mean()), float(counted.std(correction=0))
    low, high = float(counted.min()), float(counted.max())
    if not (low < high and spread < np.inf):  # equal values may spread by their rounding
        raise IntensityError(
            f"values must be finite and vary to be told apart, they run from {low:g} to {high:g}"
        )
    return ((values - middle) / spread).float().contiguous().numpy(), (middle, spread)


def ratios(shape: tuple[int, ...], spacing: Spacing) -> tuple[float, float, float]:
    """Give the finest spacing divided by each; 0 for an axis of one sample."""
    felt = [s for s, n in zip(spacing, shape, strict=True) if n > 1] or [1.0]
    z, y, x = (0.0 if n == 1 else min(felt) / s for s, n in zip(spacing, shape, strict=True))
    return z, y, x


def framed(field: Tensor) -> NDArray[np.float32]:
    """Put a frame of one repeated sample around a block; always a copy, float32."""
    block = field.detach().cpu().float().numpy()
    return np.ascontiguousarray(np.pad(block, 1, mode="edge"))
