"""Card: how well predictions agree with the truth, on cases that the model has not seen."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from vesalius.predict._description import Kind
from vesalius.predict._table import Floats

if TYPE_CHECKING:
    import pandas as pd

ThresholdRule = Literal["youden", "cost", "sensitivity", "fixed"]


@final
@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and where it may lie.

    Attributes:
        value: The figure; NaN only with a reason.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end.
        reason: Why the figure or its interval is missing.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    reason: str = ""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A curve of a report, with its band where there is one.

    Attributes:
        x: Abscissa.
        y: Ordinate, same length.
        low: Lower end of the band; empty for none.
        high: Upper end.
    """

    x: Floats
    y: Floats
    low: Floats = field(default_factory=lambda: np.zeros(0))
    high: Floats = field(default_factory=lambda: np.zeros(0))


@final
@dataclass(frozen=True, slots=True)
class Threshold:
    """How the threshold of a decision is chosen.

    Attributes:
        rule: Youden's index, least cost, the largest threshold with the wanted sensitivity, or a
            given one.
        cost_ratio: Cost of a missed event in units of that of a false alarm, for ``cost``.
        sensitivity: Wanted, for ``sensitivity``.
        value: For ``fixed``.
    """

    rule: ThresholdRule = "youden"
    cost_ratio: float = 1.0
    sensitivity: float = 0.9
    value: float = 0.5


@final
@dataclass(frozen=True, slots=True, eq=False)
class Subgroup:
    """How well the model does in one part of the cases.

    Attributes:
        column: What parts them.
        value: Which part.
        cases: How many.
        events: How many with the event (two classes, survival).
        scores: As those of the card, with intervals.
    """

    column: str
    value: str
    cases: int
    events: int
    scores: Mapping[str, Estimate]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """The report card of a model, as numbers.

    Attributes:
        kind: What is predicted.
        cases: How many.
        events: How many with the event (two classes, survival); 0 else.
        scores: Figures with intervals. Two classes: ``auc``, ``average_precision``, ``brier``,
            ``brier_skill``, ``log_loss``, ``ece``, ``calibration_intercept`` (calibration in the
            large), ``calibration_slope``, and at the threshold ``sensitivity``, ``specificity``,
            ``ppv``, ``npv``, ``accuracy``, ``balanced_accuracy``, ``f1``, ``mcc``. Classes:
            ``auc`` (one against rest, mean), ``accuracy``, ``balanced_accuracy``, ``log_loss``.
            Number: ``r2``, ``mae``, ``rmse``, ``bias``. Survival: ``concordance``
            (Harrell), ``concordance_ipcw`` (Uno) and ``auc_<time>`` for times asked for.
        curves: Two classes: ``roc``, ``precision_recall``, ``calibration`` (smoothed, x stated and
            y observed), ``calibration_bins``, ``net_benefit``, ``net_benefit_all``,
            ``learning`` where asked for. Number: ``agreement``. Survival: ``kaplan_meier_low`` and
            ``kaplan_meier_high``, steps of the halves of lower and higher risk.
        threshold: Of the decision; NaN where there is none.
        threshold_rule: How it was chosen, in words.
        confusion: Counts, rows are the truth and columns the decision; in order of ``classes``.
        classes: Names of the classes; for two of them (no event, event).
        subgroups: Fairness.
        remarks: What must be known before the figures are used, in sentences.
    """

    kind: Kind
    cases: int
    events: int
    scores: Mapping[str, Estimate]
    curves: Mapping[str, Curve] = field(default_factory=dict)
    threshold: float = float("nan")
    threshold_rule: str = ""
    confusion: tuple[tuple[int, ...], ...] = ()
    classes: tuple[str, ...] = ()
    subgroups: tuple[Subgroup, ...] = ()
    remarks: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Leak:
    """Something by which test cases may be known to the model.

    Attributes:
        kind: Which leak.
        severity: Whether the validation is worthless, or must be looked at.
        text: What was found, in a sentence, with what to do.
        names: Cases or features concerned.
    """

    kind: Literal[
        "duplicate",
        "near_duplicate",
        "group_split",
        "outcome_in_features",
        "fitted_on_all",
        "name",
        "time",
        "order",
    ]
    severity: Literal["certain", "suspect"]
    text: str
    names: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One training of a validation.

    Attributes:
        repeat: Which repetition.
        fold: Which fold of it, or the site or date that was left out.
        training: Cases trained on.
        test: Cases tested on.
        chosen: Settings that the inner folds chose.
        features: Features that the estimator saw.
        inner_score: Mean of the inner folds for the chosen setting.
        score: On the test cases (AUC, R2, concordance); NaN where it is not defined.
    """

    repeat: int
    fold: str
    training: int
    test: int
    chosen: Mapping[str, object]
    features: tuple[str, ...]
    inner_score: float
    score: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """What a validation found.

    Attributes:
        card: Figures on held-out cases.
        held_out: One row for each case and repetition: ``case``, ``repeat``, ``fold``, ``truth``,
            then ``score`` (or one column for each class, ``time`` and ``risk`` for survival).
        folds: Each training; empty for an external validation.
        stability: Share of the trainings in which each feature was used, by name, falling.
        leaks: What may have been known before.
        plan: How cases were parted, in words.
        p_value: Of the permutation test; NaN where none was asked for.
        remarks: What must be known before the figures are used.
    """

    card: Card
    held_out: "pd.DataFrame"
    folds: tuple[Fold, ...] = ()
    stability: Mapping[str, float] = field(default_factory=dict)
    leaks: tuple[Leak, ...] = ()
    plan: str = ""
    p_value: float = float("nan")
    remarks: tuple[str, ...] = ()
