"""Patches: what a step of training sees, drawn so that the same step meets the same chances."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from vesalius.segment._plan import Plan, Size
from vesalius.segment._training_cases import TrainingCase


@final
@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Some patches, still volumes (z == 1 in 2-D).

    Attributes:
        data: Prepared samples; 0 where a patch leaves its case.
        targets: Of the head.
        weight: 1 where the truth is known, 0 elsewhere.
        labels: -1 where the truth is not known.
    """

    data: Float[Tensor, "batch c z y x"]
    targets: Float[Tensor, "batch t z y x"]
    weight: Float[Tensor, "batch 1 z y x"]
    labels: Integer[Tensor, "batch z y x"]


def draw_patches(
    cases: tuple[TrainingCase, ...], plan: Plan, *, margin: float, generator: torch.Generator
) -> Patches:
    """Draw the patches of one step, with something around them that may be turned into them.

    Every case is drawn as often as any other; ``plan.foreground`` of the patches are laid around
    a voxel of a class of the case (each class as often as any other), the rest anywhere.

    Args:
        cases: At least one.
        plan: Says how many.
        margin: On each side, as a share of the patch; samples along each axis are rounded.
        generator: Source of every choice.
    """
    forced = int(plan.batch * plan.foreground + float(torch.rand((), generator=generator)))
    parts = []
    for i in range(plan.batch):
        case = cases[int(torch.randint(len(cases), (), generator=generator))]
        start = _start(case, plan.patch, around=i < forced, generator=generator)
        parts.append(_cut(case, *_widened(start, plan, margin)))
    return _together(parts)


def fixed_patches(
    cases: tuple[TrainingCase, ...], plan: Plan, *, most: int, seed: int
) -> list[Patches]:
    """Draw the patches by which a training is watched: the same ones every time.

    Args:
        cases: That are not trained on.
        plan: Says the size.
        most: Cases that are looked at; one patch each, around a labelled voxel.
        seed: Of the choice.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(cases), generator=generator)[:most].sort().values
    out = []
    for i in chosen.tolist():
        start = _start(cases[i], plan.patch, around=True, generator=generator)
        out.append(_together([_cut(cases[i], start, plan.patch)]))
    return out


def flattened(x: Tensor, dims: int) -> Tensor:
    """Take the z axis out where the network has none.

    Args:
        x: (batch, c, z, y, x).
        dims: Of the network; z is 1 where it is 2.
    """
    return x[:, :, 0] if dims == 2 else x


def _start(
    case: TrainingCase, size: Size, *, around: bool, generator: torch.Generator
) -> tuple[int, int, int]:
    """First voxel of a patch; outside of the case where the patch is larger."""
    shape = case.data.shape[1:]
    draws = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    slack = [n - p for n, p in zip(shape, size, strict=True)]
    start = [int(u * (s + 1)) if s >= 0 else s // 2 for u, s in zip(draws, slack, strict=True)]
    if around and case.picks:
        at = case.picks[int(torch.randint(len(case.picks), (), generator=generator))]
        centre = at[int(torch.randint(len(at), (), generator=generator))].tolist()
        start = [
            min(max(c - p // 2, 0), s) if s >= 0 else s // 2
            for c, p, s in zip(centre, size, slack, strict=True)
        ]
    z, y, x = start
    return z, y, x


def _widened(start: Size, plan: Plan, margin: float) -> tuple[Size, Size]:
    """Start and size of a patch with its margin."""
    more = [0 if plan.dims == 2 and a == 0 else round(margin * n) for a, n in enumerate(plan.patch)]
    z, y, x = (a - m for a, m in zip(start, more, strict=True))
    dz, dy, dx = (n + 2 * m for n, m in zip(plan.patch, more, strict=True))
    return (z, y, x), (dz, dy, dx)


def _cut(
    case: TrainingCase, start: tuple[int, int, int], size: Size
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Data, targets, weight and labels of a box; zeros of weight 0 outside of the case."""
    shape = case.labels.shape
    ends = [a + p for a, p in zip(start, size, strict=True)]
    box = [slice(max(a, 0), min(e, n)) for a, e, n in zip(start, ends, shape, strict=True)]
    z, y, x = box
    data, targets, labels = case.data[:, z, y, x], case.targets[:, z, y, x], case.labels[z, y, x]
    weight = (labels != -1).float()[None]
    pads = [(max(-a, 0), max(e - n, 0)) for a, e, n in zip(start, ends, shape, strict=True)]
    if any(map(any, pads)):
        flat = [n for pair in reversed(pads) for n in pair]
        data, targets, weight = (nn.functional.pad(t, flat) for t in (data, targets, weight))
        labels = nn.functional.pad(labels, flat, value=-1)
    return data, targets, weight, labels


def _together(parts: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> Patches:
    data, targets, weight, labels = (torch.stack(p) for p in zip(*parts, strict=True))
    return Patches(data, targets, weight, labels)
