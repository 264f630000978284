"""Appearance: how likely the values of a voxel are in each class, learned from what is marked."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vesalius.graph import Mixture, fit_mixture
from vesalius.segment._contour_start import seed_indices
from vesalius.segment._hints import Hints
from vesalius.segment._one_channel import marks_of
from vesalius.segment._voxels import Voxels, drawn

_SAMPLE = 20_000
"""Voxels at most that the densities of one class are fitted to."""

_BROAD = 1e-3
"""Share of a flat density in each class: a value never seen is unlikely, not impossible."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """What is known of each voxel before values are looked at.

    Attributes:
        hard: Class of voxels that a person marked, 0 to k - 1; -1 where nothing is known.
        soft: Class by a first segmentation; -1 where there is none.
        names: Value of each class as the person wrote it.
    """

    hard: Int64[Tensor, " n"]
    soft: Int64[Tensor, " n"]
    names: tuple[int, ...]


def marked(points: Voxels, hints: Hints) -> Marked:
    """Read marks, seeds and a start; the lowest mark (or outside, or 0 of the start) is class 0.

    Args:
        points: Voxels of the image.
        hints: Marks are taken first; seeds inside and outside are class 1 and 0 where there are
            no marks; the start is soft: its values are the classes in order where there are as
            many, else those of the same value.

    Returns:
        Classes of each voxel; ``names`` is empty where nothing is known.

    Raises:
        GeometryError: A seed is outside the image.
    """
    unknown = torch.full((len(points.values),), -1, dtype=torch.int64, device=points.inside.device)
    hard, soft = unknown.clone(), unknown.clone()
    names: tuple[int, ...] = ()
    if hints.marks is not None:
        drawn_ = marks_of(hints.marks).to(unknown.device)[points.inside]
        names = tuple(v for v in _values(drawn_) if v != 0)
        for k, value in enumerate(names):
            hard[drawn_ == value] = k
    elif hints.seeds_mm and hints.outside_mm:
        names = (0, 1)
        field = torch.full(points.inside.shape, -1, dtype=torch.int64, device=unknown.device)
        for k, seeds in enumerate((hints.outside_mm, hints.seeds_mm)):
            for at in seed_indices(points.image, seeds):
                field[at] = k
        hard = field[points.inside]
    if hints.start is not None:
        first = marks_of(hints.start).to(unknown.device)[points.inside]
        values = _values(first)
        if len(names) < 2:
            names, hard = values, unknown
        order = values if len(values) == len(names) else names
        for k, value in enumerate(order):
            soft[first == value] = k
    return Marked(hard, soft, names)


def _values(x: Tensor) -> tuple[int, ...]:
    return tuple(int(v) for v in np.unique(x.cpu().numpy()))


def log_likelihoods(
    values: Float[Tensor, "n c"], classes: Int64[Tensor, " n"], *, count: int, components: int
) -> Float[Tensor, "n k"]:
    """Learn the values of each class by a Gaussian mixture and rate all voxels.

    Args:
        values: Scaled to unit spread.
        classes: 0 to ``count`` - 1, or -1 where unknown.
        count: Number of classes; one without voxels gets a flat density.
        components: Of each mixture at most; a class of few voxels has fewer.

    Returns:
        Log density of each class at each voxel, float64.
    """
    flat = torch.full((len(values),), -_log_volume(values)).to(values)
    columns = []
    for k in range(count):
        own = values[classes == k]
        rows, generator = drawn(len(own), _SAMPLE)
        if len(own) == 0:
            columns.append(flat)
            continue
        parts = max(1, min(components, len(own) // (10 * values.shape[1])))
        model = fit_mixture(own[rows.to(own.device)], parts, generator=generator)
        columns.append(_blended(_widened(model, len(own)).log_density(values), flat))
    return torch.stack(columns, dim=1)


def _log_volume(values: Float[Tensor, "n c"]) -> float:
    """Log volume of the box that holds all values; a constant channel counts as 1."""
    span = values.amax(dim=0) - values.amin(dim=0)
    return float(torch.where(span > 0, span, torch.ones_like(span)).log().sum())


def _widened(model: Mixture, count: int) -> Mixture:
    """Add a variance that few voxels cannot have shown: 1 / n of the image's own."""
    d = model.means.shape[1]
    wider = model.covariances + (0.01 + 1.0 / count) * 0.1 * torch.eye(d).to(model.covariances)
    return Mixture(model.weights, model.means, wider)


def _blended(density: Tensor, flat: Tensor) -> Tensor:
    both = torch.stack([density + torch.log1p(torch.tensor(-_BROAD)), flat + _LOG_BROAD])
    return torch.logsumexp(both, dim=0)


_LOG_BROAD = float(torch.log(torch.tensor(_BROAD)))
