"""Descent of a linear stage, for any similarity: quasi-Newton or Adam, scaled by the motion."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vesalius.errors import IntensityError
from vesalius.register._linear_level import LinearLevel
from vesalius.register._plan import Adam
from vesalius.register._similarity import Similarity
from vesalius.register._watch import Watch

KEPT = 0.25  # least overlap, as a part of the first one
REST = 2e-3  # a step below this part of the spacing ends a scale
REACH = 2.0  # longest step, in spacings
FIRST = 0.5  # length of the first step, in spacings
FALL, TURN = 1e-4, 0.9  # of the Wolfe conditions
TRIALS = 8  # most evaluations of one line search


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A map, its loss, and the derivative by the scaled amounts; ``overlap`` in samples."""

    transform: np.ndarray
    loss: float
    gradient: np.ndarray
    overlap: float


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """The loss of a level, by amounts scaled so that a metric becomes the identity.

    Attributes:
        level: The scale.
        similarity: The loss.
        scale: (n, n); amounts = scale @ scaled amounts.
    """

    level: LinearLevel
    similarity: Similarity
    scale: np.ndarray

    def at(self, transform: np.ndarray) -> Spot:
        """Evaluate a map."""
        loss, gradient, overlap = self.level.slope(self.similarity, transform)
        return Spot(transform, loss, self.scale.T @ gradient if overlap else gradient, overlap)

    def moved(self, spot: Spot, amounts: np.ndarray) -> np.ndarray:
        """Give the map after a step of scaled amounts."""
        moved: np.ndarray = spot.transform @ self.level.allowed.step(self.scale @ amounts)
        return moved

    def length_mm(self, amounts: np.ndarray) -> float:
        """Give the root mean square motion of a step of scaled amounts."""
        return self.level.allowed.length_mm(self.scale @ amounts)


def whitening(metric: np.ndarray) -> np.ndarray:
    """Give S with S^T metric S = 1, a metric without rank being lifted a little."""
    lift = 1e-6 * max(float(np.trace(metric)) / len(metric), 1e-300)
    inverse: np.ndarray = np.linalg.inv(np.linalg.cholesky(metric + lift * np.eye(len(metric)))).T
    return inverse


def quasi_newton(
    slope: Slope, transform: np.ndarray, *, memory: int, steps: int, tol: float, watch: Watch
) -> np.ndarray:
    """Improve a map by limited-memory BFGS with a weak-Wolfe line search.

    Args:
        slope: The loss.
        transform: (4, 4), where to begin.
        memory: Pairs of steps and changes of gradient that are kept.
        steps: Most evaluations of the loss.
        tol: See ``Watch.record``.
        watch: Told of each step.

    Returns:
        (4, 4), the best map. Steps that lose three quarters of the first overlap are refused.

    Raises:
        IntensityError: The loss is not finite at the beginning.

    References:
        Nocedal & Wright (2006), doi:10.1007/978-0-387-40065-5, algorithms 7.4 and 7.5; Lewis &
        Overton (2013), doi:10.1007/s10107-012-0514-2, algorithm 2.6 (the line search). Differs
        from them in: the origin of the amounts moves along with the map.
    """
    now = slope.at(transform)
    _require_finite(now)
    least, spacing = KEPT * now.overlap, slope.level.spacing_mm
    pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=memory)
    left = steps
    while left > 0:
        way = -_two_loops(pairs, now.gradient)
        if not float(way @ now.gradient) < 0:
            pairs.clear()
            way = -now.gradient
        length = slope.length_mm(way)
        if not length > 0:
            break
        longest = REACH * spacing / length
        first = min(1.0, longest) if pairs else FIRST * spacing / length

        def tried(part: float, way: np.ndarray = way, now: Spot = now) -> Spot:
            return slope.at(slope.moved(now, part * way))

        part, then, used = _search(tried, now, way, first=(first, longest), least=least)
        left -= used
        if then is None:
            if not pairs:
                break
            pairs.clear()
            continue
        step, change = part * way, then.gradient - now.gradient
        if float(step @ change) > 1e-12 * float(np.linalg.norm(step) * np.linalg.norm(change)):
            pairs.append((step, change))
        before, now = now.loss, then
        if watch.record(spacing, before, part * length, tol=tol) or part * length < REST * spacing:
            break
    return now.transform


