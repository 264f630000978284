"""Nearest neighbours: what became of the training cases that are most alike."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from vesalius.errors import RegionError
from vesalius.predict._checks import (
    Ints,
    check_cases,
    check_fitted,
    check_setting,
    check_training,
    check_word,
    outputs_of,
)
from vesalius.predict._description import Kind
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._table import Floats
from vesalius.predict._target import Target
from vesalius.predict._trees import in_order, remember_classes


@final
@dataclass(slots=True, eq=False)
class Neighbours(Estimator):
    """Share or mean of the nearest training cases; features must be scaled, and few.

    The state holds the training cases as they are: mind where it goes.

    Attributes:
        neighbours: How many.
        weighting: Each counts the same, or by one over its distance.
        cases_: (cases, features) of training.
        truth_: (cases, outputs): the number, or 0 and 1 for each class seen.
        seen_: Numbers of the classes seen in training; empty for a number.
        classes_: How many classes there are; 0 for a number.
        kind_: What was learned.

    References:
        Cover & Hart (1967), doi:10.1109/TIT.1967.1053964.
    """

    word: ClassVar[str] = "neighbours"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes", "number")

    neighbours: int = 11
    weighting: Literal["uniform", "distance"] = "uniform"
    cases_: Floats = learned()
    truth_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Neighbours":
        """Learn; see :meth:`Estimator.fit`.

        Raises:
            RegionError: There are fewer cases than neighbours.
        """
        check_training(self, values, target)
        check_word("weighting", self.weighting, ("uniform", "distance"))
        check_setting("neighbours", self.neighbours, 1)
        if len(values) < self.neighbours:
            raise RegionError(
                f"there must be at least as many cases as neighbours, got {len(values)} cases for "
                f"{self.neighbours} neighbours: ask for fewer"
            )
        self.cases_, target = in_order(values, target)
        remember_classes(self, target)
        if target.kind == "number":
            self.truth_ = target.values[:, None].astype(np.float64)
        else:
            self.truth_ = (target.values[:, None] == self.seen_).astype(np.float64)
        return self

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`. Of cases equally far the smaller counts."""
        from scipy.spatial.distance import cdist

        check_fitted(self, "cases_")
        check_cases(self, values, self.cases_.shape[1])
        far = cdist(values, self.cases_)
        near = np.argsort(far, axis=1, kind="stable")[:, : self.neighbours]
        weight = np.ones(near.shape)
        if self.weighting == "distance":
            apart = np.take_along_axis(far, near, axis=1)
            same = (apart == 0).any(axis=1)
            weight = 1 / np.where(apart > 0, apart, 1.0)
            weight[same] = apart[same] == 0
        found: Floats = (
            np.einsum("nk,nko->no", weight, self.truth_[near]) / weight.sum(axis=1)[:, None]
        )
        if self.kind_ == "number":
            return found
        return outputs_of(found, self.seen_, self.classes_, self.kind_)

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give numbers of neighbours from many to few; at most a third of the cases."""
        most = max(1, len(values) // 3)
        counts = sorted({k for k in (45, 31, 21, 15, 9, 5, 3) if k <= most} or {1}, reverse=True)
        return tuple({"neighbours": count} for count in counts)
