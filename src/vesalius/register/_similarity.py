"""Similarity: how alike two images on one lattice are, as a loss that falls to its best."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

Samples = Float[Tensor, "c z y x"]
Weight = Float[Tensor, "1 z y x"]
Described = Float[Tensor, "features z y x"]


class Similarity(ABC):
    """A loss between a fixed image and a warped one; smaller is more alike, and it has no unit.

    Classes are frozen dataclasses that hold their options. ``__call__`` is differentiable by both
    images; ``gradient`` gives the derivative by the warped image alone, and where a loss is hot it
    is overridden by an analytic one that equals autograd's.

    Attributes:
        oriented: Whether features depend on how the axes of the lattice lie, as gradients do.
    """

    __slots__ = ()
    oriented: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, fixed: Samples, warped: Samples, weight: Weight | None = None) -> Tensor:
        """Give the loss, a tensor without axes.

        Args:
            fixed: (c, z, y, x), float32 or float64; what ``features`` made of the fixed image.
            warped: Same shape and dtype; the moving image's features, pulled onto the lattice.
            weight: (1, z, y, x), 0 to 1; None weighs all samples alike. Weighs inside windows.
        """

    def gradient(
        self, fixed: Samples, warped: Samples, weight: Weight | None = None
    ) -> tuple[float, Samples]:
        """Give the loss and its derivative by each sample of ``warped``, (c, z, y, x)."""
        with torch.enable_grad():
            tracked = warped.detach().requires_grad_()
            loss = self(fixed.detach(), tracked, weight)
            (slope,) = torch.autograd.grad(loss, tracked)
        return float(loss.detach()), slope

    def features(
        self,
        image: Samples,
        spacing_mm: tuple[float, float, float],
        weight: Weight | None = None,
    ) -> Described:
        """Turn an image into what is compared; computed once a level, before any warp.

        Args:
            image: (c, z, y, x).
            spacing_mm: Distance of samples along (z, y, x), mm.
            weight: (1, z, y, x) on the lattice of ``image``; ranges are taken where it is not 0.

        Returns:
            (c', z, y, x); the image itself unless a similarity says otherwise.
        """
        del spacing_mm, weight
        return image
