"""Solution: what an iteration found, and how it went; what every solver asks and records."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, final

import torch
from torch import Tensor

from vesalius.core import LinearOperator, Step
from vesalius.errors import ConfigError, ConvergenceError, IntensityError, ShapeError

Stopped = Literal["steps", "tol", "discrepancy"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """How long an iteration runs, where it starts and who watches.

    Attributes:
        start: First guess, (*batch, *domain); ``None`` is the method's own: zeros, ones for
            methods that multiply.
        tol: Stop where a step changes x by less than ``tol`` times its norm; 0 never does.
        discrepancy: Stop where |A x - y| falls to this, the size of the noise (Morozov); 0 never.
        lower: Least value of x, where the method can hold it.
        upper: Largest value of x, where the method can hold it.
        on_step: Called after every step.

    Raises:
        ConfigError: ``tol`` or ``discrepancy`` is negative, or the box is empty.
    """

    start: Tensor | None = None
    tol: float = 0.0
    discrepancy: float = 0.0
    lower: float = -math.inf
    upper: float = math.inf
    on_step: Callable[[Step], None] | None = None

    def __post_init__(self) -> None:
        if not (self.tol >= 0.0 and self.discrepancy >= 0.0):
            raise ConfigError(
                f"tol and discrepancy must be at least 0, got {self.tol:g} and "
                f"{self.discrepancy:g}: 0 switches each off"
            )
        if not self.lower < self.upper:
            raise ConfigError(
                f"lower must be below upper, got {self.lower:g} and {self.upper:g}: "
                "infinite ones leave x free"
            )

    def clip(self, x: Tensor) -> Tensor:
        """Keep x inside the box; complex samples have none."""
        if x.is_complex() or (self.lower == -math.inf and self.upper == math.inf):
            return x
        return x.clamp(self.lower, self.upper)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What a solver gives back.

    Attributes:
        x: (*batch, *domain).
        residual: ``|A x - y| / |y|`` after each step, over the whole batch.
        objective: What is minimised after each step: 1/2 |A x - y|^2 + weight R(x), or the
            negative log-likelihood of counts; empty where a method minimises nothing.
        stopped: Why it ended.
        operator_norm: Estimate of the largest singular value of A; 0 where it was not needed.
        weight: Strength of the prior.
    """

    x: Tensor
    residual: tuple[float, ...]
    objective: tuple[float, ...]
    stopped: Stopped
    operator_norm: float = 0.0
    weight: float = 0.0

    @property
    def steps(self) -> int:
        """Number of steps made."""
        return len(self.residual)


@final
@dataclass(slots=True)
class Record:
    """Takes notes while a solver runs, and says when it should end.

    Attributes:
        name: The method, for whoever watches.
        steps: Most steps.
        run: When else to stop.
        size: |y|.
        residual: Notes so far.
        objective: Notes so far.
        stopped: Why it ended.
    """

    name: str
    steps: int
    run: Run
    size: float
    residual: list[float] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)
    stopped: Stopped = "steps"

    def ends(self, x: Tensor, before: Tensor, residual: float, objective: float | None) -> bool:
        """Note a step and tell whether it was the last.

        Args:
            x: What the step gave.
            before: What it began with.
            residual: |A x - y|.
            objective: What is minimised, if anything is.

        Returns:
            Whether to stop.

        Raises:
            ConvergenceError: The numbers are no longer finite.
        """
        if not math.isfinite(residual):
            raise ConvergenceError(
                f"{self.name} must stay finite, got a residual of {residual} at step "
                f"{len(self.residual) + 1}: its step is too long for this operator, or its "
                "numbers outgrow their type"
            )
        self.residual.append(residual / self.size if self.size > 0 else residual)
        if objective is not None:
            self.objective.append(objective)
        done = len(self.residual)
        if self.run.discrepancy > 0.0 and residual <= self.run.discrepancy:
            self.stopped = "discrepancy"
        elif self.run.tol > 0 and norm(x - before) <= self.run.tol * norm(x):
            self.stopped = "tol"
        ended = done == self.steps or self.stopped != "steps"
        if self.run.on_step is not None:
            self.run.on_step(Step(self.name, done, done if ended else self.steps))
        return ended

    def solution(self, x: Tensor, *, operator_norm: float = 0.0, weight: float = 0.0) -> Solution:
        """Close the notes."""
        notes = tuple(self.residual), tuple(self.objective)
        return Solution(x, *notes, self.stopped, operator_norm, weight)


def begin(
    name: str, op: LinearOperator, y: Tensor, steps: int, run: Run, *, weight: float = 0.0
) -> tuple[Record, Tensor]:
    """Check what every solver needs, and give the first guess.

    Args:
        name: The method.
        op: A.
        y: (*batch, *codomain), what was measured.
        steps: Most steps.
        run: Options.
        weight: Strength of the prior.

    Returns:
        Empty notes, and x before the first step.

    Raises:
        ShapeError: ``y`` or the start does not fit the operator, or ``y`` is empty.
        IntensityError: ``y`` or the start has NaN or infinity.
        ConfigError: ``steps`` is below 1 or ``weight`` is negative or not finite.
    """
    batch = tuple(y.shape[: y.ndim - len(op.codomain)])
    if tuple(y.shape[len(batch) :]) != op.codomain:
        raise ShapeError(
            f"y must end in the operator's codomain {op.codomain}, got {tuple(y.shape)}: "
            "batch axes come first"
        )
    if y.numel() == 0:
        raise ShapeError(f"y must hold samples, got the empty shape {tuple(y.shape)}")
    if not bool(torch.isfinite(y).all()):
        raise IntensityError("y must be finite, got NaN or infinity: correct the data first")
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, got {steps}")
    if not 0.0 <= weight < math.inf:
        raise ConfigError(f"weight must be finite and at least 0, got {weight:g}: 0 is no prior")
    record = Record(name, steps, run, norm(y))
    if run.start is None:
        return record, torch.zeros_like(op.H(torch.zeros_like(y)))
    if tuple(run.start.shape) != batch + op.domain:
        raise ShapeError(
            f"start must have the shape {batch + op.domain} of x, got {tuple(run.start.shape)}"
        )
    if not bool(torch.isfinite(run.start).all()):
        raise IntensityError("start must be finite, got NaN or infinity: leave it out, or mend it")
    return record, run.start.detach().clone()


def norm(x: Tensor) -> float:
    """Euclidean norm over everything."""
    # torch's own norm of complex numbers is many times slower than that of their parts
    return float(
        torch.linalg.vector_norm(torch.view_as_real(x.resolve_conj()) if x.is_complex() else x)
    )


def inner(x: Tensor, y: Tensor) -> float:
    """Real part of the inner product over everything."""
    return float((x.conj() * y).sum().real)


def half_square(residual: float) -> float:
    """The data term, 1/2 |A x - y|^2."""
    return 0.5 * residual**2
