"""Random walker: each voxel goes to the mark that a walk from it most likely meets first."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from vesalius.core import Image, Step
from vesalius.errors import RegionError
from vesalius.ops._random_walker import Walk, random_walker
from vesalius.segment._contour_start import painted, seed_indices
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    marks_of,
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Segmentation


@final
@dataclass(frozen=True, slots=True)
class RandomWalker(Method):
    """Spread marks by random walks that shy at edges; weak and broken edges still hold.

    Needs ``hints.marks`` with a value for each class, or ``hints.seeds_mm`` (label 1) and
    ``hints.outside_mm`` (label 0). Gives the probability of each class, a channel each in the
    order of the marks.

    Attributes:
        beta: How much walks shy at differences, which count in standard deviations of the image.
        steps: Largest number of steps of the solver.
        tol: Relative residual at which it stops.

    References:
        Grady (2006), doi:10.1109/TPAMI.2006.233.
    """

    beta: float = 3.0
    steps: int = 5000
    tol: float = 1e-5

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        x = one_channel(image, "RandomWalker").detach().cpu().double()
        spacing = orthogonal_spacing(image.grid, "RandomWalker")
        marks, names = _marks(image, hints)
        mask = where_to_work(hints)
        walk = Walk(self.beta, self.steps, self.tol)
        found = random_walker(
            x, marks, spacing, walk=walk, mask=None if mask is None else mask.cpu()
        )
        wide = torch.int64 if found.values[-1] > torch.iinfo(torch.int32).max else torch.int32
        values = torch.tensor(found.values, dtype=wide)
        data = values[found.probability.argmax(dim=0)] * (found.probability.sum(dim=0) > 0)
        if hints.marks is None:
            data = (data == 1).to(torch.uint8)
        if on_step is not None:
            on_step(Step("random walker", 1, 1))
        channels = tuple(names.get(v, f"label {v}") for v in found.values)
        chance = Image(found.probability.to(image.device), image.grid, "1", channels)
        return Segmentation(
            painted(data, image, {v: n for v, n in names.items() if n != "background"}),
            maps={"probability": chance},
            values={"steps of the solver": float(found.steps)},
            settings=settings_of(self),
        )


def _marks(image: Image, hints: Hints) -> tuple[Int[Tensor, "z y x"], dict[int, str]]:
    if hints.marks is not None:
        names = {value: name for (_, value), name in hints.marks.names.items()}
        return marks_of(hints.marks), names
    if not hints.seeds_mm or not hints.outside_mm:
        raise RegionError(
            "RandomWalker needs marks: give hints with marks=labels of two values, or with "
            "seeds_mm inside and outside_mm outside the object"
        )
    marks = torch.zeros(image.grid.shape, dtype=torch.int64)
    for points, value in ((hints.outside_mm, 2), (hints.seeds_mm, 1)):
        for at in seed_indices(image, points):
            marks[at] = value
    return marks, {1: "object", 2: "background"}
