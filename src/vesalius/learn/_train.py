"""The training loop: steps over batches, with warm-up, averaging and a state that can resume."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from vesalius.core import Step
from vesalius.errors import ConfigError, ConvergenceError, IntensityError

Batch = tuple[Tensor, ...]
State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        steps: Optimiser steps in all; resuming counts those already made.
        learning_rate: Largest step size, after the warm-up.
        warm_up: Steps over which the rate rises linearly from 0.
        weight_decay: Decoupled weight decay (Loshchilov 2019, arXiv:1711.05101), on weights only.
        clip: Largest norm of the gradient of all parameters together; infinity for none.
        average: Decay of the moving average of the weights that is returned; 0 returns the last.
        save_every: Steps between calls of ``save``; the last step is always saved.

    Raises:
        ConfigError: A number is out of range.
    """

    steps: int
    learning_rate: float = 1e-3
    warm_up: int = 20
    weight_decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.99
    save_every: int = 500

    def __post_init__(self) -> None:
        if min(self.steps, self.save_every) < 1 or self.warm_up < 0:
            raise ConfigError(
                f"steps and save_every must be at least 1 and warm_up not negative, got "
                f"{self.steps}, {self.save_every}, {self.warm_up}"
            )
        good = self.learning_rate > 0 and self.clip > 0 and self.weight_decay >= 0
        if not good or not 0 <= self.average < 1:
            raise ConfigError(
                f"learning_rate and clip must be positive, weight_decay not negative, average in "
                f"[0, 1), got {self.learning_rate}, {self.clip}, {self.weight_decay} and "
                f"{self.average}"
            )

    def rate(self, step: int) -> float:
        """Learning rate of a step (from 0): linear warm-up, then half a cosine down to 0."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


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
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    *,
    schedule: Schedule,
    resume: State | None = None,
    save: Callable[[State], None] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Training:
    """Fit a model in place with AdamW; afterwards it holds the averaged weights, in eval mode.

    Opens no file and draws no random number: batches come from the caller, states go to ``save``.
    A run that is stopped and resumed with the remaining batches ends with the same weights as one
    that was not.

    Args:
        model: Any module; its device and dtype are kept.
        batches: At least as many as there are steps left; on the model's device.
        loss: From the model and a batch to a scalar to be made small.
        schedule: How long and how fast.
        resume: The state of an earlier run of the same model and schedule.
        save: Called with the state every ``schedule.save_every`` steps and after the last.
        on_step: Told of each step.

    Returns:
        The losses and the last state.

    Raises:
        ConfigError: ``resume`` does not fit the model, or the batches ran out.
        ConvergenceError: The loss became NaN or infinite; the weights are those before that step.
    """
    model.train()
    optimiser = _optimiser(model, schedule)
    mean = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = 0 if resume is None else _load(resume, model, optimiser, mean)
    losses: list[float] = []
    source = iter(batches)
    for step in range(first, schedule.steps):
        batch = next(source, None)
        if batch is None:
            raise ConfigError(
                f"batches must last for {schedule.steps - first} steps, they ended after "
                f"{step - first}: give an endless iterator"
            )
        losses.append(_one(model, optimiser, loss(model, batch), schedule, step))
        decay = min(schedule.average, (step + 1) / (step + 10))
        for name, p in model.named_parameters():
            mean[name].lerp_(p.detach(), 1 - decay)
        if save is not None and (
            (step + 1) % schedule.save_every == 0 or step + 1 == schedule.steps
        ):
            save(_state(model, optimiser, mean, step + 1))
        if on_step is not None:
            on_step(Step(f"train: loss {losses[-1]:.4g}", step + 1, schedule.steps))
    state = _state(model, optimiser, mean, max(first, schedule.steps))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(mean[name])
    model.eval()
    return Training(tuple(losses), state)


def _optimiser(model: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": schedule.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=schedule.learning_rate)


def _one(
    model: nn.Module, optimiser: torch.optim.AdamW, value: Tensor, schedule: Schedule, step: int
) -> float:
    now = float(value.detach())
    if not math.isfinite(now):
        raise ConvergenceError(
            f"the loss must stay finite, got {now} at step {step}: lower the learning rate "
            f"(now {schedule.rate(step):.3g}) or check the batches for NaN"
        )
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    if math.isfinite(schedule.clip):
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), schedule.clip))
        if not math.isfinite(norm):
            raise ConvergenceError(
                f"the gradient must stay finite, got a norm of {norm} at step {step}: lower the "
                "learning rate or check the loss at its borders (log 0, sqrt 0)"
            )
    for group in optimiser.param_groups:
        group["lr"] = schedule.rate(step)
    optimiser.step()
    return now


def _state(
    model: nn.Module, optimiser: torch.optim.AdamW, mean: dict[str, Tensor], step: int
) -> dict[str, Tensor]:
    """Flatten weights, buffers, averages and moments into named tensors."""
    state = {f"model.{k}": v.detach().clone() for k, v in model.state_dict().items()}
    state |= {f"mean.{k}": v.clone() for k, v in mean.items()}
    for name, p in model.named_parameters():
        moments = optimiser.state.get(p, {})
        state |= {f"moment.{name}.{k}": v.detach().clone() for k, v in moments.items()}
    state["step"] = torch.tensor(step, dtype=torch.int64)
    return state


def _load(
    state: State, model: nn.Module, optimiser: torch.optim.AdamW, mean: dict[str, Tensor]
) -> int:
    """Put a state back; gives the number of steps it has made."""
    weights = _under(state, "model.")
    expected = model.state_dict()
    shapes = {k: tuple(v.shape) for k, v in weights.items()}
    if "step" not in state or shapes != {k: tuple(v.shape) for k, v in expected.items()}:
        raise ConfigError(
            f"the state must hold the {len(expected)} tensors of this model with their shapes, "
            f"got {len(weights)}: resume with the same model"
        )
    model.load_state_dict(weights)
    for name, value in _under(state, "mean.").items():
        mean[name].copy_(value)
    for name, p in model.named_parameters():
        moments = _under(state, f"moment.{name}.")
        if moments:
            optimiser.state[p] = {k: v.clone() for k, v in moments.items()}
    return int(state["step"])


def _under(state: State, prefix: str) -> dict[str, Tensor]:
    """Part of a state; a layer named like the start of another one must not catch it."""
    found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return {k: v for k, v in found.items() if "." not in k or not prefix.startswith("moment.")}


def load_average(model: nn.Module, state: State) -> None:
    """Put the averaged weights and the buffers of a training state into a model, in place.

    Args:
        model: Of the same plan as the trained one.
        state: From :func:`train`.

    Raises:
        IntensityError: A weight is NaN or infinite.
        ConfigError: The names or shapes do not fit the model.
    """
    values = {**_under(state, "model."), **_under(state, "mean.")}
    own = model.state_dict()
    if {k: v.shape for k, v in values.items()} != {k: v.shape for k, v in own.items()}:
        raise ConfigError(
            f"weights must fit the model's {len(own)} tensors by name and shape, got {len(values)}"
        )
    for name, value in values.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise IntensityError(f"weights must be finite, '{name}' has NaN or infinity")
    model.load_state_dict(values)
    model.eval()
