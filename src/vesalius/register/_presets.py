"""Presets: plans by name, with constants that were chosen by measurement."""
# SPDX-License-Identifier: Apache-2.0

from typing import Literal, get_args

from vesalius.errors import ConfigError
from vesalius.register._gaussian import Gaussian
from vesalius.register._linear_presets import linear_stages
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mind import Mind
from vesalius.register._plan import Greedy, Plan, Scale, Stage

Preset = Literal["rigid", "affine", "smooth", "accurate", "crossmodal", "landmarks"]
Modality = Literal["same", "different"]


def preset(name: Preset, *, modality: Modality = "same") -> Plan:
    """Make the plan of a preset.

    Args:
        name: ``"rigid"`` and ``"affine"`` are linear. ``"smooth"`` and ``"accurate"`` go on with a
            deformation: gentle, or as close as it gets without a fold. ``"crossmodal"`` is
            ``"smooth"`` between modalities. ``"landmarks"`` has no stages: it looks at no voxel.
        modality: ``"same"`` compares by local correlation; ``"different"`` by mutual information
            (linear stages) and MIND-SSC (deformable ones).

    Returns:
        The plan, written for samples of 2 mm; ``register`` fits its scales to the fixed grid.

    Raises:
        ConfigError: No such preset.
    """
    if name not in get_args(Preset):
        raise ConfigError(f"plan must be one of {', '.join(get_args(Preset))}, got {name!r}")
    if name == "landmarks":
        return Plan(())
    if name == "crossmodal":
        modality = "different"
    if name == "rigid" or name == "affine":
        return Plan(linear_stages(name, modality=modality))
    linear = linear_stages("affine", modality=modality)
    if modality == "different":
        return Plan((*linear, _cross()))
    return Plan((*linear, _accurate() if name == "accurate" else _smooth()))


def _accurate() -> Stage:
    return Stage(
        "displacement",
        LocalNcc(radius=2),
        Greedy(update=Gaussian(sigma=1.7), total=Gaussian(sigma=0.4), step=0.5),
        (Scale(8, 100), Scale(4, 100), Scale(2, 30)),
    )


def _smooth() -> Stage:
    return Stage(
        "symmetric",
        LocalNcc(radius=2),
        Greedy(update=Gaussian(sigma=1.7), total=Gaussian(sigma=0.5), step=0.5),
        (Scale(8, 100), Scale(4, 50), Scale(2, 10)),
    )


def _cross() -> Stage:
    return Stage(
        "displacement",
        Mind(),
        Greedy(update=Gaussian(sigma=2.0), total=Gaussian(sigma=0.7), step=0.5),
        (Scale(8, 60), Scale(4, 40), Scale(2, 10)),
    )
