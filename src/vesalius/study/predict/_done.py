"""Done: what a run wrote, and what it says first; figures as texts and as JSON."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from pathlib import Path
from typing import final

from vesalius.predict import Card, Estimate, Leak, Validation
from vesalius.predict._fit_model import card_to_json, figure_to_json

NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "calibration_intercept": "calibration intercept",
    "calibration_slope": "calibration slope",
    "concordance": "C-index",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "r2": "R2",
    "mae": "mean absolute error",
}
"""Figures that are said first, and what they are called."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What a run wrote.

    Attributes:
        folder: Where.
        report: The page; None where there is none.
        table: The table; None where there is none.
        headline: Name and value of what matters first.
        remarks: What must be known before anything is used.
    """

    folder: Path
    report: Path | None = None
    table: Path | None = None
    headline: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


def headline(card: Card) -> tuple[tuple[str, str], ...]:
    """Say the first figures of a card.

    Args:
        card: The card.

    Returns:
        Name and value with its interval.
    """
    found = [("cases", f"{card.cases}" + (f", {card.events} events" if card.events else ""))]
    found += [(name, words(card.scores[key])) for key, name in NAMES.items() if key in card.scores]
    if not math.isnan(card.threshold):
        found.append(("threshold", f"{card.threshold:.3f} ({card.threshold_rule})"))
    return tuple(found)


def words(estimate: Estimate) -> str:
    """Say a figure with its interval.

    Args:
        estimate: The figure.

    Returns:
        Such as ``0.71 (0.64 to 0.78)``, or why there is none.
    """
    if math.isnan(estimate.value):
        return estimate.reason or "not defined"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def card_json(card: Card) -> dict[str, object]:
    """Give a card as JSON types.

    Args:
        card: The card.

    Returns:
        Figures with intervals, the threshold, counts, subgroups, remarks; no curves.
    """
    return card_to_json(card) | {
        "classes": list(card.classes),
        "confusion": [list(row) for row in card.confusion],
        "subgroups": [
            {
                "column": one.column,
                "value": one.value,
                "cases": one.cases,
                "events": one.events,
                "scores": {name: figure_to_json(score) for name, score in one.scores.items()},
            }
            for one in card.subgroups
        ],
    }


def validation_json(found: Validation) -> dict[str, object]:
    """Give a validation as JSON types.

    Args:
        found: The validation.

    Returns:
        The card, each training, the stability of the selection, leaks, the plan.
    """
    return {
        "card": card_json(found.card),
        "plan": found.plan,
        "p_value": _number(found.p_value),
        "folds": [
            {
                "repeat": one.repeat,
                "fold": one.fold,
                "training": one.training,
                "test": one.test,
                "chosen": {name: _plain(value) for name, value in one.chosen.items()},
                "features": list(one.features),
                "inner_score": _number(one.inner_score),
                "score": _number(one.score),
            }
            for one in found.folds
        ],
        "stability": dict(found.stability),
        "leaks": [leak_json(leak) for leak in found.leaks],
        "remarks": list(found.remarks),
    }


def leak_json(leak: Leak) -> dict[str, object]:
    """Give a leak as JSON types."""
    return {
        "kind": leak.kind,
        "severity": leak.severity,
        "text": leak.text,
        "names": list(leak.names),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _plain(value: object) -> object:
    return value if isinstance(value, bool | int | float | str) else str(value)
