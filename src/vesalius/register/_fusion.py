"""Fusion: labels of several atlases made into one, by vote, by local likeness, or by trust."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.core import Grid, Image, Labels, Transform, differences, resample_labels
from vesalius.errors import (
    ConfigError,
    GeometryError,
    IntensityError,
    RegionError,
    ShapeError,
)
from vesalius.ops._filters import gaussian


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """One labelling made of several.

    Attributes:
        labels: One layer, on the grid of the votes; names of the first that has them.
        share: The winner's part of all votes at each voxel, 0 to 1.
    """

    labels: Labels
    share: Image


@dataclass(frozen=True, slots=True)
class Likeness:
    """How the local likeness of an atlas becomes the weight of its vote.

    Attributes:
        measure: ``"mse"``: weight ``(d + floor)^-power`` with d the local mean squared
            difference in units of the target's variance; ``"ncc"``: ``max(0, ncc)^power`` of the
            local correlation, blind to a linear change of intensity.
        sigma_mm: Width of the Gaussian window, mm.
        power: Sharpness; 0 is the plain vote.
        floor: Difference below which all count alike, of the target's variance.

    Raises:
        ConfigError: A number is out of range.
    """

    measure: Literal["mse", "ncc"] = "mse"
    sigma_mm: float = 2.0
    power: float = 2.0
    floor: float = 1e-3

    def __post_init__(self) -> None:
        if not (self.sigma_mm > 0 and self.power >= 0 and self.floor > 0):
            raise ConfigError(
                "sigma_mm and floor must be positive and power not negative, got "
                f"{self.sigma_mm}, {self.floor} and {self.power}"
            )


def transfer_labels(
    labels: Labels,
    like: Grid,
    *,
    transform: Transform,
    method: Literal["nearest", "onehot"] = "onehot",
) -> Labels:
    """Carry the labels of a moving image (an atlas) over to the fixed one.

    Args:
        labels: On a grid of the moving world.
        like: The fixed image's grid.
        transform: Fixed world to moving world, as a registration gives it.
        method: See ``core.resample_labels``; ``"onehot"`` keeps outlines smooth.

    Returns:
        Labels on ``like``.

    Raises:
        RegionError: Nothing arrives though there was something to carry.
    """
    out = resample_labels(labels, like, transform=transform, method=method)
    if bool((labels.data != 0).any()) and not bool((out.data != 0).any()):
        raise RegionError(
            "at least one labelled voxel must reach the fixed grid, none does: check that the "
            "transform goes from fixed to moving (LPS, mm) and belongs to these images"
        )
    return out


def majority(votes: Sequence[Labels]) -> Fused:
    """Let every voxel go to the label that most atlases give it; ties to the smallest value.

    Args:
        votes: One layer each, on one grid, at least one.

    Returns:
        The labels, and the winners' share of the votes.

    Raises:
        ShapeError: There is none, or one has several layers.
        GeometryError: The grids differ.

    References:
        Heckemann et al. (2006), doi:10.1016/j.neuroimage.2006.05.061 (vote-rule fusion).
    """
    values, index = indexed(votes)
    ones = torch.ones(1, 1, 1, 1, device=index.device)
    return _fused(votes, values, index, [ones] * len(votes))


def locally_weighted(
    votes: Sequence[Labels],
    images: Sequence[Image],
    target: Image,
    *,
    likeness: Likeness = Likeness(),
) -> Fused:
    """Let atlases that look like the target around a voxel have more to say there.

    Args:
        votes: One layer each, on the target's grid.
        images: The atlas image of each vote, on the target's grid, one channel, floating point.
        target: The image to be labelled; one channel.
        likeness: How likeness becomes weight.

    Returns:
        The labels, and the winners' share of the weights.

    Raises:
        ShapeError: Votes and images do not pair, or have several layers or channels.
        GeometryError: The grids differ.
        IntensityError: An image is not finite.

    References:
        Artaechevarria et al. (2009), doi:10.1109/TMI.2009.2014372 (local weighted voting).
    """
    if len(votes) != len(images):
        raise ShapeError(
            f"each vote needs the image of its atlas, got {len(votes)} votes, {len(images)} images"
        )
    values, index = indexed(votes)
    _check_images(images, target, votes[0].grid)
    weights = [_weight(image.data, target, likeness) for image in images]
    return _fused(votes, values, index, weights)


def indexed(votes: Sequence[Labels]) -> tuple[Int[Tensor, " l"], Int[Tensor, "k z y x"]]:
    """Give the values that occur and, for each vote and voxel, the place of its value in them.

    Args:
        votes: One layer each, on one grid.

    Returns:
        Values in ascending order, and indices into them.

    Raises:
        ShapeError: There is no vote, or one has several layers.
        GeometryError: The grids differ.
    """
    if not votes:
        raise ShapeError("fusion needs the labels of at least one atlas, got none")
    for vote in votes:
        if vote.data.shape[0] != 1:
            raise ShapeError(
                f"fusion needs labels of one layer, got {vote.data.shape[0]}: "
                "fuse the layers one by one, Labels(labels.data[:1], labels.grid)"
            )
        found = differences(votes[0].grid, vote.grid)
        if found:
            raise GeometryError(
                f"the labels to be fused must share one grid; {found[0]}: use transfer_labels first"
            )
    stacked = torch.stack([vote.data[0].long() for vote in votes])
    values, index = torch.unique(stacked, return_inverse=True)
    return values, index


def _fused(
    votes: Sequence[Labels], values: Tensor, index: Tensor, weights: Sequence[Tensor]
) -> Fused:
    """Add the weights of each label where the votes differ, and keep the heaviest."""
    shape = index.shape[1:]
    disputed = (index != index[:1]).any(dim=0)
    votes_there = index[:, disputed]
    shares = torch.stack([w.expand(1, *shape)[0][disputed] for w in weights])
    # weights below what a float can hold say nothing: a plain vote, not the smallest label
    shares = torch.where(shares.sum(dim=0) > 0, shares, torch.ones_like(shares))
    best = torch.full(votes_there.shape[1:], -1.0, device=index.device)
    found = torch.zeros(votes_there.shape[1:], dtype=torch.long, device=index.device)
    for place in torch.unique(votes_there).tolist():  # ascending: ties go to the smallest
        weight = (shares * (votes_there == place)).sum(dim=0)
        better = weight > best
        best, found = torch.where(better, weight, best), torch.where(better, place, found)
    winner, share = index[0].clone(), torch.ones(shape, device=index.device)
    winner[disputed], share[disputed] = found, best / shares.sum(dim=0)
    data = values[winner].to(votes[0].data.dtype)[None]
    names = next((vote.names for vote in votes if vote.names), {})
    grid = votes[0].grid
    return Fused(Labels(data, grid, names), Image(share[None], grid))


def _check_images(images: Sequence[Image], target: Image, grid: Grid) -> None:
    for image in (target, *images):
        if image.data.shape[0] != 1:
            raise ShapeError(f"images must have one channel, got {image.data.shape[0]}")
        found = differences(grid, image.grid)
        if found:
            raise GeometryError(f"images must lie on the grid of the votes; {found[0]}")
        if not bool(torch.isfinite(image.data).all()):
            raise IntensityError(
                "images must be finite to be likened, got NaN or infinity: replace those samples"
            )


def _weight(atlas: Float[Tensor, "1 z y x"], target: Image, likeness: Likeness) -> Tensor:
    z, y, x = (likeness.sigma_mm / s for s in target.grid.spacing_mm)
    sigma = (z, y, x)
    a, b = atlas.float(), target.data.float()
    floor = likeness.floor * b.var().clamp_min(1e-30)
    if likeness.measure == "mse":
        away = gaussian((a - b) ** 2, sigma).clamp_min(0)
        return ((away + floor) / floor) ** -likeness.power
    a, b = a - a.mean(), b - b.mean()
    mean_a, mean_b = gaussian(a, sigma), gaussian(b, sigma)
    both = gaussian(a * b, sigma) - mean_a * mean_b
    own = (gaussian(a * a, sigma) - mean_a**2) * (gaussian(b * b, sigma) - mean_b**2)
    # where both are flat there is nothing to be judged: all count alike, a little
    ncc = both.clamp_min(0) / own.clamp_min(0).sqrt().clamp_min(1e-6 * float(b.var()) + 1e-30)
    return ncc.clamp(1e-3, 1) ** likeness.power
