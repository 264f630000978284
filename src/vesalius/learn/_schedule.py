"""Schedule: how long and how fast to learn, by steps and by the clock."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

from vesalius.errors import ConfigError

Decay = Literal["cosine", "polynomial"]
Optimiser = Literal["adamw", "sgd"]
Precision = Literal["float32", "bfloat16"]
ClockKind = Literal["wall", "cpu"]


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        steps: Optimiser steps in all; resuming counts those already made.
        learning_rate: Largest step size, after the warm-up.
        warm_up: Steps over which the rate rises linearly from 0.
        weight_decay: On weights only; decoupled with AdamW (Loshchilov 2019, arXiv:1711.05101).
        clip: Largest norm of the gradient of all parameters together; infinity for none.
        average: Decay of the moving average of the weights that is returned; 0 returns the last.
        save_every: Steps between calls of ``save``; the last step is always saved.
        seconds: The training also ends when this time has gone by, resumed parts counted in; the
            rate falls with whichever of steps and time is further, and so ends at 0.
        save_seconds: A state is also saved when this time has gone by since the last one.
        clock: What ``seconds`` are: of the wall or of this process's work.
        decay: ``"cosine"`` (half a wave) or ``"polynomial"`` (1 - share)^0.9 (nnU-Net).
        optimiser: ``"adamw"`` or ``"sgd"`` (with Nesterov's momentum).
        momentum: Of ``"sgd"``.
        precision: Of the forward pass; weights and optimiser stay float32.
        accumulate: Batches whose gradients are averaged for one step.

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
    seconds: float = math.inf
    save_seconds: float = math.inf
    clock: ClockKind = "wall"
    decay: Decay = "cosine"
    optimiser: Optimiser = "adamw"
    momentum: float = 0.99
    precision: Precision = "float32"
    accumulate: int = 1

    def __post_init__(self) -> None:
        if min(self.steps, self.save_every, self.accumulate) < 1 or self.warm_up < 0:
            raise ConfigError(
                f"steps and save_every must be at least 1 and warm_up not negative, got "
                f"{self.steps}, {self.save_every}, {self.warm_up}; accumulate must be at least 1, "
                f"got {self.accumulate}"
            )
        good = self.learning_rate > 0 and self.clip > 0 and self.weight_decay >= 0
        if not good or not 0 <= self.average < 1:
            raise ConfigError(
                f"learning_rate and clip must be positive, weight_decay not negative, average in "
                f"[0, 1), got {self.learning_rate}, {self.clip}, {self.weight_decay} and "
                f"{self.average}"
            )
        if not (self.seconds > 0 and self.save_seconds > 0 and 0 < self.momentum < 1):
            raise ConfigError(
                "seconds and save_seconds must be positive and momentum between 0 and 1, got "
                f"{self.seconds}, {self.save_seconds} and {self.momentum}"
            )

    def share(self, step: int, seconds: float = 0.0) -> float:
        """Share of the training that is done, 0 to 1: by steps or by time, the larger one."""
        return min(1.0, max(step / self.steps, seconds / self.seconds))

    def expected(self, step: int, seconds: float) -> int:
        """Steps in all, as far as can be told after ``step`` of them took ``seconds``."""
        if seconds >= self.seconds:
            return step
        by_time = step * self.seconds / seconds if seconds > 0 else math.inf
        return self.steps if by_time >= self.steps else max(step + 1, round(by_time))

    def rate(self, step: int) -> float:
        """Learning rate of a step (from 0): linear warm-up, then the decay down to 0."""
        return self.rate_at(step, step / self.steps)

    def rate_at(self, step: int, done: float) -> float:
        """Learning rate of a step (from 0) when a share of the training is done."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        start = min(self.warm_up / self.steps, 0.5)
        rest = 1 - min(1.0, max(0.0, (done - start) / (1 - start)))
        if self.decay == "polynomial":
            return self.learning_rate * math.pow(rest, 0.9)
        return self.learning_rate * 0.5 * (1 - math.cos(math.pi * rest))
