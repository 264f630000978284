"""Activity from PET counts: MLEM and OSEM with normalisation, attenuation, randoms and scatter."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid, Image, Step
from vesalius.errors import ConfigError, IntensityError, ShapeError, UnitError
from vesalius.physics.ct import Projections, Projector
from vesalius.physics.pet import System
from vesalius.reconstruct._result import Reconstruction
from vesalius.reconstruct.solve import Run, osem

Lines = Float[Tensor, "..."]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """What is known of each line of response, (view, row, column) like the prompts.

    Attributes:
        attenuation: Part of the pairs that leave the patient, in [0, 1]; ``None`` is 1.
        normalisation: Counts for each unit of the line integral; ``None`` is 1.
        background: Expected randoms and scatter, counts; ``None`` is 0.

    Raises:
        ShapeError: They differ in shape.
    """

    attenuation: Lines | None = None
    normalisation: Lines | None = None
    background: Lines | None = None

    def __post_init__(self) -> None:
        given = (self.attenuation, self.normalisation, self.background)
        shapes = {tuple(t.shape) for t in given if t is not None}
        if len(shapes) > 1:
            raise ShapeError(
                f"corrections must have one shape (view, row, column), got {sorted(shapes)}"
            )


@final
@dataclass(frozen=True, slots=True)
class Emission:
    """How to run MLEM or OSEM.

    Attributes:
        steps: Passes over all data; stopping early is the only regularisation.
        subsets: Sets of every ``subsets``-th view; 1 is MLEM, whose likelihood never falls.
        on_step: Called after every pass.

    Raises:
        ConfigError: A number is below 1.
    """

    steps: int = 20
    subsets: int = 1
    on_step: Callable[[Step], None] | None = None

    def __post_init__(self) -> None:
        if min(self.steps, self.subsets) < 1:
            raise ConfigError(
                f"steps and subsets must be at least 1, got {self.steps} and {self.subsets}"
            )


def emission(
    prompts: Projections,
    *,
    like: Grid,
    corrections: Corrections = Corrections(),
    options: Emission = Emission(),
) -> Reconstruction:
    """Reconstruct the activity that makes PET counts most likely.

    Args:
        prompts: Counts of each line of response, randoms and scatter included (quantity
            ``"counts"``); never subtract these.
        like: Lattice of the result.
        corrections: Attenuation, normalisation, and the expected randoms and scatter.
        options: Passes and subsets.

    Returns:
        Activity in counts per mm of line (what normalisation converts to), at least 0, and 0 where
        no line sees a voxel;
        ``residual`` after each pass.

    Raises:
        UnitError: The projections are not counts.
        ShapeError: The corrections do not fit the prompts.
        ConfigError: There are more subsets than views.
        IntensityError: Counts or corrections are negative or not finite.

    References:
        Shepp, Vardi (1982), doi:10.1109/TMI.1982.4307558; Hudson, Larkin (1994),
        doi:10.1109/42.363108.
    """
    geometry, y = prompts.geometry, prompts.data
    if prompts.quantity != "counts":
        raise UnitError(
            f"prompts must be counts, got '{prompts.quantity}': their noise decides the fit"
        )
    if options.subsets > geometry.views:
        raise ConfigError(
            f"subsets must be at most the number of views, {geometry.views}, got {options.subsets}"
        )
    factors = [_full(getattr(corrections, n), y, n) for n in ("attenuation", "normalisation")]
    background = _full(corrections.background, y, "background", empty=0.0)
    parts = [slice(first, None, options.subsets) for first in range(options.subsets)]
    systems = tuple(
        System(Projector(geometry.take(part), like), factors[0][part], factors[1][part])
        for part in parts
    )
    # what no line sees is not known: it stays 0
    seen = torch.zeros(like.shape, dtype=y.dtype, device=y.device)
    for system, part in zip(systems, parts, strict=True):
        seen += system.H(torch.ones_like(y[part]))
    solution = osem(
        systems,
        tuple(y[part].contiguous() for part in parts),
        backgrounds=tuple(background[part] for part in parts),
        steps=options.steps,
        run=Run(start=(seen > 0).to(y.dtype), on_step=options.on_step),
    )
    return Reconstruction(
        Image(solution.x[None], like, "count/mm"),
        "osem" if options.subsets > 1 else "mlem",
        residual=solution.residual,
        identifiable=y.numel() >= solution.x.numel(),
        remarks=(
            f"{options.subsets} subsets",
            f"expected randoms and scatter: {float(background.sum()):.4g} of "
            f"{float(y.sum()):.4g} counts",
        ),
    )


def _full(lines: Tensor | None, y: Tensor, name: str, *, empty: float = 1.0) -> Tensor:
    if lines is None:
        return torch.full_like(y, empty)
    if tuple(lines.shape) != tuple(y.shape):
        raise ShapeError(
            f"{name} must have the shape of the prompts, {tuple(y.shape)}, got {tuple(lines.shape)}"
        )
    if not bool(torch.isfinite(lines).all()):
        raise IntensityError(f"{name} must be finite, got NaN or infinity: 0 is a dead line")
    return lines.to(y.device, y.dtype)
