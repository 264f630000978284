"""Feature and Value: what can be measured, and what was."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, NamedTuple

Family = Literal[
    "morphology",
    "local_intensity",
    "statistics",
    "histogram",
    "ivh",
    "glcm",
    "glrlm",
    "glszm",
    "gldzm",
    "ngtdm",
    "ngldm",
    "distance_shape",
    "shape_2d",
    "diameters",
    "pet",
]
"""A family of features; the first eleven are IBSI-1's."""

Aggregation = Literal[
    "", "2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb", "2D", "2_5D", "3D"
]
"""How texture matrices are put together; ``""`` for families without one.

``2D_avg`` by slice and direction, averaged; ``2D_comb`` merged by slice, averaged; ``2_5D_avg``
merged by direction, averaged; ``2_5D_comb`` merged over all; ``3D_avg`` by 3-D direction,
averaged; ``3D_comb`` merged. GLCM and GLRLM have these six; the zone and neighbourhood
families have ``2D`` (by slice, averaged), ``2_5D`` (merged over slices) and ``3D``.
"""

DIRECTIONAL: tuple[Aggregation, ...] = (
    "2D_avg",
    "2D_comb",
    "2_5D_avg",
    "2_5D_comb",
    "3D_avg",
    "3D_comb",
)
ZONAL: tuple[Aggregation, ...] = ("2D", "2_5D", "3D")

MANUAL = "IBSI reference manual, doi:10.48550/arXiv.1612.07003"


@dataclass(frozen=True, slots=True)
class Feature:
    """One entry of the catalogue.

    Attributes:
        tag: The IBSI tag, such as ``"cm_contrast"``; the name of the feature in the house.
        family: The family it belongs to.
        name: The name in words, such as ``"Contrast"``.
        code: The four-letter IBSI code, or ``""`` where the standard has none.
        unit: ``"mm"``, ``"mm^2"``, ``"1"``, ...; ``"{unit}"`` stands for the unit of the image.
        formula: The definition in one line of plain text.
        undefined: When it has no value, and the reason then given; ``""`` if it always has one.
        reference: Where it is defined.
    """

    tag: str
    family: Family
    name: str
    code: str
    unit: str
    formula: str
    undefined: str = ""
    reference: str = MANUAL


class Value(NamedTuple):
    """One measured value.

    ``value`` is NaN only together with a ``reason``; a reason may also stand beside a number.
    ``filtered`` names the filter whose response was measured; it is empty for the image itself.
    """

    tag: str
    aggregation: Aggregation
    value: float
    reason: str = ""
    filtered: str = ""

    @property
    def key(self) -> str:
        """Filter, tag and aggregation in one word, such as ``"cm_contrast_3D_comb"``."""
        plain = f"{self.tag}_{self.aggregation}" if self.aggregation else self.tag
        return f"{self.filtered}:{plain}" if self.filtered else plain
