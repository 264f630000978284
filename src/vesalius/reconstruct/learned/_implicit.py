"""Implicit neural CT: fit a field of the position to the projections, through the projector."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, nn

from vesalius.core import Grid, Image, Step
from vesalius.errors import ConfigError, ConvergenceError
from vesalius.physics.ct import Projections
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.ct._iterative import Iterative, _prepare, _Problem
from vesalius.reconstruct.learned._field import HashGrid, Siren, field_at


@final
@dataclass(frozen=True, slots=True)
class Implicit:
    """How to fit a field.

    Attributes:
        field: The kind of field, and its size.
        steps: Steps of Adam; each projects the whole image.
        rate: Step size at first; it falls to a tenth along a cosine. A siren wants a hundredth.
        weight: Strength of total variation, in units of the mean square of the data.
        photons: Counts of an element without anything in the beam; 0 is unknown: then all rays
            weigh the same.

    Raises:
        ConfigError: A number is out of range.
    """

    field: HashGrid | Siren = field(default_factory=HashGrid)
    steps: int = 900
    rate: float = 1e-1
    weight: float = 5e-3
    photons: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0.0 < self.rate < math.inf:
            raise ConfigError(
                f"a field needs at least one step and a positive rate, got {self.steps} and "
                f"{self.rate:g}"
            )
        if not (0.0 <= self.weight < math.inf and 0.0 <= self.photons < math.inf):
            raise ConfigError(
                f"weight and photons of a fit must not be negative, got {self.weight:g} and "
                f"{self.photons:g}"
            )


def implicit_ct(
    projections: Projections,
    *,
    like: Grid,
    method: Implicit = Implicit(),
    generator: torch.Generator,
    on_step: Callable[[Step], None] | None = None,
) -> Reconstruction:
    """Reconstruct attenuation as a function of the position that is learned from this scan alone.

    Args:
        projections: Line integrals, transmissions, or counts with ``method.photons``.
        like: Where to reconstruct; it should hold all that attenuates.
        method: How.
        generator: Source of the first weights.
        on_step: Called after every step.

    Returns:
        mu in 1/mm, positive, with a residual per step.

    Raises:
        GeometryError: The rays miss the grid, or it is sheared.
        IntensityError: Transmissions or counts are negative.
        ConfigError: Counts come without ``photons``.
        ConvergenceError: The fit is not finite.
    """
    problem = _prepare(projections, like, Iterative("cgls", photons=method.photons))
    network = field_at(method.field, unit_points(like), generator=generator)
    scale = problem_scale(problem)

    def image() -> Tensor:
        values: Tensor = scale * network()
        return values.reshape(like.shape).to(problem.line.dtype)

    x, residual = fit(image, network, problem, method, on_step)
    word = "hash grid" if isinstance(method.field, HashGrid) else "siren"
    told = f"a {word} with total variation {method.weight:g}: what the data do not say, it does"
    return Reconstruction(
        Image(x[None], like, "1/mm"),
        "implicit",
        residual,
        problem.op.norm(like=problem.y, steps=20, tol=1e-2),
        True,
        method.weight,
        (*problem.remarks, told),
    )


def fit(
    image: Callable[[], Tensor],
    network: nn.Module,
    problem: _Problem,
    method: Implicit,
    on_step: Callable[[Step], None] | None,
) -> tuple[Tensor, tuple[float, ...]]:
    """Move the parameters of an image until its projections fit; the image and the residuals."""
    optimiser = torch.optim.Adam(network.parameters(), lr=method.rate, betas=(0.9, 0.99), eps=1e-15)
    energy = float(problem.y.square().mean().clamp_min(1e-30))
    size = problem_scale(problem)
    residual: list[float] = []
    for step in range(method.steps):
        done = step / method.steps
        for group in optimiser.param_groups:
            group["lr"] = method.rate * (0.1 + 0.45 * (1.0 + math.cos(math.pi * done)))
        x = image()
        misfit = (problem.op(x) - problem.y).square().mean() / energy
        now = float(misfit.detach())
        if not math.isfinite(now):
            raise ConvergenceError(
                f"the fit of a field must stay finite, got a misfit of {now} at step {step + 1}: "
                "lower the rate"
            )
        loss = misfit + method.weight * smooth_variation(x / size) if method.weight else misfit
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        residual.append(math.sqrt(now))
        if on_step is not None:
            on_step(Step("implicit", step + 1, method.steps))
    with torch.no_grad():
        return image(), tuple(residual)


def smooth_variation(x: Tensor) -> Tensor:
    """Mean length of the slope over samples, rounded at the bottom so that it has a gradient."""
    square = torch.zeros_like(x)
    for axis in range(x.ndim):
        if x.shape[axis] > 1:
            step = x.diff(dim=axis)
            pad = [0, 0] * (x.ndim - 1 - axis) + [0, 1]
            square = square + nn.functional.pad(step, pad).square()
    return (square + 1e-6).sqrt().mean()


def problem_scale(problem: _Problem) -> float:
    """Attenuation that, spread over all voxels, would give the mean of the data."""
    ones = torch.ones(problem.plain.domain, dtype=problem.line.dtype)
    paths = problem.plain(ones)
    return max(float(problem.line.double().sum() / paths.double().sum().clamp_min(1e-30)), 1e-12)


def unit_points(like: Grid) -> Tensor:
    """Voxel centres along the grid's own axes in mm, over the longest side: (voxel, 3)."""
    extent = [n * s for n, s in zip(like.shape, like.spacing_mm, strict=True)]
    longest = max(extent)
    axes = [
        (torch.arange(n, dtype=torch.float64) + 0.5) * s / longest
        for n, s in zip(like.shape, like.spacing_mm, strict=True)
    ]
    mesh = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([m.flatten() for m in mesh], dim=1).float()
