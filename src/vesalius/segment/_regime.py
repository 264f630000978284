"""Regime: how a training is run, which cases each network learns from, and what is seen of it."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch

from vesalius.errors import ConfigError
from vesalius.segment._dataset import Dataset


@final
@dataclass(frozen=True, slots=True)
class Regime:
    """How a training is run; what is trained is the plan's.

    Attributes:
        seed: Of first weights, folds, patches and augmentation.
        folds: Parts that the cases are split into, one network for each, which does not see its
            part; 0 trains one network on all but the watched cases.
        fold: Only this one of the folds; -1 trains all.
        hold_out: Names of cases that no network sees; they are what it is scored on.
        keep: The last averaged weights, or those that scored best on the watched cases (never on
            those that are held out).
        patience: Looks (of 50) without a better score after which a training stops; 0 never.
        save_every_s: Seconds between checkpoints.
        seconds: The training ends when they are over, also before its last step.
        clock: What ``seconds`` are of: the wall, or the work of this process.

    Raises:
        ConfigError: A number is out of range.
    """

    seed: int = 0
    folds: int = 0
    fold: int = -1
    hold_out: tuple[str, ...] = ()
    keep: Literal["last", "best"] = "last"
    patience: int = 0
    save_every_s: float = 60.0
    seconds: float = math.inf
    clock: Literal["wall", "cpu"] = "wall"

    def __post_init__(self) -> None:
        if self.folds == 1 or self.folds < 0 or not -1 <= self.fold < max(self.folds, 0):
            raise ConfigError(
                f"folds must be 0 or at least 2 and fold one of them (or -1), got {self.folds} and "
                f"{self.fold}"
            )
        if self.patience < 0 or not (self.save_every_s > 0 and self.seconds > 0):
            raise ConfigError(
                "patience must not be negative, save_every_s and seconds positive, got "
                f"{self.patience}, {self.save_every_s} and {self.seconds}"
            )


@final
@dataclass(frozen=True, slots=True)
class Look:
    """What is seen when a training is looked at.

    Attributes:
        step: Steps made.
        loss: Mean since the last look.
        score: Of the averaged weights on the watched patches, 0 to 1.
        seconds: Since the training began, pauses left out.
    """

    step: int
    loss: float
    score: float
    seconds: float


@final
@dataclass(frozen=True, slots=True)
class Split:
    """Which cases one network learns from, and which it is watched by.

    Attributes:
        fold: Its number; 0 where there is one network.
        trained: Names.
        watched: Names; the same as ``trained`` where there are too few cases to spare any.
        unlabelled: Names of the cases without labels that it learns from as well.
    """

    fold: int
    trained: tuple[str, ...]
    watched: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()


def make_splits(dataset: Dataset, regime: Regime) -> tuple[Split, ...]:
    """Say which cases each network learns from and is watched by.

    Args:
        dataset: Its labelled cases are split.
        regime: Folds, seed, and what is held out.

    Returns:
        One for each network.

    Raises:
        ConfigError: A case that is held out is absent, or fewer cases than folds are left.
    """
    rest = dataset.without(regime.hold_out).labelled
    names = [case.name for case in rest]
    if len(names) < max(1, regime.folds):
        raise ConfigError(
            f"a training must have at least {max(1, regime.folds)} labelled cases, "
            f"{len(names)} are left of {len(dataset.labelled)}: hold out fewer, or take fewer folds"
        )
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(regime.seed))
    mixed = [names[i] for i in order.tolist()]
    if regime.folds:
        folds = range(regime.folds) if regime.fold < 0 else (regime.fold,)
        return tuple(_split(f, names, mixed[f :: regime.folds]) for f in folds)
    held = [n for n in regime.hold_out if dataset.case(n).labels is not None]
    if held and regime.keep == "last" and not regime.patience:
        return (Split(0, tuple(names), tuple(held)),)
    spare = len(names) // 10
    return (_split(0, names, mixed[:spare] if spare else []),)


def _split(fold: int, names: list[str], away: list[str]) -> Split:
    trained = tuple(n for n in names if n not in away)
    return Split(fold, trained, tuple(n for n in names if n in away) or trained)
