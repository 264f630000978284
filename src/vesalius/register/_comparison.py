"""Comparison: the loss of one level and the force that lowers it, channel by channel."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._local_ncc import central_differences, local_ncc_force
from vesalius.ops._warp import warp
from vesalius.register._level import Level
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._similarity import Samples, Similarity, Weight

Flow = Float[Tensor, "3 z y x"]
Pull = Callable[[Samples], tuple[float, Flow]]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Both images of a level as what is compared, and a function that compares.

    Attributes:
        fixed: (c, z, y, x), features.
        moving: (c, z2, y2, x2), features, on the grown lattice.
        level: Where they come from.
        weight: (1, z, y, x) or None; where the moving image had samples before the first step.
        pull: Gives the loss and the force of a warped image.
        similarity: The loss.
    """

    fixed: Samples
    moving: Float[Tensor, "c z2 y2 x2"]
    level: Level
    weight: Weight | None
    pull: Pull
    similarity: Similarity

    def warped(self, flow: Flow) -> Samples:
        """Pull the moving features through a flow."""
        return warp(self.moving, flow, offset=self.level.margin)


def compare(
    level: Level, similarity: Similarity, flow: Flow, *, back: Flow | None = None
) -> Comparison:
    """Prepare one level: features, weights, and (when first asked for) sums that no step changes.

    Each channel is described on its own, so that it keeps its own weight.

    The weight is taken once, at ``flow``: what leaves the moving image later in this level still
    counts, with edge samples repeated. That keeps the fixed windows the same for all steps.

    Args:
        level: The level.
        similarity: The loss.
        flow: Where the search of this level begins.
        back: The flow through which the fixed image is pulled, for a mid space; None for none.

    Returns:
        The comparison; its force is in units of loss per sample.
    """
    spacing = level.grid.spacing_mm
    fixed, moving = (
        torch.cat([similarity.features(channel[None], spacing, weight) for channel in image])
        for image, weight in (
            (level.fixed, level.fixed_weight),
            (level.moving, level.moving_weight),
        )
    )
    weight = _weight(level, flow, back)
    pull = _later(lambda: _pull(similarity, fixed, weight, level.channel_weights))
    return Comparison(fixed, moving, level, weight, pull, similarity)


def pull(comparison: Comparison, fixed: Samples) -> Pull:
    """Give the loss and force against another fixed image, as in a mid space."""
    shares = comparison.level.channel_weights
    return _pull(comparison.similarity, fixed, comparison.weight, shares)


def _later(make: Callable[[], Pull]) -> Pull:
    """Make it at the first call: a mid space never asks for the sums of the fixed image itself."""
    made: list[Pull] = []

    def pull(warped: Samples) -> tuple[float, Flow]:
        if not made:
            made.append(make())
        return made[0](warped)

    return pull


def _weight(level: Level, flow: Flow, back: Flow | None) -> Weight | None:
    weight = level.fixed_weight
    if weight is not None and back is not None:
        weight = warp(weight, back)
    if level.moving_weight is not None:
        seen = warp(level.moving_weight, flow, offset=level.margin)
        weight = seen if weight is None else weight * seen
    return None if weight is None or bool((weight > 0.999).all()) else weight


def _pull(
    similarity: Similarity, fixed: Samples, weight: Weight | None, shares: tuple[float, ...]
) -> Pull:
    """Choose how to compare; features that were made of one image channel go together."""
    if isinstance(similarity, LocalNcc) and similarity.window == "box":
        windows = similarity.windows(fixed, weight)

        def fused(warped: Samples) -> tuple[float, Flow]:
            found = [local_ncc_force(w, x) for w, x in zip(windows, warped, strict=True)]
            return _summed(found, shares)

        return fused
    each = len(fixed) // len(shares)

    def plain(warped: Samples) -> tuple[float, Flow]:
        found = []
        for c in range(0, len(fixed), each):
            part = warped[c : c + each]
            loss, slope = similarity.gradient(fixed[c : c + each], part, weight)
            forces = [-s * central_differences(x) for s, x in zip(slope, part, strict=True)]
            found.append((loss, torch.stack(forces).sum(0)))
        return _summed(found, shares)

    return plain


def _summed(found: list[tuple[float, Flow]], shares: tuple[float, ...]) -> tuple[float, Flow]:
    if len(found) == 1:
        return found[0]
    loss = sum(s * v for s, (v, _) in zip(shares, found, strict=True))
    force = torch.stack([s * f for s, (_, f) in zip(shares, found, strict=True)]).sum(0)
    return loss, force
