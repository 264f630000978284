"""Guides: what is known beside the two images: masks, landmarks, labels, channel weights."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import torch

from vesalius.core import Grid, Image, Labels, Points
from vesalius.errors import ConfigError, GeometryError, RegionError, ShapeError
from vesalius.register._level import Masks


@dataclass(frozen=True, slots=True, eq=False)
class Guides:
    """What a person knows beside the two images.

    Attributes:
        fixed_mask: Where the fixed image counts: every label that is not 0; on any grid.
        moving_mask: Where the moving image counts.
        fixed_points: Landmarks in the fixed world.
        moving_points: The same landmarks, in the same order, in the moving world.
        fixed_labels: Structures of the fixed image; pull the deformation by their overlap.
        moving_labels: The same structures, by the same values, in the moving image.
        channel_weights: How much each channel counts; empty for all alike.
        smoothing: Of the spline of ``plan="landmarks"``, as ``thin_plate`` has it: 0 goes through
            every landmark, large ends at the affine fit. Landmarks set by hand err by some mm, and
            a spline that follows them exactly predicts other places worse.

    Raises:
        ConfigError: One of two that belong together is missing, or a weight is negative.
        ShapeError: The landmarks do not pair.
        GeometryError: A landmark is not finite.
        RegionError: A mask is empty.
    """

    fixed_mask: Labels | None = None
    moving_mask: Labels | None = None
    fixed_points: Points | None = None
    moving_points: Points | None = None
    fixed_labels: Labels | None = None
    moving_labels: Labels | None = None
    channel_weights: tuple[float, ...] = ()
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        _both("points", self.fixed_points, self.moving_points)
        _both("labels", self.fixed_labels, self.moving_labels)
        if self.fixed_points is not None and self.moving_points is not None:
            counts = len(self.fixed_points), len(self.moving_points)
            if counts[0] != counts[1]:
                raise ShapeError(
                    f"landmarks must pair one to one, got {counts[0]} fixed and {counts[1]} "
                    "moving: give the same landmarks in the same order"
                )
            _finite(self.fixed_points, self.moving_points)
        for side, mask in (("fixed", self.fixed_mask), ("moving", self.moving_mask)):
            if mask is not None and not bool((mask.data != 0).any()):
                raise RegionError(f"{side}_mask must hold at least one voxel, got an empty mask")
        weights = self.channel_weights
        if weights and not (min(weights) >= 0 and 0 < sum(weights) < float("inf")):
            raise ConfigError(
                f"channel_weights must not be negative and one must be positive, got {weights}"
            )

    def masks(self) -> Masks:
        """Give the masks as weights."""
        return Masks(_weights(self.fixed_mask), _weights(self.moving_mask))

    def shares(self, channels: int) -> tuple[float, ...]:
        """Give the weight of each channel, summing to 1.

        Args:
            channels: How many the images have.

        Raises:
            ShapeError: There are as many weights as channels, or none.
        """
        given = self.channel_weights or (1.0,) * channels
        if len(given) != channels:
            raise ShapeError(
                f"channel_weights must have one number for each of the {channels} channels, "
                f"got {len(given)}: {given}"
            )
        return tuple(w / sum(given) for w in given)


def _both(what: str, fixed: object, moving: object) -> None:
    if (fixed is None) != (moving is None):
        lacks = "fixed" if fixed is None else "moving"
        raise ConfigError(f"{what} must be given for both images, {lacks}_{what} is missing")


def _finite(fixed: Points, moving: Points) -> None:
    found = torch.isfinite(fixed.data).all(dim=1).cpu()
    found = found & torch.isfinite(moving.data).all(dim=1).cpu()
    if not bool(found.all()):
        first = int((~found).nonzero()[0])
        raise GeometryError(
            f"landmarks must be finite, pair {first} (counted from 0) holds NaN or infinity: "
            "leave it out on both sides"
        )


def _weights(mask: Labels | None) -> Image | None:
    if mask is None:
        return None
    grid: Grid = mask.grid
    return Image((mask.data != 0).any(dim=0, keepdim=True).to(torch.float32), grid)
