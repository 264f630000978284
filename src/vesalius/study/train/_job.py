"""Job: what a training is asked to do, in JSON types."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from vesalius.errors import ConfigError
from vesalius.segment.networks import Budget, Dataset, Regime

BudgetKind = Literal["laptop", "nnunet"]
Task = Literal["auto", "classes", "flows", "stars"]
Supervision = Literal["full", "scribbles", "boxes", "tags"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a training is asked to do.

    Attributes:
        minutes: Of training; all networks together.
        ram_gb: Memory that a step may take, GiB.
        budget: Whose plan.
        task: What the labels are.
        steps: Fixed number of steps of each network; 0 takes what fits in ``minutes``.
        folds: Networks, each of which does not see a part of the cases; 0 is one network.
        fold: Only this one of the folds; -1 is all.
        hold_out: Cases that no network sees: a number, or a file with a name in each line; empty
            for none.
        only: Pattern that the name of a case must match.
        seed: Of everything that is drawn.
        keep: Whether the last or the best averaged weights are kept.
        patience: Looks without a better score after which a training stops; 0 never.
        half: Store the weights in 16 bits.
        supervision: What is learned from the labels: all, marks, boxes, or which classes occur.
        unlabelled: Whether cases without labels are learned from as well.
    """

    minutes: float = 20.0
    ram_gb: float = 4.0
    budget: BudgetKind = "laptop"
    task: Task = "auto"
    steps: int = 0
    folds: int = 0
    fold: int = -1
    hold_out: str = ""
    only: str = "*"
    seed: int = 0
    keep: Literal["last", "best"] = "last"
    patience: int = 0
    half: bool = False
    supervision: Supervision = "full"
    unlabelled: bool = False

    def to_json(self) -> dict[str, object]:
        """Give the job as JSON types."""
        told = asdict(self)
        told["hold_out"] = Path(self.hold_out).name  # no path in a record
        return told

    def to_budget(self) -> Budget:
        """Give what each network may cost."""
        networks = self.folds if self.folds and self.fold < 0 else 1
        return Budget(
            self.minutes / networks,
            self.ram_gb,
            self.budget,
            self.steps,
            self.task,
            self.supervision,
            self.unlabelled,
        )

    def to_regime(self, held: tuple[str, ...]) -> Regime:
        """Give how the networks are trained.

        Args:
            held: Names of the cases that are held out.
        """
        free = self.steps or self.budget == "nnunet"
        return Regime(
            seed=self.seed,
            folds=self.folds,
            fold=self.fold,
            hold_out=held,
            keep=self.keep,
            patience=self.patience,
            seconds=math.inf if free else 60 * self.to_budget().minutes,
        )


def hold_out_names(dataset: Dataset, wanted: str, *, seed: int = 0) -> tuple[str, ...]:
    """Give the names of the cases that are held out.

    Args:
        dataset: Its labelled cases are drawn from.
        wanted: A number of cases, drawn evenly by chance from the sorted names; or a file with a
            name in each line; empty for none.
        seed: Of the draw.

    Returns:
        The names, sorted.

    Raises:
        ConfigError: The file cannot be read, a name is unknown, or no case would be left.
    """
    names = [case.name for case in dataset.labelled]
    if not wanted:
        return ()
    if wanted.isascii() and wanted.isdigit():
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
        held = [names[i] for i in order[: int(wanted)].tolist()]
    else:
        try:
            lines = Path(wanted).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cases that are held out must be a number or a file with a name in each line, "
                f"{Path(wanted).name!r} cannot be read ({type(error).__name__})"
            ) from error
        held = [line.strip() for line in lines if line.strip()]
        dataset.without(tuple(held))
    if len(held) >= len(names):
        raise ConfigError(
            f"some cases must be left to learn from, {len(held)} of {len(names)} are held out: "
            "hold out fewer"
        )
    return tuple(sorted(held))
