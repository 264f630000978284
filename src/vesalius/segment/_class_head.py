"""Class head: one output for each class, the background too; the largest wins."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.learn.losses import dice_cross_entropy
from vesalius.segment._head import Head, Outputs, Targets, Weights


@final
@dataclass(frozen=True, slots=True)
class ClassHead(Head):
    """Soft maximum over classes, learned by Dice and cross-entropy.

    Attributes:
        values: Label value of each class, background left out; rising.

    Raises:
        ConfigError: There is no class, or the values do not rise from 1.

    References:
        Isensee et al. (2021), doi:10.1038/s41592-020-01008-z (Dice and cross-entropy, summed).
    """

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values or self.values[0] < 1 or list(self.values) != sorted(set(self.values)):
            raise ConfigError(
                f"classes must be rising label values from 1 on, got {self.values}: 0 is the "
                "background, and one class besides it is the least"
            )

    @property
    def outputs(self) -> int:
        """Classes and the background."""
        return 1 + len(self.values)

    def targets(
        self, labels: Integer[Tensor, "z y x"], spacing: tuple[float, float, float]
    ) -> Float[Tensor, "t z y x"]:
        """Give the index of the class, one channel; -1 where it is not known.

        Args:
            labels: Values of the plan, -1 where the truth is not known.
            spacing: Not used.

        Raises:
            ConfigError: A value is none of the classes.
        """
        index = torch.full(labels.shape, -2.0)
        for i, value in enumerate((-1, 0, *self.values)):
            index[labels == value] = i - 1.0
        if bool((index == -2).any()):
            value = int(labels[index == -2][0])
            raise ConfigError(
                f"labels must be of the classes {self.values}, 0, or -1, got {value}: train with "
                "all values, or correct the labels"
            )
        return index[None]

    def turned(self, targets: Targets, matrix: Float[Tensor, "batch d d"]) -> Targets:
        """Give the targets as they are: a class has no direction."""
        return targets

    def loss(self, outputs: Outputs, targets: Targets, weight: Weights) -> Float[Tensor, ""]:
        """Sum of soft Dice loss and cross-entropy."""
        return dice_cross_entropy(outputs, targets.round().to(torch.int64), weight)

    def decode(
        self, outputs: Float[Tensor, "k z y x"], spacing: tuple[float, float, float]
    ) -> Integer[Tensor, "z y x"]:
        """Give the value of the class with the largest output."""
        values = torch.tensor((0, *self.values), dtype=torch.int32, device=outputs.device)
        return values[outputs.argmax(dim=0)]

    def score(self, found: Integer[Tensor, "z y x"], truth: Integer[Tensor, "z y x"]) -> float:
        """Give the mean Dice coefficient of the classes that occur in either; 1 where none does.

        Args:
            found: Decoded.
            truth: -1 where it is not known, which counts for nothing.
        """
        known = truth >= 0
        scores = []
        for value in self.values:
            ours, theirs = (found == value) & known, truth == value
            size = int(ours.sum()) + int(theirs.sum())
            if size:
                scores.append(2 * int((ours & theirs).sum()) / size)
        return sum(scores) / len(scores) if scores else 1.0
