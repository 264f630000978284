"""Temperature: one number that makes probabilities as sure as they are right."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError

FLOOR = 1e-12
"""Probabilities below count as this much."""
COLDEST, WARMEST = 0.05, 20.0


class Temperature(NamedTuple):
    """A temperature and what it does to the negative log-likelihood.

    Attributes:
        value: Above 1 where the probabilities were too sure.
        before: Mean negative log-likelihood at 1, nats.
        after: At ``value``.
    """

    value: float
    before: float
    after: float


def tempered(
    probability: Float[Tensor, "k *shape"], temperature: float
) -> Float[Tensor, "k *shape"]:
    """Scale the logarithms of probabilities by 1 / temperature and normalise again.

    Args:
        probability: Of each class, first axis; sums to 1.
        temperature: Positive; 1 changes nothing, the order of the classes never changes.
    """
    return (probability.clamp_min(FLOOR).log() / temperature).softmax(dim=0)


def fit_temperature(
    probability: Float[Tensor, "k n"], truth: Integer[Tensor, " n2"], *, steps: int = 50
) -> Temperature:
    """Find the temperature that makes the true classes likeliest.

    The negative log-likelihood is convex in 1 / temperature: its slope is halved down to the root.

    Args:
        probability: Of each class for n samples that the network has not learned from.
        truth: Class of each sample, 0 to k - 1.
        steps: Halvings of the bracket.

    Returns:
        The temperature, 0.05 to 20, and the likelihood before and after.

    Raises:
        ShapeError: The numbers of samples differ, or there is none.
        IntensityError: A class has no channel, or a probability is not finite.

    References:
        Guo et al. (2017), doi:10.48550/arXiv.1706.04599, section 4.2. Differs from it in: works
        on logarithms of (averaged) probabilities, which are logits up to a constant.
    """
    k, n = probability.shape
    if n != len(truth) or n == 0:
        raise ShapeError(f"each of {n} samples must have one true class, got {len(truth)}")
    if int(truth.min()) < 0 or int(truth.max()) >= k or not bool(torch.isfinite(probability).all()):
        raise IntensityError(
            f"probabilities must be finite and true classes lie in 0 to {k - 1}, got classes "
            f"{int(truth.min())} to {int(truth.max())}"
        )
    logits = probability.double().clamp_min(FLOOR).log()
    own = logits.gather(0, truth.long()[None])[0]

    def slope(cold: float) -> float:
        return float(((cold * logits).softmax(dim=0) * logits).sum(dim=0).sub(own).mean())

    def loss(cold: float) -> float:
        return float(torch.logsumexp(cold * logits, dim=0).sub(cold * own).mean())

    low, high = 1 / WARMEST, 1 / COLDEST
    for _ in range(steps):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    cold = (low * high) ** 0.5
    return Temperature(1 / cold, loss(1.0), loss(cold))
