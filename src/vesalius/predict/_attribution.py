"""Attribution: which samples of its input a network looks at, and whether that can be believed."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.errors import ConfigError, ExtraError, ShapeError

Score = Callable[[Tensor], Tensor]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """What each sample adds to the score of a network.

    Attributes:
        values: Like the input: sums to the score less that of the baseline.
        gap: How far the sum is from that, which more steps make smaller.
        shares: Shares of the samples that were changed for the curves.
        deletion: Score as the samples of greatest value go first to the baseline.
        insertion: Score as they come first into the baseline.
        likeness: Rank correlation of the sizes of the values with those of the same network with
            random weights, NaN where either is constant: near 1 says that the map shows the edges
            of the input and not the network.
    """

    values: Tensor = field(repr=False)
    gap: float
    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    likeness: float


def attribution(
    network: nn.Module,
    x: Float[Tensor, "1 c *space"],
    *,
    score: Score,
    generator: torch.Generator,
    baseline: float = 0.0,
    steps: int = 32,
) -> Attribution:
    """Attribute the score of a network to its input by integrated gradients, with two checks.

    Args:
        network: In the mode in which it is used; stays as it is.
        x: One input.
        score: Turns the network's output into one number for each input, (batch,).
        generator: Of the random weights.
        baseline: Value of an input that says nothing.
        steps: Of the integral.

    Returns:
        The attribution.

    Raises:
        ConfigError: Fewer than two steps.
        ShapeError: The score is not one number for each input.
        ExtraError: captum is not installed.

    References:
        Sundararajan et al. (2017), arXiv:1703.01365, eq. (1); Petsiuk et al. (2018),
        arXiv:1806.07421, for deletion and insertion; Adebayo et al. (2018), arXiv:1810.03292, for
        random weights.
    """
    if steps < 2:
        raise ConfigError(f"an integral must have at least two steps, got {steps}: 32 is usual")
    shape = tuple(score(network(x)).shape)
    if shape != (1,):
        raise ShapeError(f"the score must be one number for each input, (1,), got {shape}")
    values, gap = _integrated(network, x, score, (baseline, steps))
    order = values.abs().sum(dim=1).flatten().argsort(descending=True, stable=True)
    shares = tuple(k / 10 for k in range(11))
    empty = torch.full_like(x, baseline)
    random, _ = _integrated(_random(network, generator), x, score, (baseline, steps))
    return Attribution(
        values,
        gap,
        shares,
        tuple(_mixed(network, score, (empty, x), order, share) for share in shares),
        tuple(_mixed(network, score, (x, empty), order, share) for share in shares),
        _rank_correlation(values.abs(), random.abs()),
    )


def _integrated(
    network: nn.Module, x: Tensor, score: Score, how: tuple[float, int]
) -> tuple[Tensor, float]:
    captum = _captum()
    method = captum.IntegratedGradients(lambda batch: score(network(batch)))
    empty = torch.full_like(x, how[0])
    values, gap = method.attribute(
        x, baselines=empty, n_steps=how[1], internal_batch_size=1, return_convergence_delta=True
    )
    return values.detach(), float(gap.abs().max())


def _random(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Give the network with every parameter drawn anew, at its own spread."""
    copy = deepcopy(network)
    with torch.no_grad():
        for one in copy.parameters():
            spread = float(one.double().square().mean().sqrt())
            drawn = torch.randn(one.shape, generator=generator).to(one)
            one.copy_(drawn * (spread or 1.0))
    return copy


def _mixed(
    network: nn.Module, score: Score, pair: tuple[Tensor, Tensor], order: Tensor, share: float
) -> float:
    """Score the second input with its first samples from the first."""
    count = round(share * len(order))
    chosen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    chosen[order[:count]] = True
    mask = chosen.reshape(1, 1, *pair[0].shape[2:])
    with torch.no_grad():
        return float(score(network(torch.where(mask, pair[0], pair[1])))[0])


def _rank_correlation(first: Tensor, second: Tensor) -> float:
    from scipy.stats import spearmanr

    found = spearmanr(first.flatten().cpu().numpy(), second.flatten().cpu().numpy())
    return float(found.statistic)


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as error:
        raise ExtraError(
            "captum must be installed to explain a network, it is not: pip install "
            "vesalius[explain]"
        ) from error
    return captum.attr
