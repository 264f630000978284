"""Priors that move: a proximal map applied at another shift in every step."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from vesalius.errors import ShapeError
from vesalius.reconstruct.solve import Prox

Shape = tuple[int, ...]

_FRACTIONS = (math.sqrt(2) - 1, (math.sqrt(5) - 1) / 2, math.sqrt(3) - 1)
"""Irrational steps of the shifts along the last axes: they fill the period evenly."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class CycleSpin(Prox):
    """A prior at cyclic shifts that change from step to step, so that no place is special.

    A wavelet prior depends on where the image lies on the dyadic lattice; averaged over steps,
    shifts remove the blocks it leaves. The shifts are the same in every run.

    Attributes:
        prior: The prior.
        shape: Shape of x without batch axes.
        period: Largest shift, samples.
        shifts: How many are averaged in one step.

    Raises:
        ShapeError: ``period`` or ``shifts`` is below 1, or there are more than three axes.

    References:
        Coifman, Donoho (1995), doi:10.1007/978-1-4612-2544-7_9; one shift for each step:
        Figueiredo, Nowak (2003), doi:10.1109/TIP.2003.814255, section VI.
    """

    prior: Prox
    shape: Shape
    period: int = 16
    shifts: int = 2

    def __post_init__(self) -> None:
        if min(self.period, self.shifts) < 1 or not 1 <= len(self.shape) <= 3:
            raise ShapeError(
                "period and shifts must be at least 1 and shape have 1 to 3 axes, got "
                f"{self.period}, {self.shifts} and {self.shape}"
            )

    def value(self, x: Tensor) -> float:
        """Give R(x) without a shift."""
        return self.prior.value(x)

    def __call__(self, x: Tensor, step: float) -> Tensor:
        """Give the proximal map without a shift."""
        return self.prior(x, step)

    def warm(self, x: Tensor, step: float, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Give the mean of the proximal map at the next shifts; ``memory`` counts them."""
        count = 0 if memory is None else int(memory)
        total = torch.zeros_like(x)
        for at in range(count, count + self.shifts):
            total += self._shifted(x, step, at)
        return total / self.shifts, torch.tensor(count + self.shifts)

    def _shifted(self, x: Tensor, step: float, count: int) -> Tensor:
        axes = tuple(axis for axis in range(-len(self.shape), 0) if self.shape[axis] > 1)
        shifts = [int(self.period * math.modf(count * _FRACTIONS[axis])[0]) for axis in axes]
        moved = self.prior(torch.roll(x, shifts, dims=axes), step)
        return torch.roll(moved, [-s for s in shifts], dims=axes)
