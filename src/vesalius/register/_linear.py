"""Linear stage: translation, rigid, similarity or affine, coarse to fine, from a start."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import torch

from vesalius.core import Image, Linear
from vesalius.errors import ConfigError, GeometryError, ShapeError
from vesalius.register._level import Masks
from vesalius.register._linear_descent import Slope, adam, quasi_newton, whitening
from vesalius.register._linear_level import LinearLevel, make_linear_level
from vesalius.register._linear_model import freedoms
from vesalius.register._linear_squares import Fit, least_squares
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mse import MeanSquare
from vesalius.register._ncc import Ncc
from vesalius.register._parallel import parallel
from vesalius.register._plan import Adam, GaussNewton, Lbfgs, Scale, Stage
from vesalius.register._similarity import Similarity
from vesalius.register._watch import Watch

LINEAR = ("translation", "rigid", "similarity", "affine")
EVERYWHERE = Masks()


def solve_linear(
    fixed: Image,
    moving: Image,
    stage: Stage,
    *,
    start: Linear,
    masks: Masks = EVERYWHERE,
    watch: Watch,
    channel_weights: tuple[float, ...] = (1.0,),
) -> Linear:
    """Search a linear map that makes the images alike.

    The map is ``start @ deformation``: the deformation is of the stage's model about the centre
    of the fixed mask (or field of view), so that a rigid stage from a rigid start ends rigid, and
    one from an affine start keeps its scales and shears. Where both images are 2-D only motions
    in the plane are searched. Samples that leave the moving image do not count.

    ``GaussNewton`` solves mean square, global and local correlation as least squares (the local
    one on images that are normalised over round windows, each image by itself); for any other
    similarity it is a quasi-Newton search scaled by the normal equations. ``Lbfgs`` and ``Adam``
    take any similarity, scaled by the motion in mm.

    Args:
        fixed: Floating point, any grid.
        moving: Floating point, same channels, any grid.
        stage: Model, similarity, optimiser, scales.
        start: Fixed world to moving world.
        masks: Where the images count.
        watch: Collects the history.
        channel_weights: One for each channel.

    Returns:
        Fixed world to moving world.

    Raises:
        ConfigError: The model is not linear, or the optimiser is for fields.
        GeometryError: The images do not overlap at the start.
        IntensityError: An image is constant or not finite where they overlap.
        RegionError: The fixed mask is empty.
        ShapeError: The moving image is a slice and the fixed one is not.
    """
    _check(stage)
    flat = fixed.grid.shape[0] == 1 and moving.grid.shape[0] == 1
    if moving.grid.shape[0] == 1 and not flat:
        raise ShapeError(
            f"a slice cannot be laid on a volume of {fixed.grid.shape[0]} slices: take the slice "
            "as the fixed image and the volume as the moving one"
        )
    allowed = freedoms(stage.model, fixed, flat=flat, mask=masks.fixed)  # type: ignore[arg-type]
    if stage.similarity.oriented:
        moving, seen = parallel(moving, masks.moving, fixed=fixed.grid, start=start)
        masks = Masks(masks.fixed, seen)
    transform = start.matrix.detach().cpu().numpy()
    for scale in stage.scales:
        level = make_linear_level(
            (fixed, moving),
            scale.spacing_mm,
            masks=masks,
            shares=channel_weights,
            allowed=allowed,
            stage=stage,
            growth=abs(float(np.linalg.det(transform[:3, :3]))) ** (1 / 3),
        )
        transform = solve_level(level, stage, scale, transform, watch)
    return Linear(torch.from_numpy(transform))


def fit_of(similarity: Similarity) -> Fit | None:
    """Say how a similarity is solved by least squares; None where it is not."""
    if isinstance(similarity, MeanSquare):
        return "same"
    return "line" if isinstance(similarity, Ncc | LocalNcc) else None


def solve_level(
    level: LinearLevel, stage: Stage, scale: Scale, transform: np.ndarray, watch: Watch
) -> np.ndarray:
    """Improve a map at one scale, by the optimiser of the stage.

    Args:
        level: Both images at this scale.
        stage: Similarity, optimiser, tolerance.
        scale: Most steps.
        transform: (4, 4), fixed to moving world.
        watch: Collects the history.

    Returns:
        (4, 4).

    Raises:
        GeometryError: No sample of the fixed image lies in the moving one.
        IntensityError: An image is constant or not finite where they overlap.
    """
    sums = level.sums(transform)
    if not min(float(s.moments[0]) for _, s in sums) > 0:
        raise GeometryError(
            "the images must overlap at the start of a linear search, no sample does: "
            'begin nearer, as by init="moments", or check the masks'
        )
    optimiser, fit = stage.optimiser, fit_of(stage.similarity)
    if isinstance(optimiser, GaussNewton) and fit is not None:
        return least_squares(
            level,
            transform,
            fit=fit,
            damping=optimiser.damping,
            steps=scale.steps,
            tol=stage.tol,
            watch=watch,
        )
    metric = level.allowed.metric()
    if isinstance(optimiser, GaussNewton):
        rates = level.rates(transform)
        metric = rates.T @ sum(share * s.second for share, s in sums) @ rates
    slope = Slope(level, stage.similarity, whitening(metric))
    if isinstance(optimiser, Adam):
        return adam(slope, transform, optimiser, steps=scale.steps, tol=stage.tol, watch=watch)
    memory = optimiser.memory if isinstance(optimiser, Lbfgs) else len(metric)
    return quasi_newton(
        slope, transform, memory=memory, steps=scale.steps, tol=stage.tol, watch=watch
    )


def _check(stage: Stage) -> None:
    if stage.model not in LINEAR:
        raise ConfigError(
            f"a linear stage must have one of the models {', '.join(LINEAR)}, got {stage.model}"
        )
    if not isinstance(stage.optimiser, GaussNewton | Lbfgs | Adam):
        raise ConfigError(
            "a linear stage must be searched by GaussNewton, Lbfgs or Adam, got "
            f"{type(stage.optimiser).__name__}: that one is for fields"
        )
