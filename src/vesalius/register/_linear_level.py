"""One scale of a linear stage: each image on a lattice of its own, and what a map makes of them."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Grid, Image, centred_grid, resample
from vesalius.ops._linear_sums import Pull, Sums, compared, linear_chain, linear_sums, linear_warp
from vesalius.ops._local_ncc import box_sum
from vesalius.register._level import Masks
from vesalius.register._linear_model import Freedoms
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._similarity import Similarity

FLAT = 1e-2  # variance of a window that counts as flat, of that of the image


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
    similarity: Similarity,
    samples: int,
) -> LinearLevel:
    """Bring both images to one scale, each on its own lattice.

    Args:
        images: Fixed and moving.
        spacing_mm: Wanted distance of samples; an axis that is coarser stays as it is.
        masks: Where the images count.
        shares: Weight of each channel.
        allowed: What may move.
        similarity: Makes the features.
        samples: About how many samples are compared; 0 for all.

    Returns:
        The level.
    """
    fixed, moving = (resample(image, _coarser(image.grid, spacing_mm)) for image in images)
    seen = _on(masks.fixed, fixed.grid), _on(masks.moving, moving.grid)
    by_fixed, by_moving = (None if w is None else w[0] for w in seen)
    stride = max(1, fixed.data[0].numel() // samples) if samples else 1
    stride = min(stride, max(1, fixed.grid.shape[2] // 4))
    groups = tuple(
        tuple(
            Pull(f, m, by_fixed, by_moving, stride)
            for f, m in zip(
                _features(fixed, channel, similarity, seen[0]),
                _features(moving, channel, similarity, seen[1]),
                strict=True,
            )
        )
        for channel in range(fixed.data.shape[0])
    )
    return LinearLevel(fixed.grid, moving.grid, groups, shares, allowed)


def _coarser(grid: Grid, spacing_mm: float) -> Grid:
    z, y, x = (max(s, spacing_mm) for s in grid.spacing_mm)
    return grid if (z, y, x) == grid.spacing_mm else centred_grid(grid, (z, y, x))


def _on(mask: Image | None, grid: Grid) -> Tensor | None:
    return None if mask is None else resample(mask, grid, fill=0).data.float()


def _features(image: Image, channel: int, similarity: Similarity, weight: Tensor | None) -> Tensor:
    one = image.data[channel : channel + 1].float()
    found = similarity.features(one, image.grid.spacing_mm, weight).float()
    if isinstance(similarity, LocalNcc):
        return locally_normalised(found, weight, radius=similarity.radius)
    return found


def locally_normalised(image: Tensor, weight: Tensor | None, *, radius: int) -> Tensor:
    """Bring each box window of an image to mean 0 and variance 1, as local correlation sees it.

    Args:
        image: (c, z, y, x), variance near 1.
        weight: (1, z, y, x); samples of weight 0 are left out of the windows. None for all.
        radius: Half width of the window, samples.

    Returns:
        Same shape; flat windows stay near 0.
    """
    half = (radius, radius, radius)
    ones = torch.ones_like(image[:1]) if weight is None else weight.to(image.dtype)
    count = box_sum(ones, half).clamp_min(1e-6)
    mean = box_sum(image * ones, half) / count
    spread = (box_sum(image * image * ones, half) / count - mean**2).clamp_min(0)
    return (image - mean) / (spread + FLAT).sqrt()


def _stack(group: tuple[Pull, ...], place: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    looked = [linear_warp(pull, place) for pull in group]
    fixed = torch.stack([compared(pull) for pull in group])
    return fixed, torch.stack([value for value, _ in looked]), looked[0][1][None]
