"""Iterative CT: one recipe from projections to an image by SIRT, CGLS, TV and their kin."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import Tensor

from vesalius.core import Diagonal, Grid, Image, LinearOperator, Step
from vesalius.errors import ConfigError, IntensityError
from vesalius.physics.ct import Projections, Projector
from vesalius.physics.sparse import Gradient, Wavelet
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.solve import (
    L1,
    TGV,
    TV,
    Huber,
    Prox,
    Run,
    Solution,
    cgls,
    fista,
    landweber,
    lsqr,
    mlem,
    os_sart,
    osem,
    sirt,
    tikhonov,
)
from vesalius.reconstruct.strength import Choice, discrepancy, gcv, sure

Name = Literal[
    "landweber", "sirt", "sart", "os-sart", "cgls", "lsqr", "mlem", "osem",
    "tikhonov", "tv", "tgv", "huber", "wavelet",
]  # fmt: skip
Strength = Literal["fixed", "balance", "discrepancy", "gcv", "sure"]
_WITH_PRIOR = ("tikhonov", "tv", "tgv", "huber", "wavelet")
_TRIED = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125)
"""Strengths that a rule tries, in units of the noise that A^H brings into a voxel."""


@final
@dataclass(frozen=True, slots=True)
class Iterative:
    """How to iterate.

    Attributes:
        name: Without a prior, where stopping early is what keeps noise out: ``"landweber"``,
            ``"sirt"``, ``"sart"`` (view by view), ``"os-sart"``, ``"cgls"``, ``"lsqr"``, and
            ``"mlem"`` and ``"osem"``, which multiply. With one: ``"tikhonov"`` (squared slopes),
            ``"tv"``, ``"tgv"``, ``"huber"``, ``"wavelet"`` (L1).
        steps: Most steps; passes over all data for subsets.
        tol: Stop where a step changes the image by less than this part.
        weight: Strength of the prior in 1/2 |A x - y|^2 + weight R(x); each ray's square is
            multiplied by its expected counts where ``photons`` is known.
        strength: ``"fixed"`` takes ``weight``; a rule chooses it from the data. ``"balance"``: the
            prior pulls at a voxel as hard as the noise that A^H brings into it; one solve.
            ``"discrepancy"``, ``"gcv"``, ``"sure"``: the best of several by what it predicts.
        subsets: Ordered subsets of ``"os-sart"`` and ``"osem"``, each spread over the views.
        photons: Counts of an element without anything in the beam; 0 is unknown: then all rays
            weigh the same and the noise is estimated from the data where a rule needs it.
        nonnegative: Keep mu at 0 or above, where the method can.
        corner: Slope at which Huber's parabola ends, 1/mm per mm.

    Raises:
        ConfigError: A number is out of range, or a rule is asked of a method without a prior.
    """

    name: Name = "tv"
    steps: int = 100
    tol: float = 1e-4
    weight: float = 0.0
    strength: Strength = "fixed"
    subsets: int = 10
    photons: float = 0.0
    nonnegative: bool = True
    corner: float = 1e-4

    def __post_init__(self) -> None:
        if self.strength != "fixed" and not self.has_prior:
            raise ConfigError(
                f"a rule for the strength needs a prior, got '{self.strength}' with '{self.name}': "
                f"use one of {', '.join(_WITH_PRIOR)}"
            )
        if self.subsets < 1 or not (math.isfinite(self.photons) and self.photons >= 0.0):
            raise ConfigError(
                f"subsets must be at least 1 and photons not negative, got {self.subsets} and "
                f"{self.photons:g}"
            )

    @property
    def has_prior(self) -> bool:
        """Whether anything but the data says what the image is like."""
        return self.name in _WITH_PRIOR


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Data and operator, weighted; and what is needed to build parts of them."""

    op: LinearOperator
    y: Tensor
    plain: Projector
    line: Tensor
    sigma: float
    remarks: tuple[str, ...]


def iterate(
    projections: Projections,
    *,
    like: Grid,
    method: Iterative = Iterative(),
    on_step: Callable[[Step], None] | None = None,
) -> Reconstruction:
    """Reconstruct attenuation from projections step by step.

    Args:
        projections: Line integrals, transmissions, or counts with ``method.photons``.
        like: Where to reconstruct; it should hold all that attenuates.
        method: How.
        on_step: Called after every step of the last iteration.

    Returns:
        mu in 1/mm with residuals, steps and operator norm. ``identifiable`` is False where there
        is no prior and fewer rays cross the grid than it has voxels that rays meet.

    Raises:
        GeometryError: The rays miss the grid, or it is sheared.
        IntensityError: Transmissions or counts are negative.
        ConfigError: Counts come without ``photons``, or numbers are out of range.
        ConvergenceError: The iteration is not finite, or no strength fits the noise.
    """
    problem = _prepare(projections, like, method)
    run = Run(tol=method.tol, lower=0.0 if method.nonnegative else -math.inf, on_step=on_step)
    if method.has_prior:
        found, remarks = _with_prior(problem, like, method, run)
    else:
        found, remarks = _without_prior(problem, projections, like, method, run), ()
    known, enough = _identifiable(problem, method)
    norm = found.operator_norm or problem.op.norm(like=problem.y, steps=20, tol=1e-2)
    return Reconstruction(
        Image(found.x[None], like, "1/mm"),
        method.name,
        residual=found.residual,
        operator_norm=norm,
        identifiable=known,
        weight=found.weight,
        remarks=(*problem.remarks, *remarks, *enough),
    )


