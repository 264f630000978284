"""Priors on slopes: total variation, Huber's, and second-order generalised variation."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.errors import ConfigError
from vesalius.ops._differences import (
    Spacing,
    differences_norm2,
    forward_differences,
    forward_differences_adjoint,
)
from vesalius.ops._total_variation import Variation, denoise_variation, variation
from vesalius.reconstruct.solve._prox import Prox


@final
@dataclass(frozen=True, slots=True, eq=False)
class TV(Prox):
    """Isotropic total variation: R(x) = sum of |grad x| over samples, with a box.

    Attributes:
        spacing: Distance between samples along the last axes (2-D: two numbers), mm.
        lower: Least value of x.
        upper: Largest value of x.
        steps: Most dual steps of one call.
        tol: The dual ends where its gap proves |z - z*| <= tol |x|.

    Raises:
        ConfigError: A spacing is not positive, there are none or more than 3, or the box is empty.

    References:
        Rudin, Osher, Fatemi (1992), doi:10.1016/0167-2789(92)90242-F; solved by Beck, Teboulle
        (2009), doi:10.1109/TIP.2009.2028250.
    """

    spacing: Spacing = (1.0, 1.0)
    lower: float = -math.inf
    upper: float = math.inf
    steps: int = 200
    tol: float = 1e-5

    def __post_init__(self) -> None:
        _check(self.spacing, (self.lower, self.upper))

    def value(self, x: Tensor) -> float:
        """Give R(x)."""
        return float(variation(x, self.spacing))

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Denoise."""
        return self.warm(x, step, None)[0]

    def warm(self, x: Tensor, step: float, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Denoise, starting from the dual of a near problem."""
        if step <= 0.0:
            return clip(x, self.lower, self.upper), memory
        problem = Variation(self.spacing, step, 0.0, self.lower, self.upper)
        return denoise_variation(x, problem, steps=self.steps, tol=self.tol, dual=memory)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Huber(Prox):
    """Huber's function of the slope: a parabola up to ``corner``, then straight. Has a gradient.

    R(x) = sum of h(|grad x|); h(t) = t^2 / (2 corner) up to the corner, t - corner / 2 above.

    Attributes:
        corner: Slope where noise ends and edges begin, unit of x per mm, positive.
        spacing: Distance between samples along the last axes, mm.
        lower: Least value of x.
        upper: Largest value of x.
        steps: Most dual steps of one call.
        tol: The dual ends where its gap proves |z - z*| <= tol |x|.

    Raises:
        ConfigError: ``corner`` or a spacing is not positive, or the box is empty.
    """

    corner: float
    spacing: Spacing = (1.0, 1.0)
    lower: float = -math.inf
    upper: float = math.inf
    steps: int = 200
    tol: float = 1e-5

    def __post_init__(self) -> None:
        _check(self.spacing, (self.lower, self.upper))
        if not 0.0 < self.corner < math.inf:
            raise ConfigError(f"corner must be positive, got {self.corner:g}: TV has none")

    def value(self, x: Tensor) -> float:
        """Give R(x)."""
        return float(self.penalty(x))

    def penalty(self, x: Tensor) -> Tensor:
        """Give R(x) as a tensor that autograd can follow, twice."""
        return variation(x, self.spacing, corner=self.corner)

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Denoise."""
        return self.warm(x, step, None)[0]

    def warm(self, x: Tensor, step: float, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Denoise, starting from the dual of a near problem."""
        if step <= 0.0:
            return clip(x, self.lower, self.upper), memory
        problem = Variation(self.spacing, step, self.corner, self.lower, self.upper)
        return denoise_variation(x, problem, steps=self.steps, tol=self.tol, dual=memory)


@final
@dataclass(frozen=True, slots=True, eq=False)
class TGV(Prox):
    """Second-order total generalised variation: edges stay, ramps do not become stairs.

    R(x) = min over w of sum |grad x - w| + ratio sum |E w|, E the symmetrised gradient.

    Attributes:
        ratio: Weight of the second order, mm; 2 samples are usual.
        spacing: Distance between samples along the last axes, mm.
        steps: Steps of the inner primal-dual iteration.

    Raises:
        ConfigError: ``ratio`` or a spacing is not positive.

    References:
        Bredies, Kunisch, Pock (2010), doi:10.1137/090769521, eq. (3.1) with alpha = (ratio, 1);
        solved by Chambolle, Pock (2011), doi:10.1007/s10851-010-0251-1, algorithm 1. Differs in:
        forward differences twice, both with repeated edges.
    """

    ratio: float = 2.0
    spacing: Spacing = (1.0, 1.0)
    steps: int = 300

    def __post_init__(self) -> None:
        _check(self.spacing, (-math.inf, math.inf))
        if not 0.0 < self.ratio < math.inf:
            raise ConfigError(f"ratio must be positive, got {self.ratio:g} mm: 2 samples are usual")

    def value(self, x: Tensor) -> float:
        """Give R(x): the inner minimum over w, found by the same iteration with x held."""
        w = self._solve(x, math.inf, None)[1]
        slope = forward_differences(x, self.spacing) - w
        axes = len(self.spacing)
        first = _lengths(slope, 1, axes).sum(dtype=torch.float64)
        second = _lengths(self._symmetric(w), 2, axes).sum(dtype=torch.float64)
        return float(first + self.ratio * second)

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Denoise."""
        return self.warm(x, step, None)[0]

    def warm(self, x: Tensor, step: float, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Denoise, starting from what a near problem left: w and both duals, side by side."""
        if step <= 0.0:
            return x, memory
        z, w, p, q = self._solve(x, step, memory)
        axes = len(self.spacing)
        flat = q.flatten(-axes - 2, -axes - 1)
        return z, torch.cat([w, p, flat], dim=-axes - 1)

    def _solve(
        self, x: Tensor, strength: float, memory: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Iterate; an infinite strength holds z at x."""
        axes, h = len(self.spacing), self.spacing
        held, s = math.isinf(strength), 1.0 if math.isinf(strength) else strength
        z, w, p, q = (x, *self._split(x, memory))
        g = differences_norm2(h)
        tau = sigma = 1.0 / math.sqrt((2 * g + 1 + math.sqrt(4 * g + 1)) / 2)
        z_bar, w_bar = z, w
        for _ in range(self.steps):
            p = p + sigma * (forward_differences(z_bar, h) - w_bar)
            p = p / (_lengths(p, 1, axes) / s).clamp_min(1.0)
            q = q + sigma * self._symmetric(w_bar)
            q = q / (_lengths(q, 2, axes) / (s * self.ratio)).clamp_min(1.0)
            new = z - tau * forward_differences_adjoint(p, h)
            new = x if held else (new + tau * x) / (1.0 + tau)
            w_new = w + tau * (p - self._symmetric_adjoint(q))
            z_bar, w_bar = 2 * new - z, 2 * w_new - w
            z, w = new, w_new
        return z, w, p, q

    def _split(self, x: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        axes = len(self.spacing)
        axis = x.ndim - axes
        if memory is None:
            w = torch.zeros_like(forward_differences(x, self.spacing))
            return w, w, torch.zeros_like(forward_differences(w, self.spacing))
        w, p, q = torch.split(memory, [axes, axes, axes * axes], dim=axis)
        return w, p, q.reshape(*q.shape[:axis], axes, axes, *q.shape[axis + 1 :])

    def _symmetric(self, w: Tensor) -> Tensor:
        e = forward_differences(w, self.spacing)
        axes = len(self.spacing)
        return (e + e.transpose(-axes - 2, -axes - 1)) / 2

    def _symmetric_adjoint(self, q: Tensor) -> Tensor:
        axes = len(self.spacing)
        return forward_differences_adjoint(
            (q + q.transpose(-axes - 2, -axes - 1)) / 2, self.spacing
        )


def _lengths(p: Tensor, order: int, axes: int) -> Tensor:
    """Euclidean length over the component axes, which are kept."""
    dims = tuple(range(-axes - order, -axes))
    return p.abs().square().sum(dim=dims, keepdim=True).sqrt()


def clip(x: Tensor, lower: float, upper: float) -> Tensor:
    """Keep x inside a box that may be infinite."""
    return x if lower == -math.inf and upper == math.inf else x.clamp(lower, upper)


def _check(spacing: Spacing, box: tuple[float, float]) -> None:
    if not (1 <= len(spacing) <= 3 and all(0.0 < h < math.inf for h in spacing)):
        raise ConfigError(
            f"spacing must be 1 to 3 positive distances, got {spacing}: one for each of the last "
            "axes"
        )
    if not box[0] < box[1]:
        raise ConfigError(f"lower must be below upper in a prior's box, got {box[0]:g}, {box[1]:g}")
