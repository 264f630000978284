"""Support vector machine, with probabilities by Platt's method."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from vesalius.errors import IntensityError, RegionError
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
from vesalius.predict._logistic_path import PathRule, penalised_path
from vesalius.predict._table import Floats
from vesalius.predict._target import Target
from vesalius.predict._trees import ClassWeight, in_order, remember_classes, weight_of

_FAR = 1e6
"""Mean of a feature, in units of the spread, from which on a straight kernel loses its digits."""


@final
@dataclass(slots=True, eq=False)
class Svm(Estimator):
    """Support vector machine: the widest margin, straight or bent; features must be scaled.

    Of several classes each is told from the rest. The margin becomes a probability by a logistic
    curve, fitted to margins of cases that inner folds held out. With the bent kernel the state
    holds training cases as they are: mind where it goes.

    Attributes:
        kernel: Straight, or a Gaussian of the distance.
        cost: Of a case on the wrong side of its margin; ``C`` in scikit-learn.
        gamma: Of the Gaussian exp(-gamma d^2); 0 takes 1 / (features x variance).
        tube: Error of a number that costs nothing; ``epsilon`` in scikit-learn.
        folds: Inner folds for probabilities.
        class_weight: ``balanced`` lets each class weigh the same.
        seed: Of the inner folds.
        vectors_: (vectors, features) support vectors; of the straight kernel (outputs, features).
        dual_: (outputs, vectors) what each counts.
        bias_: (outputs,).
        link_: (outputs, 2) shift and slope from margin to log odds.
        gamma_: As used; 0 for the straight kernel.
        spread_: (features,) standard deviation in training.
        seen_: Numbers of the classes seen in training; empty for a number.
        classes_: How many classes there are; 0 for a number.
        kind_: What was learned.

    References:
        Cortes & Vapnik (1995), doi:10.1007/BF00994018, eq. (20); Platt (1999), Probabilistic
        outputs for support vector machines, with the targets of Lin, Lin & Weng (2007),
        doi:10.1007/s10994-007-5018-6, eq. (2) and (3).
    """

    word: ClassVar[str] = "svm"
    kinds: ClassVar[tuple[Kind, ...]] = ("binary", "classes", "number")

    kernel: Literal["linear", "rbf"] = "rbf"
    cost: float = 1.0
    gamma: float = 0.0
    tube: float = 0.1
    folds: int = 5
    class_weight: ClassWeight = "none"
    seed: int = 0
    vectors_: Floats = learned()
    dual_: Floats = learned()
    bias_: Floats = learned()
    link_: Floats = learned()
    gamma_: float = learned()
    spread_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Svm":
        """Learn; see :meth:`Estimator.fit`.

        Raises:
            IntensityError: Features are so large or so small that their squares are no numbers.
            RegionError: A class has one case only, so that no fold can hold it out.
        """
        check_training(self, values, target)
        self._check_settings()
        values, target = in_order(values, target)
        self.spread_ = values.std(axis=0)
        spread = float(values.var())
        bent = self.kernel == "rbf"
        far = float(np.abs(values.mean(axis=0)).max())
        if spread and (not 1e-100 < spread < 1e100 or (not bent and far > _FAR * spread**0.5)):
            raise IntensityError(
                f"features of Svm must be near 0 with a spread near 1, got means up to {far:.3g} "
                f"and a variance of {spread:.3g}: put Scale before it"
            )
        self.gamma_ = (self.gamma or 1 / (values.shape[1] * (spread or 1.0))) if bent else 0.0
        remember_classes(self, target)
        # distances far from zero would lose their digits
        near = values - values.mean(axis=0) if bent else values
        machines, self.link_ = self._machines(near, target)
        self.bias_ = np.array([float(one.intercept_[0]) for one in machines])
        if bent:
            used = np.unique(np.concatenate([one.support_ for one in machines]))
            self.vectors_ = values[used].copy()
            self.dual_ = np.zeros((len(machines), len(used)))
            for k, one in enumerate(machines):
                self.dual_[k, np.searchsorted(used, one.support_)] = one.dual_coef_[0]
        else:
            self.vectors_ = np.concatenate(
                [one.dual_coef_ @ values[one.support_] for one in machines]
            )
            self.dual_ = np.eye(len(machines))
        return self

    def _check_settings(self) -> None:
        check_word("kernel", self.kernel, ("linear", "rbf"))
        check_setting("cost", self.cost, 1e-12)
        check_setting("gamma", self.gamma, 0)
        check_setting("tube", self.tube, 0)
        check_setting("folds", self.folds, 2)

    def _machines(self, values: Floats, target: Target) -> tuple[list[Any], Floats]:
        from sklearn.svm import SVR

        if target.kind == "number":
            rule = SVR(kernel=self.kernel, gamma=self.gamma_ or 1.0, C=self.cost, epsilon=self.tube)
            return [rule.fit(values, target.values)], np.array([[0.0, 1.0]])
        machines, links = [], []
        sides = self.seen_[1:] if len(self.seen_) == 2 else self.seen_
        for one in sides:
            truth = (target.values == one).astype(np.float64)
            links.append(self._link(values, truth))
            machines.append(self._machine(values, truth))
        return machines, np.array(links)

    def _machine(self, values: Floats, truth: Floats) -> Any:
        from sklearn.svm import SVC

        weight = weight_of(self.class_weight)
        rule = SVC(kernel=self.kernel, gamma=self.gamma_ or 1.0, C=self.cost, class_weight=weight)
        return rule.fit(values, truth)

    def _link(self, values: Floats, truth: Floats) -> Floats:
        """Give shift and slope from margin to log odds, from margins of cases held out."""
        from sklearn.model_selection import StratifiedKFold

        events = int(truth.sum())
        rarer = min(events, len(truth) - events)
        if rarer < 2:
            raise RegionError(
                f"each class must have at least two cases for probabilities of Svm, got {rarer}: "
                "add cases of it"
            )
        margin = np.zeros(len(truth))
        parts = StratifiedKFold(min(self.folds, rarer), shuffle=True, random_state=self.seed)
        for rows, held in parts.split(values, truth):
            margin[held] = self._machine(values[rows], truth[rows]).decision_function(values[held])
        aim = np.where(truth > 0, (events + 1) / (events + 2), 1 / (len(truth) - events + 2))
        found = penalised_path(
            margin[:, None],
            aim[None],
            np.full(len(truth), 1 / len(truth)),
            penalties=np.zeros((1, 2)),
            rule=PathRule("logistic", tol=1e-9),
        )
        return np.array([found.intercepts[0, 0], found.weights[0, 0, 0]])

    def margins(self, values: Floats) -> Floats:
        """Give the signed distance from the border, in units of the margin; or the number.

        Args:
            values: (cases, features).

        Returns:
            (cases, outputs).
        """
        check_fitted(self, "vectors_")
        check_cases(self, values, len(self.spread_))
        if not self.gamma_:
            return np.asarray(values @ self.vectors_.T @ self.dual_.T + self.bias_)
        middle = self.vectors_.mean(axis=0)
        one, other = values - middle, self.vectors_ - middle
        squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)
        alike = np.exp(-self.gamma_ * (squares - 2 * one @ other.T))
        return np.asarray(alike @ self.dual_.T + self.bias_)

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        from scipy.special import expit

        score = self.margins(values) * self.link_[:, 1] + self.link_[:, 0]
        if self.kind_ == "number":
            return score
        chance = expit(score)
        if chance.shape[1] == 1:
            chance = np.concatenate([1 - chance, chance], axis=1)
        chance /= chance.sum(axis=1, keepdims=True)
        return outputs_of(chance, self.seen_, self.classes_, self.kind_)

    def importances(self) -> Floats:
        """Give (features,) weights times spread of the straight kernel; nothing of the other."""
        check_fitted(self, "vectors_")
        if self.gamma_:
            return np.zeros(0)
        scaled = self.vectors_ * self.spread_
        return np.asarray(scaled[0] if len(scaled) == 1 else np.sqrt((scaled**2).sum(axis=0)))

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give costs from a wide margin to a narrow one."""
        return tuple({"cost": cost} for cost in (0.01, 0.1, 1.0, 10.0))
