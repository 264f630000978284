"""Plan: every choice of a training run, with its reason; JSON types, so that it can be saved."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final

from vesalius.learn import UNetPlan

Triple = tuple[float, float, float]
Size = tuple[int, int, int]
HeadKind = Literal["classes", "flows", "stars"]
Scheme = Literal["clip and standardise", "standardise", "percentiles", "none"]
Precision = Literal["float32", "bfloat16"]
Optimiser = Literal["adamw", "sgd"]
Kind = Literal["volume", "microscopy", "none"]
Supervision = Literal["full", "scribbles", "boxes", "tags"]


@final
@dataclass(frozen=True, slots=True)
class Normalisation:
    """How the values of one channel are brought to a common scale.

    Attributes:
        scheme: ``"clip and standardise"`` (CT: clip to ``low``, ``high``, then ``mean`` and ``sd``
            of the data set), ``"standardise"`` (mean and deviation of each image),
            ``"percentiles"`` (``low`` and ``high`` are percentiles of each image, mapped to 0
            and 1), ``"none"``.
        low: Value or percentile.
        high: Value or percentile.
        mean: Of the foreground of the data set.
        sd: Of the same.
        nonzero: ``"standardise"`` measures the samples that are not 0 alone (stripped skulls).
    """

    scheme: Scheme
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    sd: float = 1.0
    nonzero: bool = False


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """What is trained, how, and why.

    Attributes:
        head: What the outputs mean.
        names: Label values and their names, background left out; objects have one.
        channels: Names of the channels that go in.
        spacing_mm: Of the lattice that the network sees, (z, y, x); 0 keeps the image's own.
        normalisation: Per channel.
        patch: Samples along (z, y, x); z is 1 in 2-D.
        network: The layers.
        batch: Patches per step.
        steps: Optimiser steps.
        learning_rate: Largest step size.
        diameter: Of a typical object in samples of the lattice (flows, stars); 0 for classes.
        ignore: Label value that means "not known"; -1 for none.
        head_settings: Further numbers of the head, JSON types.
        precision: In which the network multiplies while it trains; weights are float32.
        optimiser: ``"adamw"``, or ``"sgd"`` with Nesterov momentum.
        foreground: Share of the patches that are laid around a labelled voxel.
        augment: Which chances of change are drawn for each patch.
        supervision: What is learned from labels: the class of every voxel, of some (marks), boxes,
            or only which classes a case holds (tags).
        consistency: Strength of the agreement with the averaged network on cases without labels
            (mean teacher); 0 leaves those cases out.
        reasons: Why, by the name of the choice, in words.
    """

    head: HeadKind
    names: Mapping[int, str]
    channels: tuple[str, ...]
    spacing_mm: Triple
    normalisation: tuple[Normalisation, ...]
    patch: Size
    network: UNetPlan
    batch: int = 2
    steps: int = 1000
    learning_rate: float = 3e-3
    diameter: float = 0.0
    ignore: int = -1
    head_settings: Mapping[str, float] = field(default_factory=dict)
    precision: Precision = "float32"
    optimiser: Optimiser = "adamw"
    foreground: float = 1 / 3
    augment: Kind = "volume"
    supervision: Supervision = "full"
    consistency: float = 0.0
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def dims(self) -> int:
        """Spatial axes of the network: 2 or 3."""
        return self.network.dims
