"""Normalised gradient fields: compare the direction of edges, whatever their contrast."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from vesalius.errors import ConfigError, ShapeError
from vesalius.register._pairing import finite_tensor, pair
from vesalius.register._similarity import Described, Samples, Similarity, Weight


@final
@dataclass(frozen=True, slots=True)
class GradientFields(Similarity):
    """Compare where edges run: 1 - the mean squared cosine between the images' gradients.

    From 0 to 1. Blind to contrast and its sign; a flat place is like nothing. The field of the
    moving image is pulled as it is and does not turn with a deformation: meant for small
    rotations. Several channels: mean of theirs.

    ``features`` makes three channels of each: the gradient along (z, y, x) in 1/mm, divided by
    sqrt(|gradient|^2 + eta^2).

    Attributes:
        edge: eta, as a part of the mean length of the gradient where the weight is not 0: what is
            much weaker counts as noise. Above 0.

    Raises:
        ConfigError: ``edge`` is not positive.

    References:
        Haber, Modersitzki (2006), doi:10.1007/11866763_89, eqs. (3), (5) and (7). Differs from
        it in: the moving field is pulled, instead of being taken from the pulled image.
    """

    oriented: ClassVar[bool] = True
    edge: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.edge < float("inf"):
            raise ConfigError(f"edge must be above 0, got {self.edge}: 1 is the mean gradient")

    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give the loss; the images are the fields of ``features``."""
        if len(fixed) % 3:
            raise ShapeError(
                f"gradient fields must have 3 channels for each of the image, got {len(fixed)}: "
                "compare what features makes of the images"
            )
        f, m, w = pair(fixed, warped, weight)
        cosine = (f * m).view(-1, 3, f.shape[1]).sum(1)
        alike = (w * cosine.square()).sum() / (w.sum() * len(cosine))
        return finite_tensor(1 - alike, "the comparison of gradient fields")

    def features(
        self,
        image: Samples,
        spacing_mm: tuple[float, float, float],
        weight: Weight | None = None,
    ) -> Described:
        """Make the normalised gradient of each channel, along (z, y, x), 3 c channels."""
        return torch.cat([self._field(channel, spacing_mm, weight) for channel in image])

    def _field(
        self, channel: Tensor, spacing_mm: tuple[float, float, float], weight: Tensor | None
    ) -> Tensor:
        slopes = [
            torch.gradient(channel, spacing=s, dim=axis)[0]
            if channel.shape[axis] > 1
            else torch.zeros_like(channel)
            for axis, s in enumerate(spacing_mm)
        ]
        gradient = torch.stack(slopes)
        length = gradient.square().sum(0)
        counts = torch.ones_like(length) if weight is None else (weight[0] > 0).to(length)
        mean = (counts * length.sqrt()).sum() / counts.sum().clamp(min=1)
        least = torch.finfo(length.dtype).tiny
        return gradient / (length + (self.edge * mean).square()).clamp(min=least).sqrt()
