"""Crop: look at the middle of a larger image."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.core import LinearOperator
from vesalius.errors import ShapeError

Shape = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Crop(LinearOperator):
    """Take the first samples along each axis; the adjoint pads with 0 behind them.

    A prior that wants sizes of another kind (a wavelet halves even ones) lives on the wide side.

    Attributes:
        wide: Shape that goes in.
        shape: Shape that comes out, nowhere larger.

    Raises:
        ShapeError: ``shape`` is larger than ``wide``, or has other axes.
    """

    wide: Shape
    shape: Shape

    def __post_init__(self) -> None:
        fits = len(self.wide) == len(self.shape)
        if not fits or any(n > w for n, w in zip(self.shape, self.wide, strict=True)):
            raise ShapeError(
                f"shape must have the axes of wide and be nowhere larger, got {self.shape} out of "
                f"{self.wide}"
            )

    @property
    def domain(self) -> Shape:
        """The wide shape."""
        return self.wide

    @property
    def codomain(self) -> Shape:
        """The shape that is looked at."""
        return self.shape

    def apply(self, x: Tensor) -> Tensor:
        """Crop."""
        for axis, n in enumerate(self.shape):
            x = x.narrow(axis - len(self.shape), 0, n)
        return x.clone()

    def adjoint(self, y: Tensor) -> Tensor:
        """Pad with 0."""
        gaps = [w - n for n, w in zip(self.shape, self.wide, strict=True)]
        return torch.nn.functional.pad(y, [v for gap in reversed(gaps) for v in (0, gap)])
