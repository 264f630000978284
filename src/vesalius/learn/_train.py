"""The training loop: steps over batches, with warm-up, averaging and a state that can resume."""
# SPDX-License-Identifier: Apache-2.0

import math
import time
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import repeat
from typing import final

import torch
from torch import Tensor, nn

from vesalius.core import Step
from vesalius.errors import ConfigError, ConvergenceError
from vesalius.learn._schedule import Schedule
from vesalius.learn._training_state import Run, State, flat_state, put_back

Batch = tuple[Tensor, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Endless batches that a generator alone decides: its state is saved with the weights.

    A resumed run then goes on with the batches that the first one would have had. Nothing else may
    change from call to call inside ``draw``.

    Attributes:
        draw: Makes the next batch; None ends the training there (early stop).
        generator: All its chance.
    """

    draw: Callable[[torch.Generator], Batch | None]
    generator: torch.Generator

    def __iter__(self) -> Iterator[Batch]:
        """Draw until ``draw`` gives None."""
        for _ in repeat(None):
            batch = self.draw(self.generator)
            if batch is None:
                return
            yield batch


@final
@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A loss that also looks at a teacher: the moving average of the model (mean teacher).

    Attributes:
        loss: From the student, the teacher (its gradient is off), a batch and the share of the
            training that is done to a scalar.

    References:
        Tarvainen and Valpola (2017), arXiv:1703.01780; the decay is ``Schedule.average``.
    """

    loss: Callable[[nn.Module, nn.Module, Batch, float], Tensor]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What a run of :func:`train` gives.

    Attributes:
        loss: Loss of each step made in this run.
        state: Everything needed to go on, as flat tensors (fit for safetensors).
    """

    loss: tuple[float, ...]
    state: State


def train(
    model: nn.Module,
    batches: Iterable[Batch] | Drawn,
    loss: Callable[[nn.Module, Batch], Tensor] | Taught,
    *,
    schedule: Schedule,
    resume: State | None = None,
    save: Callable[[State], None] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Training:
    """Fit a model in place; afterwards it holds the averaged weights, in eval mode.

    Opens no file and draws no random number: batches come from the caller, states go to ``save``.
    A run that is stopped and resumed with the remaining batches ends with the same weights as one
    that was not; with :class:`Drawn` batches the state knows which those are.

    Args:
        model: Any module; its device and dtype are kept.
        batches: At least as many as there are steps left (times ``schedule.accumulate``); on the
            model's device.
        loss: From the model and a batch to a scalar to be made small.
        schedule: How long and how fast.
        resume: The state of an earlier run of the same model and schedule.
        save: Called with the state every ``schedule.save_every`` steps or ``save_seconds`` and
            after the last.
        on_step: Told of each step; the total shrinks to what the clock allows.

    Returns:
        The losses and the last state.

    Raises:
        ConfigError: ``resume`` does not fit the model or the batches, or they ran out.
        ConvergenceError: The loss became NaN or infinite; the weights are those before that step.
    """
    model.train()
    generator = batches.generator if isinstance(batches, Drawn) else None
    run = Run(model, _optimiser(model, schedule), generator)
    if resume is not None:
        put_back(resume, run)
    first, losses = run.steps, list[float]()
    measure = _bound(loss, run)
    source = iter(batches)
    clock = _Clock(schedule, run.seconds)
    while run.steps < schedule.steps and clock.now() < schedule.seconds:
        drawn = [b for _, b in zip(range(schedule.accumulate), source, strict=False)]
        if len(drawn) < schedule.accumulate:
            if generator is not None:
                break
            raise ConfigError(
                f"batches must last for {schedule.steps - first} steps, they ended after "
                f"{run.steps - first}: give an endless iterator"
            )
        done = schedule.share(run.steps, clock.now())
        losses.append(_one(run, measure, drawn, schedule=schedule, done=done))
        run.seconds = clock.now()
        if save is not None and clock.due(run.steps):
            save(flat_state(run))
        if on_step is not None:
            total = schedule.expected(run.steps, run.seconds)
            on_step(Step(f"train: loss {losses[-1]:.4g}", run.steps, total))
    state = flat_state(run)
    if save is not None and losses and clock.last != run.steps:
        save(state)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(run.mean[name])
    model.eval()
    return Training(tuple(losses), state)


class _Clock:
    """Seconds since the start of the whole training, and when states are saved."""

    def __init__(self, schedule: Schedule, before: float) -> None:
        self.schedule = schedule
        self.tick = time.process_time if schedule.clock == "cpu" else time.monotonic
        self.start = self.tick() - before
        self.saved = before
        self.last = 0

    def now(self) -> float:
        return self.tick() - self.start

    def due(self, steps: int) -> bool:
        """Whether a state is to be saved after that many steps; starts the wait for the next."""
        late = self.now() - self.saved >= self.schedule.save_seconds
        if not late and steps % self.schedule.save_every:
            return False
        self.saved, self.last = self.now(), steps
        return True


def _optimiser(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": schedule.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    kept = [g for g in groups if g["params"]]
    if schedule.optimiser == "sgd":
        return torch.optim.SGD(
            kept, lr=schedule.learning_rate, momentum=schedule.momentum, nesterov=True
        )
    return torch.optim.AdamW(kept, lr=schedule.learning_rate)


def _bound(
    loss: Callable[[nn.Module, Batch], Tensor] | Taught, run: Run
) -> Callable[[Batch, float], Tensor]:
    """Make the loss a function of the batch and of the share that is done."""
    if not isinstance(loss, Taught):
        plain = loss
        return lambda batch, done: plain(run.model, batch)
    teacher, taught = deepcopy(run.model), loss.loss
    for name, p in teacher.named_parameters():
        p.requires_grad_(False)
        p.data = run.mean[name]  # one memory: the teacher is the average at every step
    return lambda batch, done: taught(run.model, teacher, batch, done)


def _one(
    run: Run,
    measure: Callable[[Batch, float], Tensor],
    batches: list[Batch],
    *,
    schedule: Schedule,
    done: float,
) -> float:
    """Make one step; gives the loss before it."""
    rate = schedule.rate_at(run.steps, done)
    run.optimiser.zero_grad(set_to_none=True)
    total = 0.0
    for batch in batches:
        device = next(run.model.parameters()).device.type
        half = schedule.precision == "bfloat16"
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            value = measure(batch, done)
        now = float(value.detach())
        if not math.isfinite(now):
            raise ConvergenceError(
                f"the loss must stay finite, got {now} at step {run.steps}: lower the learning "
                f"rate (now {rate:.3g}) or check the batches for NaN"
            )
        (value / len(batches)).backward()  # type: ignore[no-untyped-call]
        total += now / len(batches)
    _clip(run, schedule)
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.optimiser.step()
    run.steps += 1
    decay = min(schedule.average, run.steps / (run.steps + 9))
    with torch.no_grad():
        for name, p in run.model.named_parameters():
            run.mean[name].lerp_(p, 1 - decay)
    return total


def _clip(run: Run, schedule: Schedule) -> None:
    if not math.isfinite(schedule.clip):
        return
    norm = float(nn.utils.clip_grad_norm_(run.model.parameters(), schedule.clip))
    if not math.isfinite(norm):
        raise ConvergenceError(
            f"the gradient must stay finite, got a norm of {norm} at step {run.steps}: lower the "
            "learning rate or check the loss at its borders (log 0, sqrt 0)"
        )
