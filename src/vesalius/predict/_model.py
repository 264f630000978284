"""Model: a fitted recipe with all that must be known to use it on somebody else's table."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from vesalius.core._provenance import Provenance
from vesalius.predict._description import Description
from vesalius.predict._pipeline import Fitted, Recipe
from vesalius.predict._table import Floats

if TYPE_CHECKING:
    import pandas as pd


@final
@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What a model learned from, as far as it may leave the hospital.

    Attributes:
        cases: How many.
        events: How many with the event (two classes, survival); 0 else.
        case_hashes: Salted hash of each training case's values, by which a case met again is
            known; never its name. The salt is public: it keeps hashes of two models apart, and
            hides values no better than their number and precision do.
        salt: Of the hashes.
        low: 1st percentile of each wanted feature, by name.
        high: 99th percentile.
        columns: Values of batch and site that were seen, by column.
        units: Of the wanted features, where known.
    """

    cases: int
    events: int
    case_hashes: tuple[str, ...] = ()
    salt: str = ""
    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model that can be saved, loaded and applied.

    Attributes:
        fitted: Steps and estimator.
        recipe: As it was asked for.
        description: What the columns meant.
        classes: Names of the classes.
        parameters: Hash of the parameters of the features; empty where it was unknown.
        training: What it learned from.
        threshold: Of the decision for two classes; NaN where none was set.
        card: JSON types: the figures of its validation, where one was made.
        provenance: How it came to be.
        recalibration: Intercept and slope on the logit scale; (0, 1) for none.
    """

    fitted: Fitted
    recipe: Recipe
    description: Description
    classes: tuple[str, ...]
    parameters: str
    training: Training
    threshold: float
    provenance: Provenance
    card: Mapping[str, Any] = field(default_factory=dict)
    recalibration: tuple[float, float] = (0.0, 1.0)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model says of cases.

    Attributes:
        table: One row for each case: ``case``, then ``probability`` and ``decision``; or one column
            for each class and ``decision``; or ``value``; or ``risk``; last ``flags``, what makes
            the case unlike those learned from, as text.
        scores: (cases, outputs), the same as numbers.
        remarks: What must be known before they are used.
    """

    table: "pd.DataFrame"
    scores: Floats
    remarks: tuple[str, ...] = ()
