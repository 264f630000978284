"""Traversal: one way to run the rays of a geometry through a grid, forward and back."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

Volumes = Float[Tensor, "n z y x"]
Views = Float[Tensor, "n view row column"]


class Traversal(ABC):
    """What a projector is made of; inputs are contiguous, float32 or float64, and on the CPU.

    Torch's own takes them on any device.
    """

    __slots__ = ()

    @abstractmethod
    def forward(self, x: Volumes) -> Views:
        """Integrate along every ray, mm times the unit of ``x``."""

    @abstractmethod
    def back(self, y: Views) -> Volumes:
        """Apply the exact adjoint of :meth:`forward`."""
