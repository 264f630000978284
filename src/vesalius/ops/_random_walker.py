"""Random walker: how likely a walk from each voxel meets each mark first."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import NamedTuple, final, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Integer, Shaped
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import ConfigError, ConvergenceError, IntensityError, RegionError, ShapeError
from vesalius.ops._chan_vese import ratios
from vesalius.ops._jit import kernel
from vesalius.ops._watershed import watershed

Array = NDArray[np.float64]

_LEAST = 1e-6
"""Conductance across the strongest edge: walks are never quite shut in."""


@final
@dataclass(frozen=True, slots=True)
class Walk:
    """How walks shy at edges.

    Attributes:
        beta: Conductance falls as ``exp(-beta d^2)`` of the difference in standard deviations.
        steps: Largest number of steps of the solver.
        tol: Relative residual at which it stops.

    Raises:
        ConfigError: A number is out of range.
    """

    beta: float = 3.0
    steps: int = 5000
    tol: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 <= self.beta < np.inf:
            raise ConfigError(f"beta must be 0 or a positive number, got {self.beta}")
        if self.steps < 1 or not 0 < self.tol < 1:
            raise ConfigError(
                "steps must be at least 1 and tol lie between 0 and 1, got "
                f"{self.steps} and {self.tol}"
            )


class Walked(NamedTuple):
    """Where walks end.

    Attributes:
        values: Of the marks, ascending.
        probability: (k, z, y, x) float32, one for each value; 0 where no mark can be reached.
        steps: Of the solver, for all marks together.
    """

    values: tuple[int, ...]
    probability: Tensor
    steps: int


def random_walker(
    image: Shaped[Tensor, "z y x"],
    marks: Integer[Tensor, "z2 y2 x2"],
    spacing: tuple[float, float, float],
    *,
    walk: Walk,
    mask: Bool[Tensor, "z3 y3 x3"] | None = None,
) -> Walked:
    """Find for each voxel how likely a random walk meets each mark before the others.

    Args:
        image: (z, y, x) real.
        marks: 0 where unknown, at least two other values.
        spacing: Size of a voxel along (z, y, x), any unit.
        walk: How walks shy at edges.
        mask: Where they may go.

    Returns:
        Probabilities, which sum to 1 where a mark can be reached.

    Raises:
        ShapeError: The shapes differ.
        RegionError: There are fewer than two marks inside the mask.
        IntensityError: The values are not finite.
        ConvergenceError: The solver did not reach its tolerance.

    References:
        Grady (2006), doi:10.1109/TPAMI.2006.233, eq. (1), (2) and (10); conductances are divided
        by the squared spacing. Solved by conjugate gradients preconditioned by an incomplete
        Cholesky factor (Meijerink and van der Vorst 1977,
        doi:10.1090/S0025-5718-1977-0438681-4).
    """
    inside, kinds = _checked(image, marks, mask)
    values = image.detach().cpu().double().numpy()
    links = _links(values, inside, ratios(image.shape, spacing), walk.beta)
    drawn = np.pad(np.where(inside, marks.cpu().numpy(), 0), 1).reshape(-1)
    free = np.pad(inside, 1).reshape(-1) & (drawn == 0)
    reached = watershed(image * 0, marks.cpu() * torch.from_numpy(inside), torch.from_numpy(inside))
    size = tuple(n + 2 for n in image.shape)
    steps = np.array([size[1] * size[2], size[2], 1])
    diagonal = _diagonal(links, steps)
    factor = _factor(links, diagonal, free, steps)
    found, total = [], 0
    for kind in kinds[:-1]:
        solution = (drawn == kind).astype(np.float64)
        count = _solve((links, diagonal, factor, steps), free, solution, walk.steps, walk.tol)
        if count > walk.steps:
            raise ConvergenceError(
                f"the random walker must reach a residual of {walk.tol:g}, it did not in "
                f"{walk.steps} steps: allow more steps or a larger tol"
            )
        total += count
        found.append(solution.reshape(size)[1:-1, 1:-1, 1:-1].clip(0, 1))
    found.append((1 - sum(found)).clip(0, 1))
    probability = torch.from_numpy(np.stack(found).astype(np.float32))
    return Walked(tuple(kinds), probability * (reached > 0), total)


def _checked(
    image: Tensor, marks: Tensor, mask: Tensor | None
) -> tuple[NDArray[np.bool_], list[int]]:
    for name, other in (("marks", marks), ("mask", mask)):
        if other is not None and other.shape != image.shape:
            raise ShapeError(
                f"{name} must have the shape of the image {tuple(image.shape)}, "
                f"got {tuple(other.shape)}"
            )
    if image.is_floating_point() and not bool(torch.isfinite(image).all()):
        raise IntensityError("values must be finite for a random walk, got NaN or infinity")
    inside = np.ones(image.shape, bool) if mask is None else mask.cpu().numpy()
    kinds = [int(v) for v in np.unique(marks.cpu().numpy()[inside]) if v != 0]
    if len(kinds) < 2 or kinds[0] < 0:
        raise RegionError(
            f"a random walk needs marks of two positive values inside the mask, got {kinds}: mark "
            "the object and its surroundings"
        )
    return inside, kinds


def _links(
    values: Array, inside: NDArray[np.bool_], pace: tuple[float, float, float], beta: float
) -> Array:
    """Give the conductance from each voxel to the next along each axis, framed and flat."""
    spread = float(values[inside].std()) or 1.0
    found = np.zeros((3, *(n + 2 for n in values.shape)))
    core = found[:, 1:-1, 1:-1, 1:-1]
    for axis, ratio in enumerate(pace):
        if ratio == 0:
            continue
        n = values.shape[axis]
        first, next_ = (np.take(values, range(a, a + n - 1), axis) for a in (0, 1))
        both = np.take(inside, range(n - 1), axis) & np.take(inside, range(1, n), axis)
        link = np.exp(-beta * ((next_ - first) / spread) ** 2) + _LEAST
        where = [slice(None)] * 3
        where[axis] = slice(0, n - 1)
        core[axis][tuple(where)] = ratio**2 * link * both
    return np.ascontiguousarray(found.reshape(3, -1))


@kernel
@no_type_check
def _diagonal(links, steps):
    n = links.shape[1]
    found = np.zeros(n)
    for a in range(3):
        for i in range(n - steps[a]):
            found[i] += links[a, i]
            found[i + steps[a]] += links[a, i]
    return found


@kernel
@no_type_check
def _factor(links, diagonal, free, steps):
    """Factorise incompletely: only where there are links; gives one over the diagonal."""
    found = np.zeros(len(diagonal))
    for i in range(steps[0], len(diagonal)):
        if not free[i] or diagonal[i] <= 0:
            continue
        e = diagonal[i]
        for a in range(3):
            j = i - steps[a]
            if not free[j]:
                continue
            e -= (links[a, j] * found[j]) ** 2
        found[i] = 1 / np.sqrt(max(e, 1e-6 * diagonal[i]))
    return found


@kernel
@no_type_check
def _precondition(system, free, residual, out):
    links, _, factor, steps = system
    n = len(residual)
    for i in range(steps[0], n):
        if free[i]:
            t = residual[i]
            for a in range(3):
                j = i - steps[a]
                if free[j]:
                    t += links[a, j] * factor[j] * out[j]
            out[i] = t * factor[i]
    for i in range(n - steps[0] - 1, -1, -1):
        if free[i]:
            t = out[i]
            for a in range(3):
                j = i + steps[a]
                if free[j]:
                    t += links[a, i] * factor[i] * out[j]
            out[i] = t * factor[i]


@kernel
@no_type_check
def _apply(system, free, x, out):
    """Apply the Laplacian to the free voxels; the others of ``x`` count as they are."""
    links, diagonal, _, steps = system
    for i in range(steps[0], len(x) - steps[0]):
        if free[i]:
            t = diagonal[i] * x[i]
            for a in range(3):
                t -= links[a, i] * x[i + steps[a]] + links[a, i - steps[a]] * x[i - steps[a]]
            out[i] = t


@kernel
@no_type_check
def _solve(system, free, x, most, tol):
    """Solve for the free voxels of ``x`` in place; give the steps taken, above ``most`` if late."""
    n = len(x)
    held = np.zeros(n)
    _apply(system, free, x, held)
    residual = -held
    out, along = np.zeros(n), np.zeros(n)
    start = np.sqrt(np.sum(residual * residual))
    if start == 0:
        return 0
    old = 1.0
    for count in range(1, most + 1):
        _precondition(system, free, residual, out)
        new = np.sum(residual * out)
        share = new / old if count > 1 else 0.0
        for i in range(n):
            along[i] = out[i] + share * along[i]
        _apply(system, free, along, held)
        length = new / np.sum(along * held)
        size = 0.0
        for i in range(n):
            x[i] += length * along[i]
            residual[i] -= length * held[i]
            size += residual[i] * residual[i]
        if np.sqrt(size) < tol * start:
            return count
        old = new
    return most + 1
