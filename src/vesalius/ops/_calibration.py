"""Calibration: whether probabilities mean what they say, and whether scores sort by truth."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from vesalius.errors import IntensityError, RegionError, ShapeError, UnitError


class Reliability(NamedTuple):
    """Stated against observed, in bins of equal width from 0 to 1.

    Attributes:
        ece: Expected calibration error: mean over the samples of |observed - stated| of their bin.
        largest: The largest |observed - stated| of a bin that has samples.
        stated: Mean confidence in each bin; NaN where a bin is empty.
        observed: Share of right answers in each bin.
        samples: How many fall in each bin.
    """

    ece: float
    largest: float
    stated: Float[Tensor, " bins"]
    observed: Float[Tensor, " bins"]
    samples: Int[Tensor, " bins"]


def reliability(
    confidence: Float[Tensor, "*shape"], right: Bool[Tensor, "*shape2"], *, bins: int = 15
) -> Reliability:
    """Compare how sure something is with how often it is right.

    For several classes give the largest probability and whether its class is the true one (top
    label); for two classes the probability of one and whether it is true.

    Args:
        confidence: 0 to 1.
        right: Same shape.
        bins: Bins of equal width; each but the first excludes its lower end.

    Returns:
        The error and the curve, float64 on the CPU.

    Raises:
        ShapeError: The shapes differ.
        RegionError: There is no sample.
        IntensityError: A confidence is not between 0 and 1, or NaN.
        UnitError: ``bins`` is below 1.

    References:
        Guo et al. (2017), doi:10.48550/arXiv.1706.04599, eqs. (2)-(5).
    """
    _check(confidence, right)
    if bins < 1:
        raise UnitError(f"bins must be at least 1, got {bins}")
    p = confidence.detach().double().reshape(-1)
    place = ((p * bins).ceil().long() - 1).clamp(0, bins - 1)
    zeros = torch.zeros(bins, dtype=torch.float64, device=p.device)
    count = torch.bincount(place, minlength=bins)
    stated = zeros.index_add(0, place, p) / count
    observed = zeros.index_add(0, place, right.reshape(-1).double()) / count
    gap = (observed - stated).abs().nan_to_num(0.0)
    ece = float((gap * count).sum()) / p.numel()
    return Reliability(ece, float(gap.max()), stated.cpu(), observed.cpu(), count.cpu())


def brier_score(probability: Float[Tensor, "k *shape"], truth: Integer[Tensor, "*shape2"]) -> float:
    """Mean over the samples of the summed squared error of all class probabilities.

    Args:
        probability: (k, *shape), one channel for each class, background too.
        truth: (*shape), the class of each sample, 0 to k - 1.

    Returns:
        0 (perfect) to 2 (sure and wrong). For two classes this is twice :func:`brier_binary`.

    Raises:
        ShapeError: The shapes do not fit.
        RegionError: There is no sample.
        IntensityError: A probability is outside 0 to 1, or a class has no channel.

    References:
        Brier (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2, eq. (2).
    """
    _check(probability[0], truth)
    _check_range(probability)
    k = probability.shape[0]
    if int(truth.min()) < 0 or int(truth.max()) >= k:
        raise IntensityError(
            f"classes of the truth must have a channel, 0 to {k - 1}, got values from "
            f"{int(truth.min())} to {int(truth.max())}"
        )
    p = probability.detach().double()
    own = p.gather(0, truth.long()[None])[0]
    return float((p.square().sum(dim=0) - 2 * own + 1).mean())


def brier_binary(probability: Float[Tensor, "*shape"], truth: Bool[Tensor, "*shape2"]) -> float:
    """Mean squared error of the probability that a sample is positive.

    Args:
        probability: 0 to 1.
        truth: Same shape.

    Returns:
        0 (perfect) to 1 (sure and wrong).

    Raises:
        ShapeError: The shapes differ.
        RegionError: There is no sample.
        IntensityError: A probability is outside 0 to 1.
    """
    _check(probability, truth)
    return float((probability.detach().double() - truth.double()).square().mean())


def auroc(score: Float[Tensor, "*shape"], positive: Bool[Tensor, "*shape2"]) -> float:
    """Chance that a positive sample scores above a negative one; ties count half.

    Args:
        score: Any finite numbers, such as an entropy.
        positive: Same shape: what a high score should find, such as errors.

    Returns:
        0 to 1; 0.5 is no better than chance, NaN where one of both kinds is absent.

    Raises:
        ShapeError: The shapes differ.
        RegionError: There is no sample.
        IntensityError: A score is not finite.

    References:
        Hanley and McNeil (1982), doi:10.1148/radiology.143.1.7063747: the area is the Wilcoxon
        statistic.
    """
    _check_shapes(score, positive)
    if not bool(torch.isfinite(score).all()):
        raise IntensityError(
            f"scores must be finite to be ranked, {int((~torch.isfinite(score)).sum())} are not"
        )
    ordered, order = score.detach().reshape(-1).sort()
    hits = positive.reshape(-1).to(order.device)[order]
    place = torch.zeros_like(order)
    place[1:] = (ordered[1:] != ordered[:-1]).cumsum(0)
    yes = torch.bincount(place, weights=hits.double())
    no = torch.bincount(place, weights=(~hits).double())
    pairs = float(yes.sum()) * float(no.sum())
    below = no.cumsum(0) - no / 2
    return float((yes * below).sum()) / pairs if pairs else math.nan


def _check(confidence: Tensor, other: Tensor) -> None:
    _check_shapes(confidence, other)
    _check_range(confidence)


def _check_shapes(one: Tensor, two: Tensor) -> None:
    if one.shape != two.shape:
        raise ShapeError(
            "stated and observed must have one shape to be compared, got "
            f"{tuple(one.shape)} and {tuple(two.shape)}"
        )
    if not one.numel():
        raise RegionError("there must be at least one sample to be judged, got none")


def _check_range(probability: Tensor) -> None:
    low, high = float(probability.min()), float(probability.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # NaN fails too
        raise IntensityError(
            f"probabilities must lie between 0 and 1, got {low:g} to {high:g}: apply softmax or "
            "sigmoid to logits first"
        )
