"""Model: trained networks with the plan, the fingerprint and the card they belong to."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from vesalius.io._weights import ModelCard
from vesalius.learn import UNet
from vesalius.segment._plan import Plan


@final
@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Everything that predicts, in evaluation mode.

    Attributes:
        plan: What was trained.
        networks: One for each fold; their outputs are averaged.
        card: What must be known before use.
        fingerprint: Of the training data, JSON types; an input unlike it is flagged.
        calibration: Temperature, quantiles of volume errors, reference scores; JSON types.
    """

    plan: Plan
    networks: tuple[UNet, ...]
    card: ModelCard
    fingerprint: Mapping[str, object] = field(default_factory=dict)
    calibration: Mapping[str, object] = field(default_factory=dict)
