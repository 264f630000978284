"""Likeness: what is meant by alike, and what is said of cases that are."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final, get_args

from vesalius.predict._checks import check_word
from vesalius.predict._spaces import Metric


@final
@dataclass(frozen=True, slots=True)
class Likeness:
    """What is meant by alike.

    Attributes:
        metric: Which distance.
        same_patient: Whether other cases of the same patient may be neighbours.
        approximate: Whether a graph is searched, which misses some neighbours and is worth its
            building beyond a million cases.
        seed: Of a learned distance.

    Raises:
        ConfigError: There is no such metric.
    """

    metric: Metric = "standardised"
    same_patient: bool = False
    approximate: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_word("metric", self.metric, get_args(Metric))


@final
@dataclass(frozen=True, slots=True)
class Shared:
    """One feature of two cases, in standard deviations from the mean of the table.

    Attributes:
        feature: Its name.
        here: Of the case that was asked for.
        there: Of the neighbour.
    """

    feature: str
    here: float
    there: float


@final
@dataclass(frozen=True, slots=True)
class Neighbour:
    """A similar case.

    Attributes:
        case: Its name.
        distance: From the case that was asked for, in the units of the metric.
        outcome: As it stands in the table; empty where it is not known or not asked for.
        agree: Features in which both differ from the mean alike, by one standard deviation or more;
            of features that go together one.
        differ: Features in which they differ most from each other.
    """

    case: str
    distance: float
    outcome: str = ""
    agree: tuple[Shared, ...] = ()
    differ: tuple[Shared, ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Similar:
    """Cases that are most like one.

    Attributes:
        case: Which one.
        neighbours: The nearest first.
        metric: Which distance.
        compared: Cases among which was searched.
        features: How many were compared.
        percentile: Share of the cases, in per cent, whose nearest neighbour is nearer than this
            one's: 50 is usual, close to 100 says that nobody is much like it.
        contrast: (Distance of the farthest - that of the nearest) / that of the nearest; where it
            is small, near and far mean little.
        usual: Distance to the nearest neighbour, rising, of the cases that the percentile is of.
        recall: Share of the true neighbours that the search finds, on a sample; 1 for exact.
        remarks: What must be known before they are used.
    """

    case: str
    neighbours: tuple[Neighbour, ...]
    metric: Metric
    compared: int
    features: int
    percentile: float
    contrast: float
    usual: tuple[float, ...] = ()
    recall: float = 1.0
    remarks: tuple[str, ...] = ()
