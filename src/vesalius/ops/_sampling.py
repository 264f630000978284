"""Interpolation: the value of a volume between its samples."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.ops import _gather
from vesalius.ops._filters import require_floats
from vesalius.ops._gather_torch import gather
from vesalius.ops._parts import in_parts
from vesalius.ops._separable import (
    TAIL,
    Border,
    Interpolation,
    Rule,
    aligned_axes,
    resample_aligned,
)
from vesalius.ops._spline import Pads, extend_coefficients, spline_coefficients

Volume = Shaped[Tensor, "c z y x"]
Shape = tuple[int, int, int]

ORDERS = {"nearest": _gather.NEAREST, "linear": _gather.LINEAR, "cubic": _gather.CUBIC}
CHUNK = 1 << 22  # positions handled at once on the GPU, so that the index arrays stay small


def sample(
    volume: Volume,
    index_points: Float[Tensor, "*n 3"],
    *,
    interpolation: Interpolation = "linear",
    border: Border = "nearest",
    fill: float = 0.0,
) -> Shaped[Tensor, "c *n"]:
    """Interpolate a volume at any positions.

    Args:
        volume: (c, z, y, x); float32 or float64, any number type for ``"nearest"``.
        index_points: Positions (z, y, x) in samples, float32 or float64; 0 is the centre of the
            first sample.
        interpolation: ``"linear"``; ``"cubic"``, the cubic B-spline through the samples; or
            ``"nearest"``, halves up.
        border: What lies outside. ``"nearest"`` repeats the edge samples without end,
            ``"mirror"`` reflects about them: both are SciPy's modes of that name.
            ``"constant"`` is ``fill`` beyond the centres of the edge samples (SciPy), ``"extent"``
            is ``fill`` beyond their outer faces, half a sample further (ITK).
        fill: Value outside for ``"constant"`` and ``"extent"``.

    Returns:
        (c, *n), dtype and device of ``volume``. Differentiable by the samples and, unless
        ``"nearest"``, by the positions.

    Raises:
        UnitError: Linear or cubic interpolation of integers or half precision, or a fill value
            that integer samples cannot hold.
        GeometryError: A position is not finite, or in half precision.

    Example:
        >>> sample(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([0.0, 0.0, 0.5]))
        tensor([0.5000])

    References:
        Unser (1999), doi:10.1109/79.799930 (cubic B-spline interpolation).
    """
    rule = _rule(volume, interpolation, border, fill)
    flat = index_points.reshape(-1, 3)
    low, high = _bounds(flat)
    ready, frame = _prepare(volume, low, high, rule)
    tracked = torch.is_grad_enabled() and (volume.requires_grad or index_points.requires_grad)
    if volume.device.type != "cpu" or tracked:
        out = gather(ready, flat, frame, rule)
    else:
        out = _points_cpu(ready, flat, frame, rule)
    return out.reshape(volume.shape[0], *index_points.shape[:-1])


def resample_affine(
    volume: Volume,
    matrix: Float[Tensor, "4 4"],
    *,
    shape: Shape,
    interpolation: Interpolation = "linear",
    border: Border = "nearest",
    fill: float = 0.0,
) -> Shaped[Tensor, "c z2 y2 x2"]:
    """Interpolate a volume on a regular lattice.

    A map that only scales, shifts, flips or swaps axes is resampled axis by axis; any other map
    is evaluated position by position. Both give the same values.

    Args:
        volume: (c, z, y, x); see ``sample``.
        matrix: (4, 4); output index ``(z, y, x, 1)`` to input index ``(z, y, x, 1)``.
        shape: Samples of the output along (z, y, x).
        interpolation: See ``sample``.
        border: See ``sample``.
        fill: See ``sample``.

    Returns:
        (c, *shape), dtype and device of ``volume``. Differentiable by the samples.

    Raises:
        UnitError: Linear or cubic interpolation of integers or half precision, or a fill value
            that integer samples cannot hold.
        GeometryError: ``matrix`` is not finite.
        ShapeError: A size of ``shape`` is below 1.
    """
    rule = _rule(volume, interpolation, border, fill)
    if min(shape) < 1:
        raise ShapeError(f"shape must be three sizes of at least 1, got {shape}")
    m = matrix.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(m).all():
        raise GeometryError("matrix must be finite, got NaN or infinity: check both affines")
    axes = aligned_axes(m, shape)
    if axes is not None:
        return resample_aligned(volume, axes, shape=shape, rule=rule)
    reach = m[:3, :3] * (np.array(shape) - 1)
    low = (m[:3, 3] + np.minimum(reach, 0).sum(axis=1)).tolist()
    high = (m[:3, 3] + np.maximum(reach, 0).sum(axis=1)).tolist()
    ready, frame = _prepare(volume, low, high, rule)
    if volume.device.type != "cpu" or (torch.is_grad_enabled() and volume.requires_grad):
        return _lattice_torch(ready, m, frame, shape, rule)
    return _lattice_cpu(ready, m, frame, shape, rule)


def sample_labels(
    labels: Integer[Tensor, "c z y x"], index_points: Float[Tensor, "*n 3"], *, fill: int = 0
) -> Integer[Tensor, "c *n"]:
    """Give each position the label with the largest share of the linear weights around it.

    This is what linear interpolation of every label's indicator (background too) and the largest
    of them give, without making the indicators. Ties go to the smaller label.

    Args:
        labels: (c, z, y, x), integer.
        index_points: Positions (z, y, x) in samples.
        fill: Label beyond the outer faces of the edge samples.

    Returns:
        (c, *n), dtype and device of ``labels``.
    """
    flat = index_points.detach().reshape(-1, 3)
    source = labels.detach().cpu().contiguous().numpy()
    at = flat.cpu().contiguous().numpy()
    out = np.empty((source.shape[0], len(at)), dtype=source.dtype)
    reach = Rule("linear", "extent", 0.0).reach
    in_parts(
        lambda a, b: _gather.points_vote(source, at, reach, fill, out, a, b),
        len(at),
        cost=out.size,
    )
    return torch.from_numpy(out).to(labels.device).reshape(-1, *index_points.shape[:-1])


def _bounds(at: Tensor) -> tuple[list[float], list[float]]:
    """Give the lowest and highest position along each axis; refuse what is not a number."""
    values = at.detach()
    if values.dtype.itemsize < 4:
        raise GeometryError(
            "index_points must be float32 or float64 (coordinates are never in half precision), "
            f"got {values.dtype}"
        )
    if values.device.type == "cpu":
        found = torch.from_numpy(_gather.bounds(values.contiguous().numpy()))
    else:
        empty = values.new_zeros((1, 3))
        both = values if len(values) else empty
        found = torch.stack([both.amin(dim=0), both.amax(dim=0)]).cpu().double()
    if not bool(torch.isfinite(found).all()):
        raise GeometryError(
            "index_points must be finite, got NaN or infinity: check the transform that made them"
        )
    return found[0].tolist(), found[1].tolist()


def _rule(volume: Tensor, interpolation: Interpolation, border: Border, fill: float) -> Rule:
    if interpolation != "nearest":
        require_floats(volume, f"{interpolation} interpolation")
    if not volume.is_floating_point():
        _require_fit(volume.dtype, fill)
    return Rule(interpolation, border, fill)


def _require_fit(dtype: torch.dtype, fill: float) -> None:
    low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    if not (low <= fill <= high and float(fill).is_integer()):
        raise UnitError(
            f"fill must be a whole number from {low} to {high} to fit {dtype} samples, got {fill}"
        )


def _prepare(volume: Tensor, low: list[float], high: list[float], rule: Rule) -> tuple[Tensor, Any]:
    """Give what the loops read: the samples or padded coefficients, and the frame of each axis."""
    sizes = volume.shape[1:]
    if rule.interpolation != "cubic":
        frame = np.array([[n, 0.0, n - 1.0, 0.0] for n in sizes])
        return volume.contiguous(), frame
    tails = [(0, 0)] * 3
    if rule.border == "nearest":
        tails = [
            (_tail(-a), _tail(b - (n - 1))) if n > 1 else (0, 0)
            for a, b, n in zip(low, high, sizes, strict=True)
        ]
    coefficients = spline_coefficients(volume, extension=rule.extension)
    z, y, x = ((a + 1, b + 2) for a, b in tails)
    pads: Pads = (z, y, x)
    rows = [[n, -a, n - 1.0 + b, a + 1.0] for n, (a, b) in zip(sizes, tails, strict=True)]
    return extend_coefficients(coefficients, pads, extension=rule.extension), np.array(rows)


def _tail(beyond: float) -> int:
    return min(max(math.ceil(beyond), 0), TAIL)


def _points_cpu(volume: Tensor, at: Tensor, frame: Any, rule: Rule) -> Tensor:
    source, where = volume.detach().numpy(), at.detach().cpu().contiguous().numpy()
    out = np.empty((source.shape[0], len(where)), dtype=source.dtype)
    order, mirror, reach = ORDERS[rule.interpolation], rule.mirrored, rule.reach
    fill = out.dtype.type(rule.fill)

    def part(start: int, stop: int) -> None:
        if order == _gather.NEAREST:
            _gather.points_nearest(source, where, frame, mirror, reach, fill, out, start, stop)
        else:
            _gather.points(source, where, frame, order, mirror, reach, fill, out, start, stop)

    in_parts(part, len(where), cost=out.size)
    return torch.from_numpy(out)


def _lattice_cpu(volume: Tensor, matrix: Any, frame: Any, shape: Shape, rule: Rule) -> Tensor:
    source = volume.detach().numpy()
    out = np.empty((source.shape[0], *shape), dtype=source.dtype)
    order, mirror, reach = ORDERS[rule.interpolation], rule.mirrored, rule.reach
    fill = out.dtype.type(rule.fill)

    def part(start: int, stop: int) -> None:
        if order == _gather.NEAREST:
            _gather.affine_nearest(source, matrix, frame, mirror, reach, fill, out, start, stop)
        else:
            _gather.affine(source, matrix, frame, order, mirror, reach, fill, out, start, stop)

    in_parts(part, shape[0] * shape[1], cost=out.size)
    return torch.from_numpy(out)


def _lattice_torch(volume: Tensor, matrix: Any, frame: Any, shape: Shape, rule: Rule) -> Tensor:
    """Evaluate slab by slab, by torch: on the GPU, and where derivatives are wanted."""
    m = torch.as_tensor(matrix, device=volume.device)
    y, x = (torch.arange(n, dtype=torch.float64, device=volume.device) for n in shape[1:])
    plane = y[:, None, None] * m[:3, 1] + x[:, None] * m[:3, 2] + m[:3, 3]
    slab = max(1, CHUNK // (shape[1] * shape[2]))
    parts = []
    for start in range(0, shape[0], slab):
        stop = min(start + slab, shape[0])
        z = torch.arange(start, stop, dtype=torch.float64, device=volume.device)
        at = (z[:, None, None, None] * m[:3, 0] + plane).reshape(-1, 3)
        parts.append(gather(volume, at, frame, rule).reshape(-1, stop - start, *shape[1:]))
    return torch.cat(parts, dim=1)
