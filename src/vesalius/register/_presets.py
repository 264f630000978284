"""Presets: plans by name, with constants that were chosen by measurement."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal, get_args

from vesalius.core import Grid
from vesalius.errors import ConfigError
from vesalius.register._elastic_step import ElasticStep
from vesalius.register._fit_scales import finest_mm, fit_scales
from vesalius.register._gaussian import Gaussian
from vesalius.register._guided import free_form_stage
from vesalius.register._linear_presets import linear_stages
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mind import Mind
from vesalius.register._plan import Greedy, Plan, Scale, Stage

Preset = Literal["rigid", "affine", "smooth", "accurate", "freeform", "crossmodal", "landmarks"]
Modality = Literal["same", "different"]
LinearPreset = Literal["rigid", "affine"]


def preset(name: Preset | str, like: Grid, *, modality: Modality | str = "same") -> Plan:
    """Make the plan of a preset for a fixed image.

    Args:
        name: ``"rigid"`` and ``"affine"`` are linear. ``"smooth"`` and ``"accurate"`` go on with a
            deformation: gentle, or as close as it gets without a fold. ``"freeform"`` goes on
            with wide B-splines, for soft tissue that moves smoothly and shows little structure
            (CT of chest and abdomen); nothing forbids it to fold. ``"crossmodal"`` is rigid,
            then a stiff deformation, between modalities. ``"landmarks"`` has no stages: it looks
            at no voxel.
        like: Grid of the fixed image: the scales of the plan follow its spacing and size.
        modality: ``"same"`` compares by local correlation; ``"different"`` by mutual information
            (linear stages) and MIND-SSC (deformable ones).

    Returns:
        The plan, scales in mm.

    Raises:
        ConfigError: No such preset, or no such modality.
    """
    if modality not in get_args(Modality):
        raise ConfigError(
            f"modality must be one of {', '.join(get_args(Modality))}, got {modality!r}: it says "
            "whether both images show one contrast"
        )
    kind: Modality = "same" if modality == "same" else "different"
    if name == "freeform":
        linear = fit_scales(_written("affine", kind), like).stages
        return Plan((*linear, _freeform(finest_mm(like), kind)))
    return fit_scales(_written(name, kind), like)


def _freeform(finest: float, modality: Modality) -> Stage:
    similarity = LocalNcc(radius=2) if modality == "same" else Mind(distance=1, radius=1)
    scales = (Scale(4 * finest, 40), Scale(2 * finest, 30), Scale(finest, 8))
    return free_form_stage(similarity, scales, finest)


def _written(name: str, modality: Modality) -> Plan:
    """Give a preset as it is written: for samples of 2 mm."""
    if name not in get_args(Preset):
        raise ConfigError(f"plan must be one of {', '.join(get_args(Preset))}, got {name!r}")
    if name == "landmarks":
        return Plan(())
    if name == "crossmodal":
        return Plan((*linear_stages("rigid", modality="different"), _cross()))
    if name in ("rigid", "affine"):
        last: LinearPreset = "rigid" if name == "rigid" else "affine"
        return Plan(linear_stages(last, modality=modality))
    linear = linear_stages("affine", modality=modality)
    if modality == "different":
        return Plan((*linear, _cross()))
    return Plan((*linear, _accurate() if name == "accurate" else _smooth()))


def _accurate() -> Stage:
    """Give the closest fit; chosen on brain3d_fs and the tuning pairs of the benchmark.

    Damping the divergence buys overlap for less change of volume: from one affine a Gaussian of
    0.58 alone reaches Dice .726 there at a spread of log J of .430 (fixed > mean), this .731 at
    .406.
    """
    return Stage(
        "displacement",
        LocalNcc(radius=2),
        Greedy(update=Gaussian(sigma=1.7), total=ElasticStep(sigma=0.4, volume=0.13), step=0.75),
        (Scale(8, 100), Scale(4, 70), Scale(2, 20)),
    )


def _smooth() -> Stage:
    """Give a gentle fit with an exact inverse; most of its steps are taken on coarse scales."""
    return Stage(
        "symmetric",
        LocalNcc(radius=2),
        Greedy(update=Gaussian(sigma=1.7), total=ElasticStep(sigma=0.6, volume=0.3), step=1.0),
        (Scale(8, 100), Scale(4, 40), Scale(2, 5)),
    )


def _cross() -> Stage:
    """Give a stiff fit; chosen on prostate_mr_us and brains of a made contrast.

    Descriptors of wide patches or softer fields let noise lead: both lost overlap there.
    """
    return Stage(
        "displacement",
        Mind(distance=1, radius=1),
        Greedy(update=Gaussian(sigma=4.0), total=Gaussian(sigma=1.5), step=0.25),
        (Scale(4, 60), Scale(2, 20)),
    )
