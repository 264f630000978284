"""Hints: what a person knows beside the image: seeds, marks, a region, a first contour."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

from vesalius.core import Grid, Labels, Points
from vesalius.errors import GeometryError, RegionError

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Hints:
    """What a person says about one image; a method takes what it needs and names what it lacks.

    Attributes:
        seeds_mm: World points (L, P, S) inside the object, mm.
        outside_mm: World points outside it.
        marks: Scribbles: each value that is not 0 marks some voxels of that class, by hand.
        mask: Where to work: every value that is not 0; the rest stays 0 and counts for nothing.
        start: A first segmentation, which a contour starts from.
        contour: World points of a first contour, in order (snakes).
        fixed: World points that the contour must go through.

    Raises:
        GeometryError: A point is not finite.
        RegionError: A mask, the marks or a start are empty.
    """

    seeds_mm: tuple[Triple, ...] = ()
    outside_mm: tuple[Triple, ...] = ()
    marks: Labels | None = None
    mask: Labels | None = None
    start: Labels | None = None
    contour: Points | None = None
    fixed: Points | None = None

    def __post_init__(self) -> None:
        for point in (*self.seeds_mm, *self.outside_mm):
            if not all(math.isfinite(x) for x in point):
                raise GeometryError(f"a seed must have finite coordinates (L, P, S), got {point}")
        for name, labels in (("marks", self.marks), ("mask", self.mask), ("start", self.start)):
            if labels is not None and not bool((labels.data != 0).any()):
                raise RegionError(f"{name} must hold at least one voxel, got an empty one")

    def check(self, grid: Grid) -> None:
        """Refuse marks, mask or start that lie on another grid than the image.

        Args:
            grid: Of the image.

        Raises:
            GeometryError: The grids differ; says in what.
        """
        from vesalius.core import differences

        for name, labels in (("marks", self.marks), ("mask", self.mask), ("start", self.start)):
            unlike = () if labels is None else differences(grid, labels.grid)
            if unlike:
                raise GeometryError(
                    f"{name} must lie on the grid of the image, they differ: {'; '.join(unlike)}: "
                    "use core.resample_labels(labels, image.grid), or 'vesalius convert LABELS OUT "
                    "--labels --like IMAGE'"
                )
