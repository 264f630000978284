"""Volumes with intervals: what a segmentation by a calibrated model says of each label."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

from vesalius.segment import Segmentation


@final
@dataclass(frozen=True, slots=True)
class Volume:
    """Volume (or area) of one label, and where the true one lies.

    Attributes:
        name: Of the label.
        value: In ``unit``.
        low: Lower end of the interval; equal to ``value`` where none is known.
        high: Upper end.
        unit: ``"mm3"``, or ``"mm2"`` in 2-D.
        coverage: Stated share of cases whose truth lies within; 0 where no interval is known.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    coverage: float

    def __str__(self) -> str:
        """As a person writes it: value, interval, coverage."""
        if not self.coverage:
            return f"{self.name}: {self.value:.4g} {self.unit}"
        return (
            f"{self.name}: {self.value:.4g} {self.unit} "
            f"({self.low:.4g} to {self.high:.4g}, {self.coverage:.0%})"
        )


def volumes(found: Segmentation) -> tuple[Volume, ...]:
    """Give the volume of each label with its interval.

    Args:
        found: From a trained model; a calibrated one states intervals.

    Returns:
        One for each label that the model knows, in the order of their values.
    """
    return tuple(
        Volume(q.name, q.value, q.low, q.high, q.unit, q.coverage)
        for q in found.quantities
        if q.what in {"volume", "area"}
    )
