"""Contours: named outlines in the world, as RTSTRUCT and GeoJSON hold them; they have no grid."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final

from jaxtyping import Float
from torch import Tensor

from vesalius.io._handle import Finding

Kind = Literal["closed", "open", "point"]
"""What an outline is; only closed ones enclose anything."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One curve in the world.

    Attributes:
        points_mm: (n, 3) float64, world (L, P, S), mm; a closed curve does not repeat its first.
        kind: Closed, open, or single points.
    """

    points_mm: Float[Tensor, "n 3"]
    kind: Kind = "closed"


@final
@dataclass(frozen=True, slots=True)
class Roi:
    """A named region of interest.

    Attributes:
        name: What the file calls it.
        outlines: Its curves, in the order of the file.
        value: Label it gets; the number of the file where that is positive and unique.
        colour: (red, green, blue), 0 to 255, or empty.
    """

    name: str
    outlines: tuple[Outline, ...]
    value: int
    colour: tuple[int, ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """The regions of a file of outlines.

    Attributes:
        name: Name of the file, without the folders above it.
        rois: The regions.
        meta: What the header says; nothing that identifies a patient unless that was asked for.
        findings: What was noticed, worst first.
    """

    name: str
    rois: tuple[Roi, ...]
    meta: Mapping[str, object]
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))
