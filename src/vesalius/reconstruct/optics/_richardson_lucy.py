"""Richardson-Lucy: the most likely object behind Poisson counts and a known PSF."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import Image, LinearOperator, Step
from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._differences import forward_differences, forward_differences_adjoint
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.optics._edges import Edges, blurring, check_image
from vesalius.reconstruct.solve import Run, Solution, mlem
from vesalius.reconstruct.solve._counts import negative_log_likelihood
from vesalius.reconstruct.solve._solution import Record, begin, norm

UNSEEN = 0.01
"""A voxel of less than this part of the largest sensitivity is held at 0: no light speaks of it"""


@final
@dataclass(frozen=True, slots=True)
class RichardsonLucy:
    """How to run Richardson-Lucy.

    Attributes:
        steps: Most steps; stopping early is the regularisation where ``weight`` is 0.
        weight: Strength of total variation, per sample of the finest axis; 0.002 is gentle, and
            above 0.02 the steps no longer settle.
        accelerated: Extrapolate along the last change: several times fewer steps.
        background: Expected counts of each sample that come from no object: offset, stray light.
        edges: ``"open"``: the object goes on beyond the field; ``"zero"``: it is dark there.
        tol: Stop where a step changes the object by less than this part; 0 never does.
        on_step: Called after every step.

    Raises:
        ConfigError: A number is out of range.
    """

    steps: int = 30
    weight: float = 0.0
    accelerated: bool = False
    background: float = 0.0
    edges: Edges = "open"
    tol: float = 0.0
    on_step: Callable[[Step], None] | None = None

    def __post_init__(self) -> None:
        numbers = (self.weight, self.background, self.tol)
        if self.steps < 1 or not all(0 <= v < math.inf for v in numbers) or self.weight >= 0.1:
            raise ConfigError(
                "steps must be at least 1, background and tol finite and at least 0, and weight "
                f"in [0, 0.1), got {self.steps}, {self.background:g}, {self.tol:g} and "
                f"{self.weight:g}"
            )


def richardson_lucy(
    image: Image,
    psf: Image,
    *,
    options: RichardsonLucy = RichardsonLucy(),
) -> Reconstruction:
    """Deconvolve a fluorescence image by Richardson-Lucy.

    With ``edges="open"`` the object goes on beyond the field by the size of the PSF, and each
    voxel is weighted by the light of it that the field catches: no dark or bright border.
    ``"zero"`` takes all that is outside for dark.

    Args:
        image: (C, Z, Y, X) floating point, photons or proportional to them, at least 0; each
            channel by itself.
        psf: (1, z, y, x) of the same spacing and sum 1, such as from ``physics.optics.born_wolf``;
            its origin is the sample at ``size // 2``. Cast to the image's number type.
        options: Steps, prior, edges.

    Returns:
        The object on the grid of the image, in its unit; ``residual`` after each step.

    Raises:
        GeometryError: PSF and image differ in spacing.
        IntensityError: The image is negative or not finite, or the PSF is not a distribution.
        UnitError: The image is not floating point.

    References:
        Richardson (1972), doi:10.1364/JOSA.62.000055; Lucy (1974), doi:10.1086/111605; edges:
        Bertero, Boccacci (2005), doi:10.1051/0004-6361:20052717, section 3.
    """
    check_image(image, psf, counts=True)
    blur, window = blurring(image, psf, options.edges)
    solution = likeliest(blur, image.data, spacing=image.grid.spacing_mm, options=options)
    return Reconstruction(
        Image(solution.x[..., *window].contiguous(), image.grid, image.unit, image.channels),
        "richardson-lucy-tv" if options.weight > 0 else "richardson-lucy",
        residual=solution.residual,
        weight=options.weight,
        remarks=(f"edges: {options.edges}", f"background: {options.background:g} {image.unit}"),
    )


def likeliest(
    op: LinearOperator,
    y: Tensor,
    *,
    spacing: tuple[float, ...],
    options: RichardsonLucy = RichardsonLucy(),
) -> Solution:
    """Maximise the likelihood of Poisson counts under an operator that may round below 0.

    Without prior and acceleration it is ``solve.mlem``.

    Args:
        op: A, of entries that are not negative but for the rounding of an FFT.
        y: (*batch, *codomain), counts, at least 0.
        spacing: Distance between samples along the last axes of the domain; only ratios matter.
        options: Steps, prior, acceleration, background; ``edges`` is the operator's matter.

    Returns:
        The last x; ``objective`` is the negative log-likelihood, without the prior.

    Raises:
        IntensityError: ``y`` is negative or not finite.

    References:
        Dey et al. (2006), doi:10.1002/jemt.20294, eq. (9), total variation. Biggs, Andrews (1997),
        doi:10.1364/AO.36.001766, eqs. (7)-(9), acceleration. Differ in: the sensitivity A.H 1 is
        kept, for edges, and no voxel's prior is stronger than a tenth of it; |grad x| has a corner
        at a thousandth of the mean.
    """
    if not bool(torch.isfinite(y).all()) or bool((y < 0).any()):
        raise IntensityError(
            f"counts must be finite and at least 0, got {float(y.min()):g} to "
            f"{float(y.max()):g}: do not subtract the background, give it in the options"
        )
    sensitivity = op.H(torch.ones_like(y))
    seen = sensitivity > UNSEEN * sensitivity.max()
    # a flat object with the counts of the image; every image of a batch goes its own way
    axes, out = _last(op.domain), _last(op.codomain)
    counts = torch.maximum((y - options.background).sum(out), 0.01 * y.sum(out))
    level = _wide(counts, axes) / sensitivity.sum(axes, keepdim=True).clamp(min=1e-30)
    start = torch.where(seen, level, torch.zeros_like(sensitivity))
    # what rounding can make of nothing: a mean below it is not known
    floor = y.amax(out, keepdim=True) * (torch.finfo(y.dtype).eps * 10)
    background = torch.zeros_like(y) + floor.clamp(min=max(options.background, 1e-30))
    if options.weight == 0 and not options.accelerated:
        run = Run(start=start, tol=options.tol, on_step=options.on_step)
        return mlem(op, y, background=background, steps=options.steps, run=run)
    finest = min(spacing)
    step = _Ascent(
        op,
        y,
        background,
        sensitivity.clamp(min=UNSEEN * float(sensitivity.max())),
        tuple(h / finest for h in spacing),
        options.weight,
    )
    return _climb(step, start, options)


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Ascent:
    """One step of Richardson-Lucy under total variation."""

    op: LinearOperator
    y: Tensor
    background: Tensor
    sensitivity: Tensor
    spacing: tuple[float, ...]
    weight: float

    def mean(self, x: Tensor) -> Tensor:
        """Expected counts; rounding below 0 is taken off."""
        return self.op(x).clamp(min=0) + self.background

    def __call__(self, x: Tensor) -> Tensor:
        fit = self.op.H(self.y / self.mean(x)).clamp(min=0)
        # where the field catches little light of a voxel, a prior of full strength would divide by
        # less than 0; a slope is at least -4.8
        strength = (0.1 * self.sensitivity).clamp(max=self.weight)
        return x * fit / (self.sensitivity + strength * self._slope(x))

    def _slope(self, x: Tensor) -> Tensor | float:
        if self.weight == 0:
            return 0.0
        mean = x.mean(_last(self.op.domain), keepdim=True)
        slopes = forward_differences(x / torch.where(mean > 0, mean, 1.0), self.spacing)
        size = (slopes.square().sum(dim=-len(self.spacing) - 1, keepdim=True) + 1e-6).sqrt()
        return forward_differences_adjoint(slopes / size, self.spacing)


def _climb(step: _Ascent, x: Tensor, options: RichardsonLucy) -> Solution:
    name, axes = "richardson-lucy", _last(step.op.domain)
    record: Record
    record, x = begin(name, step.op, step.y, options.steps, _run(x, options), weight=step.weight)
    change = torch.zeros_like(x)
    gain, gain_before = torch.zeros_like(x), torch.zeros_like(x)
    while True:
        factor = _extrapolation(gain, gain_before, axes) if options.accelerated else 0.0
        guess = (x + factor * change).clamp(min=0)
        new = step(guess)
        gain, gain_before = new - guess, gain
        change, before, x = new - x, x, new
        mean = step.mean(x)
        likelihood = negative_log_likelihood(mean, step.y)
        if record.ends(x, before, norm(mean - step.y), likelihood):
            return record.solution(x, weight=step.weight)


def _run(start: Tensor, options: RichardsonLucy) -> Run:
    return Run(start=start, tol=options.tol, on_step=options.on_step)


def _extrapolation(gain: Tensor, before: Tensor, axes: tuple[int, ...]) -> Tensor:
    """How far to follow the last change, in [0, 1): the part of the gain that persists."""
    size = before.square().sum(axes, keepdim=True, dtype=torch.float64)
    along = (gain * before).sum(axes, keepdim=True, dtype=torch.float64)
    part = torch.where(size > 0, along / size, torch.zeros_like(size))
    return part.clamp(0.0, 0.999).to(gain.dtype)


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes behind those of a batch."""
    return tuple(range(-len(shape), 0))


def _wide(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.reshape(*x.shape, *(1 for _ in axes))
