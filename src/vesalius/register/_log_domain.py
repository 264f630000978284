"""Log domain: search a stationary velocity greedily, from one side or through a mid space."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Transform, Velocity
from vesalius.core._displacement import to_mm
from vesalius.ops._warp import exponential, warp
from vesalius.register._comparison import Comparison, compare, pull
from vesalius.register._greedy import carry, limited, mean_mm, smooth
from vesalius.register._level import Level
from vesalius.register._plan import Greedy, Scale, Stage
from vesalius.register._unfold import unfold_velocity
from vesalius.register._watch import Watch

Flow = Float[Tensor, "3 z y x"]


def greedy_velocity(
    levels: tuple[Level, ...], stage: Stage, watch: Watch, optimiser: Greedy
) -> Transform:
    """Search a stationary velocity v, coarse to fine; the deformation is exp(v).

    Model ``"velocity"`` pulls the moving image through exp(v). ``"symmetric"`` pulls the moving
    image through exp(v / 2) and the fixed one through exp(-v / 2), compares in the mid space and
    takes the forces on both: exchange the images, and the result is the inverse.

    Each step adds the smoothed, scaled force to v (the composition of both exponentials to first
    order) and smooths the whole. At the end v is smoothed where an exponential folds.

    Args:
        levels: Coarse to fine.
        stage: What to improve.
        watch: Told of each step; says when a level rests.
        optimiser: How to step.

    Returns:
        The velocity, on the lattice of the last level.

    References:
        Vercauteren et al. (2008), doi:10.1007/978-3-540-85988-8_90 (log domain; update eq. (6),
        first two terms). Differs from it in: any similarity. Mid space: Avants et al. (2008),
        doi:10.1016/j.media.2007.06.004, with one stationary velocity in place of two varying ones.
    """
    like = levels[0].fixed
    velocity = torch.zeros((3, *levels[0].grid.shape), dtype=like.dtype, device=like.device)
    grid = levels[0].grid
    for level, scale in zip(levels, stage.scales, strict=True):
        velocity = carry(velocity, grid, level.grid)
        grid = level.grid
        velocity = _descend(velocity, level, scale, stage=stage, watch=watch, optimiser=optimiser)
    return Velocity(to_mm(unfold_velocity(velocity), grid), grid)


def _descend(
    velocity: Flow, level: Level, scale: Scale, *, stage: Stage, watch: Watch, optimiser: Greedy
) -> Flow:
    grid = level.grid
    look = _both if stage.model == "symmetric" else _one
    comparison = _prepared(level, stage, velocity)
    best, least = velocity, math.inf
    for _ in range(scale.steps):
        loss, force = look(comparison, velocity)
        if loss < least:
            best, least = velocity, loss
        update = limited(smooth(optimiser.update, force, grid, force=True), optimiser.step)
        velocity = velocity + update
        if optimiser.total is not None:
            velocity = smooth(optimiser.total, velocity, grid)
        length = mean_mm(update, grid)
        del force, update  # 80 MB each at 1 mm, which the next step needs
        if watch.record(scale.spacing_mm, loss, length, tol=stage.tol):
            break
    return velocity if look(comparison, velocity)[0] < least else best


def _prepared(level: Level, stage: Stage, velocity: Flow) -> Comparison:
    if stage.model != "symmetric":
        return compare(level, stage.similarity, exponential(velocity))
    half = velocity / 2
    return compare(level, stage.similarity, exponential(half), back=exponential(-half))


def _one(comparison: Comparison, velocity: Flow) -> tuple[float, Flow]:
    return comparison.pull(comparison.warped(exponential(velocity)))


def _both(comparison: Comparison, velocity: Flow) -> tuple[float, Flow]:
    half = velocity / 2
    moving = comparison.warped(exponential(half))
    fixed = warp(comparison.fixed, exponential(-half))
    loss, force = pull(comparison, fixed)(moving)
    _, back = pull(comparison, moving)(fixed)
    return loss, force.sub_(back)
