"""What a segmentation gives: labels, what they were decided by, how sure they are."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from jaxtyping import Float
from torch import Tensor

from vesalius.core import Image, Labels


@final
@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What a decision was made by: a histogram with its threshold, an energy that falls.

    Attributes:
        title: What it shows.
        x: Abscissae.
        y: Ordinates, one each.
        x_name: With unit.
        y_name: With unit.
        marks: Abscissae where the decision fell: thresholds, the last step.
    """

    title: str
    x: Float[Tensor, " n"]
    y: Float[Tensor, " n"]
    x_name: str
    y_name: str
    marks: tuple[float, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured quantity of one label, with its interval.

    Attributes:
        label: Value in the labels.
        name: Of the label.
        what: Such as ``"volume"`` or ``"area"``.
        value: In ``unit``.
        low: Lower end of the interval; equal to ``value`` where none is known.
        high: Upper end.
        unit: Such as ``"mm3"``.
        coverage: Stated share of cases whose truth lies within; 0 where no interval is known.
    """

    label: int
    name: str
    what: str
    value: float
    low: float
    high: float
    unit: str
    coverage: float = 0.0


@final
@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """What every method of :func:`segment` gives.

    Attributes:
        labels: On the grid of the image, one layer, 0 is background.
        maps: Images on the same grid by name: ``"probability"`` (a channel per class),
            ``"entropy"``, ``"mutual information"``, ``"flow"``; empty where a method has none.
        curves: What the decision was made by.
        quantities: Volume or count of each label, with intervals where they are known.
        values: Numbers that the method decided by or ended at: thresholds, energies, steps.
        remarks: What must be known before the labels are used, in words, worst first.
        settings: Everything that made the result again, JSON types.
    """

    labels: Labels
    maps: Mapping[str, Image] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
