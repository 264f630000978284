"""Flows: fields of displacement in samples: warp, compose, exponentiate, invert.

A flow (3, z, y, x) displaces along the lattice's own (z, y, x), in samples:
``warped[i] = image(i + flow[i])``. An axis of one sample (2-D) is neither moved along nor
differentiated.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._sampling import sample
from vesalius.ops._slope import Slope, linear_with_slope

Stack = Float[Tensor, "c z y x"]
Flow = Float[Tensor, "3 z2 y2 x2"]
Offset = tuple[int, int, int]

LONGEST = 0.5  # samples that the first step of an exponential may move


class InverseFlow(NamedTuple):
    """A flow that leads back, and how far it misses.

    Attributes:
        flow: (3, z, y, x), samples.
        residual: (z, y, x); distance by which ``i + flow[i]`` misses ``i`` once mapped, samples.
    """

    flow: Float[Tensor, "3 z y x"]
    residual: Float[Tensor, "z y x"]


def warp(image: Stack, flow: Flow, *, offset: Offset = (0, 0, 0)) -> Float[Tensor, "c z2 y2 x2"]:
    """Look an image up where a flow points: ``out[i] = image(i + offset + flow[i])``, linear.

    Args:
        image: (c, z, y, x), float32 or float64; edge samples repeat outside.
        flow: (3, z2, y2, x2); displacement along (z, y, x), samples.
        offset: Index (z, y, x) of the image's sample that lies under the flow's first one.

    Returns:
        (c, z2, y2, x2), dtype and device of ``image``. Differentiable by both.
    """
    return sample(image, positions(flow, offset=offset))


def warp_with_gradient(image: Stack, flow: Flow, *, offset: Offset = (0, 0, 0)) -> Slope:
    """Warp an image, with the derivative of each warped sample by its displacement.

    Args:
        image: As in ``warp``.
        flow: As in ``warp``.
        offset: As in ``warp``.

    Returns:
        The warped image (c, z2, y2, x2) and the slope (c, 3, z2, y2, x2) of its interpolant along
        (z, y, x), per sample; 0 beyond the edge samples.
    """
    return linear_with_slope(image, positions(flow, offset=offset))


def compose(outer: Float[Tensor, "3 z y x"], inner: Flow) -> Flow:
    """Chain two flows: ``out[i] = inner[i] + outer(i + inner[i])``; the inner one moves first.

    Args:
        outer: (3, z, y, x), samples; its edge repeats outside.
        inner: (3, z2, y2, x2) on a lattice that begins at the same sample.

    Returns:
        As ``inner``.
    """
    return inner + warp(outer, inner)


def squarings(velocity: Float[Tensor, "3 z y x"]) -> int:
    """Give the number of squarings of an exponential: the first step moves at most half a sample.

    It is ``max(0, ceil(log2(longest / 0.5)))`` with the largest component of the velocity.
    """
    longest = float(velocity.detach().abs().amax())
    return max(0, math.ceil(math.log2(longest / LONGEST))) if longest > 0 else 0


def exponential(
    velocity: Float[Tensor, "3 z y x"], *, steps: int | None = None
) -> Float[Tensor, "3 z y x"]:
    """Flow along a stationary velocity for a unit of time, by scaling and squaring.

    Args:
        velocity: (3, z, y, x), samples per unit of time.
        steps: Squarings; None takes ``squarings(velocity)``.

    Returns:
        The flow, as ``velocity``. The inverse is ``exponential(-velocity)``.

    References:
        Arsigny et al. (2006), doi:10.1007/11866565_113, section 4.
    """
    count = squarings(velocity) if steps is None else steps
    flow: Tensor = velocity / 2**count
    for _ in range(count):
        flow = compose(flow, flow)
    return flow


def invert(flow: Float[Tensor, "3 z y x"], *, tol: float = 1e-3, steps: int = 30) -> InverseFlow:
    """Find the flow that leads back: ``inverse[i] = -flow(i + inverse[i])``, by fixed point.

    Args:
        flow: (3, z, y, x), samples; its edge repeats outside.
        tol: Stop when no sample misses by more, samples.
        steps: Most steps.

    Returns:
        The inverse on the same lattice, and how far each sample misses. Not differentiable.
    """
    forward = flow.detach()
    inverse = torch.zeros_like(forward)
    missed = compose(forward, inverse)
    for _ in range(steps):
        if float(missed.abs().amax()) <= tol:
            break
        inverse = inverse - missed
        missed = compose(forward, inverse)
    return InverseFlow(inverse, missed.norm(dim=0))


def positions(flow: Flow, *, offset: Offset = (0, 0, 0)) -> Float[Tensor, "z2 y2 x2 3"]:
    """Give the index that each sample of a flow points at, ``i + offset + flow[i]``."""
    axes = [
        torch.arange(n, dtype=flow.dtype, device=flow.device) + o
        for n, o in zip(flow.shape[1:], offset, strict=True)
    ]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return index + flow.movedim(0, -1)
