"""Contour: the outline of a region, redrawn by supervoxels and moved to another volume."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Image
from vesalius.graph import slic

Triple = tuple[float, float, float]

PIECE_MM = 6.3
"""Edge of a supervoxel of 250 mm^3."""

_NEVER, _ALWAYS = 0.2, 0.9
"""A supervoxel with less, or more, of itself inside is never, or always, part of the region."""

_SHELLS = 8
"""How many voxels at most the contour moves to change the volume."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Supervoxels around the contour, and how likely each is part of the region.

    Attributes:
        labels: (z, y, x) int32; 0 away from the contour.
        core: (z, y, x) bool; inside the region and away from the contour.
        inside: (n + 1,) how likely each piece is in; piece 0 never.
        surplus: Expected relative volume of the randomised region, less 1; taken off again.
    """

    labels: np.ndarray
    core: np.ndarray
    inside: np.ndarray
    surplus: float

    @cached_property
    def band(self) -> np.ndarray:
        """Flat indices of the samples near the contour."""
        return np.flatnonzero(self.labels)

    @property
    def possible(self) -> np.ndarray:
        """True wherever the region may reach."""
        reached: np.ndarray = self.core | (self.inside > 0)[self.labels]
        return reached


def cut_pieces(block: Image, region: Tensor, sigma: float) -> Pieces:
    """Cut the surroundings of the contour into supervoxels, once for all perturbations."""
    from scipy.ndimage import distance_transform_edt

    spacing = block.grid.spacing_mm
    size = _piece_size(region, spacing)
    mask = region.numpy()
    padded = np.pad(mask, 1)
    outer = distance_transform_edt(~mask, sampling=spacing)
    inner = distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1, 1:-1]
    band = (outer + inner) <= max(size, 1.5 * max(spacing))
    x = finite(block.data[0])
    near = x[torch.from_numpy(band)]
    ends = torch.tensor([0.01, 0.99], dtype=torch.float64)
    low, high = torch.quantile(near[:: max(1, len(near) // 100_000)], ends).tolist()
    weight = max(0.1 * (high - low), sigma, 1e-12)
    labels = slic(
        x.clamp(low, high)[None].float(),
        spacing=spacing,
        size=size,
        compactness=weight,
        steps=5,
        mask=torch.from_numpy(band),
    ).numpy()
    return _likely(labels, mask, mask & ~band)


def _piece_size(region: Tensor, spacing: Triple) -> float:
    """Edge of a supervoxel, mm: 250 mm^3, less in a small region, at least 8 voxels."""
    voxel = math.prod(spacing)
    diameter = math.cbrt(6 / math.pi * int(region.sum()) * voxel)
    return min(PIECE_MM, max(diameter / 4, math.cbrt(8 * voxel)))


def _likely(labels: np.ndarray, mask: np.ndarray, core: np.ndarray) -> Pieces:
    flat = labels.ravel()
    total = np.bincount(flat)
    overlap = np.bincount(flat[mask.ravel()], minlength=len(total))
    share = overlap / np.maximum(total, 1)
    inside = np.where(share >= _ALWAYS, 1.0, np.where(share < _NEVER, 0.0, share))
    inside[0] = 0.0
    if not core.any() and inside.sum() == 0:
        inside[1 + int(share[1:].argmax())] = 1.0
    expected = core.sum() + float((inside * total)[1:].sum())
    return Pieces(labels, core, inside, expected / mask.sum() - 1)


def redrawn(mask: Tensor, pieces: Pieces | None, generator: torch.Generator) -> Tensor:
    if pieces is None:
        return mask
    dice = torch.rand(len(pieces.inside), generator=generator, dtype=torch.float64).numpy()
    new = pieces.core.copy()
    new.ravel()[pieces.band] = (dice < pieces.inside)[pieces.labels.ravel()[pieces.band]]
    return torch.from_numpy(new) if new.any() else mask


def of_volume(share: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Move the contour outwards or inwards until the region holds ``count`` voxels.

    The contour is a level set of the partial volumes, which reach one voxel to either side of it;
    where that is not enough they are spread, a voxel at a time. Ties are broken by chance.
    """
    count = max(1, min(count, share.numel()))
    value = share.numpy().ravel()
    if not value.any():
        return torch.zeros(share.shape, dtype=torch.bool)
    for spread in range(_SHELLS):
        new = value >= (1 - 1e-9) * value.max()
        near = np.flatnonzero((value > 0) & ~new)
        missing = count - int(np.count_nonzero(new))
        if 0 <= missing <= len(near) or spread == _SHELLS - 1:
            break
        value = value + _spread(torch.from_numpy(value.reshape(share.shape))).numpy().ravel()
    if missing < 0:  # more voxels than wanted are equally deep inside
        near, new = np.flatnonzero(new), np.zeros_like(new)
        missing = count
    if 0 < missing < len(near):
        dice = torch.rand(len(near), generator=generator, dtype=torch.float64).numpy()
        near = near[np.argpartition(-value[near] - 1e-6 * dice, missing - 1)[:missing]]
    if missing > 0:
        new[near] = True
    return torch.from_numpy(new.reshape(share.shape))


def _spread(x: Tensor) -> Tensor:
    """Mean of each sample and its face neighbours; borders replicate."""
    total = x.clone()
    for axis in range(3):
        n = x.shape[axis]
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, n - 1, 1)
        if n > 1:
            total += torch.cat([first, x.narrow(axis, 0, n - 1)], dim=axis)
            total += torch.cat([x.narrow(axis, 1, n - 1), last], dim=axis)
        else:
            total += 2 * x
    return total / 7


def finite(x: Tensor) -> Tensor:
    """Samples with NaN and infinity (outside the region they are legal) set to the median."""
    good = torch.isfinite(x)
    return x if bool(good.all()) else torch.where(good, x, x[good].median())