def adam(
    slope: Slope, transform: np.ndarray, optimiser: Adam, *, steps: int, tol: float, watch: Watch
) -> np.ndarray:
    """Improve a map by Adam: steps of about ``rate`` mm along each freedom, shrinking to a tenth.

    Args:
        slope: The loss, scaled by the motion in mm.
        transform: (4, 4), where to begin.
        optimiser: The rate.
        steps: Most steps.
        tol: See ``Watch.record``.
        watch: Told of each step.

    Returns:
        (4, 4), the best map that was seen.

    Raises:
        IntensityError: The loss is not finite at the beginning.

    References:
        Kingma & Ba (2015), doi:10.48550/arXiv.1412.6980, algorithm 1, with a cosine schedule.
    """
    now = best = slope.at(transform)
    _require_finite(now)
    least = KEPT * now.overlap
    mean, square = np.zeros_like(now.gradient), np.zeros_like(now.gradient)
    for k in range(1, steps + 1):
        mean = 0.9 * mean + 0.1 * now.gradient
        square = 0.999 * square + 0.001 * now.gradient**2
        rate = optimiser.rate * (0.55 + 0.45 * math.cos(math.pi * (k - 1) / steps))
        root = np.sqrt(square / (1 - 0.999**k)) + 1e-12
        step = -rate * mean / (1 - 0.9**k) / root
        then = slope.at(slope.moved(now, step))
        if then.overlap < least or not math.isfinite(then.loss):
            break
        before, now = now.loss, then
        best = now if now.loss < best.loss else best
        if watch.record(slope.level.spacing_mm, before, slope.length_mm(step), tol=tol):
            break
    return best.transform


def _search(
    tried: Callable[[float], Spot],
    now: Spot,
    way: np.ndarray,
    *,
    first: tuple[float, float],
    least: float,
) -> tuple[float, Spot | None, int]:
    """Look along a way for a point of the weak Wolfe conditions; None where nothing falls."""
    part, longest = first
    rate = float(way @ now.gradient)
    low, high = 0.0, math.inf
    best: Spot | None = None
    best_part = 0.0
    for used in range(1, TRIALS + 1):
        then = tried(part)
        if not (then.loss <= now.loss + FALL * part * rate and then.overlap >= least):
            high = part
        else:
            best, best_part = then, part
            if float(way @ then.gradient) >= TURN * rate or part >= longest:
                return part, then, used
            low = part
        part = (low + high) / 2 if math.isfinite(high) else min(2 * part, longest)
    return best_part, best, TRIALS


def _two_loops(pairs: deque[tuple[np.ndarray, np.ndarray]], gradient: np.ndarray) -> np.ndarray:
    """Apply the inverse Hessian that the pairs stand for."""
    way, weights = gradient.copy(), []
    for step, change in reversed(pairs):
        weight = float(step @ way) / float(step @ change)
        way = way - weight * change
        weights.append(weight)
    if pairs:
        step, change = pairs[-1]
        way = way * (float(step @ change) / float(change @ change))
    for (step, change), weight in zip(pairs, reversed(weights), strict=True):
        way = way + step * (weight - float(change @ way) / float(step @ change))
    return way


def _require_finite(now: Spot) -> None:
    if not (math.isfinite(now.loss) and bool(np.isfinite(now.gradient).all())):
        raise IntensityError(
            f"the loss must be finite at the start, got {now.loss}: check the images for NaN and "
            "constant values, and that they overlap inside their masks"
        )
