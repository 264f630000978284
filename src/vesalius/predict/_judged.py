"""Judged: predictions of held-out cases beside their truth, from which a report card is made."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.predict._card import Threshold
from vesalius.predict._table import Floats
from vesalius.predict._target import Target

Ints = NDArray[np.int64]
YOUDEN = Threshold()
GIVEN = Threshold("fixed")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Predictions of held-out cases: one row for each case and repetition, in any order.

    Attributes:
        target: The truth of each row.
        scores: (rows, outputs), as an estimator predicts.
        cases: (rows,) which row of the table each prediction is of.
        folds: (rows,) which training each prediction comes from, within its repetition; zeros where
            one model predicted all. Rows of one repetition and fold are ranked with each other.
        repeats: (rows,) which repetition; zeros for one.
        thresholds: (rows,) from which score on the decision is the event, chosen without that row
            (two classes); empty where no threshold was chosen.
        rule: How the thresholds were chosen.
        times: At which the risk is judged, for survival, in the unit of the table.
        order: (rows,) by what cases are ranked where it is not their score: one model whose
            probabilities were moved in each fold ranks by those that were not; empty else.

    Raises:
        RegionError: There is no prediction.
        ShapeError: The parts do not fit.
        IntensityError: A score is not finite, a probability outside 0 to 1, or a threshold NaN.
    """

    target: Target
    scores: Floats = field(repr=False)
    cases: Ints = field(repr=False)
    folds: Ints = field(repr=False)
    repeats: Ints = field(repr=False)
    thresholds: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    rule: Threshold = YOUDEN
    times: tuple[float, ...] = ()
    order: Floats = field(default_factory=lambda: np.zeros(0), repr=False)

    def __post_init__(self) -> None:
        n = len(self.target.values)
        if not n:
            raise RegionError("there must be at least one prediction to be judged, got none")
        wanted = len(self.target.classes) if self.target.kind == "classes" else 1
        if self.scores.shape != (n, wanted):
            raise ShapeError(
                f"scores must be (rows, outputs) = {(n, wanted)} for an outcome of kind "
                f"{self.target.kind!r}, got {self.scores.shape}"
            )
        self._check_lengths(n)
        self._check_values()

    def _check_lengths(self, n: int) -> None:
        for name in ("cases", "folds", "repeats", "thresholds", "order"):
            found = getattr(self, name)
            if found.shape != (n,) and not (name in ("thresholds", "order") and not found.size):
                raise ShapeError(f"{name} must have one value a row, {n}, got {found.shape}")

    def _check_values(self) -> None:
        if not np.isfinite(self.scores).all():
            raise IntensityError(
                f"scores must be finite to be judged, {int((~np.isfinite(self.scores)).sum())} are "
                "not: a model that cannot predict a case must say so, not give NaN"
            )
        if np.isnan(self.thresholds).any():
            raise IntensityError(
                f"thresholds must be numbers, {int(np.isnan(self.thresholds).sum())} are not: give "
                "none where none was chosen"
            )
        if self.target.kind in ("binary", "classes"):
            low, high = float(self.scores.min()), float(self.scores.max())
            if low < -1e-9 or high > 1 + 1e-9:
                raise IntensityError(
                    f"scores of classes must be probabilities, 0 to 1, got {low:g} to {high:g}: "
                    "calibrate them first"
                )

    @property
    def cross_validated(self) -> bool:
        """Whether several trainings made the predictions."""
        return not self.order.size and bool(np.ptp(self.folds) or np.ptp(self.repeats))

    @property
    def ranked_by(self) -> Floats:
        """(rows,) by what cases are ranked, for two classes: ``order``, or the score."""
        return self.order if self.order.size else self.scores[:, 0]

    def rows(self, chosen: NDArray[np.integer]) -> "Judged":
        """Keep predictions, in the order given."""
        return Judged(
            self.target.rows(chosen),
            self.scores[chosen],
            self.cases[chosen],
            self.folds[chosen],
            self.repeats[chosen],
            self.thresholds[chosen] if self.thresholds.size else self.thresholds,
            self.rule,
            self.times,
            self.order[chosen] if self.order.size else self.order,
        )


def judged_once(
    target: Target,
    scores: Floats,
    *,
    threshold: float = float("nan"),
    rule: Threshold = GIVEN,
    times: tuple[float, ...] = (),
) -> Judged:
    """Put the predictions that one model makes of every case of a table beside their truth.

    Args:
        target: The outcome of the table.
        scores: (cases, outputs).
        threshold: Of the decision for two classes; NaN for none.
        rule: How it was chosen.
        times: At which the risk is judged, for survival.

    Returns:
        What a report card is made of.
    """
    n = len(target.values)
    zeros = np.zeros(n, dtype=np.int64)
    thresholds = np.zeros(0) if np.isnan(threshold) else np.full(n, threshold)
    cases = np.arange(n, dtype=np.int64)
    return Judged(target, scores, cases, zeros, zeros, thresholds, rule, times)
