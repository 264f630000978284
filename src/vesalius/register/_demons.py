"""Demons: images of one contrast pulled together by forces of optical flow."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Displacement, Transform, Velocity
from vesalius.core._displacement import to_mm
from vesalius.errors import ConfigError, ConvergenceError
from vesalius.ops._demons import Optics, demons_force, flat_floor
from vesalius.ops._match import match_values
from vesalius.ops._warp import compose, exponential, warp
from vesalius.register._greedy import carry, smooth
from vesalius.register._level import Level
from vesalius.register._mse import MeanSquare
from vesalius.register._plan import Demons, Scale, Stage
from vesalius.register._watch import Watch

Flow = Float[Tensor, "3 z y x"]
FROM_FIXED = {"thirion": 1.0, "warped": 0.0, "symmetric": 0.5}


def solve(levels: tuple[Level, ...], stage: Stage, watch: Watch) -> Transform:
    """Search a deformation by demons, coarse to fine.

    Args:
        levels: One for each scale of the stage.
        stage: Model ``"displacement"`` (updates composed through their exponential, or added) or
            ``"velocity"`` (updates added to the velocity: log-demons); similarity ``MeanSquare``;
            optimiser ``Demons``.
        watch: Told of each step.

    Returns:
        Fixed world to fixed world; comes before the start transform.

    Raises:
        ConfigError: Another model, similarity or optimiser.
        ConvergenceError: A force is not finite.

    References:
        Thirion (1998), doi:10.1016/S1361-8415(98)80022-4; Cachier, Pennec, Ayache (1999), INRIA
        RR-3706 (normaliser alpha^2); Vercauteren et al. (2009),
        doi:10.1016/j.neuroimage.2008.10.040 (composed exponentials, symmetric forces);
        Vercauteren et al. (2008), doi:10.1007/978-3-540-85988-8_90 (log-demons, first order).
        Differs from them in: slopes and steps in mm, so that thick slices do not dominate; 1e-4 of
        the mean squared slope is added to the normaliser, so that flat regions stay at rest.
    """
    optimiser = _checked(stage)
    levels = _matched(levels) if optimiser.match else levels
    grid, flow = levels[0].grid, torch.zeros_like(levels[0].fixed[:1]).expand(3, -1, -1, -1)
    for level, scale in zip(levels, stage.scales, strict=True):
        flow, grid = carry(flow, grid, level.grid), level.grid
        flow = _descend(flow, level, scale, stage=stage, watch=watch, optimiser=optimiser)
    if stage.model == "velocity":
        return Velocity(to_mm(flow, grid), grid)
    return Displacement.from_flow(flow, grid)


def _checked(stage: Stage) -> Demons:
    if not isinstance(stage.optimiser, Demons):
        raise ConfigError(
            f"demons need optimiser Demons, got {type(stage.optimiser).__name__}: "
            "use the solver of that optimiser"
        )
    if stage.model not in ("displacement", "velocity"):
        raise ConfigError(
            f"demons search the models 'displacement' and 'velocity', got {stage.model!r}: "
            "use Lbfgs or Adam for a basis, Greedy for 'symmetric'"
        )
    if not isinstance(stage.similarity, MeanSquare):
        raise ConfigError(
            f"demons compare by mean square (MeanSquare), got {type(stage.similarity).__name__}: "
            "use Greedy, Adam or Lbfgs for another similarity"
        )
    if not (math.isfinite(stage.optimiser.step) and stage.optimiser.step > 0):
        raise ConfigError(
            f"step of demons must be a positive number of samples, got {stage.optimiser.step}: "
            "0.5 is usual"
        )
    return stage.optimiser


def _matched(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Map the moving image's values, channel by channel, by what counts on the finest lattice."""
    finest = levels[-1]
    inner = tuple(slice(m, m + n) for m, n in zip(finest.margin, finest.grid.shape, strict=True))
    maps = []
    for m, f in zip(finest.moving, finest.fixed, strict=True):
        seen = None if finest.moving_weight is None else finest.moving_weight[0][inner]
        given, wanted = _counted(m[inner], seen), _counted(f, finest.fixed_weight)
        maps.append(match_values(given, wanted))
    return tuple(
        replace(v, moving=torch.stack([t(m) for t, m in zip(maps, v.moving, strict=True)]))
        for v in levels
    )


def _counted(samples: Tensor, weight: Tensor | None) -> Tensor:
    """Give the samples that count, or all where none does."""
    if weight is None or not bool((weight > 0.5).any()):
        return samples.flatten()
    return samples.flatten()[weight.flatten() > 0.5]


def _descend(
    flow: Flow, level: Level, scale: Scale, *, stage: Stage, watch: Watch, optimiser: Demons
) -> Flow:
    """Run one level; ``flow`` is the displacement or, for that model, the velocity."""
    grid = level.grid
    stationary = stage.model == "velocity"
    deformation = exponential(flow) if stationary else flow
    optics = _optics(level, optimiser)
    weight = _weight(level, deformation)
    mean_mm = _mean_spacing(level)
    for _ in range(scale.steps):
        warped = warp(level.moving, deformation, offset=level.margin)
        loss, update = demons_force(level.fixed, warped, weight, optics)
        if optimiser.update is not None:
            update = _capped(smooth(optimiser.update, update, grid), level, optics.longest)
        moved = float(update.norm(dim=0).mean()) * mean_mm
        if not (math.isfinite(loss) and math.isfinite(moved)):
            raise ConvergenceError(
                f"the force of demons must be finite, got a loss of {loss} and a mean step of "
                f"{moved} mm: check both images for NaN"
            )
        flow = flow + update if stationary else _joined(flow, update, optimiser)
        if optimiser.total is not None:
            flow = smooth(optimiser.total, flow, grid)
        deformation = exponential(flow) if stationary else flow
        if watch.record(scale.spacing_mm, loss, moved, tol=stage.tol):
            break
    return flow


def _capped(update: Flow, level: Level, longest_mm: float) -> Flow:
    """Scale an update that a smoother made longer than a step may be: solvers have a gain."""
    mm = update.new_tensor(level.grid.spacing_mm)[:, None, None, None]
    reach = float((update * mm).norm(dim=0).max())
    return update * (longest_mm / reach) if reach > longest_mm else update


def _joined(flow: Flow, update: Flow, optimiser: Demons) -> Flow:
    return compose(flow, exponential(update)) if optimiser.diffeomorphic else flow + update


def _optics(level: Level, optimiser: Demons) -> Optics:
    spacing = level.grid.spacing_mm
    return Optics(
        spacing,
        optimiser.step * _mean_spacing(level),
        FROM_FIXED[optimiser.force],
        level.channel_weights,
        flat_floor(level.fixed, spacing),
    )


def _mean_spacing(level: Level) -> float:
    used = [h for n, h in zip(level.grid.shape, level.grid.spacing_mm, strict=True) if n > 1]
    return sum(used) / max(1, len(used))


def _weight(level: Level, flow: Flow) -> Tensor | None:
    """Where both images have samples, as the level begins."""
    weight = level.fixed_weight
    if level.moving_weight is not None:
        seen = warp(level.moving_weight, flow, offset=level.margin)
        weight = seen if weight is None else weight * seen
    return weight
