"""Term: one more loss of a deformation beside similarity and regulariser (landmarks, labels)."""
# SPDX-License-Identifier: Apache-2.0

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from vesalius.register._level import Level


class Term(ABC):
    """A loss that guides a deformable search and needs data of its own.

    Classes are frozen dataclasses that hold their data in mm and a ``weight``; the variational
    solver adds them to its loss. A landmark term pulls pairs of points together, a label term
    makes outlines overlap.
    """

    __slots__ = ()

    @abstractmethod
    def __call__(self, flow: Float[Tensor, "3 z y x"], level: Level) -> Tensor:
        """Give the weighted loss, a tensor without axes, differentiable by ``flow``.

        Args:
            flow: (3, z, y, x); displacement along (z, y, x) of ``level.grid``, samples. It acts
                before the start transform: fixed world to fixed world.
            level: The scale that is searched.
        """
