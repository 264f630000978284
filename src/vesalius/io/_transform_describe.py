"""A transform in words: its direction, its parts in the order points go through them, its sizes."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch

from vesalius.core import BSpline, Displacement, Grid, Linear, Transform, Velocity
from vesalius.core._inverse import Inverse
from vesalius.io._transform_parts import flatten

EXACT = 1e-6


def describe(transform: Transform) -> str:
    """Say what a transform does, for people.

    Args:
        transform: Any transform.

    Returns:
        Lines: direction and frame, then each part in the order that points go through them.
    """
    parts = flatten(transform)[::-1]
    head = "fixed -> moving, LPS, mm"
    if len(parts) == 1:
        return "\n".join([head, *_lines(parts[0])])
    text = [head, f"{len(parts)} parts; points go through them in this order:"]
    for number, part in enumerate(parts, start=1):
        first, *more = _lines(part)
        text += [f"{number}. {first}", *(f"   {line}" for line in more)]
    return "\n".join(text)


def _lines(transform: Transform) -> list[str]:
    if isinstance(transform, Linear):
        return _linear(transform)
    if isinstance(transform, Displacement):
        outside = {"nearest": "the edge goes on", "zero": "nothing moves"}[transform.border]
        first = f"displacement field, {_type(transform.data)}, beyond its grid {outside}"
        return [first, *_field(transform.data, transform.grid)]
    if isinstance(transform, Velocity):
        first = f"stationary velocity, {_type(transform.data)}; the inverse is that of its negative"
        return [first, *_field(transform.data, transform.grid)]
    if isinstance(transform, BSpline):
        first = f"free-form deformation, cubic B-spline, {_type(transform.coefficients)}"
        return [first, *_field(transform.coefficients, transform.grid)]
    if isinstance(transform, Inverse):
        first, *more = _lines(transform.forward)
        return [f"inverse, solved at each point, of: {first}", *more]
    return [repr(transform)]


def _type(data: torch.Tensor) -> str:
    return str(data.dtype).removeprefix("torch.")


def _field(data: torch.Tensor, grid: Grid) -> list[str]:
    z, y, x = grid.shape
    length = torch.linalg.vector_norm(data.detach().double(), dim=0)
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing_mm)
    origin = ", ".join(f"{o:.4g}" for o in grid.origin_mm)
    return [
        f"vectors: {float(length.mean()):.4g} mm on average, {float(length.max()):.4g} mm at most",
        f"grid: zyx {z} x {y} x {x}, {spacing} mm, origin ({origin}), axes {grid.orientation}",
    ]


def _linear(transform: Linear) -> list[str]:
    matrix = transform.matrix.detach().cpu()
    u, scales, v = torch.linalg.svd(matrix[:3, :3])
    turn = u @ v
    if float(torch.linalg.det(turn)) < 0:
        turn = -turn
    shift = ", ".join(f"{s:.4g}" for s in matrix[:3, 3].tolist())
    rows = [" ".join(f"{value:12.6f}" for value in row) for row in matrix.tolist()]
    return [f"{_kind(matrix, scales)}, {_rotation(turn)}, the origin goes to ({shift})", *rows]


def _kind(matrix: torch.Tensor, scales: torch.Tensor) -> str:
    if float((matrix - torch.eye(4, dtype=matrix.dtype)).abs().max()) < EXACT:
        return "identity"
    mirrored = ", mirrored" if float(torch.linalg.det(matrix[:3, :3])) < 0 else ""
    low, high = float(scales.min()), float(scales.max())
    if float((matrix[:3, :3] - torch.eye(3, dtype=matrix.dtype)).abs().max()) < EXACT:
        return "translation"
    if high - low > EXACT * high:
        volume = float(scales.prod())
        return f"affine{mirrored}, scales {low:.4f} to {high:.4f}, volume x {volume:.4f}"
    if abs(high - 1) < EXACT:
        return f"rigid{mirrored}"
    return f"similarity{mirrored}, scale {high:.4f}"


def _rotation(turn: torch.Tensor) -> str:
    """Give angle and axis; the antisymmetric part has the sine, the trace the cosine."""
    axis = torch.stack([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine = float(axis.norm()) / 2
    angle = math.degrees(math.atan2(sine, (float(turn.trace()) - 1) / 2))
    if angle < 1e-6 or sine < 1e-9:
        return f"rotation {angle:.4g} deg"
    l, p, s = (axis / axis.norm()).tolist()  # noqa: E741
    return f"rotation {angle:.4g} deg about ({l:.3f}, {p:.3f}, {s:.3f})"
