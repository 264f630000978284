"""Cosine of features: compare what any function makes of the images, a network for one."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from vesalius.errors import IntensityError, ShapeError
from vesalius.register._pairing import finite_tensor, pair
from vesalius.register._similarity import Described, Samples, Similarity, Weight

LEAST = 1e-6  # features shorter than this point nowhere


@final
@dataclass(frozen=True, slots=True)
class Features:
    """A function that describes each sample of an image, and its name in reports.

    Attributes:
        function: From (c, z, y, x) to (c', z, y, x), same device and number type.
        name: What the features are called.
    """

    function: Callable[[Tensor], Tensor]
    name: str

    def __call__(self, image: Samples) -> Described:
        """Describe an image, once it is sure that the lattice stayed.

        Raises:
            ShapeError: The function changed the lattice.
            IntensityError: It gave NaN or infinity.
        """
        found = self.function(image)
        if found.ndim != 4 or found.shape[1:] != image.shape[1:]:
            raise ShapeError(
                f"features {self.name!r} must keep the lattice {tuple(image.shape[1:])}, got "
                f"{tuple(found.shape)}: resample them to it, channels first"
            )
        if not bool(torch.isfinite(found).all()):
            raise IntensityError(
                f"features {self.name!r} must be finite, got NaN or infinity: check the image"
            )
        return found.to(image)


@final
@dataclass(frozen=True, slots=True)
class FeatureCosine(Similarity):
    """Compare the directions of feature vectors: 1 - the mean cosine over the samples.

    From 0 to 2. All channels of a sample make one vector; a vector of no length is like nothing.

    Attributes:
        of: Makes the features, once a level.
    """

    oriented: ClassVar[bool] = True
    of: Features

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give the loss; the images are what ``features`` made."""
        f, m, w = pair(fixed, warped, weight)
        cosine = (_unit(f) * _unit(m)).sum(0)
        return finite_tensor(1 - (w * cosine).sum() / w.sum(), "the cosine of features")

    def features(
        self,
        image: Samples,
        spacing_mm: tuple[float, float, float],
        weight: Weight | None = None,
    ) -> Described:
        """Apply the function."""
        del spacing_mm, weight
        return self.of(image)


def _unit(x: Tensor) -> Tensor:
    square = x.square().sum(0)
    long = square > LEAST**2
    return (x / square.where(long, 1).sqrt()).where(long, 0)
