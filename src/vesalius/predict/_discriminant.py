"""Linear discriminant analysis with a shrunk covariance, also for more features than cases."""
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
class Discriminant(Estimator):
    """Linear discriminant analysis: Gaussian classes of one covariance.

    The covariance of each class is shrunk, on features scaled in the class, towards equal variances
    without correlation; the classes count by their shares.

    Attributes:
        shrinkage: Share of that; 0 takes that of Ledoit and Wolf, for each class.
        weights_: (classes seen, features).
        intercepts_: (classes seen,).
        spread_: (features,) standard deviation in training.
        seen_: Numbers of the classes seen in training.
        classes_: How many classes there are.
        kind_: What was learned.

    References:
        Fisher (1936), doi:10.1111/j.1469-1809.1936.tb02137.x; Ledoit & Wolf (2004),
        doi:10.1016/S0047-259X(03)00096-4, eq. (14), without the p-by-p matrix.
    """

    word: ClassVar[str] = "discriminant"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes")

    shrinkage: float = 0.0
    weights_: Floats = learned()
    intercepts_: Floats = learned()
    spread_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Discriminant":
        """Learn; see :meth:`Estimator.fit`."""
        check_training(self, values, target)
        check_setting("shrinkage", self.shrinkage, 0, 1)
        remember_classes(self, target)
        parts = [values[target.values == one] for one in self.seen_]
        shares = np.array([len(part) / len(values) for part in parts])
        means = np.stack([part.mean(axis=0) for part in parts])
        rows, own = [], np.zeros(values.shape[1])
        for part, share in zip(parts, shares, strict=True):
            spread = part.std(axis=0)
            spread[spread <= 1e-12 * np.abs(part).max(axis=0)] = 1.0
            scaled = (part - part.mean(axis=0)) / spread
            shrunk = self.shrinkage or ledoit_wolf(scaled)
            level = float((scaled**2).mean())
            own += share * shrunk * level * spread**2
            rows.append(np.sqrt(share * (1 - shrunk) / len(part)) * scaled * spread)
        own = np.maximum(own, 1e-9 * max(float(own.max()), 1e-30))
        middle = shares @ means  # means far away would lose their digits
        apart = means - middle
        self.weights_ = _divided(apart, own, np.concatenate(rows))
        pulls = ((0.5 * apart + middle) * self.weights_).sum(axis=1)
        self.intercepts_ = np.log(shares) - pulls
        self.spread_ = values.std(axis=0)
        return self

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        from scipy.special import softmax

        check_fitted(self, "weights_")
        check_cases(self, values, self.weights_.shape[1])
        chance = softmax(values @ self.weights_.T + self.intercepts_, axis=1)
        return outputs_of(chance, self.seen_, self.classes_, self.kind_)

    def importances(self) -> Floats:
        """Give (features,) weights times spread; of several classes their length."""
        check_fitted(self, "weights_")
        if len(self.weights_) == 2:
            return np.asarray((self.weights_[1] - self.weights_[0]) * self.spread_)
        apart = (self.weights_ - self.weights_.mean(axis=0)) * self.spread_
        return np.asarray(np.sqrt((apart**2).sum(axis=0)))

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give shares of shrinkage from all to little, then that of Ledoit and Wolf."""
        return tuple({"shrinkage": share} for share in (1.0, 0.7, 0.4, 0.1, 0.0))


def ledoit_wolf(values: Floats) -> float:
    """Give the share of a multiple of the identity that makes a covariance best.

    Args:
        values: (cases, features), without their means.

    Returns:
        From 0 to 1.
    """
    count, features = values.shape
    squares = (values**2).sum(axis=1)
    trace = float(squares.sum()) / count
    small = values @ values.T if count < features else values.T @ values
    together = float((small**2).sum()) / count**2
    away = (together - trace**2 / features) / features
    noise = (float((squares**2).sum()) / count - together) / (features * count)
    noise = min(noise, away)
    return noise / away if noise > 0 else 0.0


def _divided(means: Floats, own: Floats, rows: Floats) -> Floats:
    """Give means (diag(own) + rows' rows)^-1, by Woodbury where features outnumber cases."""
    if rows.shape[1] <= len(rows):
        found = np.linalg.solve(np.diag(own) + rows.T @ rows, means.T).T
        return np.asarray(found)
    alone = means / own
    inner = np.eye(len(rows)) + (rows / own) @ rows.T
    return np.asarray(alone - np.linalg.solve(inner, rows @ alone.T).T @ (rows / own))
