"""Graph cut: one object against its ground, at the exact least of data and smoothness cost."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import asdict, dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Image, Step
from vesalius.errors import ConfigError
from vesalius.graph import fit_mixture, minimum_cut
from vesalius.graph._max_flow import Cut
from vesalius.segment._appearance import Marked, log_likelihoods, marked
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._segmentation import Curve, Segmentation
from vesalius.segment._voxels import Voxels, drawn, voxels


@final
@dataclass(frozen=True, slots=True)
class GraphCut(Method):
    """Cut one object from its ground where data and smoothness cost least together, exactly.

    The data cost is the negative log likelihood of a voxel's values in each class, learned from
    marks (the lowest value is the ground, every other the object), else from a first
    segmentation, else from the two halves of a mixture, the brighter one the object. Separating
    neighbours costs less where their values differ. Marks and seeds hold in any case. The values
    are learned again from each cut, as often as ``rounds`` says (GrabCut), or until it stays.

    Attributes:
        weight: Of smoothness against data.
        components: Of the mixture of each class.
        rounds: Cuts at most; 1 learns from the hints alone.
    """

    weight: float = 2.0
    components: int = 3
    rounds: int = 5

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :class:`Method`.

        References:
            Boykov & Jolly (2001), doi:10.1109/ICCV.2001.937505; Rother et al. (2004),
            doi:10.1145/1015706.1015720, eq. (4), (5), (11).
        """
        if not self.weight >= 0 or self.components < 1 or self.rounds < 1:
            raise ConfigError(
                "weight must be at least 0, components and rounds at least 1, got "
                f"{self.weight}, {self.components} and {self.rounds}"
            )
        points = voxels(image, hints)
        known = _two_classes(marked(points, hints))
        links = self.weight * contrast_links(points)
        classes = _first(points, known)
        energies: list[float] = []
        changed = 0
        for done in range(1, self.rounds + 1):
            cut = _cut(points, (classes, known.hard), links, self.components)
            after = cut.inside[points.inside].long()
            changed = int((after != classes).sum()) if done > 1 else len(after)
            classes = after
            energies.append(cut.energy)
            if on_step is not None:
                on_step(Step("graph cut", done, self.rounds))
            if changed == 0:
                break
        rounds = torch.arange(1, len(energies) + 1, dtype=torch.float64)
        levels = torch.tensor(energies, dtype=torch.float64)
        return Segmentation(
            points.painted(classes),
            curves=(Curve("Energy of the cut", rounds, levels, "round", "energy"),),
            values={"energy": energies[-1], "flow": cut.flow, "rounds": float(len(energies))},
            settings={"method": "GraphCut", **asdict(self)},
        )


def _two_classes(known: Marked) -> Marked:
    """Call every class above the lowest the object."""
    return replace(known, hard=known.hard.clamp_max(1), soft=known.soft.clamp_max(1))


def _first(points: Voxels, known: Marked) -> Tensor:
    """Give the classes that the first values are learned from; -1 where unknown."""
    told = [int((known.hard == k).sum()) for k in (0, 1)]
    if min(told) >= 10:
        return known.hard
    if bool((known.soft == 0).any()) and bool((known.soft == 1).any()):
        return known.soft
    rows, generator = drawn(len(points.scaled), 20_000)
    model = fit_mixture(
        points.scaled[rows.to(points.scaled.device)], min(2, len(rows)), generator=generator
    )
    likeliest = model.posterior(points.scaled).argmax(dim=1)
    inside, outside = (likeliest[known.hard == k].double() for k in (1, 0))
    if len(inside) and len(outside) and float(inside.mean()) != float(outside.mean()):
        return likeliest if float(inside.mean()) > float(outside.mean()) else 1 - likeliest
    bright = int(model.means[:, 0].argmax())
    return (likeliest == bright).long()


def _cut(points: Voxels, classes: tuple[Tensor, Tensor], links: Tensor, components: int) -> Cut:
    learned, hard = classes
    log_p = log_likelihoods(points.scaled, learned, count=2, components=components)
    cost = (-log_p) - (-log_p).min(dim=1, keepdim=True).values
    # a label that a person gave costs more to change than everything else together
    never = 1.0 + float(cost.sum() + 2 * links.sum())
    outside, inside = cost[:, 0].clone(), cost[:, 1].clone()
    outside[hard == 1] = never
    inside[hard == 0] = never
    fields = points.image.data.new_zeros((2, *points.inside.shape), dtype=torch.float64)
    fields[0, points.inside], fields[1, points.inside] = outside, inside
    return minimum_cut(fields[0], fields[1], links)


def contrast_links(points: Voxels) -> Float[Tensor, "3 z y x"]:
    """Give the cost of separating each voxel from its next one along z, y and x.

    exp(-d^2 / (2 m)) with d the difference of scaled values and m its mean square, times the mean
    spacing over the spacing of the axis, so that the sum over a contour is like its area in any
    direction of an anisotropic lattice. 0 across the border of the mask.

    Args:
        points: Voxels of the image.

    Returns:
        Costs, float64.
    """
    x, inside = points.scaled_volume().double(), points.inside
    grid = points.image.grid
    felt = [s for s, n in zip(grid.spacing_mm, grid.shape, strict=True) if n > 1] or [1.0]
    middle = math.prod(felt) ** (1 / len(felt))
    out = x.new_zeros((3, *inside.shape))
    squares = out.clone()
    there = torch.zeros_like(out, dtype=torch.bool)
    for axis, n in enumerate(inside.shape):
        if n < 2:
            continue
        step = x.diff(dim=axis + 1).square().sum(dim=0)
        squares[axis].narrow(axis, 0, n - 1).copy_(step)
        both = inside.narrow(axis, 0, n - 1) & inside.narrow(axis, 1, n - 1)
        there[axis].narrow(axis, 0, n - 1).copy_(both)
    mean = float(squares[there].mean()) if bool(there.any()) else 0.0
    for axis in range(3):
        weight = torch.exp(-squares[axis] / (2 * mean)) if mean > 0 else torch.ones_like(out[axis])
        out[axis] = weight * there[axis] * (middle / grid.spacing_mm[axis])
    return out
