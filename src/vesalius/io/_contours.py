"""Contours: named outlines in the world, as RTSTRUCT and GeoJSON hold them; they have no grid."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final

from jaxtyping import Float
from torch import Tensor

from vesalius.errors import FormatError
from vesalius.io._handle import Finding

Kind = Literal["closed", "open", "point"]
"""What an outline is; only closed ones enclose anything."""
Space = Literal["world", "pixel"]
"""What points speak of: the world, or the samples of the image that they were drawn on."""

FAR = 1e9


@final
@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One curve.

    Attributes:
        points: (n, 3) float64; a closed curve does not repeat its first. In the world (L, P, S),
            mm. In pixels (z, y, x), an array index: pixel centres lie at whole numbers.
        kind: Closed, open, or single points.

    Raises:
        FormatError: A point is not finite or absurdly far away.
    """

    points: Float[Tensor, "n 3"]
    kind: Kind = "closed"

    def __post_init__(self) -> None:
        if len(self.points) and not float(self.points.abs().max()) <= FAR:
            raise FormatError(
                f"points of an outline must be finite and within {FAR:g} mm or pixels, "
                f"the farthest is at {float(self.points.abs().max()):g}: the file is damaged"
            )


@final
@dataclass(frozen=True, slots=True)
class Roi:
    """A named region of interest.

    Attributes:
        name: What the file calls it.
        outlines: Its curves, in the order of the file. What an odd number of closed ones in a
            plane encloses is inside.
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
        space: What the points speak of. Pixels are those of the grid that they are drawn on.
    """

    name: str
    rois: tuple[Roi, ...]
    meta: Mapping[str, object]
    findings: tuple[Finding, ...] = ()
    space: Space = "world"

    def __post_init__(self) -> None:
        worst_first = ("error", "warning", "info")
        ordered = sorted(self.findings, key=lambda f: worst_first.index(f.severity))
        object.__setattr__(self, "findings", tuple(ordered))
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))
