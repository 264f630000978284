"""Forest: many trees, each grown on cases and features drawn at random, that vote."""
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
from vesalius.predict._trees import (
    ClassWeight,
    Nodes,
    asked,
    check_single,
    in_order,
    packed,
    remember_classes,
    weight_of,
)


@final
@dataclass(slots=True, eq=False)
class Forest(Estimator):
    """Random forest: hard to get wrong, seldom the best; needs no scaling.

    Attributes:
        trees: How many.
        leaf: Cases in a leaf at least.
        depth: Questions on the way to a leaf at most; 0 for no limit.
        share: Features tried at each question, as a share of all; 0 takes the square root of their
            number, for a number a third.
        class_weight: ``balanced`` lets each class weigh the same.
        seed: Of the draws.
        nodes_: The trees; see ``packed``.
        shares_: (features,) share of the impurity that each feature takes away.
        seen_: Numbers of the classes seen in training; empty for a number.
        classes_: How many classes there are; 0 for a number.
        kind_: What was learned.

    References:
        Breiman (2001), doi:10.1023/A:1010933404324, section 4. Differs from it in: the mean of the
        shares in the leaves in place of votes.
    """

    word: ClassVar[str] = "forest"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes", "number")

    trees: int = 300
    leaf: int = 3
    depth: int = 0
    share: float = 0.0
    class_weight: ClassWeight = "none"
    seed: int = 0
    nodes_: Nodes = learned()
    shares_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Forest":
        """Learn; see :meth:`Estimator.fit`."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        check_training(self, values, target)
        self._check_settings()
        check_single(self, values)
        values, target = in_order(values, target)
        number = target.kind == "number"
        rule = {
            "n_estimators": self.trees,
            "min_samples_leaf": self.leaf,
            "max_depth": self.depth or None,
            "max_features": self.share or (1 / 3 if number else "sqrt"),
            "random_state": self.seed,
            "n_jobs": 1,
        }
        if number:
            grown = RandomForestRegressor(**rule).fit(values, target.values)
        else:
            weight = weight_of(self.class_weight)
            grown = RandomForestClassifier(class_weight=weight, **rule).fit(values, target.values)
        self.nodes_ = packed([one.tree_ for one in grown.estimators_])
        self.shares_ = np.asarray(grown.feature_importances_)
        remember_classes(self, target)
        return self

    def _check_settings(self) -> None:
        check_setting("trees", self.trees, 1, 10_000)
        check_setting("leaf", self.leaf, 1)
        check_setting("depth", self.depth, 0)
        check_setting("share", self.share, 0, 1)

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        check_fitted(self, "nodes_")
        check_cases(self, values, len(self.shares_))
        found = asked(values, self.nodes_)
        if self.kind_ == "number":
            return found
        return outputs_of(found, self.seen_, self.classes_, self.kind_)

    def importances(self) -> Floats:
        """Give (features,) the share of the impurity that each feature takes away."""
        check_fitted(self, "shares_")
        return self.shares_

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give sizes of a leaf, from large to small."""
        sizes = sorted({max(1, len(values) // part) for part in (10, 30, 80)} | {1}, reverse=True)
        return tuple({"leaf": size} for size in sizes)
