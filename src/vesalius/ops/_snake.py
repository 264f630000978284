"""Elastic lines in a plane: semi-implicit snakes, closed or open, with points they must pass."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError, ShapeError

Points = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class Elastic:
    """How a snake moves, in samples.

    Attributes:
        elasticity: Against stretching (alpha).
        rigidity: Against bending (beta).
        balloon: Pressure outwards for a closed one; negative inwards.
        closed: Whether the last point is joined to the first.
        distance: Between points; the line is divided anew as it moves.
        time_step: Of one step.
        steps: Largest number of steps.
        tol: Stops where no point moved more than this in a step.

    Raises:
        ConfigError: A number is out of range.
    """

    elasticity: float = 0.05
    rigidity: float = 0.02
    balloon: float = 0.0
    closed: bool = True
    distance: float = 1.0
    time_step: float = 1.0
    steps: int = 500
    tol: float = 0.005

    def __post_init__(self) -> None:
        for name in ("elasticity", "rigidity", "tol"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(
                    f"{name} must be 0 or a positive number, got {getattr(self, name)}"
                )
        for name in ("distance", "time_step", "steps"):
            if not 0 < getattr(self, name) < np.inf:
                raise ConfigError(f"{name} must be a positive number, got {getattr(self, name)}")
        if not np.isfinite(self.balloon):
            raise ConfigError(f"balloon must be a finite pressure, got {self.balloon}")


class Rested(NamedTuple):
    """Where a snake came to rest.

    Attributes:
        points: (n, 2) float64 (y, x), samples.
        moves: Largest move of a point in each step, samples.
        settled: Whether the last move was below ``tol``.
    """

    points: Tensor
    moves: tuple[float, ...]
    settled: bool


def snake(
    force: Float[Tensor, "2 y x"],
    points: Float[Tensor, "n 2"],
    elastic: Elastic,
    *,
    fixed: Float[Tensor, "k 2"] | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Rested:
    """Let an elastic line move in a field of forces until it rests.

    Args:
        force: (2, y, x) force along (y, x) at each sample.
        points: (n, 2) first line (y, x), samples, at least three points if closed, else two.
        elastic: How it moves.
        fixed: Points that it must go through: the nearest point of the line is set there in each
            step. The ends of an open line stay where they are.
        on_step: Told of each step: its number, and the largest move.

    Returns:
        The line.

    Raises:
        ShapeError: There are too few points.

    References:
        Kass, Witkin and Terzopoulos (1988), doi:10.1007/BF00133570, eq. (19) and (20); balloon:
        Cohen (1991), doi:10.1016/1049-9660(91)90028-N. Constraint points are met exactly, instead
        of by springs, and the line is divided anew by arc length every fifth step.
    """
    least = 3 if elastic.closed else 2
    if len(points) < least:
        raise ShapeError(f"a snake needs at least {least} points, got {len(points)}")
    line = points.detach().cpu().double().numpy()
    pins = np.zeros((0, 2)) if fixed is None else fixed.detach().cpu().double().numpy()
    field = force.detach().cpu().double().numpy()
    line = _pinned(_divided(line, elastic), pins, elastic)
    inverse, moves = _inverse(len(line), elastic), []
    for number in range(1, elastic.steps + 1):
        pull = _sampled(field, line) + elastic.balloon * _normals(line, elastic)
        fresh = inverse @ (line + elastic.time_step * pull)
        if not elastic.closed:
            fresh[0], fresh[-1] = line[0], line[-1]
        fresh = np.clip(_pinned(fresh, pins, elastic), 0, np.array(field.shape[1:]) - 1.0)
        moves.append(float(np.abs(fresh - line).max()))
        line = fresh
        if on_step is not None:
            on_step(number, moves[-1])
        if moves[-1] < elastic.tol:
            break
        if number % 5 == 0:
            line = _pinned(_divided(line, elastic), pins, elastic)
            if len(line) != len(inverse):
                inverse = _inverse(len(line), elastic)
    return Rested(torch.from_numpy(line), tuple(moves), moves[-1] < elastic.tol)


def _divided(line: Points, elastic: Elastic) -> Points:
    """Divide a line anew into equal parts of about the wanted length."""
    whole = np.vstack([line, line[:1]]) if elastic.closed else line
    parts = np.hypot(*np.diff(whole, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(parts)])
    count = int(np.clip(round(at[-1] / elastic.distance), 8, 2000))
    where = np.linspace(0, at[-1], count + 1)
    where = where[:-1] if elastic.closed else where
    return np.stack([np.interp(where, at, whole[:, k]) for k in range(2)], axis=1)


def _pinned(line: Points, pins: Points, elastic: Elastic) -> Points:
    """Set the nearest point of the line onto each pin, none twice."""
    if not len(pins):
        return line
    line, free = line.astype(np.float64, copy=True), np.ones(len(line), bool)
    if not elastic.closed:
        free[[0, -1]] = False
    for pin in pins:
        far = np.where(free, np.hypot(*(line - pin).T), np.inf)
        nearest = int(far.argmin())
        line[nearest], free[nearest] = pin, False
    return line


def _inverse(n: int, elastic: Elastic) -> Points:
    """Invert 1 + dt times the stiffness: second and fourth differences along the line."""
    second = -2.0 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
    if elastic.closed:
        second[0, -1] = second[-1, 0] = 1.0
    else:
        second[[0, -1]] = 0
    fourth = second.T @ second
    # the coefficients belong to differences along the arc
    d = elastic.distance
    stiff = -elastic.elasticity / d**2 * second + elastic.rigidity / d**4 * fourth
    return np.asarray(np.linalg.inv(np.eye(n) + elastic.time_step * stiff), np.float64)


def _normals(line: Points, elastic: Elastic) -> Points:
    """Unit normals, outwards for a closed line."""
    if not elastic.closed:
        return np.zeros_like(line)
    along = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0)
    size = np.maximum(np.hypot(*along.T), 1e-12)[:, None]
    turned = np.stack([along[:, 1], -along[:, 0]], axis=1) / size
    y, x = line.T
    area = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    return np.asarray(-turned if area > 0 else turned, np.float64)


def _sampled(field: Points, line: Points) -> Points:
    """Interpolate the force at the points of a line, bilinear."""
    ny, nx = field.shape[1:]
    y, x = np.clip(line[:, 0], 0, ny - 1), np.clip(line[:, 1], 0, nx - 1)
    j = np.minimum(y.astype(int), max(ny - 2, 0))
    i = np.minimum(x.astype(int), max(nx - 2, 0))
    v, u = y - j, x - i
    below, right = np.minimum(j + 1, ny - 1), np.minimum(i + 1, nx - 1)
    top = field[:, j, i] * (1 - u) + field[:, j, right] * u
    bottom = field[:, below, i] * (1 - u) + field[:, below, right] * u
    found: Points = (top * (1 - v) + bottom * v).T
    return found