def _prepare(projections: Projections, like: Grid, method: Iterative) -> _Problem:
    line, root, remarks = _line_integrals(projections, method.photons)
    plain = Projector(projections.geometry, like)
    if root is None:
        return _Problem(plain, line, plain, line, _noise(line), remarks)
    remarks = (*remarks, "rays are weighted by their expected counts; so are residuals")
    return _Problem(Diagonal(root) @ plain, root * line, plain, line, 1.0, remarks)


def _line_integrals(
    projections: Projections, photons: float
) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """Line integrals, the root of their statistical weights where known, and what was cut."""
    data, quantity = projections.data, projections.quantity
    if quantity == "line integral":
        root = (photons * torch.exp(-data)).clamp_min(0.0).sqrt() if photons else None
        return data, root, ()
    if float(data.min()) < 0.0:
        raise IntensityError(
            f"{quantity} must not be negative, got {float(data.min()):g}: subtract the dark field "
            "before, and mend dead pixels"
        )
    if quantity == "counts" and not photons:
        raise ConfigError(
            "counts must come with the photons of the open beam, got photons = 0: set "
            "Iterative(photons=...), or correct with a flat field first"
        )
    counts = data if quantity == "counts" else data * (photons or 1.0)
    full = photons or 1.0
    least = 0.5 if photons else 1e-6
    low = int((counts < least).sum())
    cut = (f"{low} rays without photons were set to {least:g} of {full:g}",) if low else ()
    counts = counts.clamp_min(least)
    return -torch.log(counts / full), counts.sqrt() if photons else None, cut


def _noise(line: Tensor) -> float:
    """Standard deviation of white noise from second differences along the columns, by the MAD."""
    if line.shape[-1] < 4:
        return 1.0
    second = line[..., 2:] - 2 * line[..., 1:-1] + line[..., :-2]
    moving = second[second != 0]
    if moving.numel() == 0:
        return 1.0
    return float(moving.abs().double().median()) / 0.6745 / math.sqrt(6.0)


def _without_prior(
    problem: _Problem, projections: Projections, like: Grid, method: Iterative, run: Run
) -> Solution:
    steps = method.steps
    match method.name:
        case "landweber":
            return landweber(problem.op, problem.y, steps=steps, run=run)
        case "sirt":
            return sirt(problem.plain, problem.line, steps=steps, run=run)
        case "cgls":
            return cgls(problem.op, problem.y, steps=steps, run=run)
        case "lsqr":
            return lsqr(problem.op, problem.y, steps=steps, run=run)
        case "mlem":
            return mlem(problem.plain, problem.line.clamp_min(0.0), steps=steps, run=run)
        case "osem":
            ops, ys = _subsets(problem, projections, like, method.subsets)
            return osem(ops, tuple(y.clamp_min(0.0) for y in ys), steps=steps, run=run)
        case _:
            count = projections.geometry.views if method.name == "sart" else method.subsets
            ops, ys = _subsets(problem, projections, like, count)
            relaxation = 0.5 if method.name == "sart" else 1.0
            return os_sart(ops, ys, relaxation=relaxation, steps=steps, run=run)


def _subsets(
    problem: _Problem, projections: Projections, like: Grid, count: int
) -> tuple[tuple[LinearOperator, ...], tuple[Tensor, ...]]:
    """Split the views so that each subset is spread over all angles, far ones after each other."""
    views = projections.geometry.views
    count = min(count, views)
    # steps by the golden ratio: no subset is close to the last ones
    order = sorted(range(count), key=lambda i: (i * (math.sqrt(5.0) - 1.0) / 2.0) % 1.0)
    parts = [torch.arange(first, views, count) for first in order]
    ops = tuple(Projector(projections.geometry.take(part), like) for part in parts)
    return ops, tuple(problem.line[part] for part in parts)


