"""Inference: how a trained model is applied: overlap, mirrors, folds, memory, what is kept."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
from dataclasses import dataclass
from typing import Literal, final

from vesalius.core import Grid
from vesalius.errors import ConfigError
from vesalius.segment._plan import Plan
from vesalius.segment._prepare import across

Precision = Literal["plan", "float32", "bfloat16"]

_LEAST_PX = 2.0
"""Samples across an object below which no lattice brings it back."""

_LENGTHS = {"px": 0.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "nm": 1e-6, "cm": 10.0}


@final
@dataclass(frozen=True, slots=True)
class Inference:
    """How a model is applied; nothing here changes what was learned.

    Attributes:
        overlap: Share of a patch that the next one covers again; 0.5 is nnU-Net's.
        mirrors: Look at every patch mirrored along each set of axes too (4 or 8 times the work)
            and average. Not for models that tell left from right.
        folds: Which of the model's networks are averaged, from 0; empty takes all.
        skip_empty: Leave out patches that hold nothing but background: air below the clipped
            range of a CT, or the constant that surrounds a masked image.
        batch: Patches that go through the network together.
        patch: Samples along (z, y, x) of the lattice; empty takes the plan's.
        ram_gb: Most memory that may be used beside the image, GB; 0 takes what is free.
        precision: In which the network multiplies; ``"plan"`` is as in training.
        uncertainty: Give maps of entropy and, with several members (folds, mirrors), of mutual
            information.
        probabilities: Give the probability of every class: a channel each.
        diameter: Of a typical object, such as ``"9um"``, ``"20px"``, ``"5mm"``; empty takes that
            of the training data. For models of objects.

    Raises:
        ConfigError: A number is out of range, or the diameter is not a length.
    """

    overlap: float = 0.5
    mirrors: bool = False
    folds: tuple[int, ...] = ()
    skip_empty: bool = True
    batch: int = 1
    patch: tuple[int, ...] = ()
    ram_gb: float = 0.0
    precision: Precision = "plan"
    uncertainty: bool = False
    probabilities: bool = False
    diameter: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1 or self.batch < 1:
            raise ConfigError(
                f"overlap must lie in [0, 1) and batch be at least 1, got {self.overlap} and "
                f"{self.batch}"
            )
        if self.patch and (len(self.patch) != 3 or min(self.patch) < 1):
            raise ConfigError(
                f"patch must be three sizes (z, y, x) of at least 1, or none, got {self.patch}"
            )
        if not (math.isfinite(self.ram_gb) and self.ram_gb >= 0):
            raise ConfigError(f"ram_gb must be a number of GB, or 0 for free, got {self.ram_gb}")
        if self.diameter:
            _length(self.diameter)


def zoom_of(inference: Inference, plan: Plan, grid: Grid) -> float:
    """Say how much finer the lattice must be for objects to have the diameter of the plan.

    Args:
        inference: Holds the diameter of the objects in the image.
        plan: Holds that of the training data, in samples of its lattice.
        grid: Of the image.

    Returns:
        Samples of the lattice for one sample of the plan's spacing; 1 where no diameter is given.

    Raises:
        ConfigError: The model is not one of objects, or they would be smaller than two samples
            or larger than the image.
    """
    if not inference.diameter:
        return 1.0
    if plan.diameter <= 0:
        raise ConfigError(
            f"a diameter belongs to models of objects, got {inference.diameter!r} for one of "
            f"{', '.join(plan.names.values()) or 'classes'}: leave it out"
        )
    value, factor = _length(inference.diameter)
    own = grid.spacing_mm[across(grid)]
    wanted_mm = value * factor if factor else value * own
    if not _LEAST_PX <= wanted_mm / own <= max(grid.shape):
        raise ConfigError(
            f"a diameter must be from {_LEAST_PX:g} samples to the whole image, "
            f"{inference.diameter!r} is {wanted_mm / own:.3g} of its samples of {own:g} mm: where "
            "the file has no true spacing say it in samples, such as 20px"
        )
    return plan.diameter * (plan.spacing_mm[2] or own) / wanted_mm


def _length(text: str) -> tuple[float, float]:
    """Number and mm in its unit; 0 mm stands for a sample of the image."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]+)\s*", text)
    if found is None or found[2] not in _LENGTHS or not float(found[1]) > 0:
        raise ConfigError(
            f"a diameter must be a positive number with one of {', '.join(_LENGTHS)}, such as 9um, "
            f"got {text!r}"
        )
    return float(found[1]), _LENGTHS[found[2]]
