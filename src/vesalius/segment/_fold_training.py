"""Fold training: one network from its first weights to its last, saved and watched on the way."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, final

import torch
from torch import Tensor

from vesalius.core import Step
from vesalius.errors import ConfigError
from vesalius.learn import Drawn, Schedule, Taught, UNet, load_average, train
from vesalius.learn.augment import (
    MICROSCOPY,
    NONE,
    VOLUME,
    Augmentation,
    Outside,
    Sampling,
    Truth,
    augment,
)
from vesalius.segment._checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vesalius.segment._head import Head
from vesalius.segment._patches import Patches, draw_patches, fixed_patches, flattened
from vesalius.segment._plan import HeadKind, Plan
from vesalius.segment._regime import Look, Regime, Split
from vesalius.segment._store import plan_to_json
from vesalius.segment._supervision import Asked, draw_views, fitting
from vesalius.segment._training_cases import TrainingCase

OnStep = Callable[[Step], None]
State = Mapping[str, Tensor]
Batch = tuple[Tensor, ...]

WATCHED = 12
"""Cases that a training is watched by, one patch each."""
LOOKS = 50
"""Times that a training is looked at."""
BEST = "best."
AUGMENTATION: dict[str, tuple[float, Augmentation]] = {
    "volume": (0.1, VOLUME),
    "microscopy": (0.25, MICROSCOPY),
    "none": (0.0, NONE),
}
"""What is cut around a patch, as a share of it, and what may happen to both."""
SAMPLED: dict[HeadKind | Literal["tags"], tuple[Sampling, Outside]] = {
    "classes": ("classes", "edge"),
    "flows": ("linear", "edge"),
    "stars": ("nearest", "zero"),
    "tags": ("nearest", "edge"),
}
"""How the targets of a head are moved, and what they are beyond the patch."""


@final
@dataclass(frozen=True, slots=True)
class Order:
    """What one network is trained by.

    Attributes:
        plan: What is trained.
        regime: How.
        split: From which cases.
        path: Of its checkpoint.
        resume: Whether to go on from it.
        place: Number of this network and number of networks, for the progress.
    """

    plan: Plan
    regime: Regime
    split: Split
    path: Path
    resume: bool
    place: tuple[int, int] = (0, 1)


def schedule_of(plan: Plan, regime: Regime) -> Schedule:
    """Give the schedule of a plan.

    Args:
        plan: Steps, rate, optimiser, precision.
        regime: Time and checkpoints.
    """
    return Schedule(
        plan.steps,
        learning_rate=plan.learning_rate,
        warm_up=min(20, plan.steps // 10),
        weight_decay=3e-5 if plan.optimiser == "sgd" else 1e-2,
        clip=12.0 if plan.optimiser == "sgd" else 1.0,
        average=min(0.99, max(0.0, 1 - 20 / plan.steps)),
        save_every=max(1, plan.steps // LOOKS),
        seconds=regime.seconds,
        save_seconds=regime.save_every_s,
        clock=regime.clock,
        decay="polynomial" if plan.optimiser == "sgd" else "cosine",
        optimiser=plan.optimiser,
        precision=plan.precision,
    )


@final
class FoldTraining:
    """The training of one network.

    Args:
        order: What is trained, how and from what.
        head: Of the plan.
        on_step: Told of each step, with loss and score.
    """

    def __init__(self, order: Order, head: Head, on_step: OnStep | None = None) -> None:
        self.order, self.head, self.on_step = order, head, on_step
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.looks: list[Look] = []
        self.losses: list[float] = []
        self.best: dict[str, Tensor] = {}
        self.steps = 0
        self.written = 0.0
        self.watch: list[Patches] = []

    def run(
        self,
        cases: tuple[TrainingCase, ...],
        watched: tuple[TrainingCase, ...],
        unlabelled: tuple[TrainingCase, ...] = (),
    ) -> tuple[UNet, tuple[Look, ...]]:
        """Train, from the beginning or from the checkpoint.

        Args:
            cases: To learn from.
            watched: To be scored on.
            unlabelled: To agree with a teacher on, where the plan says so.

        Returns:
            The network with its averaged (or best) weights, on the CPU, and what was seen.

        Raises:
            ConfigError: The checkpoint is of another training, or the time was over at once.
        """
        plan, regime = self.order.plan, self.order.regime
        generator = torch.Generator().manual_seed(1000 * regime.seed + self.order.split.fold)
        network = UNet(plan.network, generator=generator).to(self.device)
        self.mirror = UNet(plan.network, generator=generator).to(self.device)
        self.watch = fixed_patches(watched, plan, most=WATCHED, seed=regime.seed)
        resumed = self._resumed()
        asked = Asked(plan, self.head)
        self.written = time.monotonic()
        trained = train(
            network,
            Drawn(lambda g: self._draw(cases, unlabelled, g), generator),
            Taught(lambda *told: self._counted(asked.taught(*told)))
            if unlabelled
            else lambda *told: self._counted(asked.alone(*told)),
            schedule=schedule_of(plan, regime),
            resume=resumed,
            save=self._save,
            on_step=self._tell,
        )
        if self.losses:  # the time was over between two looks
            self._look(trained.state)
        if not self.looks:
            raise ConfigError(
                f"the time must last for one step at least, {regime.seconds:g} s did not: give "
                "more minutes"
            )
        network = network.to("cpu")
        if self.best and regime.keep == "best":
            network.load_state_dict(self.best)
        network.eval()
        return network, tuple(self.looks)

    def _draw(
        self,
        cases: tuple[TrainingCase, ...],
        unlabelled: tuple[TrainingCase, ...],
        generator: torch.Generator,
    ) -> Batch | None:
        """Make the next batch; none where looking on shows that there is nothing more to learn."""
        if self._stale():
            return None
        plan = self.order.plan
        margin, usual = AUGMENTATION[plan.augment]
        kind = fitting(usual, plan)
        patches = draw_patches(cases, plan, margin=margin, generator=generator)
        parts = (patches.data, patches.targets, patches.weight)
        data, targets, weight = (flattened(p, plan.dims).to(self.device) for p in parts)
        z, y, x = (s or 1.0 for s in plan.spacing_mm)
        found = augment(
            data,
            Truth(targets, weight, *SAMPLED["tags" if plan.supervision == "tags" else plan.head]),
            size=plan.patch[3 - plan.dims :],
            spacing=(z, y, x)[3 - plan.dims :],
            augmentation=kind,
            generator=generator,
        )
        turned = self.head.turned(found.targets, found.matrix)
        views: tuple[Tensor, ...] = ()
        if unlabelled:
            views = draw_views(unlabelled, plan, kind, margin=margin, generator=generator)
        return found.image, turned, found.weight, *(v.to(self.device) for v in views)

    def _counted(self, value: Tensor) -> Tensor:
        """Keep the loss of a step for the next look."""
        self.losses.append(float(value.detach()))
        return value

    def _stale(self) -> bool:
        """Whether the score has not risen for as many looks as the regime has patience."""
        patience = self.order.regime.patience
        if not patience or len(self.looks) <= patience:
            return False
        scores = [look.score for look in self.looks]
        return max(scores[:-patience]) >= max(scores[-patience:])

    def _tell(self, step: Step) -> None:
        if self.on_step is None:
            return
        number, count = self.order.place
        fold = f"network {number + 1} of {count}, " if count > 1 else ""
        seen = f", {self.score_name} {self.looks[-1].score:.3f}" if self.looks else ""
        what = f"train: {fold}loss {step.what.rpartition(' ')[2]}{seen}"
        self.on_step(Step(what, number * step.total + step.done, count * step.total))

    @property
    def score_name(self) -> str:
        """What the score of the head is called."""
        return "Dice" if self.order.plan.head == "classes" else "AP@.5"

    def _save(self, state: State) -> None:
        """Look at the averaged weights now and then, and write a checkpoint now and then."""
        step = int(state["step"])
        every = max(1, self.order.plan.steps // LOOKS)
        last = step >= self.order.plan.steps or float(state["seconds"]) >= self.order.regime.seconds
        seen = self.looks[-1].step if self.looks else 0
        if (last or step - seen >= every) and step > seen:
            self._look(state)
        late = time.monotonic() - self.written >= self.order.regime.save_every_s
        if last or late:
            self._write(state)

    def _look(self, state: State) -> None:
        load_average(self.mirror, state)
        score = score_of(self.mirror, self.head, self.watch, spacing=self.order.plan.spacing_mm)
        mean = sum(self.losses) / len(self.losses)
        better = not self.looks or score > max(look.score for look in self.looks)
        self.looks.append(Look(int(state["step"]), mean, score, float(state["seconds"])))
        self.losses.clear()
        if better and self.order.regime.keep == "best":
            found = self.mirror.state_dict()
            self.best = {k: v.detach().cpu().clone() for k, v in found.items()}

    def _write(self, state: State) -> None:
        run = {
            "plan": plan_to_json(self.order.plan),
            "seed": self.order.regime.seed,
            "split": asdict(self.order.split),
            "looks": [asdict(look) for look in self.looks],
            "losses": self.losses,
        }
        best = {BEST + k: v for k, v in self.best.items()}
        save_checkpoint(self.order.path, Checkpoint({**state, **best}, run))
        self.written = time.monotonic()

    def _resumed(self) -> State | None:
        """The state of the checkpoint; none where the training begins."""
        if not (self.order.resume and self.order.path.is_file()):
            return None
        found = load_checkpoint(self.order.path)
        split = asdict(self.order.split)
        asked = {"plan": plan_to_json(self.order.plan), "seed": self.order.regime.seed}
        told = {k: found.run.get(k) for k in asked}
        same = {k: list(v) if isinstance(v, tuple) else v for k, v in split.items()}
        unlike = [k for k in asked if told[k] != asked[k]]
        if found.run.get("split") != same:
            unlike.append("cases")
        if unlike:
            raise ConfigError(
                f"a training must be resumed as it was begun, {' and '.join(unlike)} differ from "
                f"the checkpoint {self.order.path.name!r}: give the same options and data, or "
                "train again without --resume"
            )
        self.looks = [Look(**look) for look in found.run["looks"]]
        self.losses = [float(value) for value in found.run["losses"]]
        self.best = {k.removeprefix(BEST): v for k, v in found.state.items() if k.startswith(BEST)}
        return {k: v for k, v in found.state.items() if not k.startswith(BEST)}


def score_of(
    network: UNet, head: Head, patches: list[Patches], *, spacing: tuple[float, float, float]
) -> float:
    """Score a network on patches whose truth is known.

    Args:
        network: In evaluation mode.
        head: Decodes and scores.
        patches: At least one.
        spacing: Of the lattice; 0 counts as 1.

    Returns:
        Mean score of the patches, 0 to 1.
    """
    device = next(network.parameters()).device
    z, y, x = (s or 1.0 for s in spacing)
    scores = []
    with torch.no_grad():
        for one in patches:
            outputs = network(flattened(one.data, network.plan.dims).to(device)).float().cpu()
            for part, labels in zip(outputs, one.labels, strict=True):
                whole = part[:, None] if network.plan.dims == 2 else part
                scores.append(head.score(head.decode(whole, (z, y, x)), labels))
    return sum(scores) / len(scores)
