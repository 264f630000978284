"""Voxels as points: the values inside a mask on a common scale, and the way back to labels."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vesalius.core import Image, Labels
from vesalius.errors import ConfigError
from vesalius.segment._hints import Hints

Ground = Literal["dark", "bright", "none"]
LARGEST = 255


@final
@dataclass(frozen=True, slots=True, eq=False)
class Voxels:
    """Values of the voxels inside a mask.

    Attributes:
        image: They come from.
        inside: Which voxels they are, in scan order.
        values: One row each, a column per channel, as they are in the image (float64).
        scaled: The same with mean 0 and deviation 1 in each channel; a constant one is 0.
    """

    image: Image
    inside: Bool[Tensor, "z y x"]
    values: Float[Tensor, "n c"]
    scaled: Float[Tensor, "n c"]

    def painted(self, labels: Integer[Tensor, " n"], *, dtype: torch.dtype = torch.uint8) -> Labels:
        """Put one label per row back on the grid; 0 outside the mask."""
        out = torch.zeros(self.inside.shape, dtype=dtype, device=self.inside.device)
        out[self.inside] = labels.to(out)
        return Labels(out[None], self.image.grid)

    def stack(self, rows: Float[Tensor, "n k"]) -> Image:
        """Put rows back on the grid as channels (float32); 0 outside the mask."""
        shape = (rows.shape[1], *self.inside.shape)
        out = torch.zeros(shape, dtype=torch.float32, device=self.inside.device)
        out[:, self.inside] = rows.T.to(out)
        return Image(out, self.image.grid)

    def scaled_volume(self) -> Float[Tensor, "c z y x"]:
        """Give the scaled values as a volume (float32); 0 outside the mask."""
        return self.stack(self.scaled).data


def voxels(image: Image, hints: Hints) -> Voxels:
    """Take the voxels of an image inside the mask of the hints; all where there is none.

    Args:
        image: Finite.
        hints: Their mask lies on the image's grid.

    Returns:
        The voxels.
    """
    inside = region(image, hints)
    values = image.data[:, inside].T.double()
    sd = values.std(dim=0, unbiased=False)
    varies = values.amax(dim=0) > values.amin(dim=0)  # rounding gives equal values a spread too
    scaled = (values - values.mean(dim=0)) * varies / torch.where(varies, sd, torch.ones_like(sd))
    return Voxels(image, inside, values, scaled)


def region(image: Image, hints: Hints) -> Bool[Tensor, "z y x"]:
    """Give where to work: inside the mask of the hints, else everywhere."""
    if hints.mask is None:
        return torch.ones(image.grid.shape, dtype=torch.bool, device=image.device)
    return (hints.mask.data != 0).any(dim=0).to(image.device)


def by_brightness(
    labels: Integer[Tensor, " n"], values: Float[Tensor, "n c"], ground: Ground
) -> Integer[Tensor, " n"]:
    """Number groups by the mean of their first channel, from dark to bright.

    Args:
        labels: Group of each row, from 0.
        values: Of each row.
        ground: Which group becomes 0: the darkest, the brightest (then the numbers go from bright
            to dark), or none (numbers from 1).

    Returns:
        New numbers.
    """
    count = int(labels.max()) + 1
    sums = torch.zeros(count, dtype=torch.float64, device=labels.device)
    sums.index_add_(0, labels, values[:, 0].double())
    sizes = torch.bincount(labels, minlength=count)
    mean = torch.where(sizes > 0, sums / sizes.clamp_min(1), torch.full_like(sums, math.inf))
    if ground == "bright":
        mean = torch.where(sizes > 0, -mean, mean)
    rank = torch.empty(count, dtype=torch.int64, device=labels.device)
    rank[torch.argsort(mean, stable=True)] = torch.arange(count, device=labels.device)
    return rank[labels] + (1 if ground == "none" else 0)


def check_count(count: int, what: str) -> None:
    """Refuse a number of classes that labels of one byte cannot hold.

    Raises:
        ConfigError: It is below 2 or above 255.
    """
    if not 2 <= count <= LARGEST:
        raise ConfigError(f"{what} must be 2 to {LARGEST}, got {count}")


def drawn(count: int, most: int) -> tuple[Tensor, torch.Generator]:
    """Draw at most so many of ``count`` rows, always the same ones; with the generator."""
    generator = torch.Generator().manual_seed(0)
    if count <= most:
        return torch.arange(count), generator
    return torch.randperm(count, generator=generator)[:most].sort().values, generator
