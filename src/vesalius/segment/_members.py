"""Members: networks and mirrors that vote, as one function of patches."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.errors import ConfigError
from vesalius.segment._inference import Inference
from vesalius.segment._model import Model

Patches = Float[Tensor, "batch c *space"]


def chosen(model: Model, inference: Inference) -> tuple[nn.Module, ...]:
    """Give the networks that an inference uses.

    Args:
        model: Has at least one.
        inference: Names them by fold.

    Raises:
        ConfigError: A fold does not exist.
    """
    wrong = [f for f in inference.folds if not 0 <= f < len(model.networks)]
    if wrong or not model.networks:
        raise ConfigError(
            f"folds must be among the {len(model.networks)} networks of the model, from 0, got "
            f"{inference.folds}"
        )
    return tuple(model.networks[f] for f in inference.folds) or model.networks


def mirrors_of(dims: int, *, wanted: bool) -> tuple[tuple[int, ...], ...]:
    """Give the sets of axes of a batch along which patches are mirrored; the first is none.

    Args:
        dims: Spatial axes.
        wanted: Whether to mirror at all.
    """
    axes = range(2, 2 + dims)
    sets = chain.from_iterable(combinations(axes, n) for n in range(dims + 1))
    return tuple(sets) if wanted else ((),)


def probabilities_of(
    model: Model, inference: Inference, *, spread: bool
) -> Callable[[Patches], Float[Tensor, "batch k *space"]]:
    """Make the function that gives the mean probability of all members.

    Args:
        model: Of classes.
        inference: Which networks, mirrored or not, in which precision.
        spread: Add one channel, the mean entropy of the members (nats), which the mutual
            information is made from.

    Returns:
        From patches to (batch, classes (+ 1), *space), float32.

    References:
        Lakshminarayanan et al. (2017), arXiv:1612.01474 (mean of probabilities, not of logits).
    """
    networks = chosen(model, inference)
    flips = mirrors_of(model.plan.dims, wanted=inference.mirrors)
    low = half(model, inference)
    device = next(networks[0].parameters()).device

    def mean(patches: Tensor) -> Tensor:
        total: Tensor | None = None
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            for out in _votes(networks, flips, patches.to(device)):
                p = out.float().softmax(dim=1)
                if spread:
                    p = torch.cat([p, torch.special.entr(p).sum(dim=1, keepdim=True)], dim=1)
                total = p if total is None else total.add_(p)
        assert total is not None
        return total.div_(len(networks) * len(flips)).to(patches.device)

    return mean


def half(model: Model, inference: Inference) -> bool:
    """Whether the networks multiply in bfloat16."""
    word = model.plan.precision if inference.precision == "plan" else inference.precision
    return word == "bfloat16"


def members(model: Model, inference: Inference) -> int:
    """Number of votes that are averaged."""
    flips = mirrors_of(model.plan.dims, wanted=inference.mirrors)
    return len(chosen(model, inference)) * len(flips)


def _votes(
    networks: Sequence[nn.Module], flips: tuple[tuple[int, ...], ...], patches: Tensor
) -> Iterator[Tensor]:
    for network in networks:
        for axes in flips:
            yield network(patches.flip(axes)).flip(axes) if axes else network(patches)
