"""Variational: minimise similarity plus regularisers plus terms by L-BFGS or Adam, any model."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Transform
from vesalius.errors import ConfigError, ConvergenceError, RegionError
from vesalius.register._level import Level
from vesalius.register._models import model_of
from vesalius.register._objective import Objective
from vesalius.register._plan import Adam, Lbfgs, Scale, Stage
from vesalius.register._terms import Term
from vesalius.register._watch import Watch

Flow = Float[Tensor, "3 z y x"]
AWAY = 1e6  # the loss of a trial from which the moving image is not seen
FIRST = 0.5  # longest displacement of the first trial of a line search, samples


def solve(
    levels: tuple[Level, ...], stage: Stage, watch: Watch, *, terms: tuple[Term, ...] = ()
) -> Transform:
    """Search a deformation by its derivatives, coarse to fine.

    The loss is the channels' weighted similarity, plus the regularisers of the displacement (of
    the velocity, for the models that have one), plus the terms. Each scale gives back the best
    that it met, so that no scale ends worse than it began. Samples that leave the moving image
    lose their weight as the search goes; the weight is not differentiated.

    Args:
        levels: One for each scale of the stage.
        stage: Model ``"displacement"``, ``"velocity"``, ``"symmetric"`` (a stationary velocity;
            both images are compared half-way) or a ``Basis``; optimiser ``Lbfgs`` or ``Adam``.
        watch: Told of each step.
        terms: Further losses, such as landmarks.

    Returns:
        Fixed world to fixed world; comes before the start transform.

    Raises:
        ConfigError: A linear model, or another optimiser.
        ConvergenceError: The loss or its derivative is not finite.

    References:
        Liu, Nocedal (1989), doi:10.1007/BF01589116 (L-BFGS); Kingma, Ba (2015),
        doi:10.48550/arXiv.1412.6980 (Adam); Beg et al. (2005) for what ``"velocity"`` is not:
        it does not change with time.
    """
    optimiser = stage.optimiser
    if not isinstance(optimiser, Lbfgs | Adam):
        raise ConfigError(
            f"a variational search needs optimiser Lbfgs or Adam, got {type(optimiser).__name__}"
        )
    model = model_of(stage.model)
    parameters = model.start(levels[-1], levels[0])
    for before, level, scale in zip((levels[0], *levels), levels, stage.scales, strict=False):
        parameters = model.carry(parameters, before.grid, level.grid)
        objective = Objective(level, stage, model, terms)
        search = _Search(objective, parameters)
        if isinstance(optimiser, Lbfgs):
            _lbfgs(search, optimiser, scale, watch=watch, tol=stage.tol)
        else:
            _adam(search, optimiser, scale, watch=watch, tol=stage.tol)
        parameters = search.best.at
    return model.transform(parameters, levels[-1].grid)


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """What is known at one place: parameters, loss, its derivative, the flow."""

    at: Tensor
    loss: float
    slope: Tensor
    flow: Flow


@final
class _Search:
    """Parameters that are searched, what is known of them, and the best that was met."""

    __slots__ = ("best", "here", "objective", "parameters")

    def __init__(self, objective: Objective, parameters: Tensor) -> None:
        self.objective = objective
        self.parameters = parameters.clone().requires_grad_()
        self.here = self.best = self._evaluate()

    def evaluate(self) -> Tensor:
        """Give the loss and leave its derivative in ``parameters.grad``; once for one place."""
        if not torch.equal(self.here.at, self.parameters.detach()):
            self.here = self._tried()
            if self.here.loss < self.best.loss:
                self.best = self.here
        self.parameters.grad = self.here.slope.clone()
        return torch.as_tensor(self.here.loss, dtype=torch.float64)

    def _tried(self) -> _State:
        """Give what is known of a trial; one that leaves the moving image is bad, no error."""
        try:
            return self._evaluate()
        except RegionError:
            at = self.parameters.detach().clone()
            return _State(at, AWAY, torch.zeros_like(at), self.best.flow)

    def _evaluate(self) -> _State:
        with torch.enable_grad():
            loss, flow = self.objective(self.parameters)
            (slope,) = torch.autograd.grad(loss, self.parameters)
        value = float(loss.detach())
        if not (math.isfinite(value) and bool(torch.isfinite(slope).all())):
            raise ConvergenceError(
                f"the loss and its derivative must be finite, got a loss of {value}: check the "
                "images for NaN, or lower the rate of Adam"
            )
        return _State(self.parameters.detach().clone(), value, slope, flow.detach().clone())

    def moved_mm(self, before: Flow) -> float:
        """Give the mean length of the step from a flow to the present one, mm."""
        mm = before.new_tensor(self.objective.level.grid.spacing_mm)[:, None, None, None]
        return float(((self.here.flow - before) * mm).norm(dim=0).mean())


def _lbfgs(search: _Search, optimiser: Lbfgs, scale: Scale, *, watch: Watch, tol: float) -> None:
    """Take steps of torch's L-BFGS one by one, so that each is watched."""
    engine = torch.optim.LBFGS(
        [search.parameters],
        max_iter=1,
        max_eval=20,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        history_size=optimiser.memory,
        line_search_fn="strong_wolfe",
    )
    engine.param_groups[0]["lr"] = _first_rate(search)
    for _ in range(scale.steps):
        before = search.here
        engine.step(search.evaluate)  # type: ignore[no-untyped-call]
        engine.param_groups[0]["lr"] = 1.0
        search.evaluate()
        if watch.record(scale.spacing_mm, before.loss, search.moved_mm(before.flow), tol=tol):
            break


def _first_rate(search: _Search) -> float:
    """Choose the length of the first trial: torch's own would move a field by nothing."""
    slope = search.here.slope
    largest = float(slope.abs().amax())
    if largest == 0.0:
        return 1.0
    probe = search.objective.flow(search.parameters.detach() - slope / largest) - search.here.flow
    reach = float(probe.abs().amax())
    own = min(1.0, 1.0 / float(slope.abs().sum()))
    return FIRST / max(reach, 1e-12) / largest / own


def _adam(search: _Search, optimiser: Adam, scale: Scale, *, watch: Watch, tol: float) -> None:
    engine = torch.optim.Adam([search.parameters], lr=optimiser.rate)
    for _ in range(scale.steps):
        before = search.here
        search.evaluate()
        engine.step()
        search.evaluate()
        if watch.record(scale.spacing_mm, before.loss, search.moved_mm(before.flow), tol=tol):
            break
