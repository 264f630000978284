"""Naive Bayes: a Gaussian for each feature in each class, as if none knew of the others."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from vesalius.predict._checks import (
    Ints,
    check_cases,
    check_fitted,
    check_setting,
    check_training,
    outputs_of,
)
from vesalius.predict._description import Kind
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._table import Floats
from vesalius.predict._target import Target
from vesalius.predict._trees import remember_classes


@final
@dataclass(slots=True, eq=False)
class NaiveBayes(Estimator):
    """Gaussian naive Bayes: quick, and far too sure of itself where features repeat each other.

    Attributes:
        smoothing: Added to every variance, as a share of the largest.
        means_: (classes seen, features).
        variances_: (classes seen, features).
        shares_: (classes seen,) share of the cases.
        seen_: Numbers of the classes seen in training.
        classes_: How many classes there are.
        kind_: What was learned.

    References:
        Hand & Yu (2001), doi:10.1111/j.1751-5823.2001.tb00465.x.
    """

    word: ClassVar[str] = "naive-bayes"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes")

    smoothing: float = 1e-9
    means_: Floats = learned()
    variances_: Floats = learned()
    shares_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "NaiveBayes":
        """Learn; see :meth:`Estimator.fit`."""
        check_training(self, values, target)
        check_setting("smoothing", self.smoothing, 0, 1)
        remember_classes(self, target)
        parts = [values[target.values == one] for one in self.seen_]
        self.means_ = np.stack([part.mean(axis=0) for part in parts])
        least = max(self.smoothing * float(values.var(axis=0).max()), 1e-300)
        self.variances_ = np.stack([part.var(axis=0) for part in parts]) + least
        self.shares_ = np.array([len(part) / len(values) for part in parts])
        return self

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        from scipy.special import softmax

        check_fitted(self, "means_")
        check_cases(self, values, self.means_.shape[1])
        score = np.stack(
            [
                np.log(share) - 0.5 * (np.log(2 * np.pi * v) + (values - m) ** 2 / v).sum(axis=1)
                for m, v, share in zip(self.means_, self.variances_, self.shares_, strict=True)
            ],
            axis=1,
        )
        return outputs_of(softmax(score, axis=1), self.seen_, self.classes_, self.kind_)

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give amounts of smoothing from much to none to speak of."""
        return tuple({"smoothing": amount} for amount in (0.1, 1e-3, 1e-9))
