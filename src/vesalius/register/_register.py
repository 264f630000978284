"""Register: find the transform that lays a moving image on a fixed one."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Callable
from typing import get_args

import torch

from vesalius.core import Image, Linear, Step, Transform
from vesalius.errors import ConfigError, GeometryError, IntensityError, ShapeError
from vesalius.register import _demons, _dense, _linear, _variational
from vesalius.register._fit_scales import spelt_out
from vesalius.register._guided import guided
from vesalius.register._guides import Guides
from vesalius.register._landmark_loss import LandmarkDistance
from vesalius.register._level import Level, make_level
from vesalius.register._overlap_loss import LabelOverlap
from vesalius.register._plan import Demons, GaussNewton, Greedy, LinearModel, Plan, Stage
from vesalius.register._presets import Modality, Preset, preset
from vesalius.register._registration import Registration
from vesalius.register._start import Init, start_transform
from vesalius.register._terms import Term
from vesalius.register._thin_plate import thin_plate
from vesalius.register._watch import Watch

OnStep = Callable[[Step], None]
LINEAR: tuple[str, ...] = get_args(LinearModel)
NO_GUIDES = Guides()


def register(
    fixed: Image,
    moving: Image,
    *,
    plan: Plan | Preset = "accurate",
    modality: Modality = "same",
    init: Init | Transform = "header",
    guides: Guides = NO_GUIDES,
    on_step: OnStep | None = None,
) -> Registration:
    """Find the transform from the fixed world to the moving world.

    Args:
        fixed: The image that stays; its grid must be orthogonal. Any number type.
        moving: The image that is laid on it; same number of channels, any grid.
        plan: A preset by name, or stages of your own: see ``Plan``. ``"rigid"`` and ``"affine"``
            are linear; ``"smooth"`` and ``"accurate"`` begin affine and go on with a deformation
            that has an inverse; ``"freeform"`` with wide B-splines; ``"crossmodal"`` between
            modalities; ``"landmarks"`` bends a thin-plate spline through the landmarks of
            ``guides`` and looks at no voxel. See ``preset``.
        modality: ``"different"`` makes a preset compare by mutual information (linear stages) and
            MIND-SSC (deformable ones) instead of local correlation.
        init: Where the search begins; see ``start_transform``. A transform starts from itself.
        guides: Masks, landmarks, labels, channel weights. Where landmarks or labels are given, a
            preset's greedy search becomes one of free-form deformations, which they can pull.
        on_step: Told of each step.

    Returns:
        The transform with its inverse, the warped image, history and evaluation.

    Raises:
        ShapeError: The channels do not pair, or only one image is 2-D.
        IntensityError: An image holds NaN or infinity, or is constant.
        GeometryError: The fixed grid is not orthogonal, or the fields of view do not overlap.
        ConfigError: A stage combines what does not go together, landmarks are missing, or no
            stage would follow the labels or landmarks that are given.

    Example:
        >>> from vesalius.core import Grid
        >>> grid = Grid.from_spacing((24, 24, 24), (2.0, 2.0, 2.0))
        >>> z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, 24)] * 3, indexing="ij")
        >>> ball = Image(torch.exp(-4 * (z**2 + 2 * y**2 + 3 * x**2))[None], grid)
        >>> shifted = Grid.from_spacing((24, 24, 24), (2.0, 2.0, 2.0), origin_mm=(3.0, 0.0, 0.0))
        >>> found = register(ball, Image(ball.data, shifted), plan="rigid")
        >>> found.transform(torch.ones(1, 3)).round(decimals=1)
        tensor([[4., 1., 1.]])
    """
    begun = time.perf_counter()
    _check(fixed, moving, guides)
    if plan == "landmarks":
        return _by_landmarks(fixed, moving, guides, begun)
    ready = _floats(fixed), _floats(moving)
    chosen = plan
    if isinstance(chosen, str):
        chosen = preset(chosen, fixed.grid, modality=modality)
    _require_followers(chosen, guides)
    start = _start(ready, init, guides, chosen)
    watch = Watch(sum(s.steps for stage in chosen.stages for s in stage.scales), on_step)
    transform = start
    for index, stage in enumerate(chosen.stages):
        watch.stage = index
        transform = _run_stage(ready, stage, transform, guides=guides, watch=watch)
    return Registration(
        transform,
        fixed,
        moving,
        start,
        plan=chosen,
        history=tuple(watch.entries),
        seconds=time.perf_counter() - begun,
    )


def _run_stage(
    images: tuple[Image, Image], stage: Stage, start: Transform, *, guides: Guides, watch: Watch
) -> Transform:
    fixed, moving = images
    stage = spelt_out(stage, fixed.grid)
    masks, weights = guides.masks(), guides.shares(fixed.data.shape[0])
    if isinstance(stage.model, str) and stage.model in LINEAR:
        if not isinstance(start, Linear):
            raise ConfigError(
                f"a linear stage ({stage.model}) must begin from a linear transform, got "
                f"{type(start).__name__}: put linear stages first, or start from a linear transform"
            )
        return _linear.solve_linear(
            fixed, moving, stage, start=start, masks=masks, watch=watch, channel_weights=weights
        )
    terms = _terms(guides, start)
    if terms:
        stage = guided(stage, fixed.grid)
    levels = tuple(
        make_level(
            fixed,
            moving,
            scale.spacing_mm,
            start=start,
            masks=masks,
            channel_weights=weights,
        )
        for scale in stage.scales
    )
    _require_overlap(levels)
    return start @ _deform(levels, stage, watch, terms=terms)


def _require_followers(plan: Plan, guides: Guides) -> None:
    """Refuse labels and landmarks that no stage would listen to."""
    given = guides.fixed_points is not None or guides.fixed_labels is not None
    if given and plan.stages and all(stage.model in LINEAR for stage in plan.stages):
        raise ConfigError(
            "labels and landmarks pull deformable stages alone, got a plan of linear ones: begin "
            "from landmarks (init=fit_linear(...), --init landmarks), or choose a plan that bends"
        )


def _require_overlap(levels: tuple[Level, ...]) -> None:
    """Refuse to bend what does not meet: the loss of nothing is no loss."""
    level = levels[-1]
    a, b, c = level.margin
    _, z, y, x = level.fixed.shape
    seen = torch.ones_like(level.fixed[:1]) if level.fixed_weight is None else level.fixed_weight
    if level.moving_weight is not None:
        seen = seen * level.moving_weight[:, a : a + z, b : b + y, c : c + x]
    if not float(seen.sum()) > 0:
        raise GeometryError(
            "the images must overlap (inside their masks) at the start of a deformation, no "
            'sample does: begin nearer, as by init="moments", or check the masks'
        )


def _deform(
    levels: tuple[Level, ...], stage: Stage, watch: Watch, *, terms: tuple[Term, ...]
) -> Transform:
    if isinstance(stage.optimiser, GaussNewton):
        raise ConfigError(
            "GaussNewton searches linear models only, got a deformable one: use Greedy, Demons, "
            "Lbfgs or Adam"
        )
    if isinstance(stage.optimiser, Greedy):
        return _dense.solve(levels, stage, watch)
    if isinstance(stage.optimiser, Demons):
        return _demons.solve(levels, stage, watch)
    return _variational.solve(levels, stage, watch, terms=terms)


def _terms(guides: Guides, start: Transform) -> tuple[Term, ...]:
    terms: list[Term] = []
    if guides.fixed_points is not None and guides.moving_points is not None:
        terms.append(LandmarkDistance(guides.fixed_points, guides.moving_points, start))
    if guides.fixed_labels is not None and guides.moving_labels is not None:
        terms.append(LabelOverlap(guides.fixed_labels, guides.moving_labels, start))
    return tuple(terms)


def _start(
    images: tuple[Image, Image], init: Init | Transform, guides: Guides, plan: Plan
) -> Transform:
    if isinstance(init, Transform):
        return init
    masks, shares = guides.masks(), guides.shares(len(images[0].data))
    if not plan.stages:
        return start_transform(*images, init=init, masks=masks, channel_weights=shares)
    # orientations are tried by what the first stage compares by: modalities may differ
    similarity = plan.stages[0].similarity
    return start_transform(
        *images, init=init, masks=masks, similarity=similarity, channel_weights=shares
    )


def _by_landmarks(fixed: Image, moving: Image, guides: Guides, begun: float) -> Registration:
    if guides.fixed_points is None or guides.moving_points is None:
        raise ConfigError(
            "plan='landmarks' needs landmarks in both images, got none: give "
            "Guides(fixed_points=..., moving_points=...)"
        )
    flat = fixed.grid.shape[0] == 1 and moving.grid.shape[0] == 1
    spline = thin_plate(
        guides.fixed_points,
        guides.moving_points,
        smoothing=guides.smoothing,
        dimension=2 if flat else 3,
    )
    took = time.perf_counter() - begun
    return Registration(spline, fixed, moving, Linear.identity(), seconds=took)


def _floats(image: Image) -> Image:
    return image.map(lambda x: x.to(torch.float32))


def _check(fixed: Image, moving: Image, guides: Guides) -> None:
    channels = fixed.data.shape[0], moving.data.shape[0]
    if channels[0] != channels[1]:
        raise ShapeError(
            f"images must have the same channels, got {channels[0]} fixed and {channels[1]} "
            "moving: choose channels, or turn colour into grey, on both sides alike"
        )
    guides.shares(channels[0])
    flat = fixed.grid.shape[0] == 1, moving.grid.shape[0] == 1
    if flat[0] != flat[1]:
        which = "fixed" if flat[0] else "moving"
        raise ShapeError(
            f"images must both be volumes or both be slices, only the {which} one is a slice: "
            "crop the volume to one slice, or resample it onto the slice's grid"
        )
    if not fixed.grid.is_orthogonal:
        raise GeometryError(
            "the fixed grid must have orthogonal axes, got a sheared one: resample it onto "
            "Grid.from_spacing first"
        )
    for name, image in (("fixed", fixed), ("moving", moving)):
        _check_samples(name, image)


def _check_samples(name: str, image: Image) -> None:
    data = image.data
    if data.is_floating_point() and not bool(torch.isfinite(data).all()):
        raise IntensityError(
            f"the {name} image must be finite, got NaN or infinity: replace them, and give a mask "
            "of where the image counts"
        )
    flat = [k for k, channel in enumerate(data) if bool((channel == channel.flatten()[0]).all())]
    if flat:
        raise IntensityError(
            f"each channel of the {name} image must vary, channel {flat[0]} is constant: there is "
            "nothing to align"
        )
