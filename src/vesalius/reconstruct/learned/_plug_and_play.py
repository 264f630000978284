"""Plug-and-play CT: the data pull, a learned denoiser says what images are like."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import Grid, Identity, Image, Step
from vesalius.errors import ConfigError
from vesalius.physics.ct import Projections
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.ct._iterative import Iterative, _prepare, _Problem
from vesalius.reconstruct.learned._denoiser import Denoiser
from vesalius.reconstruct.solve import Run, cgls
from vesalius.reconstruct.solve._proximal import _solve_quadratic
from vesalius.reconstruct.solve._solution import begin, norm


@final
@dataclass(frozen=True, slots=True)
class PlugAndPlay:
    """How to reconstruct with a denoiser.

    Attributes:
        steps: Turns of fitting and denoising.
        weight: Trust in the denoised image against the data. This and the levels were chosen on
            generated images alone.
        first: Noise level of the first turn, as a part of the largest attenuation.
        last: Noise level of the last turn, likewise; levels fall geometrically between.
        photons: Counts of an element without anything in the beam; 0 is unknown: then all rays
            weigh the same and the noise is estimated from the data.
        nonnegative: Keep mu at 0 or above.

    Raises:
        ConfigError: A number is out of range.
    """

    steps: int = 20
    weight: float = 0.3
    first: float = 0.1
    last: float = 0.012
    photons: float = 0.0
    nonnegative: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.last <= self.first < math.inf:
            raise ConfigError(
                f"noise levels of plug-and-play must be 0 < last <= first, got {self.last:g} and "
                f"{self.first:g}"
            )
        if not 0.0 < self.weight < math.inf:
            raise ConfigError(f"weight of the denoiser must be positive, got {self.weight:g}")
        if not (math.isfinite(self.photons) and self.photons >= 0.0):
            raise ConfigError(f"photons of the beam must not be negative, got {self.photons:g}")

    def level(self, step: int) -> float:
        """Noise level of a step (from 0), as a part of the largest attenuation."""
        done = step / max(1, self.steps - 1)
        return self.first * math.exp(done * math.log(self.last / self.first))


def plug_and_play_ct(
    projections: Projections,
    *,
    like: Grid,
    denoiser: Denoiser,
    method: PlugAndPlay = PlugAndPlay(),
    on_step: Callable[[Step], None] | None = None,
) -> Reconstruction:
    """Reconstruct attenuation with a learned denoiser in the place of a prior.

    Each turn fits the data from the denoised image, then denoises every slice (y, x) at a level
    that falls from turn to turn. Nothing is minimised: the denoiser is no proximal map.

    Args:
        projections: Line integrals, transmissions, or counts with ``method.photons``.
        like: Where to reconstruct; it should hold all that attenuates.
        denoiser: Fitted, such as ``Denoiser.pretrained()``.
        method: How.
        on_step: Called after every turn.

    Returns:
        mu in 1/mm with a residual per turn.

    Raises:
        GeometryError: The rays miss the grid, or it is sheared.
        IntensityError: Transmissions or counts are negative.
        ConfigError: Counts come without ``photons``, or the denoiser is not fitted.
        ConvergenceError: The iteration is not finite.

    References:
        Zhang et al. (2021), doi:10.1109/TPAMI.2021.3088914, eq. (6) and (7), half-quadratic
        splitting with falling levels. Differs in: the data term is solved by 10 conjugate
        gradients, rays weigh by their counts, the levels do not come from the data's noise.
    """
    problem = _prepare(projections, like, Iterative("cgls", photons=method.photons))
    lower = 0.0 if method.nonnegative else -math.inf
    start = cgls(problem.plain, problem.line, steps=8).x.clamp_min(lower)
    run = Run(start=start, lower=lower, on_step=on_step)
    x, residual = _turns(problem, denoiser, method, run)
    size = problem.op.norm(like=problem.y, steps=20, tol=1e-2)
    told = (
        f"denoised slice by slice by a learned network ({_source(denoiser)}): what the data do not "
        "say, it does"
    )
    image = Image(x[None], like, "1/mm")
    remarks = (*problem.remarks, told)
    return Reconstruction(image, "pnp", residual, size, True, method.weight, remarks)


def _turns(
    problem: _Problem, denoiser: Denoiser, method: PlugAndPlay, run: Run
) -> tuple[Tensor, tuple[float, ...]]:
    record, x = begin("pnp", problem.op, problem.y, method.steps, run, weight=method.weight)
    same = Identity(problem.op.domain)
    right = problem.op.H(problem.y)
    top = float(x.abs().flatten().double().quantile(0.995)) if x.numel() < 1 << 24 else _top(x)
    z = x
    while True:
        before = z
        level = max(method.level(len(record.residual)) * top, 1e-12)
        rho = method.weight * (problem.sigma / level) ** 2
        x = _solve_quadratic(problem.op, same, rho, right + rho * z, x)
        with torch.no_grad():
            z = run.clip(denoiser.denoise(x, sigma=level))
        if record.ends(z, before, norm(problem.op(z) - problem.y), None):
            return z, tuple(record.residual)


def _top(x: Tensor) -> float:
    """A high quantile of a volume too large for torch's own."""
    thin = x.abs().flatten()[:: x.numel() // (1 << 22)]
    return float(thin.double().quantile(0.995))


def _source(denoiser: Denoiser) -> str:
    card = getattr(denoiser, "card_", None)
    return "fitted here" if card is None else card.name
