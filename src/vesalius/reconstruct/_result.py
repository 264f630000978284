"""Reconstruction: an image, and what must be known to trust it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

from vesalius.core import Image


@final
@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """What every recipe gives back.

    Attributes:
        image: The image, with its unit.
        method: The field's word for the method, such as ``"fdk"`` or ``"tv"``.
        residual: ``|A x - y| / |y|`` after each step; one number for an analytic method where it
            was asked for, else empty.
        operator_norm: Estimate of the largest singular value of A; ``None`` where no operator was
            built.
        identifiable: False where fewer rays cross the support than there are unknown voxels and
            no prior was given: many images explain the data equally well.
        weight: Strength of the prior, and how it was chosen; 0 where there is none.
        remarks: Sentences for the reader of a report: what was assumed, cut or guessed.
    """

    image: Image
    method: str
    residual: tuple[float, ...] = ()
    operator_norm: float | None = None
    identifiable: bool = True
    weight: float = 0.0
    remarks: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Number of steps made."""
        return len(self.residual)
