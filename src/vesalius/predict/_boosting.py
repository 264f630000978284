"""Boosting: small trees, each on what those before it got wrong."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, ClassVar, final, no_type_check

import numpy as np

from vesalius.ops._jit import kernel
from vesalius.predict._checks import (
    Ints,
    check_cases,
    check_fitted,
    check_setting,
    check_training,
)
from vesalius.predict._description import Kind
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._linear_models import linked
from vesalius.predict._table import Floats
from vesalius.predict._target import Target
from vesalius.predict._trees import (
    ClassWeight,
    Nodes,
    compact,
    in_order,
    remember_classes,
    weight_of,
)


@final
@dataclass(slots=True, eq=False)
class Boosting(Estimator):
    """Gradient boosting on histograms of the features; needs no scaling.

    Attributes:
        trees: How many (for each class).
        depth: Questions on the way to a leaf at most.
        rate: Share of each correction that is made.
        leaf: Cases in a leaf at least.
        ridge: Penalty of the values of the leaves.
        share: Features tried at each question, as a share of all.
        class_weight: ``balanced`` lets each class weigh the same.
        seed: Of the features drawn.
        nodes_: The trees; see ``packed``; output c is that of tree t with t modulo outputs = c.
        prior_: (outputs,) the score to begin with.
        count_: Features in training.
        seen_: Numbers of the classes seen in training; empty for a number.
        classes_: How many classes there are; 0 for a number.
        kind_: What was learned.

    References:
        Friedman (2001), doi:10.1214/aos/1013203451, algorithms 3, 5 and 6; Ke et al. (2017),
        LightGBM, for histograms.
    """

    word: ClassVar[str] = "boosting"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes", "number")

    trees: int = 60
    depth: int = 3
    rate: float = 0.1
    leaf: int = 5
    ridge: float = 1.0
    share: float = 0.1
    class_weight: ClassWeight = "none"
    seed: int = 0
    nodes_: Nodes = learned()
    prior_: Floats = learned()
    count_: int = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Boosting":
        """Learn; see :meth:`Estimator.fit`."""
        check_training(self, values, target)
        self._check_settings()
        values, target = in_order(values, target)
        grown = self._grow(values, target)
        trees = [one.nodes for stage in grown._predictors for one in stage]
        nodes = np.concatenate(trees)
        leaf = nodes["is_leaf"].astype(bool)
        self.nodes_ = compact(
            np.cumsum([0] + [len(one) for one in trees[:-1]]),
            (
                nodes["feature_idx"].astype(np.int64),
                np.where(leaf, -1, nodes["left"].astype(np.int64)),
                nodes["right"].astype(np.int64),
            ),
            nodes["num_threshold"],
            nodes["value"][:, None],
        )
        self.prior_ = np.atleast_1d(np.asarray(grown._baseline_prediction, float).ravel())
        self.count_ = values.shape[1]
        remember_classes(self, target)
        return self

    def _check_settings(self) -> None:
        check_setting("trees", self.trees, 1, 10_000)
        check_setting("depth", self.depth, 1)
        check_setting("rate", self.rate, 1e-6, 1)
        check_setting("leaf", self.leaf, 1)
        check_setting("ridge", self.ridge, 0)
        check_setting("share", self.share, 1e-6, 1)

    def _grow(self, values: Floats, target: Target) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        rule = {
            "max_iter": self.trees,
            "max_depth": self.depth,
            "learning_rate": self.rate,
            "min_samples_leaf": self.leaf,
            "l2_regularization": self.ridge,
            "max_features": self.share,
            "max_bins": 64,
            "early_stopping": False,
            "random_state": self.seed,
        }
        if target.kind == "number":
            return HistGradientBoostingRegressor(**rule).fit(values, target.values)
        weight = weight_of(self.class_weight)
        return HistGradientBoostingClassifier(class_weight=weight, **rule).fit(
            values, target.values
        )

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        check_fitted(self, "nodes_")
        check_cases(self, values, self.count_)
        nodes = self.nodes_
        score = _added(
            np.ascontiguousarray(values),
            (nodes["start"], nodes["feature"], nodes["below"], nodes["above"]),
            nodes["threshold"],
            nodes["leaves"],
            self.prior_,
        )
        return linked(score, self.seen_, self.classes_, self.kind_)

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give depths from single questions up."""
        return tuple({"depth": depth} for depth in (1, 2, 4))


@kernel
@no_type_check
def _added(values, links, threshold, leaves, prior):
    start, feature, below, above = links
    outputs = len(prior)
    out = np.empty((len(values), outputs))
    out[:] = prior
    for t in range(len(start)):
        root = start[t]
        for i in range(len(values)):
            at = root
            while feature[at] >= 0:
                at = root + (below[at] if values[i, feature[at]] <= threshold[at] else above[at])
            out[i, t % outputs] += leaves[below[at], 0]
    return out
