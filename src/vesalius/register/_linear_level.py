"""One scale of a linear stage: each image on a lattice of its own, and what a map makes of them."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Grid, Image, centred_grid, resample
from vesalius.ops._linear_sums import Pull, Sums, compared, linear_chain, linear_sums, linear_warp
from vesalius.register._level import Masks
from vesalius.register._linear_features import THIN, locally_normalised, window_mm, window_weight
from vesalius.register._linear_model import Freedoms
from vesalius.register._plan import GaussNewton, Stage
from vesalius.register._similarity import Similarity

FEWEST = 8  # samples that a coarse scale leaves along each axis


@dataclass(frozen=True, slots=True, eq=False)
class LinearLevel:
    """Both images at one scale; a map is tried without resampling either.

    Attributes:
        fixed: The fixed lattice.
        moving: The moving lattice.
        groups: For each channel of the images, the pulls of its features.
        shares: Weight of each channel.
        allowed: What may move.
    """

    fixed: Grid
    moving: Grid
    groups: tuple[tuple[Pull, ...], ...]
    shares: tuple[float, ...]
    allowed: Freedoms

    @property
    def spacing_mm(self) -> float:
        """Largest distance of fixed samples along an axis of more than one."""
        pairs = zip(self.fixed.spacing_mm, self.fixed.shape, strict=True)
        return max((s for s, n in pairs if n > 1), default=max(self.fixed.spacing_mm))

    @property
    def centre(self) -> np.ndarray:
        """The centre as an index of the fixed lattice."""
        index: np.ndarray = self.fixed.to_index(torch.from_numpy(self.allowed.centre_mm)).numpy()
        return index

    def place(self, transform: np.ndarray) -> np.ndarray:
        """Give the (3, 4) map of fixed indices to moving indices."""
        whole = np.linalg.inv(self.moving.affine.numpy()) @ transform @ self.fixed.affine.numpy()
        return np.ascontiguousarray(whole[:3])

    def rates(self, transform: np.ndarray) -> np.ndarray:
        """Give the (12, n) derivative of the index map by the freedoms."""
        return self.allowed.rates(transform, self.fixed, self.moving)

    def sums(self, transform: np.ndarray) -> list[tuple[float, Sums]]:
        """Give weight and sums of each feature channel."""
        place, centre = self.place(transform), self.centre
        return [
            (share / len(group), linear_sums(pull, place, centre))
            for group, share in zip(self.groups, self.shares, strict=True)
            for pull in group
        ]

    def slope(
        self, similarity: Similarity, transform: np.ndarray
    ) -> tuple[float, np.ndarray, float]:
        """Give the loss, its (n,) derivative by the freedoms, and the overlap in samples."""
        place, centre = self.place(transform), self.centre
        total, rate, overlap = 0.0, np.zeros(12), 0.0
        for group, share in zip(self.groups, self.shares, strict=True):
            fixed, warped, weight = _stack(group, place)
            overlap = float(weight.sum()) * group[0].stride
            if overlap <= 0:
                return float("inf"), rate[:0], 0.0
            loss, by_sample = similarity.gradient(fixed, warped, weight)
            total += share * loss
            for pull, part in zip(group, by_sample, strict=True):
                rate += share * linear_chain(pull, part, place, centre)
        return total, rate @ self.rates(transform), overlap


def make_linear_level(
    images: tuple[Image, Image],
    spacing_mm: float,
    *,
    masks: Masks,
    shares: tuple[float, ...],
    allowed: Freedoms,
    stage: Stage,
    growth: float = 1.0,
) -> LinearLevel:
    """Bring both images to one scale, each on its own lattice.

    Args:
        images: Fixed and moving.
        spacing_mm: Wanted distance of samples; an axis that is coarser stays as it is, and eight
            samples are left along each.
        masks: Where the images count.
        shares: Weight of each channel.
        allowed: What may move.
        stage: Says what is compared, and by how many samples. For GaussNewton the images of a
            local correlation are normalised, window by window.
        growth: How much longer lengths are in the moving world; windows grow with it.

    Returns:
        The level.
    """
    fixed, moving = (resample(image, _coarser(image.grid, spacing_mm)) for image in images)
    squares = isinstance(stage.optimiser, GaussNewton)
    reach = window_mm(stage.similarity, fixed.grid) if squares else 0.0
    one = _prepared(fixed, masks.fixed, stage.similarity, reach)
    two = _prepared(moving, masks.moving, stage.similarity, reach * growth)
    there, two = _thickened(moving.grid, two)
    samples = stage.optimiser.samples if isinstance(stage.optimiser, GaussNewton) else 0
    stride = max(1, fixed.data[0].numel() // samples) if samples else 1
    stride = min(stride, max(1, fixed.grid.shape[2] // 4))
    groups = tuple(
        tuple(Pull(f, m, one.weight, two.weight, stride) for f, m in zip(a, b, strict=True))
        for a, b in zip(one.features, two.features, strict=True)
    )
    return LinearLevel(fixed.grid, there, groups, shares, allowed)


def _coarser(grid: Grid, spacing_mm: float) -> Grid:
    z, y, x = (
        max(s, min(spacing_mm, n * s / FEWEST))
        for n, s in zip(grid.shape, grid.spacing_mm, strict=True)
    )
    return grid if (z, y, x) == grid.spacing_mm else centred_grid(grid, (z, y, x))


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """Features of each channel, (features, z, y, x), and the weight of each sample."""

    features: list[Tensor]
    weight: Tensor | None


def _prepared(
    image: Image, mask: Image | None, similarity: Similarity, radius_mm: float
) -> _Prepared:
    """Make features and weight of an image; its windows normalised where they have a radius."""
    grid, weight = image.grid, None
    if mask is not None:
        weight = resample(mask, grid, fill=0).data.float().to(image.device)
    found = [similarity.features(x[None].float(), grid.spacing_mm, weight) for x in image.data]
    if radius_mm:
        found = [locally_normalised(x, grid, weight, radius_mm=radius_mm) for x in found]
        weight = window_weight(grid, weight, radius_mm=radius_mm, device=image.device)
    return _Prepared([x.float() for x in found], None if weight is None else weight[0])


def _thickened(grid: Grid, made: _Prepared) -> tuple[Grid, _Prepared]:
    """Repeat the edges of a few slices: the sums fade over the last one, and two would be none."""
    z, y, x = (int(1 < n < THIN) for n in grid.shape)
    if not z + y + x:
        return grid, made
    pads = (x, x, y, y, z, z)
    repeat = torch.nn.functional.pad
    features = [repeat(part[None], pads, mode="replicate")[0] for part in made.features]
    weight = made.weight
    if weight is not None:
        weight = repeat(weight[None, None], pads, mode="replicate")[0, 0]
    a, b, c = (n + 2 * m for n, m in zip(grid.shape, (z, y, x), strict=True))
    return grid.crop((-z, -y, -x), (a, b, c)), _Prepared(features, weight)


def _stack(group: tuple[Pull, ...], place: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    looked = [linear_warp(pull, place) for pull in group]
    fixed = torch.stack([compared(pull) for pull in group])
    return fixed, torch.stack([value for value, _ in looked]), looked[0][1][None]
