"""STAPLE: the truth behind several segmentations and how far each can be trusted, at once."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vesalius.core import Image, Labels
from vesalius.errors import ConvergenceError, RegionError, ShapeError
from vesalius.register._fusion import indexed

TRUST = 0.95  # first guess of the chance that a rater is right
LEAST = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Staple:
    """The estimated truth and the performance of each rater.

    Attributes:
        labels: The most probable label of each voxel; ties to the smallest value.
        probability: Of that label.
        values: The labels that occur, ascending; rows and columns of ``confusion``.
        confusion: (k, l, l); rater k says column j where the truth is row i with this chance.
        sensitivity: (k, l), chance that a rater names label i where it is.
        specificity: (k, l), chance that a rater does not name label i where it is not.
        steps: Steps taken.
    """

    labels: Labels
    probability: Image
    values: tuple[int, ...]
    confusion: Tensor
    sensitivity: Tensor
    specificity: Tensor
    steps: int


def staple(
    votes: Sequence[Labels], *, steps: int = 1000, tol: float = 1e-4, disputed_only: bool = False
) -> Staple:
    """Estimate truth and raters together by expectation maximisation.

    Voxels are alike where all raters say the same, so each pattern of votes is counted once.

    Args:
        votes: At least two raters; one layer each, on one grid; binary or several labels.
        steps: Most steps.
        tol: Rest when no entry of a confusion matrix changes by more.
        disputed_only: Whether voxels on which all agree stay out of the estimate. They are mostly
            background, and make every rater look specific.

    Returns:
        The truth and the performance of each rater.

    Raises:
        ShapeError: There are fewer than two raters, or one has several layers.
        GeometryError: The grids differ.
        RegionError: No voxel is disputed, though only those were to count.
        ConvergenceError: ``steps`` were not enough.

    References:
        Warfield, Zou and Wells (2004), doi:10.1109/TMI.2004.828354, eqs. (14) to (19) for two
        labels, and its extension to several; the prior is each label's share of all votes.
        ``disputed_only``: Rohlfing et al. (2004), doi:10.1109/TMI.2004.830803.
    """
    if len(votes) < 2:
        raise ShapeError(f"staple needs at least two raters, got {len(votes)}")
    values, index = indexed(votes)
    pattern, inverse, count = _patterns(index)
    agreed = (pattern == pattern[:1]).all(dim=0)
    used = count * ~agreed if disputed_only else count
    if not bool((used > 0).any()):
        raise RegionError("disputed_only needs a voxel on which the raters differ, there is none")
    n = len(values)
    prior = torch.zeros(n, dtype=torch.float64)
    prior.index_add_(0, pattern.reshape(-1), used.repeat(len(pattern)))
    prior = prior / prior.sum()
    confusion, done = _maximised(pattern, used, prior, (steps, tol))
    chance = _expected(pattern, confusion, prior)
    if disputed_only:
        sure = torch.nn.functional.one_hot(pattern[0], n).double()
        chance = torch.where(agreed[:, None], sure, chance)
    best = chance.max(dim=1)
    shape, first = index.shape[1:], votes[0]
    data = values.cpu()[best.indices][inverse].reshape(1, *shape).to(first.data)
    sure_of = best.values[inverse].reshape(1, *shape).to(first.device, torch.float32)
    names = next((vote.names for vote in votes if vote.names), {})
    sensitivity, specificity = _rates(confusion, prior)
    return Staple(
        Labels(data, first.grid, names),
        Image(sure_of, first.grid),
        tuple(int(v) for v in values),
        confusion,
        sensitivity,
        specificity,
        done,
    )


def _patterns(index: Int[Tensor, "k z y x"]) -> tuple[Tensor, Tensor, Tensor]:
    """Give the patterns of votes (k, p), the pattern of each voxel, and how often each occurs."""
    flat = index.reshape(len(index), -1).cpu()
    inverse = flat[0]
    span = int(flat.max()) + 1
    for vote in flat[1:]:  # rater by rater: a code of all at once could overflow
        inverse = torch.unique(inverse * span + vote, return_inverse=True)[1]
    count = torch.bincount(inverse)
    pattern = torch.empty(len(flat), len(count), dtype=torch.long)
    pattern[:, inverse] = flat
    return pattern, inverse, count.double()


def _expected(pattern: Tensor, confusion: Tensor, prior: Tensor) -> Float[Tensor, "p l"]:
    """Give the chance of each truth behind each pattern."""
    log = prior.clamp_min(LEAST).log().expand(pattern.shape[1], -1)
    for vote, matrix in zip(pattern, confusion, strict=True):
        log = log + matrix.clamp_min(LEAST).log().T[vote]
    return torch.softmax(log, dim=1)


def _maximised(
    pattern: Tensor, count: Tensor, prior: Tensor, stop: tuple[int, float]
) -> tuple[Tensor, int]:
    n, steps, tol = len(prior), *stop
    rest = (1 - TRUST) / max(1, n - 1)
    one = torch.eye(n, dtype=torch.float64)
    confusion = (rest + (TRUST - rest) * one).expand(len(pattern), n, n)
    if n == 1:
        return torch.ones(len(pattern), 1, 1, dtype=torch.float64), 0
    for step in range(1, steps + 1):
        chance = _expected(pattern, confusion, prior) * count[:, None]
        fresh = torch.zeros_like(confusion)
        for rater, vote in enumerate(pattern):
            fresh[rater].index_add_(1, vote, chance.T)
        total = fresh.sum(dim=2, keepdim=True)
        # a label that has no voxel teaches nothing: its row stays
        fresh = torch.where(total > LEAST, fresh / total.clamp_min(LEAST), confusion)
        change = float((fresh - confusion).abs().max())
        confusion = fresh
        if change <= tol:
            return confusion, step
    raise ConvergenceError(
        f"the raters' chances must settle within {tol:g}, they still change by {change:.2g} after "
        f"{steps} steps: give more steps or a larger tol"
    )


def _rates(confusion: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
    """Give each rater's sensitivity and specificity for each label against all others."""
    sensitivity = confusion.diagonal(dim1=1, dim2=2)
    named = prior @ confusion  # (k, l), how often a rater names a label
    wrongly = named - prior * sensitivity
    return sensitivity, 1 - wrongly / (1 - prior).clamp_min(LEAST)
