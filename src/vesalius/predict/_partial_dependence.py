"""Partial dependence: what a model says as one feature is moved, in the mean and case by case."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._model import Model
from vesalius.predict._table import Floats, Table
from vesalius.predict._what_if import WhatIf, what_if


@final
@dataclass(frozen=True, slots=True, eq=False)
class PartialDependence:
    """What a model says as one feature is moved and all others stay.

    Attributes:
        feature: Which.
        unit: Of the feature; empty where unknown.
        at: (points,) values of the feature, increasing.
        curves: (cases, points) what is said of each case (individual conditional expectation).
        values: (cases,) the feature as the cases have it; NaN for a gap.
        output: What is said: ``probability of`` a class, ``value`` or ``risk``.
    """

    feature: str
    unit: str
    at: Floats = field(repr=False)
    curves: Floats = field(repr=False)
    values: Floats = field(repr=False)
    output: str = ""

    @property
    def mean(self) -> Floats:
        """(points,) the partial dependence."""
        return np.asarray(self.curves.mean(axis=0))

    @property
    def reach(self) -> float:
        """How far the mean moves from its lowest to its highest point."""
        return float(np.ptp(self.mean))


def partial_dependence(
    model: Model,
    table: Table,
    features: Sequence[str],
    *,
    points: int = 20,
    outcome_class: str = "",
    other_parameters: bool = False,
) -> tuple[PartialDependence, ...]:
    """Move one feature after another through its range and ask the model of every case.

    Where features are correlated, some of the cases so made cannot exist: look at the density of
    the values, and trust the ends least.

    Args:
        model: Fitted or loaded.
        table: Cases; the outcome is not needed.
        features: Which to move.
        points: Values between the 1st and 99th percentile of the cases, evenly spaced; of a
            feature with fewer values these.
        outcome_class: Class whose probability is followed; empty takes the last.
        other_parameters: Whether features of other parameters are accepted.

    Returns:
        One for each feature.

    Raises:
        ConfigError: The model has no such feature or class, or fewer than two points are asked.
        RegionError: No case has the feature.

    References:
        Friedman (2001), doi:10.1214/aos/1013203451, section 8.2; Goldstein et al. (2015),
        doi:10.1080/10618600.2014.907095, for the curves of single cases.
    """
    if points < 2:
        raise ConfigError(f"a curve must have at least two points, got {points}: 20 is usual")
    asked, _ = what_if(model, table, other_parameters=other_parameters)
    column, said = output_of(model, outcome_class)
    return tuple(_moved(asked, name, points, (column, said)) for name in features)


def output_of(model: Model, outcome_class: str = "") -> tuple[int, str]:
    """Choose the output of a model that is explained.

    Args:
        model: Fitted or loaded.
        outcome_class: Class whose probability it is; empty takes the last, which of two is the
            event.

    Returns:
        Its column, and what it is in words.

    Raises:
        ConfigError: There is no such class.
    """
    if model.description.kind not in ("binary", "classes"):  # survival names its events, too
        if outcome_class:
            raise ConfigError(
                f"a {model.description.kind} has no classes, got {outcome_class!r}: leave it out"
            )
        return 0, "risk" if model.description.kind == "survival" else "value"
    name = outcome_class or model.classes[-1]
    if name not in model.classes:
        raise ConfigError(
            f"the class must be one of {', '.join(model.classes)}, got {name!r}: name one of them"
        )
    if model.description.kind == "binary":
        if name != model.classes[-1]:
            raise ConfigError(
                f"of two classes the event must be explained, {model.classes[-1]!r}, got {name!r}: "
                "what speaks against the one speaks for the other"
            )
        return 0, f"probability of {model.description.positive_is or name}"
    return model.classes.index(name), f"probability of {name}"


def place_of(table: Table, feature: str) -> int:
    """Find a feature in a table.

    Args:
        table: With the features of a model.
        feature: Its name.

    Returns:
        Its place.

    Raises:
        ConfigError: The model has none such.
    """
    if feature not in table.features:
        raise ConfigError(
            f"the model must want the feature {feature!r}, it does not: it wants "
            f"{', '.join(table.features[:5])}{', ...' if len(table.features) > 5 else ''}"
        )
    return table.features.index(feature)


def _moved(asked: WhatIf, feature: str, points: int, output: tuple[int, str]) -> PartialDependence:
    table = asked.table
    place = place_of(table, feature)
    own = table.values[:, place]
    known = own[~np.isnan(own)]
    if not known.size:
        raise RegionError(f"{feature!r} must be known of a case, it is of none: choose another")
    at = np.unique(known)
    if len(at) > points:
        low, high = np.quantile(known, (0.01, 0.99))
        at = np.linspace(float(low), float(high), points)
    values = np.repeat(table.values[None], len(at), axis=0)
    values[:, :, place] = at[:, None]
    curves = asked.predict(values)[..., output[0]].T
    return PartialDependence(
        feature, table.units.get(feature, ""), at, curves, own.copy(), output[1]
    )
