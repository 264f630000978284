"""Found objects: labels of a whole image, and what was measured while they were made."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from jaxtyping import Int32
from torch import Tensor


@final
@dataclass(frozen=True, slots=True, eq=False)
class FoundObjects:
    """Objects of an image on its upright lattice.

    Attributes:
        labels: From 1 on, without gaps; 0 is background.
        values: How sure, by name; empty where there is no object.
        refused: Objects that were left out because the outputs contradict them.
    """

    labels: Int32[Tensor, "z y x"]
    values: Mapping[str, float] = field(default_factory=dict)
    refused: int = 0
