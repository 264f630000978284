"""Greedy: compose one small smooth displacement after the other until the images agree."""
# SPDX-License-Identifier: Apache-2.0

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Displacement, Grid, Image, Transform, resample
from vesalius.errors import ConvergenceError
from vesalius.ops._warp import compose
from vesalius.register._comparison import compare
from vesalius.register._level import Level
from vesalius.register._plan import Greedy, Scale, Stage
from vesalius.register._regulariser import Smoother
from vesalius.register._unfold import unfold
from vesalius.register._watch import Watch

Flow = Float[Tensor, "3 z y x"]


def greedy_displacement(
    levels: tuple[Level, ...], stage: Stage, watch: Watch, optimiser: Greedy
) -> Transform:
    """Search a displacement, coarse to fine.

    Each step pulls the moving image, takes the force, smooths it (``update``), scales it so that
    its longest vector is ``step`` samples, composes it before the field so far and smooths the
    whole (``total``). Each level gives the field of least loss that it saw. At the end the few
    cells that linear interpolation turned over are smoothed.

    Args:
        levels: Coarse to fine.
        stage: What to improve.
        watch: Told of each step; says when a level rests.
        optimiser: How to step.

    Returns:
        The deformation, on the lattice of the last level.
    """
    flow = torch.zeros((3, *levels[0].grid.shape), dtype=levels[0].fixed.dtype)
    flow = flow.to(levels[0].fixed.device)
    grid = levels[0].grid
    for level, scale in zip(levels, stage.scales, strict=True):
        flow = carry(flow, grid, level.grid)
        grid = level.grid
        flow = _descend(flow, level, scale, stage=stage, watch=watch, optimiser=optimiser)
    return Displacement.from_flow(unfold(flow), grid)


def _descend(
    flow: Flow, level: Level, scale: Scale, *, stage: Stage, watch: Watch, optimiser: Greedy
) -> Flow:
    grid = level.grid
    comparison = compare(level, stage.similarity, flow)
    best, least = flow, math.inf
    for _ in range(scale.steps):
        loss, force = comparison.pull(comparison.warped(flow))
        if loss < least:
            best, least = flow, loss
        update = limited(smooth(optimiser.update, force, grid, force=True), optimiser.step)
        flow = compose(flow, update)
        if optimiser.total is not None:
            flow = smooth(optimiser.total, flow, grid)
        if watch.record(scale.spacing_mm, loss, mean_mm(update, grid), tol=stage.tol):
            break
    return flow if comparison.pull(comparison.warped(flow))[0] < least else best


def mean_mm(update: Flow, grid: Grid) -> float:
    """Give about the mean length of a step, mm: 3/2 of the mean of its components in 3-D."""
    axes = sum(n > 1 for n in grid.shape)
    return float(update.abs().mean()) * 1.5 * 3 / max(axes, 1) * sum(grid.spacing_mm) / 3


def limited(update: Flow, step: float) -> Flow:
    """Scale a field so that its longest vector is ``step`` samples; zero stays zero.

    Raises:
        ConvergenceError: It is not finite.
    """
    longest = float((update[0] ** 2 + update[1] ** 2 + update[2] ** 2).max()) ** 0.5
    if not longest < float("inf"):
        raise ConvergenceError(
            "the force must be finite at every step, got NaN or infinity: check both images"
        )
    return update * (step / longest) if longest > 0 else update


def smooth(smoother: Smoother, flow: Flow, grid: Grid, *, force: bool = False) -> Flow:
    """Apply a smoother, which speaks mm, to samples along (z, y, x).

    Args:
        smoother: The operator.
        flow: A displacement, or a force (derivative by a displacement), in samples.
        grid: Their lattice.
        force: Whether it is a force: turned into the displacement of steepest descent in mm.

    Returns:
        A displacement, samples; of a force up to a factor.
    """
    z, y, x = grid.spacing_mm
    if z == y == x or (grid.shape[0] == 1 and y == x):
        return smoother(flow, grid)
    mm = torch.tensor((z, y, x), dtype=flow.dtype, device=flow.device)[:, None, None, None]
    return smoother(flow / mm if force else flow * mm, grid) / mm


def carry(flow: Flow, old: Grid, new: Grid) -> Float[Tensor, "3 z2 y2 x2"]:
    """Bring a flow from one lattice to another of the same directions: same motion in mm."""
    if new is old or (new.shape == old.shape and new.spacing_mm == old.spacing_mm):
        return flow
    ratio = [a / b for a, b in zip(old.spacing_mm, new.spacing_mm, strict=True)]
    scale = torch.tensor(ratio, dtype=flow.dtype, device=flow.device)[:, None, None, None]
    return resample(Image(flow, old), new, anti_alias=False).data * scale