def _with_prior(
    problem: _Problem, like: Grid, method: Iterative, run: Run
) -> tuple[Solution, tuple[str, ...]]:
    quiet = replace(run, on_step=None)

    def solve(y: Tensor, weight: float, start: Tensor | None) -> Tensor:
        first = _start(problem, method) if start is None else start
        return _penalised(problem.op, y, like, method, weight, replace(quiet, start=first)).x

    if method.strength == "fixed":
        start = _start(problem, method)
        return _penalised(
            problem.op, problem.y, like, method, method.weight, replace(run, start=start)
        ), ()
    if method.strength == "balance":
        weight, start = _noise_in_image(problem, like, method), _start(problem, method)
        found = _penalised(problem.op, problem.y, like, method, weight, replace(run, start=start))
        return found, (f"strength {weight:.4g} balances the noise that A^H brings into a voxel",)
    choice = _choose(problem, solve, like, method)
    found = _penalised(
        problem.op, problem.y, like, method, choice.weight, replace(run, start=choice.x)
    )
    tried = f"strength {choice.weight:.4g} chosen by {method.strength} among {len(choice.weights)}"
    return found, (tried,)


def _choose(
    problem: _Problem,
    solve: Callable[[Tensor, float, Tensor | None], Tensor],
    like: Grid,
    method: Iterative,
) -> Choice:
    unit = _noise_in_image(problem, like, method)
    op, y = problem.op, problem.y
    if method.strength == "discrepancy":
        return discrepancy(solve, op, y, start=2.0 * unit, sigma=problem.sigma)
    weights = tuple(unit * factor for factor in _TRIED)
    if method.strength == "gcv":
        return gcv(solve, op, y, weights=weights)
    return sure(solve, op, y, weights=weights, sigma=problem.sigma)


def _noise_in_image(problem: _Problem, like: Grid, method: Iterative) -> float:
    """Strength at which the prior and the noise that A^H brings into a voxel balance."""
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(problem.y.shape, generator=generator, dtype=torch.float64).to(problem.y)
    back = problem.op.H(probe)
    seen = back[back != 0]
    level = problem.sigma * float(seen.double().square().mean().sqrt()) if seen.numel() else 1.0
    spacing = min(_spacing(like))
    if method.name == "wavelet":
        return level
    if method.name == "tikhonov":
        # squared slopes have the unit of mu on top: the spread of mu is its scale
        scale = float(problem.line.abs().max()) / (max(like.shape) * spacing)
        return level * spacing**2 / max(scale, 1e-12)
    return level * spacing


def _start(problem: _Problem, method: Iterative) -> Tensor:
    """A few SIRT-like steps on the unweighted data: near enough for any geometry."""
    lower = 0.0 if method.nonnegative else -math.inf
    return cgls(problem.plain, problem.line, steps=8).x.clamp_min(lower)


def _penalised(
    op: LinearOperator, y: Tensor, like: Grid, method: Iterative, weight: float, run: Run
) -> Solution:
    if method.name == "tikhonov":
        slope = Gradient(like.shape, _spacing(like))
        free = tikhonov(op, y, weight=weight, analysis=slope, steps=method.steps, run=run)
        return replace(free, x=run.clip(free.x))
    prox = _prox(like, method, run.lower)
    return fista(op, y, prox, weight=weight, steps=method.steps, run=run)


def _prox(like: Grid, method: Iterative, lower: float) -> Prox:
    spacing = _spacing(like)
    match method.name:
        case "huber":
            return Huber(method.corner, spacing, lower=lower, steps=10, tol=0.0)
        case "tgv":
            return TGV(2.0 * min(spacing), spacing, steps=20)
        case "wavelet":
            axes = tuple(range(-len(spacing), 0))
            transform = Wavelet(like.shape, "db4", axes)
            return L1(transform, transform.details)
        case _:
            return TV(spacing, lower=lower, steps=10, tol=0.0)


def _spacing(like: Grid) -> tuple[float, ...]:
    """Spacing along the axes that have more than one sample."""
    return like.spacing_mm if like.shape[0] > 1 else like.spacing_mm[1:]


def _identifiable(problem: _Problem, method: Iterative) -> tuple[bool, tuple[str, ...]]:
    """Compare rays that cross the grid with voxels that rays meet."""
    plain = problem.plain
    ones = torch.ones(plain.domain, dtype=problem.line.dtype, device=problem.line.device)
    crossed = plain(ones)
    rays = int((crossed > 0).sum())
    voxels = int((plain.H((crossed > 0).to(ones.dtype)) > 0).sum())
    if rays >= voxels:
        return True, ()
    fewer = f"{rays} rays for {voxels} unknown voxels"
    if method.has_prior and (method.weight > 0 or method.strength != "fixed"):
        return True, (f"{fewer}: what the data do not say, the prior '{method.name}' does",)
    return False, (f"{fewer} and no prior: not identifiable, many images fit the data as well",)
