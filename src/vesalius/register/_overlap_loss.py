"""Overlap of structures as a loss: soft Dice of memberships, and labels that guide a search."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Image, Labels, Transform, resample
from vesalius.errors import ConfigError, RegionError
from vesalius.ops._warp import warp
from vesalius.register._level import Level
from vesalius.register._pairing import finite_tensor, pair
from vesalius.register._similarity import Samples, Similarity, Weight
from vesalius.register._terms import Term


@final
@dataclass(frozen=True, slots=True)
class SoftDice(Similarity):
    """Compare memberships of structures, one channel each: 1 - mean Dice.

    From 0 to 1 for memberships of 0 to 1 (one-hot labels, probabilities). Structures that the
    fixed image lacks do not count.

    References:
        Milletari, Navab, Ahmadi (2016), doi:10.1109/3DV.2016.79, section 3 (squares below the
        fraction, so that a soft membership agrees with itself).
    """

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give 1 - mean of ``2 sum(w f m) / sum(w (f^2 + m^2))`` over the structures.

        Raises:
            RegionError: The fixed image has no structure where the weight is not 0.
        """
        f, m, w = pair(fixed, warped, weight)
        own = (w * f.square()).sum(1)
        there = own > 0
        if not bool(there.any()):
            raise RegionError(
                "memberships of the fixed image must not all be 0 where the weight is above 0: "
                "check its labels and mask"
            )
        both = own + (w * m.square()).sum(1)
        dice = 2 * (w * f * m).sum(1) / both.where(there, 1)
        return finite_tensor(1 - dice[there].mean(), "the overlap of memberships")


@final
@dataclass(frozen=True, slots=True, eq=False)
class LabelOverlap(Term):
    """Pull structures of the same value over each other: 1 - mean soft Dice, weighted.

    Attributes:
        fixed: Structures of the fixed image, one layer.
        moving: Of the moving image; values that only one of the two has do not count.
        start: Fixed world to moving world; the deformation comes before it.
        weight: Strength, beside a similarity of 0 to 1.

    Raises:
        ConfigError: The weight is negative.
        RegionError: The two share no value but 0.
    """

    fixed: Labels
    moving: Labels
    start: Transform
    weight: float = 1.0
    _seen: dict[Level, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ConfigError(f"weight must be 0 or more, got {self.weight}")
        self._values()

    def __call__(self, flow: Float[Tensor, "3 z y x"], level: Level) -> Tensor:
        """Give the loss of the moving structures pulled through a flow."""
        fixed, moving = self._memberships(level)
        warped = warp(moving.to(flow), flow, offset=level.margin)
        return self.weight * SoftDice()(fixed.to(flow), warped)

    def _values(self) -> list[int]:
        both = self.fixed, self.moving
        first, second = (set(torch.unique(each.data).tolist()) for each in both)
        shared = sorted((first & second) - {0})
        if not shared:
            raise RegionError(
                "labels that guide must share a value other than 0, got "
                f"{sorted(first - {0})[:5]} and {sorted(second - {0})[:5]}: number them alike"
            )
        return shared

    def _memberships(self, level: Level) -> tuple[Tensor, Tensor]:
        """Put both onto the lattice of a level, once; only the last level's are kept."""
        if level not in self._seen:
            values = self._values()
            fixed = resample(_one_hot(self.fixed, values), level.grid, fill=0).data
            a, b, c = level.margin
            z, y, x = (n + 2 * m for n, m in zip(level.grid.shape, level.margin, strict=True))
            wide = level.grid.crop((-a, -b, -c), (z, y, x))
            moving = resample(_one_hot(self.moving, values), wide, transform=self.start, fill=0)
            self._seen.clear()
            self._seen[level] = (fixed, moving.data)
        return self._seen[level]


def _one_hot(labels: Labels, values: list[int]) -> Image:
    layers = [(labels.data == v).any(dim=0) for v in values]
    return Image(torch.stack(layers).to(torch.float32), labels.grid)
