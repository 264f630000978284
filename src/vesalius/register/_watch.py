"""Watch: what a search tells while it runs, when it has come to rest, and its history."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from vesalius.core import Step

WINDOW = 10  # steps over which the slope of the loss is taken


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a search.

    Attributes:
        stage: Index of the stage in the plan.
        spacing_mm: Of the scale.
        step: Index of the step at this scale.
        loss: Value before the step; comparable within one stage and scale only.
        mean_step_mm: Mean length of the step; NaN where it is not known.
    """

    stage: int
    spacing_mm: float
    step: int
    loss: float
    mean_step_mm: float


@final
@dataclass(slots=True)
class Watch:
    """Collects the history of a registration and says when a scale has come to rest.

    Attributes:
        total: Most steps of the whole plan.
        on_step: Called after each step.
        stage: Index of the stage that runs.
        entries: The history so far.
    """

    total: int = 0
    on_step: Callable[[Step], None] | None = None
    stage: int = 0
    entries: list[Entry] = field(default_factory=list)

    def record(self, spacing_mm: float, loss: float, mean_step_mm: float, *, tol: float) -> bool:
        """Note one step.

        Args:
            spacing_mm: Of the scale.
            loss: Value before the step.
            mean_step_mm: Mean length of the step, mm.
            tol: Relative fall of the loss for each step, below which the scale rests.

        Returns:
            Whether to stop this scale: the loss fell by less than ``tol`` a step over the last
            ten, or the mean step is below 1e-4 of the spacing.
        """
        here = [
            e
            for e in self.entries[-4 * WINDOW :]
            if (e.stage, e.spacing_mm) == (self.stage, spacing_mm)
        ]
        step = here[-1].step + 1 if here else 0
        self.entries.append(Entry(self.stage, spacing_mm, step, loss, mean_step_mm))
        if self.on_step is not None:
            self.on_step(Step(f"register: {spacing_mm:g} mm", len(self.entries), self.total))
        if mean_step_mm < 1e-4 * spacing_mm:
            return True
        if len(here) < WINDOW:
            return False
        before = here[-WINDOW].loss
        return (before - loss) / WINDOW < tol * max(abs(before), 1e-12)
