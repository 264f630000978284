"""ROC and precision-recall: how hits trade against false alarms as a threshold falls."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.errors import IntensityError, RegionError, ShapeError


class Roc(NamedTuple):
    """An ROC curve.

    Attributes:
        false_positive: Share of the negatives at or above each threshold, rising from 0 to 1.
        true_positive: Share of the positives.
        thresholds: Falling; the first is infinite.
    """

    false_positive: Float[Tensor, " points"]
    true_positive: Float[Tensor, " points"]
    thresholds: Float[Tensor, " points"]


class PrecisionRecall(NamedTuple):
    """A precision-recall curve.

    Attributes:
        recall: Share of the positives at or above each threshold, rising to 1.
        precision: Share of the positives among those at or above it.
        thresholds: Falling.
    """

    recall: Float[Tensor, " points"]
    precision: Float[Tensor, " points"]
    thresholds: Float[Tensor, " points"]


def roc(score: Float[Tensor, " n"], positive: Bool[Tensor, " n2"]) -> Roc:
    """Count hits and false alarms at every score that occurs.

    Args:
        score: Any finite numbers.
        positive: Same length: what a high score should find; some, not all.

    Returns:
        The curve, float64; equal scores are one point, so the straight line between points gives
        ties half.

    Raises:
        ShapeError: The lengths differ.
        IntensityError: A score is not finite.
        RegionError: One of both kinds is absent.

    References:
        Fawcett (2006), doi:10.1016/j.patrec.2005.10.010, algorithm 1.
    """
    levels, yes, no = _counts(score, positive)
    if not yes[-1] or not no[-1]:
        raise RegionError(
            f"an ROC curve needs positives and negatives, got {int(yes[-1])} and {int(no[-1])}"
        )
    zero = yes.new_zeros(1)
    return Roc(
        torch.cat([zero, no / no[-1]]),
        torch.cat([zero, yes / yes[-1]]),
        torch.cat([levels.new_full((1,), math.inf), levels]),
    )


def precision_recall(score: Float[Tensor, " n"], positive: Bool[Tensor, " n2"]) -> PrecisionRecall:
    """Count how many of those above each threshold are positives.

    Args:
        score: Any finite numbers.
        positive: Same length; some.

    Returns:
        The curve, float64.

    Raises:
        ShapeError: The lengths differ.
        IntensityError: A score is not finite.
        RegionError: There is no positive.
    """
    levels, yes, no = _counts(score, positive)
    if not yes[-1]:
        raise RegionError("a precision-recall curve needs positives, got none")
    return PrecisionRecall(yes / yes[-1], yes / (yes + no), levels)


def average_precision(score: Float[Tensor, " n"], positive: Bool[Tensor, " n2"]) -> float:
    """Average the precision over the recall, in steps: nothing is interpolated.

    Args:
        score: Any finite numbers.
        positive: Same length; some.

    Returns:
        0 to 1; the share of the positives is what chance gives.

    Raises:
        ShapeError: The lengths differ.
        IntensityError: A score is not finite.
        RegionError: There is no positive.

    References:
        Davis and Goadrich (2006), doi:10.1145/1143844.1143874: straight lines between the points
        are too good.
    """
    curve = precision_recall(score, positive)
    gained = curve.recall.diff(prepend=curve.recall.new_zeros(1))
    return float((gained * curve.precision).sum())


def _counts(score: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count positives and negatives at or above each level, the highest level first."""
    if score.shape != positive.shape:
        raise ShapeError(
            "scores and positives must have one length, got "
            f"{tuple(score.shape)} and {tuple(positive.shape)}"
        )
    if not bool(torch.isfinite(score).all()):
        raise IntensityError(
            f"scores must be finite to be ranked, {int((~torch.isfinite(score)).sum())} are not"
        )
    if not score.numel():
        raise RegionError("there must be at least one sample to be ranked, got none")
    levels, place = torch.unique(score.detach().double(), return_inverse=True)
    yes = torch.bincount(place, weights=positive.double(), minlength=len(levels))
    no = torch.bincount(place, weights=(~positive).double(), minlength=len(levels))
    return levels.flip(0), yes.flip(0).cumsum(0), no.flip(0).cumsum(0)
