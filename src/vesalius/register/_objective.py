"""Objective: the loss of a deformation at one scale, similarity and regularisers and terms."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._warp import exponential, warp
from vesalius.register._level import Level
from vesalius.register._models import Dense, Model
from vesalius.register._plan import Stage
from vesalius.register._similarity import Samples, Similarity, Weight
from vesalius.register._terms import Term

Flow = Float[Tensor, "3 z y x"]


@final
class Objective:
    """What a variational search minimises at one scale; features are made once.

    Args:
        level: The scale.
        stage: Similarity and regularisers.
        model: What parameters mean.
        terms: Further losses.
    """

    __slots__ = ("_fixed", "_mm", "_moving", "_stage", "_terms", "level", "model")

    def __init__(self, level: Level, stage: Stage, model: Model, terms: tuple[Term, ...]) -> None:
        spacing, features = level.grid.spacing_mm, stage.similarity.features
        self.level = level
        self.model = model
        self._stage = stage
        self._terms = terms
        self._mm = level.fixed.new_tensor(spacing)[:, None, None, None]
        self._fixed = [features(f[None], spacing, level.fixed_weight) for f in level.fixed]
        self._moving = [features(m[None], spacing, level.moving_weight) for m in level.moving]

    def flow(self, parameters: Tensor) -> Flow:
        """Give the flow of parameters, samples."""
        return self.model.flow(parameters, self.level.grid)

    def __call__(self, parameters: Tensor) -> tuple[Tensor, Flow]:
        """Give the loss, differentiable, and the flow."""
        flow = self.flow(parameters)
        if isinstance(self.model, Dense) and self.model.halved:
            loss = self._halfway(parameters)
        else:
            loss = self._compared(flow)
        if self._stage.regularisers:
            held = self.model.held(parameters, flow) * self._mm
            for regulariser in self._stage.regularisers:
                loss = loss + regulariser(held, self.level.grid)
        for term in self._terms:
            loss = loss + term(flow, self.level)
        return loss, flow

    def _compared(self, flow: Flow) -> Tensor:
        """Compare the fixed image with the warped one, by the similarity's own derivative."""
        level = self.level
        weight = self._weight(flow.detach())
        parts = [m.shape[0] for m in self._moving]
        warped = torch.split(warp(torch.cat(self._moving), flow, offset=level.margin), parts)
        losses = [
            share * _Compare.apply(w, f, self._stage.similarity, weight)  # type: ignore[no-untyped-call]
            for share, f, w in zip(level.channel_weights, self._fixed, warped, strict=True)
        ]
        return torch.stack(losses).sum()

    def _halfway(self, velocity: Flow) -> Tensor:
        """Compare both images where they meet, half a unit of time from each."""
        level = self.level
        ahead, back = exponential(0.5 * velocity), exponential(-0.5 * velocity)
        weight = self._weight(ahead.detach(), back.detach())
        losses = []
        for share, f, m in zip(level.channel_weights, self._fixed, self._moving, strict=True):
            warped = warp(m, ahead, offset=level.margin)
            losses.append(share * self._stage.similarity(warp(f, back), warped, weight))
        return torch.stack(losses).sum()

    def _weight(self, flow: Flow, back: Flow | None = None) -> Weight | None:
        """Give where both images have samples; not differentiated."""
        level, weight = self.level, self.level.fixed_weight
        if weight is not None and back is not None:
            weight = warp(weight, back)
        if level.moving_weight is not None:
            seen = warp(level.moving_weight, flow, offset=level.margin)
            weight = seen if weight is None else weight * seen
        return weight


class _Compare(torch.autograd.Function):
    """A similarity whose own derivative by the warped image serves as the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, warped: Samples, fixed: Samples, similarity: Similarity, weight: Weight | None
    ) -> Tensor:
        loss, slope = similarity.gradient(fixed, warped.detach(), weight)
        ctx.save_for_backward(slope)
        return warped.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None, None
