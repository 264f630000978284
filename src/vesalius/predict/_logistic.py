"""Logistic regression without a penalty, for a handful of columns known beforehand."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from vesalius.errors import ConvergenceError
from vesalius.predict._checks import (
    Ints,
    case_weights,
    check_cases,
    check_fitted,
    check_training,
    codes_of,
)
from vesalius.predict._description import Kind
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._linear_models import ClassWeight, linked, truth_of
from vesalius.predict._logistic_path import PathRule, spanned_path
from vesalius.predict._table import Floats
from vesalius.predict._target import Target

FLATTEST = 1e-6
"""Mean p (1 - p) along a direction of the features below which there is no maximum."""


@final
@dataclass(slots=True, eq=False)
class Logistic(Estimator):
    """Logistic regression at the maximum of the likelihood: unbiased weights, odds ratios.

    Where features outnumber the cases, or tell the classes apart without error, there is no
    maximum: ``Ridge`` is for that.

    Attributes:
        class_weight: ``balanced`` lets each class weigh the same.
        steps: Newton steps at most.
        tol: As of ``Lasso``.
        weights_: (outputs, features): log odds ratio for a step of 1 in the feature.
        intercepts_: (outputs,).
        spread_: (features,) standard deviation in training.
        seen_: Numbers of the classes seen in training.
        classes_: How many classes there are.
        kind_: What was learned.

    References:
        Albert & Anderson (1984), doi:10.1093/biomet/71.1.1, theorem 1, on separation.
    """

    word: ClassVar[str] = "logistic"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes")

    class_weight: ClassWeight = "none"
    steps: int = 200
    tol: float = 1e-8
    weights_: Floats = learned()
    intercepts_: Floats = learned()
    spread_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Logistic":
        """Learn; see :meth:`Estimator.fit`.

        Raises:
            ConvergenceError: The classes are told apart without error, or ``steps`` were too few.
        """
        check_training(self, values, target)
        truth, loss = truth_of(target)
        weight = case_weights(target, self.class_weight)
        rule = PathRule(loss, self.steps, self.tol)
        try:
            found = spanned_path(values, truth, weight, penalties=np.zeros((1, 2)), rule=rule)
        except ConvergenceError as error:
            raise _separated(values) from error
        self.weights_, self.intercepts_ = found.weights[0], found.intercepts[0]
        self.spread_ = values.std(axis=0)
        codes, self.classes_ = codes_of(target)
        self.seen_ = np.unique(codes)
        self.kind_ = target.kind
        self._check_overlap(values)
        return self

    def _check_overlap(self, values: Floats) -> None:
        """Refuse a likelihood that is flat in some direction: it has no maximum."""
        chance = linked(values @ self.weights_.T + self.intercepts_, self.seen_, self.classes_, "")
        count = len(values)
        left, spread, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
        left = left[:, spread > 1e-12 * max(spread[0], 1e-300)]
        axes = np.column_stack([np.full(count, count**-0.5), left])
        for c in self.seen_:
            curve = chance[:, c] * (1 - chance[:, c])
            flattest = float(np.linalg.eigvalsh((axes.T * curve) @ axes)[0])
            if flattest < FLATTEST:
                raise _separated(values)

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        check_fitted(self, "weights_")
        check_cases(self, values, self.weights_.shape[1])
        score = values @ self.weights_.T + self.intercepts_
        return linked(score, self.seen_, self.classes_, self.kind_)

    def importances(self) -> Floats:
        """Give (features,) weights times spread; of several classes their length."""
        check_fitted(self, "weights_")
        scaled = self.weights_ * self.spread_
        return np.asarray(scaled[0] if len(scaled) == 1 else np.sqrt((scaled**2).sum(axis=0)))


def _separated(values: Floats) -> ConvergenceError:
    cases, features = values.shape
    return ConvergenceError(
        "classes must overlap for a logistic regression without penalty, they are told apart by "
        f"{features} features of {cases} cases, or nearly so: use Ridge or Lasso, or fewer features"
    )
