"""MIND-SSC: compare what surrounds each sample; for deformable models across modalities."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError
from vesalius.ops._self_similarity import mind_ssc
from vesalius.register._mse import square_gradient, square_loss
from vesalius.register._similarity import Described, Samples, Similarity, Weight


@final
@dataclass(frozen=True, slots=True)
class Mind(Similarity):
    """Compare self-similarity contexts: the mean square difference of twelve descriptors.

    A descriptor says how alike two patches beside a sample are, by the image alone, so that
    images of different modalities can be compared where they show the same edges and layers. It
    does not turn with the image: meant for deformable models and small rotations.

    ``features`` makes twelve channels of each; the loss is 0 to 1. The options are in samples of
    the finest axis; along a coarser one they shrink with the spacing, to at least 1.

    Attributes:
        distance: From a sample to its six neighbours, samples, at least 1.
        radius: Of the patches that are compared, samples, at least 0: 2 is 5 x 5 x 5.

    Raises:
        ConfigError: An option is too small.

    References:
        Heinrich et al. (2013), doi:10.1007/978-3-642-40811-3_24, eqs. (1) to (3); deviations
        at ``ops._self_similarity.mind_ssc``. Differs in: the squared difference for its
        absolute value.
    """

    oriented: ClassVar[bool] = True
    distance: int = 2
    radius: int = 2

    def __post_init__(self) -> None:
        if self.distance < 1 or self.radius < 0:
            raise ConfigError(
                "distance must be 1 sample or more and radius 0 or more, got "
                f"{self.distance} and {self.radius}"
            )

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give the mean square difference of the descriptors, 0 to 1."""
        return square_loss(fixed, warped, weight)

    def gradient(
        self, fixed: Samples, warped: Samples, weight: Weight | None = None
    ) -> tuple[float, Samples]:
        """Give the loss and its derivative by each descriptor of the warped image."""
        return square_gradient(fixed, warped, weight)

    def features(
        self,
        image: Samples,
        spacing_mm: tuple[float, float, float],
        weight: Weight | None = None,
    ) -> Described:
        """Describe each sample of each channel by twelve numbers of 0 to 1.

        Raises:
            IntensityError: A sample is NaN or infinite: patches would spread it.
        """
        del weight
        if not bool(torch.isfinite(image).all()):
            raise IntensityError(
                "MIND needs finite samples, got NaN or infinite ones: patches would spread them; "
                "replace them first"
            )
        finest = min(
            (s for s, n in zip(spacing_mm, image.shape[1:], strict=True) if n > 1), default=1.0
        )
        z, y, x = (finest / s for s in spacing_mm)
        d, r = self.distance, self.radius
        near = (max(1, round(d * z)), max(1, round(d * y)), max(1, round(d * x)))
        least = min(1, r)
        wide = (max(least, round(r * z)), max(least, round(r * y)), max(least, round(r * x)))
        return mind_ssc(image, distance=near, radius=wide)
