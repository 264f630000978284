"""Learned training: the losses of a registration network, on real pairs and on made-up shapes."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from vesalius.core import Grid, Image
from vesalius.errors import ConfigError
from vesalius.ops._warp import exponential, warp
from vesalius.register import _register
from vesalius.register._learned_network import level_velocity, velocity
from vesalius.register._learned_plan import Example, RegistrarPlan, Shapes
from vesalius.register._learned_shapes import draw_pair
from vesalius.register._level import Level, make_level
from vesalius.register._models import Dense
from vesalius.register._objective import Objective
from vesalius.register._overlap_loss import SoftDice
from vesalius.register._plan import Adam, Scale, Stage
from vesalius.register._regulariser import Regulariser
from vesalius.register._similarity import Similarity
from vesalius.register._terms import Term

Batch = tuple[Tensor, ...]
Loss = Callable[[nn.Module, Batch], Tensor]
LEAST = 0.01  # samples^2: a pair that hardly moves says little
VELOCITY = Dense(stationary=True)


def seeds(base: int, first: int) -> Iterator[Batch]:
    """Give the seed of each step, without end: a resumed training meets the same chances.

    Args:
        base: Seed of the training.
        first: Steps that were made already.
    """
    step = first
    while True:
        yield (torch.tensor(base + step),)
        step += 1


def shapes_loss(shapes: Shapes, plan: RegistrarPlan, regulariser: Regulariser) -> Loss:
    """Give the loss of one made-up pair: overlap of its structures, and its known velocity.

    Args:
        shapes: How they look.
        plan: Of the network.
        regulariser: Of the velocity.

    Returns:
        From network and seed to the loss.
    """

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        pair = draw_pair(
            shapes, dims=plan.dims, channels=plan.channels, generator=_generator(batch)
        )
        found = velocity(network, pair.fixed, pair.moving, dims=plan.dims)
        parts = warp(pair.moving_parts, exponential(found))
        z, y, x = found.shape[1:]
        held = regulariser(found, Grid.from_spacing((z, y, x)))
        apart = (found - pair.velocity).square().mean()
        truth = apart / (pair.velocity.square().mean() + LEAST)
        return SoftDice()(pair.fixed_parts, parts) + held + shapes.truth * truth

    return loss


def examples_loss(objectives: tuple[Objective, ...], plan: RegistrarPlan) -> Loss:
    """Give the loss of a real pair on one lattice, both drawn by chance.

    Args:
        objectives: One for each pair and lattice.
        plan: Of the network.

    Returns:
        From network and seed to similarity, regulariser and terms of the guides, summed.
    """

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        drawn = int(torch.randint(len(objectives), (), generator=_generator(batch)))
        objective = objectives[drawn]
        value, _ = objective(level_velocity(network, objective.level, dims=plan.dims))
        return value

    return loss


def objectives_of(
    examples: tuple[Example, ...],
    plan: RegistrarPlan,
    similarity: Similarity,
    regulariser: Regulariser,
) -> tuple[Objective, ...]:
    """Put every pair on every lattice, once.

    Args:
        examples: Already checked.
        plan: Its lattices.
        similarity: Between the images.
        regulariser: Of the velocity.

    Raises:
        ConfigError: There is no example.
    """
    if not examples:
        raise ConfigError("examples must hold at least one pair, got none: or give Shapes()")
    out = []
    for example in examples:
        guides = example.guides
        # a term keeps what it put on a lattice: each lattice has its own
        for spacing in plan.scales_mm:
            level = make_level(
                floats(example.fixed),
                floats(example.moving),
                spacing,
                start=example.start,
                masks=guides.masks(),
                channel_weights=guides.shares(plan.channels),
            )
            terms = _register._terms(guides, example.start)
            out.append(objective(level, similarity, regularisers=(regulariser,), terms=terms))
    return tuple(out)


def objective(
    level: Level,
    similarity: Similarity,
    *,
    regularisers: tuple[Regulariser, ...] = (),
    terms: tuple[Term, ...] = (),
) -> Objective:
    """Give the loss of a velocity on a level.

    Args:
        level: Both images.
        similarity: Between them.
        regularisers: Of the velocity.
        terms: Of the guides.
    """
    stage = Stage("velocity", similarity, Adam(), (Scale(0.0, 1),), regularisers)
    return Objective(level, stage, VELOCITY, terms)


def floats(image: Image) -> Image:
    """Give the image in float32."""
    return image.map(lambda x: x.to(torch.float32))


def _generator(batch: Batch) -> torch.Generator:
    return torch.Generator().manual_seed(int(batch[0]))
