"""Rules that choose a strength without the truth: discrepancy, GCV, SURE, L-curve."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import ConfigError, ConvergenceError

Solve = Callable[[Tensor, float, Tensor | None], Tensor]
"""From data, a strength and a start (``None`` at first) to the minimum x."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A strength and what it was chosen by.

    Attributes:
        weight: The strength.
        x: The reconstruction with it.
        weights: Strengths that were tried, in order.
        scores: What the rule makes of each; its name says what is sought.
    """

    weight: float
    x: Tensor
    weights: tuple[float, ...]
    scores: tuple[float, ...]


def discrepancy(
    solve: Solve,
    op: LinearOperator,
    y: Tensor,
    *,
    start: float,
    sigma: float = 1.0,
    tol: float = 0.02,
    steps: int = 12,
) -> Choice:
    """Find the strength at which the residual is as large as the noise.

    Args:
        solve: The method, from (data, strength, start) to x.
        op: A.
        y: Data, white noise of ``sigma``.
        start: First strength tried; the search widens by 4 and then halves in the logarithm.
        sigma: Standard deviation of the noise.
        tol: Relative distance of |A x - y|^2 from its target n sigma^2 at which it ends.
        steps: Most strengths tried.

    Returns:
        The choice; scores are |A x - y|^2 / (n sigma^2), 1 is sought.

    Raises:
        ConfigError: ``start`` or ``sigma`` is not positive.
        ConvergenceError: No strength tried lies on each side: the noise level or the model is
            wrong.

    References:
        Morozov (1984), doi:10.1007/978-1-4612-5280-1.
    """
    _check(start, sigma)
    low, high, weight, x = 0.0, math.inf, start, None
    tried: list[float] = []
    scores: list[float] = []
    for _ in range(steps):
        x = solve(y, weight, x)
        score = _square(op(x) - y) / (y.numel() * sigma**2)
        tried.append(weight)
        scores.append(score)
        if abs(score - 1.0) <= tol:
            break
        low, high = (weight, high) if score < 1.0 else (low, weight)
        weight = _between(low, high)
    if (low == 0.0 or high == math.inf) and abs(scores[-1] - 1.0) > tol:
        raise ConvergenceError(
            f"no strength from {min(tried):.3g} to {max(tried):.3g} brings the residual to the "
            f"noise level sigma = {sigma:.3g}: |A x - y|^2 / (n sigma^2) went from "
            f"{min(scores):.3g} to {max(scores):.3g}; check sigma, or use sure or gcv"
        )
    assert x is not None
    return Choice(tried[-1], x, tuple(tried), tuple(scores))


def _between(low: float, high: float) -> float:
    if low == 0.0:
        return high / 4.0
    return low * 4.0 if high == math.inf else math.sqrt(low * high)


def sure(
    solve: Solve,
    op: LinearOperator,
    y: Tensor,
    *,
    weights: tuple[float, ...],
    sigma: float = 1.0,
    generator: torch.Generator | None = None,
) -> Choice:
    """Choose the strength of least predicted risk, Stein's estimate by one random probe.

    The score is an unbiased estimate of |A x - A truth|^2 / n: the error that the data can see.
    Strengths are tried in the order given, each starting from the last; it stops when the score
    has risen twice.

    Args:
        solve: The method, from (data, strength, start) to x.
        op: A.
        y: Data, white noise of ``sigma``.
        weights: Strengths to try; from strong to weak is fastest.
        sigma: Standard deviation of the noise.
        generator: Draws the probe; ``None`` is a fixed one.

    Returns:
        The choice; the least score is sought.

    Raises:
        ConfigError: A strength or ``sigma`` is not positive, or there is none.

    References:
        Ramani, Blu, Unser (2008), doi:10.1109/TIP.2008.2001404, eq. (10), and for data A x
        Eldar (2009), doi:10.1109/TSP.2008.2008212 (here the risk of A x).
    """

    def score(residual: float, freedom: float, n: int) -> float:
        return (residual - n * sigma**2 + 2.0 * sigma**2 * freedom) / n

    return _search(solve, op, y, weights, sigma, (score, generator))


def gcv(
    solve: Solve,
    op: LinearOperator,
    y: Tensor,
    *,
    weights: tuple[float, ...],
    generator: torch.Generator | None = None,
) -> Choice:
    """Choose the strength of least generalised cross-validation; the noise level is not needed.

    Args:
        solve: The method, from (data, strength, start) to x.
        op: A.
        y: Data; the noise is white, of any level.
        weights: Strengths to try; from strong to weak is fastest.
        generator: Draws the probe of the trace; ``None`` is a fixed one.

    Returns:
        The choice; the least score |A x - y|^2 / n / (1 - freedom / n)^2 is sought.

    Raises:
        ConfigError: A strength is not positive, or there is none.

    References:
        Golub, Heath, Wahba (1979), doi:10.1080/00401706.1979.10489751, eq. (1.4); the trace by a
        random probe: Girard (1989), doi:10.1007/BF01395775.
    """

    def score(residual: float, freedom: float, n: int) -> float:
        return residual / n / max(1.0 - freedom / n, 1e-6) ** 2

    sigma = max(float(y.double().std()), 1e-300)
    return _search(solve, op, y, weights, 0.05 * sigma, (score, generator))


def _search(
    solve: Solve,
    op: LinearOperator,
    y: Tensor,
    weights: tuple[float, ...],
    sigma: float,
    rule: tuple[Callable[[float, float, int], float], torch.Generator | None],
) -> Choice:
    score, generator = rule
    _check(min(weights, default=0.0), sigma)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    probe = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y)
    size = 0.1 * sigma
    x = moved = None
    scores: list[float] = []
    best, kept = math.inf, None
    for weight in weights:
        x = solve(y, weight, x)
        moved = solve(y + size * probe, weight, x if moved is None else moved)
        freedom = float((probe * op(moved - x)).sum(dtype=torch.float64)) / size
        scores.append(score(_square(op(x) - y), freedom, y.numel()))
        if scores[-1] < best:
            best, kept = scores[-1], x
        if len(scores) > 2 and scores[-1] > scores[-2] > scores[-3]:
            break
    assert kept is not None
    tried = tuple(weights[: len(scores)])
    return Choice(tried[scores.index(best)], kept, tried, tuple(scores))


def l_curve(
    solve: Solve,
    op: LinearOperator,
    y: Tensor,
    *,
    weights: tuple[float, ...],
    roughness: Callable[[Tensor], float],
) -> Choice:
    """Choose the corner of the curve of log residual against log roughness.

    Args:
        solve: The method, from (data, strength, start) to x.
        op: A.
        y: Data.
        weights: At least three strengths, in falling or rising order.
        roughness: What the prior measures, such as ``prox.value``.

    Returns:
        The choice; scores are the curvature through each point and its neighbours (0 at the ends),
        the largest is sought.

    Raises:
        ConfigError: There are fewer than three strengths, or one is not positive.

    References:
        Hansen, O'Leary (1993), doi:10.1137/0914086; curvature by the circle through three points.
    """
    _check(min(weights, default=0.0), 1.0)
    if len(weights) < 3:
        raise ConfigError(f"an L-curve must have at least three strengths, got {len(weights)}")
    points: list[tuple[float, float]] = []
    images: list[Tensor] = []
    x = None
    for weight in weights:
        x = solve(y, weight, x)
        images.append(x)
        residual, rough = math.sqrt(_square(op(x) - y)), roughness(x)
        points.append((math.log(max(residual, 1e-300)), math.log(max(rough, 1e-300))))
    ordered = sorted(range(len(weights)), key=lambda i: weights[i])
    scores = [0.0] * len(weights)
    for before, here, after in zip(ordered, ordered[1:], ordered[2:], strict=False):
        scores[here] = _bend(points[before], points[here], points[after])
    # only points with two neighbours have a curvature
    best = max(ordered[1:-1], key=lambda i: scores[i])
    return Choice(weights[best], images[best], tuple(weights), tuple(scores))


def _bend(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Signed curvature of the circle through three points; positive at the corner of an L."""
    (ax, ay), (bx, by), (cx, cy) = a, b, c
    twice_area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    sides = math.dist(a, b) * math.dist(b, c) * math.dist(a, c)
    return 2.0 * twice_area / sides if sides > 0 else 0.0


def _square(x: Tensor) -> float:
    return float(x.abs().double().square().sum())


def _check(weight: float, sigma: float) -> None:
    if not (0.0 < weight < math.inf and 0.0 < sigma < math.inf):
        raise ConfigError(
            f"strengths and sigma must be positive, got {weight:g} and {sigma:g}: a rule needs at "
            "least one strength to try"
        )
