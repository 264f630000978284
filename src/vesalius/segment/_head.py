"""Head: what the outputs of a network mean, from labels to what it learns, and back."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod

from jaxtyping import Float, Integer
from torch import Tensor

Outputs = Float[Tensor, "batch k *space"]
Targets = Float[Tensor, "batch t *space"]
Turned = Float[Tensor, "batch turned *space"]
Weights = Float[Tensor, "batch 1 *space"]


class Head(ABC):
    """From labels to targets, from outputs to labels: the one thing in which tasks differ.

    Implementations are final frozen dataclasses of JSON types (saved in the plan): classes (soft
    maximum over classes), flows (gradients and cell probability), stars (distances along rays).
    Volumes are (z, y, x) with ``z == 1`` for 2-D; inside a batch, 2-D data has two spatial axes.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Channels that the network gives."""

    @abstractmethod
    def targets(
        self, labels: Integer[Tensor, "z y x"], spacing: tuple[float, float, float]
    ) -> Float[Tensor, "t z y x"]:
        """What the network learns, made once for each case before training (float32).

        Args:
            labels: Class or object of each voxel; values that the plan ignores are kept (-1).
            spacing: Of the samples along (z, y, x), mm or any common unit.
        """

    @abstractmethod
    def turned(self, targets: Targets, matrix: Float[Tensor, "batch d d"]) -> Turned:
        """Correct targets after a spatial augmentation that pulled samples through ``matrix``.

        Or make them only now, of what :meth:`targets` gave (stars).

        Args:
            targets: Already sampled at the new places.
            matrix: Linear part, new to old position, along the spatial axes in array order.
        """

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Targets, weight: Weights) -> Float[Tensor, ""]:
        """What training makes small.

        Args:
            outputs: Of the network.
            targets: From :meth:`turned`.
            weight: Of each voxel, 0 where the truth is not known (ignore label, scribbles).
        """

    @abstractmethod
    def decode(
        self, outputs: Float[Tensor, "k z y x"], spacing: tuple[float, float, float]
    ) -> Integer[Tensor, "z y x"]:
        """From outputs to labels."""

    @abstractmethod
    def score(self, found: Integer[Tensor, "z y x"], truth: Integer[Tensor, "z y x"]) -> float:
        """How good labels are, 0 to 1, for choosing and for the progress line: Dice or AP@.5."""
