"""Axis-aligned resampling: one narrow band of weights for each axis, no gathering."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vesalius.ops._band import Band, apply_band
from vesalius.ops._gather import aligned_nearest
from vesalius.ops._parts import in_parts
from vesalius.ops._spline import POLE, Extension, spline_coefficients_along

Interpolation = Literal["linear", "cubic", "nearest"]
Border = Literal["nearest", "mirror", "constant", "extent"]

SLACK = 1e-6
"""Positions this far outside, in samples, still count as on the edge: rounding, not geometry."""
ALIGNED = 1e-7
"""An axis that drifts by less than this over the whole output, in samples, counts as aligned."""
TAIL = 12
"""Beyond this many samples the extended spline has settled to the edge value (to 1e-7)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How to interpolate and what lies outside.

    Attributes:
        interpolation: Order of the interpolation.
        border: What lies outside; see ``sample``.
        fill: Value where ``border`` says that there is nothing.
    """

    interpolation: Interpolation
    border: Border
    fill: float

    @property
    def extension(self) -> Extension:
        """How the spline goes on outside."""
        return "nearest" if self.border == "nearest" else "mirror"

    @property
    def mirrored(self) -> bool:
        """Whether positions outside are mirrored; else they are clamped."""
        return self.border == "mirror" or (
            self.border == "extent" and self.interpolation == "cubic"
        )

    @property
    def reach(self) -> float:
        """How far outside of the edge samples there still is something, samples."""
        if self.border == "constant":
            return SLACK
        return 0.5 + SLACK if self.border == "extent" else float("inf")


@dataclass(frozen=True, slots=True)
class Axes:
    """Which axis of the output drives which axis of the input, and how.

    Attributes:
        source: For each input axis (z, y, x) the output axis.
        slope: Input samples for one output sample, for each input axis.
        offset: Input position of output index 0, for each input axis.
    """

    source: tuple[int, ...]
    slope: tuple[float, ...]
    offset: tuple[float, ...]


def aligned_axes(matrix: Any, shape: tuple[int, int, int]) -> Axes | None:
    """Find the axes of a map that only scales, shifts, flips and swaps; None for another map.

    Args:
        matrix: (4, 4) float64 array, output index to input index.
        shape: Samples of the output along (z, y, x).

    Returns:
        The axes, or None where an input axis depends on two output axes.
    """
    drift = np.abs(matrix[:3, :3]) * (np.array(shape) - 1)
    used = drift > ALIGNED
    if used.sum(axis=1).max() > 1 or used.sum(axis=0).max() > 1:
        return None
    source = [int(row.argmax()) if row.any() else -1 for row in used]
    free = [axis for axis in range(3) if axis not in source]
    for axis in range(3):
        if source[axis] < 0:  # constant along this axis: its own output axis, if that is free
            source[axis] = free.pop(free.index(axis) if axis in free else 0)
    slope = tuple(float(matrix[a, source[a]]) if used[a].any() else 0.0 for a in range(3))
    return Axes(tuple(source), slope, tuple(float(v) for v in matrix[:3, 3]))


def resample_aligned(
    volume: Tensor, axes: Axes, *, shape: tuple[int, int, int], rule: Rule
) -> Tensor:
    """Resample along each axis by itself.

    Args:
        volume: (c, z, y, x).
        axes: From ``aligned_axes``.
        shape: Samples of the output along (z, y, x).
        rule: How.

    Returns:
        (c, *shape), contiguous.
    """
    at = [axes.slope[a] * np.arange(shape[axes.source[a]]) + axes.offset[a] for a in range(3)]
    if rule.interpolation == "nearest" and volume.device.type == "cpu" and not volume.requires_grad:
        out = _nearest_cpu(volume, at, rule)
    else:
        # the axes that shrink come first: less work for the others
        out = volume
        for a in sorted(range(3), key=lambda a: len(at[a]) / volume.shape[a + 1]):
            out = _along(out, at[a], a - 3, rule)
    order = [axes.source.index(axis) for axis in range(3)]
    out = out.permute(0, *(a + 1 for a in order))
    if np.isfinite(rule.reach):
        out = _filled(out, [at[a] for a in order], [volume.shape[a + 1] for a in order], rule)
    shared = out.data_ptr() == volume.data_ptr()  # nothing to do: still never give the input back
    return out.clone(memory_format=torch.contiguous_format) if shared else out.contiguous()


def _nearest_cpu(volume: Tensor, at: list[Any], rule: Rule) -> Tensor:
    z, y, x = (
        _nearest_index(_folded(p, n, rule), n) for p, n in zip(at, volume.shape[1:], strict=True)
    )
    source = volume.detach().contiguous().numpy()
    out = np.empty((len(source), len(z), len(y), len(x)), dtype=source.dtype)
    in_parts(
        lambda a, b: aligned_nearest(source, z, y, x, out, a, b), len(z) * len(y), cost=out.size
    )
    return torch.from_numpy(out)


def _nearest_index(at: Any, n: int) -> Any:
    return np.minimum(np.floor(at + 0.5), n - 1).astype(np.int64)


def _filled(out: Tensor, at: list[Any], sizes: list[int], rule: Rule) -> Tensor:
    for axis, (position, n) in enumerate(zip(at, sizes, strict=True)):
        outside = (position < -rule.reach) | (position > n - 1 + rule.reach)
        if outside.any():
            where = torch.as_tensor(np.flatnonzero(outside), device=out.device)
            out = out.index_fill(axis + 1, where, rule.fill)
    return out


def _along(x: Tensor, at: Any, axis: int, rule: Rule) -> Tensor:
    n = x.shape[axis]
    at = _folded(at, n, rule)
    if len(at) == n and np.abs(at - np.arange(n)).max() < ALIGNED:
        return x
    if rule.interpolation == "nearest":
        return x.index_select(axis, torch.as_tensor(_nearest_index(at, n), device=x.device))
    if rule.interpolation == "linear" or n == 1:
        return apply_band(x, _linear_band(at, n), axis=axis)
    coefficients = spline_coefficients_along(x, axis, extension=rule.extension)
    return apply_band(coefficients, _cubic_band(at, n, rule.extension), axis=axis)


def _folded(at: Any, n: int, rule: Rule) -> Any:
    """Bring positions to where there are samples."""
    if rule.mirrored and n > 1:
        at = np.abs(at) % (2 * (n - 1))
        at = np.minimum(at, 2 * (n - 1) - at)
    tail = TAIL if rule.interpolation == "cubic" and rule.border == "nearest" and n > 1 else 0
    return np.clip(at, -tail, n - 1 + tail)


def _linear_band(at: Any, n: int) -> Band:
    first = np.clip(np.floor(at), 0, max(n - 2, 0)).astype(np.int64)
    t = at - first
    if n == 1:
        return Band(first[:, None], np.ones((len(at), 1)), n)
    return Band(np.stack([first, first + 1], axis=1), np.stack([1 - t, t], axis=1), n)


def _cubic_band(at: Any, n: int, extension: Extension) -> Band:
    """Give the B-spline weights; taps outside become weights of the coefficients they equal."""
    floor = np.floor(at).astype(np.int64)
    t, s = at - floor, 1 - (at - floor)
    weights = (s**3 / 6, 2 / 3 - t * t * (1 - t / 2), 2 / 3 - s * s * (1 - s / 2), t**3 / 6)
    width = min(4, n)
    start = np.clip(floor - 1, 0, n - width)
    out = np.zeros((len(at), width))
    rows = np.arange(len(at))
    for tap, weight in enumerate(weights):
        k = floor - 1 + tap
        inside = (k >= 0) & (k < n)
        np.add.at(out, (rows[inside], (k - start)[inside]), weight[inside])
        for r in rows[~inside]:
            beyond = int(-k[r] if k[r] < 0 else k[r] - (n - 1))
            edge, side = (0, 1) if k[r] < 0 else (n - 1, -1)
            for steps, share in _outside(beyond, n, extension):
                out[r, edge + side * steps - start[r]] += share * weight[r]
    return Band(start[:, None] + np.arange(width), out, n)


def _outside(beyond: int, n: int, extension: Extension) -> tuple[tuple[int, float], ...]:
    """Write the coefficient ``beyond`` the edge by those inside: (steps from the edge, share)."""
    if extension == "mirror":
        fold = beyond % (2 * (n - 1))
        return ((min(fold, 2 * (n - 1) - fold), 1.0),)
    decay = POLE**beyond
    settled = (1 - decay) / (5 + POLE)
    return ((0, decay + (4 + POLE) * settled), (1, settled))
