"""Survival forest: trees that part cases by how long they are without the event."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from vesalius.errors import ExtraError
from vesalius.predict._checks import check_cases, check_fitted, check_setting
from vesalius.predict._description import Kind
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._survival_checks import check_survival, check_times, steps_at
from vesalius.predict._table import Floats
from vesalius.predict._target import Target
from vesalius.predict._trees import Nodes, asked, check_single, compact, in_order


@final
@dataclass(slots=True, eq=False)
class SurvivalForest(Estimator):
    """Random survival forest: hazards that need not be proportional; needs no scaling.

    It is grown by scikit-survival (extra ``survival``) and predicts without it. The risk is the sum
    of the cumulative hazard over the times of events in training.

    Attributes:
        trees: How many.
        leaf: Cases in a leaf at least.
        depth: Questions on the way to a leaf at most; 0 for no limit.
        share: Features tried at each question, as a share of all; 0 takes the square root of their
            number.
        seed: Of the draws.
        nodes_: The trees, as those of ``Forest``; a leaf holds the cumulative hazard at each time.
        times_: (times,) of events in training, rising.
        features_: How many it learned from.

    References:
        Ishwaran et al. (2008), doi:10.1214/08-AOAS169, sec. 2 and eq. (3.1), (3.2).
    """

    word: ClassVar[str] = "survival-forest"
    kinds: ClassVar[tuple[Kind, ...]] = ("survival",)

    trees: int = 100
    leaf: int = 8
    depth: int = 0
    share: float = 0.0
    seed: int = 0
    nodes_: Nodes = learned()
    times_: Floats = learned()
    features_: int = learned()

    def fit(self, values: Floats, target: Target) -> "SurvivalForest":
        """Learn; see :meth:`Estimator.fit`.

        Raises:
            ConfigError: A setting is out of range.
            RegionError: No event was seen, or all times are equal.
            ExtraError: scikit-survival is not installed.
        """
        check_survival(self, values, target)
        for name, low, high in (("trees", 1, 10_000), ("leaf", 1, np.inf), ("depth", 0, np.inf)):
            check_setting(name, getattr(self, name), low, high)
        check_setting("share", self.share, 0, 1)
        check_single(self, values)
        ordered, truth = in_order(values, target)
        grown = self._grown(ordered, truth)
        found = [one.tree_ for one in grown.estimators_]
        self.times_ = np.unique(truth.values[truth.events])
        at_events = np.isin(grown.unique_times_, self.times_)
        start = np.cumsum([0] + [t.node_count for t in found[:-1]])
        links = (
            np.concatenate([t.feature for t in found]),
            np.concatenate([t.children_left for t in found]),
            np.concatenate([t.children_right for t in found]),
        )
        threshold = np.concatenate([t.threshold for t in found])
        hazard = np.concatenate([t.value[:, at_events, 0] for t in found]) / len(found)
        self.nodes_ = compact(start, links, threshold, hazard)
        self.features_ = values.shape[1]
        return self

    def _grown(self, values: Floats, target: Target) -> Any:
        try:
            from sksurv.ensemble import RandomSurvivalForest
            from sksurv.util import Surv
        except ImportError as error:
            raise ExtraError(
                "a survival forest is grown by scikit-survival, which is not installed: install "
                "vesalius[survival], or use cox"
            ) from error
        forest = RandomSurvivalForest(
            n_estimators=self.trees,
            min_samples_leaf=self.leaf,
            min_samples_split=2 * self.leaf,
            max_depth=self.depth or None,
            max_features=self.share or "sqrt",
            random_state=self.seed,
            n_jobs=1,
        )
        return forest.fit(values, Surv.from_arrays(target.events, target.values))

    def hazard(self, values: Floats) -> Floats:
        """Give (cases, times) the cumulative hazard at the times of events in training."""
        check_fitted(self, "nodes_")
        check_cases(self, values, self.features_)
        return asked(values, self.nodes_)

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        return np.asarray(self.hazard(values).sum(axis=1, keepdims=True))

    def survival(self, values: Floats, times: Floats) -> Floats:
        """Give the probability that no event has come by each time: exp(-cumulative hazard).

        Args:
            values: (cases, features).
            times: (times,) in the unit of the training.

        Returns:
            (cases, times).

        Raises:
            ConfigError: A time is negative, not finite, or there is none.
        """
        found = self.hazard(values)
        check_times(times)
        return np.asarray(np.exp(-steps_at(self.times_, found, times)))

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give sizes of a leaf, from large to small."""
        sizes = sorted({max(3, len(values) // part) for part in (8, 16, 32)}, reverse=True)
        return tuple({"leaf": size} for size in sizes)
