"""Cox: proportional hazards with a penalty, and the survival that follows from them."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from vesalius.predict._checks import check_cases, check_fitted, check_setting, check_word
from vesalius.predict._cox_path import (
    Ties,
    at_risk,
    cox_path,
    largest_cox_weight,
    spanned_cox_path,
)
from vesalius.predict._description import Kind
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._survival_checks import check_survival, check_times, steps_at
from vesalius.predict._table import Floats
from vesalius.predict._target import Target

TRIED = 20
"""Weights on a path."""
MOST = 600.0
"""Logarithm of a hazard ratio from which on it cannot be told from more."""
SHORTEST = 0.05
"""The smallest of them, in units of the largest, for an elastic net."""


@final
@dataclass(slots=True, eq=False)
class Cox(Estimator):
    """Proportional hazards: mean loss + weight (mix |b|_1 + (1 - mix)/2 |b|^2).

    The loss is -log(partial likelihood), divided by the cases.
    It predicts the logarithm of the hazard ratio to a case of mean features. Features must have
    comparable spread: put ``Scale`` before it.

    Attributes:
        weight: Strength of the penalty; 0 for none. In scikit-survival's words ``alpha / cases``.
        mix: Share of the lasso in it: 0 is ridge, 1 is lasso.
        ties: Events of one time: Efron's or Breslow's partial likelihood.
        steps: Newton steps at most.
        tol: Break of the optimality conditions that is let pass, in units of the largest slope of
            the model without features.
        weights_: (features,) logarithm of the hazard ratio of one unit.
        middle_: (features,) mean in training.
        spread_: (features,) standard deviation in training.
        times_: (times,) of events in training, rising.
        hazard_: (times,) cumulative hazard of a case of mean features, by Breslow.

    References:
        Cox (1972), doi:10.1111/j.2517-6161.1972.tb00899.x, eq. (9) and (12); Simon, Friedman,
        Hastie & Tibshirani (2011), doi:10.18637/jss.v039.i05, eq. (3); Breslow (1972) in the
        discussion of Cox (1972), p. 216, for the hazard.
    """

    word: ClassVar[str] = "cox"
    kinds: ClassVar[tuple[Kind, ...]] = ("survival",)

    weight: float = 0.05
    mix: float = 0.5
    ties: Ties = "efron"
    steps: int = 200
    tol: float = 1e-6
    weights_: Floats = learned()
    middle_: Floats = learned()
    spread_: Floats = learned()
    times_: Floats = learned()
    hazard_: Floats = learned()

    def fit(self, values: Floats, target: Target) -> "Cox":
        """Learn; see :meth:`Estimator.fit`.

        Raises:
            ConfigError: A setting is out of range.
            RegionError: No event was seen, or all times are equal.
            ConvergenceError: The optimum was not reached within ``steps``, or there is none.
        """
        check_survival(self, values, target)
        ahead = self._ahead(values, target)
        self.weights_ = self._along(values, target, self.weight * ahead)[-1].copy()
        self.middle_ = values.mean(axis=0)
        self.spread_ = values.std(axis=0)
        score = (values - self.middle_) @ self.weights_
        self.times_, self.hazard_ = breslow_hazard(score, target)
        return self

    def _ahead(self, values: Floats, target: Target) -> Floats:
        """Give (weights,) in units of the own: a path of few leads there faster, and surely."""
        if not self.weight > 0:
            return np.ones(1)
        if self.mix > 0:
            risk = at_risk(target.values, target.events, self.ties)
            far = largest_cox_weight(values, risk) / (self.weight * self.mix)
        else:
            far = _largest_variance(values) / self.weight
        if not far > 1:
            return np.ones(1)
        ahead = np.geomspace(far, 1.0, round(np.log2(far)) + 1)
        ahead[-1] = 1.0
        return ahead

    def _along(self, values: Floats, target: Target, weights: Floats) -> Floats:
        check_setting("weight", self.weight, 0.0)
        check_setting("mix", self.mix, 0.0, 1.0)
        check_setting("steps", self.steps, 1)
        check_setting("tol", self.tol, 1e-12, 1e-2)
        check_word("ties", self.ties, ("efron", "breslow"))
        risk = at_risk(target.values, target.events, self.ties)
        penalties = weights[:, None] * np.array([self.mix, 1 - self.mix])
        round_ = self.mix == 0 or not weights.any()
        solve = spanned_cox_path if round_ else cox_path
        return solve(values, risk, penalties=penalties, steps=self.steps, tol=self.tol)

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        check_fitted(self, "weights_")
        check_cases(self, values, len(self.weights_))
        return np.asarray(((values - self.middle_) @ self.weights_)[:, None])

    def survival(self, values: Floats, times: Floats) -> Floats:
        """Give the probability that no event has come by each time.

        Args:
            values: (cases, features).
            times: (times,) in the unit of the training.

        Returns:
            (cases, times).

        Raises:
            ConfigError: A time is negative, not finite, or there is none.
        """
        # a ratio that is no number any more, times no hazard before the first event, would be NaN
        ratio = np.exp(np.minimum(self.predict(values), MOST))
        check_times(times)
        return np.asarray(np.exp(-ratio * steps_at(self.times_, self.hazard_, times)))

    def importances(self) -> Floats:
        """Give (features,) weights times spread."""
        check_fitted(self, "weights_")
        return np.asarray(self.weights_ * self.spread_)

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give weights from that which leaves no feature down to a twentieth of it.

        Of a ridge from 10 down to 1/10 000 of the largest variance along any direction.
        """
        check_survival(self, values, target)
        if self.mix == 0:
            top = _largest_variance(values)
            ends = (10 * top, 1e-4 * top)
        else:
            risk = at_risk(target.values, target.events, self.ties)
            top = largest_cox_weight(values, risk) / max(self.mix, 1e-3)
            ends = (top, SHORTEST * top)
        if not top > 1e-12 * np.abs(values).max():
            return ({},)
        return tuple({"weight": float(w)} for w in np.geomspace(*ends, TRIED))

    def path(
        self,
        values: Floats,
        target: Target,
        held_out: Floats,
        settings: Sequence[Mapping[str, Any]],
    ) -> Floats:
        """Predict with each of several settings; see :meth:`Estimator.path`."""
        models = [self.fresh(change) for change in settings]
        alike = {tuple(v for k, v in one.settings().items() if k != "weight") for one in models}
        if len(alike) != 1 or min(one.weight for one in models) <= 0:
            fitted = (one.fit(values, target) for one in models)
            return np.stack([one.predict(held_out) for one in fitted])
        check_survival(self, values, target)
        check_cases(self, held_out, values.shape[1])
        order = np.argsort([-one.weight for one in models], kind="stable")
        weights = np.array([models[k].weight for k in order])
        found = models[0]._along(values, target, weights)[np.argsort(order)]
        return np.asarray(((held_out - values.mean(axis=0)) @ found.T).T[:, :, None])


def _largest_variance(values: Floats) -> float:
    """Give the largest variance along any direction."""
    return float(np.linalg.norm(values - values.mean(axis=0), 2) ** 2) / len(values)


def breslow_hazard(score: Floats, target: Target) -> tuple[Floats, Floats]:
    """Estimate the cumulative hazard of a case of score 0.

    Args:
        score: (cases,) logarithm of the hazard ratio of the training cases.
        target: Their outcome.

    Returns:
        (times,) of events, rising, and (times,) the cumulative hazard.
    """
    times, count = np.unique(target.values[target.events], return_counts=True)
    order = np.argsort(target.values, kind="stable")
    from_here = np.cumsum(np.exp(score[order])[::-1])[::-1]
    first = np.searchsorted(target.values[order], times, side="left")
    return times, np.asarray(np.cumsum(count / from_here[first]))
