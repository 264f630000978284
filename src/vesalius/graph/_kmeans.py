"""K-means: split points into groups by their nearest centre (k-means++ start, Lloyd rounds)."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError, RegionError
from vesalius.ops._jit import kernel

Points = Float[Tensor, "n d"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Groups of points.

    Attributes:
        centres: Mean of each group, in the order in which the start drew them.
        labels: Group of each point, 0 to k - 1.
        inertia: Sum of squared distances of the points to their centre.
        steps: Rounds that were done.
    """

    centres: Float[Tensor, "k d"]
    labels: Int64[Tensor, " n"]
    inertia: float
    steps: int


def kmeans(
    x: Points, count: int, *, generator: torch.Generator, steps: int = 100, tol: float = 1e-4
) -> Clusters:
    """Group points so that the squared distances to the group means are small.

    The start is k-means++ (each further centre drawn by its squared distance to those there are),
    then come Lloyd's rounds. A centre that loses all its points moves to the point that is
    farthest from its own centre. It ends in a local optimum, as k-means does.

    Args:
        x: (n, d); scale the axes first so that a step of 1 weighs the same on each.
        count: Number of groups, 1 to the number of points.
        generator: Of the start; the same state gives the same groups.
        steps: Rounds at most.
        tol: Stop where a round lowers the inertia by less than this share of it.

    Returns:
        The groups; dtype and device follow ``x``.

    Raises:
        RegionError: There are fewer points than groups.
        IntensityError: A coordinate is not finite.
        ConfigError: ``count`` or ``steps`` is below 1, or ``tol`` is negative.

    References:
        Lloyd (1982), doi:10.1109/TIT.1982.1056489; Arthur & Vassilvitskii (2007), k-means++.
    """
    if count < 1 or steps < 1 or not tol >= 0:
        raise ConfigError(
            f"count and steps must be at least 1 and tol at least 0, got {count}, {steps} and {tol}"
        )
    check_points(x, count)
    points = np.ascontiguousarray(x.detach().cpu().numpy())
    draws = torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device)
    centres = _spread(points, draws.cpu().numpy())
    labels = np.zeros(len(points), dtype=np.int64)
    before, done = np.inf, 0
    for done in range(1, steps + 1):
        inertia = _assign(points, centres, labels)
        if before - inertia <= tol * inertia or done == steps:
            break
        before = inertia
        _means(points, labels, centres)
    return Clusters(
        torch.from_numpy(centres).to(x), torch.from_numpy(labels).to(x.device), inertia, done
    )


def nearest(x: Points, centres: Float[Tensor, "k d"]) -> Int64[Tensor, " n"]:
    """Give the index of the nearest centre of each point; the first where several are as near."""
    points = np.ascontiguousarray(x.detach().cpu().numpy())
    labels = np.zeros(len(points), dtype=np.int64)
    _assign(points, centres.detach().cpu().double().numpy(), labels)
    return torch.from_numpy(labels).to(x.device)


def check_points(x: Points, count: int) -> None:
    """Refuse points that cannot be grouped.

    Raises:
        RegionError: There are fewer points than groups.
        IntensityError: A coordinate is not finite.
    """
    if len(x) < count:
        raise RegionError(
            f"there must be at least as many points as groups, got {len(x)} points for {count}: "
            "ask for fewer groups, or widen the mask"
        )
    if not bool(torch.isfinite(x).all()):
        raise IntensityError("points must be finite to be grouped: mask NaN and infinity out")


@kernel
@no_type_check
def _spread(x, draws):
    """Draw centres, each by the squared distance to those before it (k-means++)."""
    n, d = x.shape
    k = len(draws)
    centres = np.zeros((k, d))
    away = np.full(n, 1.0)
    pick = min(n - 1, int(draws[0] * n))
    for j in range(k):
        if j > 0:
            total = 0.0
            for i in range(n):
                total += away[i]
            goal, sum_, pick = draws[j] * total, 0.0, n - 1
            for i in range(n):
                sum_ += away[i]
                if sum_ > goal:
                    pick = i
                    break
        for c in range(d):
            centres[j, c] = x[pick, c]
        for i in range(n):
            square = 0.0
            for c in range(d):
                square += (x[i, c] - centres[j, c]) ** 2
            away[i] = square if j == 0 else min(away[i], square)
    return centres


@kernel
@no_type_check
def _assign(x, centres, labels):
    """Label each point by its nearest centre; returns the inertia."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        best, at = np.inf, 0
        for j in range(len(centres)):
            square = 0.0
            for c in range(d):
                square += (x[i, c] - centres[j, c]) ** 2
            if square < best:
                best, at = square, j
        labels[i] = at
        total += best
    return total


@kernel
@no_type_check
def _means(x, labels, centres):
    """Move each centre to the mean of its points, an empty one to the farthest point."""
    k, d = centres.shape
    sums = np.zeros((k, d))
    sizes = np.zeros(k, dtype=np.int64)
    for i in range(len(x)):
        j = labels[i]
        sizes[j] += 1
        for c in range(d):
            sums[j, c] += x[i, c]
    taken = np.zeros(len(x) if sizes.min() == 0 else 0, dtype=np.bool_)
    for j in range(k):
        if sizes[j] == 0:
            far, at = -1.0, 0
            for i in range(len(x)):
                square = 0.0
                for c in range(d):
                    square += (x[i, c] - centres[labels[i], c]) ** 2
                if square > far and not taken[i]:
                    far, at = square, i
            taken[at] = True
            for c in range(d):
                sums[j, c] = x[at, c]
            sizes[j] = 1
    for j in range(k):
        for c in range(d):
            centres[j, c] = sums[j, c] / sizes[j]
