"""Contours that stop at edges: geodesic active contours and distance-regularised level sets."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError, RegionError, ShapeError
from vesalius.ops._chan_vese import Listener, ratios
from vesalius.ops._level_set_loops import edge_length, geodesic, regularised, slopes
from vesalius.ops._narrow_band import (
    REACH,
    Band,
    crossings,
    framed_band,
    framed_field,
    rebuild,
    redistance,
)

Spacing = tuple[float, float, float]
Fields = tuple[NDArray[np.float32], NDArray[np.float32]]

_WIDTH = 1.5
"""Half width of the smoothed delta function, samples (Li et al.)."""
_LEAK = 1.5
"""Move of one place in ten steps that keeps a contour from being at rest, samples."""


@final
@dataclass(frozen=True, slots=True)
class Geodesic:
    """How a geodesic contour moves.

    Attributes:
        curvature: Weight of the edge-stopped curvature.
        balloon: Speed outwards where there is no edge, samples in unit time; negative shrinks.
        attraction: Weight of the pull into the valley of the edge stop.
        time_step: Largest; where the flow would not be stable it is shorter.
        steps: Largest number of steps.
        tol: Stops where the contour moved less than this on average in ten steps, samples, and
            nowhere by one and a half.

    Raises:
        ConfigError: A number is out of range.
    """

    curvature: float = 0.2
    balloon: float = 1.0
    attraction: float = 6.0
    time_step: float = 1.0
    steps: int = 300
    tol: float = 0.02

    def __post_init__(self) -> None:
        _check_numbers(self, ("curvature", "attraction", "tol"), ("time_step", "steps"))
        if not math.isfinite(self.balloon):
            raise ConfigError(f"balloon must be a finite speed, got {self.balloon}")


@final
@dataclass(frozen=True, slots=True)
class Regularised:
    """How a distance-regularised contour moves.

    Attributes:
        keep: Weight of the distance regularisation times the time step; at most 0.25 in the
            plane and 0.16 in a volume, where the flow is stable.
        length: Weight of the edge-stopped length.
        area: Weight of the edge-stopped area; positive grows, negative shrinks.
        time_step: Of one step.
        steps: Largest number of steps.
        tol: Stops where the contour moved less than this on average in ten steps, samples, and
            nowhere by one and a half.

    Raises:
        ConfigError: A number is out of range.
    """

    keep: float = 0.15
    length: float = 5.0
    area: float = 3.0
    time_step: float = 1.0
    steps: int = 300
    tol: float = 0.02

    def __post_init__(self) -> None:
        _check_numbers(self, ("length", "tol"), ("keep", "time_step", "steps"))
        if not math.isfinite(self.area):
            raise ConfigError(f"area must be a finite weight, got {self.area}")
        if self.keep > 0.25:
            raise ConfigError(f"keep must be at most 0.25 for a stable flow, got {self.keep}")


def _check_numbers(
    flow: Geodesic | Regularised, from_zero: tuple[str, ...], above: tuple[str, ...]
) -> None:
    for name in (*from_zero, *above):
        value = getattr(flow, name)
        if not (0 <= value < math.inf) or (name in above and value == 0):
            least = "a positive number" if name in above else "0 or a positive number"
            raise ConfigError(f"{name} must be {least}, got {value}")


class Front(NamedTuple):
    """Where a contour came to rest.

    Attributes:
        phi: (z, y, x) float32, positive inside, a distance in finest samples near the contour.
        lengths: Edge-weighted length of the contour after each step, samples.
        settled: Whether it stopped before the last step.
    """

    phi: Tensor
    lengths: tuple[float, ...]
    settled: bool


def edge_stop(
    image: Float[Tensor, "z y x"], spacing: Spacing, contrast: float
) -> Float[Tensor, "z y x"]:
    """Make what stops a contour: 1 where values are flat, towards 0 on edges.

    Args:
        image: (z, y, x), smoothed.
        spacing: Size of a voxel along (z, y, x).
        contrast: Slope, per sample of the finest axis, where the stop is a half. Positive.

    Returns:
        ``1 / (1 + (slope / contrast)^4)``.

    References:
        Caselles, Kimmel and Sapiro (1997), doi:10.1023/A:1007979827043, eq. (7), with p = 4 in
        place of 1 or 2: a balloon goes through the shallow valleys that those make of the edges
        of real nuclei.
    """
    return 1 / (1 + (steepest_slope(image, spacing) / contrast) ** 4)


def steepest_slope(image: Float[Tensor, "z y x"], spacing: Spacing) -> Float[Tensor, "z y x"]:
    """Measure the slope by the larger difference of each axis, backward or forward.

    Central differences halve an edge between two thick slices, and a contour leaks there.

    Args:
        image: (z, y, x).
        spacing: Size of a voxel along (z, y, x).

    Returns:
        (z, y, x), per sample of the finest axis; 0 along an axis of one sample.
    """
    total = torch.zeros_like(image)
    for axis, ratio in enumerate(ratios(image.shape, spacing)):
        if ratio > 0:
            step, count = image.diff(dim=axis).abs() * ratio, image.shape[axis] - 1
            ends = [step.narrow(axis, k, 1) for k in (0, count - 1)]
            both = [torch.cat([ends[0], step], dim=axis), torch.cat([step, ends[1]], dim=axis)]
            total = total + torch.maximum(*both) ** 2
    return total.sqrt()


def slope_size(image: Float[Tensor, "z y x"], spacing: Spacing) -> Float[Tensor, "z y x"]:
    """Measure the slope by central differences, per sample of the finest axis.

    Args:
        image: (z, y, x).
        spacing: Size of a voxel along (z, y, x).

    Returns:
        (z, y, x); 0 along an axis of one sample.
    """
    total = torch.zeros_like(image)
    for axis, ratio in enumerate(ratios(image.shape, spacing)):
        if ratio > 0:
            total = total + (torch.gradient(image, dim=axis)[0] * ratio) ** 2
    return total.sqrt()


def geodesic_contour(
    stop: Float[Tensor, "z y x"],
    start: Bool[Tensor, "z2 y2 x2"],
    spacing: Spacing,
    *,
    flow: Geodesic,
    mask: Bool[Tensor, "z3 y3 x3"] | None = None,
    on_step: Listener | None = None,
) -> Front:
    """Let a contour shrink or grow until edges hold it; parts may split and merge.

    Args:
        stop: (z, y, x) edge stop, 0 to 1.
        start: First region.
        spacing: Size of a voxel along (z, y, x), any unit.
        flow: How it moves.
        mask: Where it may move.
        on_step: Told of each step: its number, and the weighted length.

    Returns:
        The level set.

    Raises:
        ShapeError: The shapes differ.
        RegionError: The start is empty or fills everything.

    References:
        Caselles, Kimmel and Sapiro (1997), doi:10.1023/A:1007979827043, eq. (20); upwind
        after Osher and Sethian (1988), doi:10.1016/0021-9991(88)90002-2, and a signed distance
        again after every second step. Each voxel has its own time step, so that flat places do
        not wait for steep ones; where the contour comes to rest is the same.
    """
    band = _laid(stop, start, spacing, mask)
    field = framed_field(stop)
    numbers = (flow.curvature, flow.balloon, flow.attraction, flow.time_step)

    def move(near: NDArray[np.int64], fields: Fields) -> None:
        geodesic(band.phi, band.state, band.steps, band.ratio, near, fields, numbers)

    return _run(band, field, _Loop(move, flow.steps, flow.tol, 2), on_step)


def regularised_contour(
    stop: Float[Tensor, "z y x"],
    start: Bool[Tensor, "z2 y2 x2"],
    spacing: Spacing,
    *,
    flow: Regularised,
    mask: Bool[Tensor, "z3 y3 x3"] | None = None,
    on_step: Listener | None = None,
) -> Front:
    """Let a contour move to edges while the level set keeps itself a distance near it.

    Args:
        stop: (z, y, x) edge stop, 0 to 1.
        start: First region.
        spacing: Size of a voxel along (z, y, x), any unit.
        flow: How it moves.
        mask: Where it may move.
        on_step: Told of each step: its number, and the weighted length.

    Returns:
        The level set.

    Raises:
        ShapeError: The shapes differ.
        RegionError: The start is empty or fills everything.

    References:
        Li, Xu, Gui and Fox (2010), doi:10.1109/TIP.2010.2069690, eq. (30), double well (16),
        narrow band of section III-C. Slopes at faces are means of those of the two voxels;
        positive inside, so that a positive area grows.
    """
    band = _laid(stop, start, spacing, mask)
    field = framed_field(stop)
    dt = flow.time_step
    numbers = (flow.keep / dt, flow.length, flow.area, _WIDTH, dt)

    def move(near: NDArray[np.int64], fields: Fields) -> None:
        regularised(band.phi, band.state, band.steps, band.ratio, near, fields, numbers)

    return _run(band, field, _Loop(move, flow.steps, flow.tol, 0), on_step)


class _Loop(NamedTuple):
    """What is done in each step, how often, and after how many the distance is made anew."""

    move: Callable[[NDArray[np.int64], Fields], None]
    steps: int
    tol: float
    renew: int


def _laid(stop: Tensor, start: Tensor, spacing: Spacing, mask: Tensor | None) -> Band:
    for name, other in (("start", start), ("mask", mask)):
        if other is not None and other.shape != stop.shape:
            raise ShapeError(
                f"{name} must have the shape of the edge stop {tuple(stop.shape)}, "
                f"got {tuple(other.shape)}"
            )
    inside = start if mask is None else start & mask
    free = start.numel() if mask is None else int(mask.sum())
    if not 0 < int(inside.sum()) < free:
        raise RegionError(
            "a start must have voxels inside and outside to have a contour, got "
            f"{int(inside.sum())} of {free} inside: give a smaller or larger first region"
        )
    return framed_band(inside, mask, ratios(stop.shape, spacing))


def _run(band: Band, stop: NDArray[np.float32], loop: _Loop, on_step: Listener | None) -> Front:
    phi, state, steps, ratio, _ = band
    layers = math.ceil(REACH / float(ratio[ratio > 0].max()))
    size = np.zeros_like(phi)
    near, first = rebuild(phi, state, steps, crossings(phi, state, steps), layers)
    redistance(phi, state, steps, ratio, near, first, REACH)
    lengths: list[float] = []
    seen, settled = phi[near].copy(), False
    marks = near
    for number in range(1, loop.steps + 1):
        slopes(phi, state, steps, ratio, near, size)
        lengths.append(edge_length(phi, state, steps, ratio, near, (stop, size), _WIDTH))
        loop.move(near, (stop, size))
        near, first = rebuild(phi, state, steps, near, layers)
        if loop.renew and number % loop.renew == 0:
            redistance(phi, state, steps, ratio, near, first, REACH)
        if on_step is not None:
            on_step(number, lengths[-1])
        if number % 10 == 0:
            close = np.abs(seen) < 1
            moved = np.abs(phi[marks] - seen)[close]
            # strong edges make a contour tremble within its voxels; a leak moves one place fast
            # while the rest of the contour stands still
            still = not np.any((phi[marks] > 0) != (seen > 0))
            allowed = loop.tol * len(moved) * (10 if still else 1)
            settled = bool(moved.sum() < allowed and moved.max() < _LEAK)
            marks, seen = near, phi[near].copy()
        if settled or not len(near):
            break
    return Front(band.unframed(), tuple(lengths), settled)
