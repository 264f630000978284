"""Linear models with a penalty: few features (lasso), many small weights (ridge), and between."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from vesalius.errors import ConfigError
from vesalius.predict._checks import (
    Ints,
    case_weights,
    check_cases,
    check_fitted,
    check_setting,
    check_training,
    codes_of,
    outputs_of,
)
from vesalius.predict._description import Kind
from vesalius.predict._learned import Estimator, learned
from vesalius.predict._logistic_path import (
    Loss,
    Path,
    PathRule,
    largest_weight,
    penalised_path,
    spanned_path,
)
from vesalius.predict._table import Floats
from vesalius.predict._target import Target

ClassWeight = Literal["none", "balanced"]
_KINDS: tuple[Kind, ...] = ("binary", "classes", "number")
TRIED = 25
"""Weights on a path of a lasso."""
_LEAST = 1e-100
"""The smallest weight: that of a number goes with its unit."""
_LEAST_SPREAD = 1e-10
"""Below it the slopes of features are lost in the rounding of the intercept."""
SHORTEST = 0.02
"""The smallest of them, in units of the largest."""


@final
@dataclass(slots=True, eq=False)
class Lasso(Estimator):
    """Linear model that uses few features: mean loss + weight |b|_1.

    The loss is the cross-entropy of an event or of classes, or half the square of the error of a
    number; the intercept is free. Features must have comparable spread: put ``Scale`` before it.
    Of features that are copies of each other it may use any.

    Attributes:
        weight: Strength of the penalty. In scikit-learn's words ``alpha`` for a number, and
            ``1 / (C cases)`` for classes.
        class_weight: ``balanced`` lets each class weigh the same.
        steps: Newton steps at most.
        tol: Break of the optimality conditions that is let pass, in units of the largest slope of
            the model without features.
        weights_: (outputs, features).
        intercepts_: (outputs,).
        spread_: (features,) standard deviation in training.
        seen_: Numbers of the classes seen in training; empty for a number.
        classes_: How many classes there are; 0 for a number.
        kind_: What was learned.

    References:
        Tibshirani (1996), doi:10.1111/j.2517-6161.1996.tb02080.x, eq. (1); Friedman, Hastie &
        Tibshirani (2010), doi:10.18637/jss.v033.i01, eq. (2), (13), (18).
    """

    word: ClassVar[str] = "lasso"
    kinds: ClassVar[tuple[Kind, ...]] = _KINDS

    weight: float = 0.05
    class_weight: ClassWeight = "none"
    steps: int = 200
    tol: float = 1e-6
    weights_: Floats = learned()
    intercepts_: Floats = learned()
    spread_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Lasso":
        """Learn; see :meth:`Estimator.fit`.

        Raises:
            ConfigError: A setting is out of range.
            ConvergenceError: The optimum was not reached within ``steps``.
        """
        _fit(self, values, target)
        return self

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        return _predict(self, values)

    def importances(self) -> Floats:
        """Give (features,) weights times spread; of several classes their length."""
        return _importances(self)

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give weights from that which leaves no feature down to a fiftieth of it."""
        return _lasso_grid(values, target, self.class_weight, 1.0)

    def path(
        self,
        values: Floats,
        target: Target,
        held_out: Floats,
        settings: Sequence[Mapping[str, Any]],
    ) -> Floats:
        """Predict with each of several settings; see :meth:`Estimator.path`."""
        return _path(self, values, target, held_out, settings)


@final
@dataclass(slots=True, eq=False)
class ElasticNet(Estimator):
    """Linear model between lasso and ridge: mean loss + weight (mix |b|_1 + (1 - mix)/2 |b|^2).

    Features that vary together share a weight, where a lasso would pick one of them.

    Attributes:
        weight: Strength of the penalty, as of ``Lasso``.
        mix: Share of the lasso in it, above 0; ``l1_ratio`` in scikit-learn.
        class_weight: As of ``Lasso``.
        steps: As of ``Lasso``.
        tol: As of ``Lasso``.
        weights_: (outputs, features).
        intercepts_: (outputs,).
        spread_: (features,) standard deviation in training.
        seen_: Numbers of the classes seen in training; empty for a number.
        classes_: How many classes there are; 0 for a number.
        kind_: What was learned.

    References:
        Zou & Hastie (2005), doi:10.1111/j.1467-9868.2005.00503.x, eq. (3), without their rescaling;
        Friedman, Hastie & Tibshirani (2010), doi:10.18637/jss.v033.i01, eq. (3).
    """

    word: ClassVar[str] = "elastic-net"
    kinds: ClassVar[tuple[Kind, ...]] = _KINDS

    weight: float = 0.05
    mix: float = 0.5
    class_weight: ClassWeight = "none"
    steps: int = 200
    tol: float = 1e-6
    weights_: Floats = learned()
    intercepts_: Floats = learned()
    spread_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "ElasticNet":
        """Learn; see :meth:`Estimator.fit`.

        Raises:
            ConfigError: A setting is out of range.
            ConvergenceError: The optimum was not reached within ``steps``.
        """
        check_setting("mix", self.mix, 1e-3, 1.0)
        _fit(self, values, target)
        return self

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        return _predict(self, values)

    def importances(self) -> Floats:
        """Give (features,) weights times spread; of several classes their length."""
        return _importances(self)

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give weights from that which leaves no feature down to a fiftieth of it."""
        return _lasso_grid(values, target, self.class_weight, self.mix)

    def path(
        self,
        values: Floats,
        target: Target,
        held_out: Floats,
        settings: Sequence[Mapping[str, Any]],
    ) -> Floats:
        """Predict with each of several settings; see :meth:`Estimator.path`."""
        return _path(self, values, target, held_out, settings)


@final
@dataclass(slots=True, eq=False)
class Ridge(Estimator):
    """Linear model with many small weights: mean loss + weight/2 |b|^2.

    Solved in the span of the cases, so that features cost nothing where they outnumber them.

    Attributes:
        weight: Strength of the penalty. In scikit-learn's words ``alpha / cases`` for a number, and
            ``1 / (C cases)`` for classes.
        class_weight: As of ``Lasso``.
        steps: As of ``Lasso``.
        tol: As of ``Lasso``.
        weights_: (outputs, features).
        intercepts_: (outputs,).
        spread_: (features,) standard deviation in training.
        seen_: Numbers of the classes seen in training; empty for a number.
        classes_: How many classes there are; 0 for a number.
        kind_: What was learned.

    References:
        Hoerl & Kennard (1970), doi:10.1080/00401706.1970.10488634, eq. (2.1); le Cessie & van
        Houwelingen (1992), doi:10.2307/2347628, eq. (1), for an event.
    """

    word: ClassVar[str] = "ridge"
    kinds: ClassVar[tuple[Kind, ...]] = _KINDS

    weight: float = 0.1
    class_weight: ClassWeight = "none"
    steps: int = 200
    tol: float = 1e-6
    weights_: Floats = learned()
    intercepts_: Floats = learned()
    spread_: Floats = learned()
    seen_: Ints = learned()
    classes_: int = learned()
    kind_: str = learned()

    def fit(self, values: Floats, target: Target) -> "Ridge":
        """Learn; see :meth:`Estimator.fit`.

        Raises:
            ConfigError: A setting is out of range.
            ConvergenceError: The optimum was not reached within ``steps``.
        """
        _fit(self, values, target)
        return self

    def predict(self, values: Floats) -> Floats:
        """Predict; see :meth:`Estimator.predict`."""
        return _predict(self, values)

    def importances(self) -> Floats:
        """Give (features,) weights times spread; of several classes their length."""
        return _importances(self)

    def grid(self, values: Floats, target: Target) -> tuple[dict[str, Any], ...]:
        """Give weights from 10 down to 1/100 000 of the largest variance along any direction."""
        top = float(np.linalg.norm(values - values.mean(axis=0), 2) ** 2) / len(values)
        return _falling(values, 10 * top, 1e-5 * top, 19)

    def path(
        self,
        values: Floats,
        target: Target,
        held_out: Floats,
        settings: Sequence[Mapping[str, Any]],
    ) -> Floats:
        """Predict with each of several settings; see :meth:`Estimator.path`."""
        return _path(self, values, target, held_out, settings)


_Penalised = Lasso | ElasticNet | Ridge


def _penalties(model: _Penalised) -> tuple[float, float]:
    check_setting("weight", model.weight, _LEAST)
    mix = 1.0
    if not isinstance(model, Lasso):
        mix = model.mix if isinstance(model, ElasticNet) else 0.0
    return model.weight * mix, model.weight * (1 - mix)


def truth_of(target: Target) -> tuple[Floats, Loss]:
    """Give what a linear model is fitted to.

    Args:
        target: The outcome.

    Returns:
        (outputs, cases): the number, the event, or a row of 0 and 1 for each class seen; and the
        loss that goes with it.
    """
    if target.kind == "number":
        return target.values[None].astype(np.float64), "square"
    seen, place = np.unique(target.values, return_inverse=True)
    if len(seen) == 2:
        return place[None].astype(np.float64), "logistic"
    return np.eye(len(seen))[place].T.copy(), "softmax"


def _along(model: _Penalised, values: Floats, target: Target, penalties: Floats) -> Path:
    check_setting("steps", model.steps, 1)
    check_setting("tol", model.tol, 1e-12, 1e-2)
    truth, loss = truth_of(target)
    weight = case_weights(target, model.class_weight)
    rule = PathRule(loss, model.steps, model.tol)
    if isinstance(model, Ridge):
        return spanned_path(values, truth, weight, penalties=penalties, rule=rule)
    return penalised_path(values, truth, weight, penalties=penalties, rule=rule)


def _fit(model: _Penalised, values: Floats, target: Target) -> None:
    check_training(model, values, target)
    l1, l2 = _penalties(model)
    truth, _ = truth_of(target)
    top = largest_weight(values, truth, case_weights(target, model.class_weight))
    # a path of few weights leads there faster than a start from nothing
    far = max(top / l1, 1.0) if l1 > 0 else 1.0
    ahead = np.geomspace(far, 1.0, round(np.log2(far)) + 1) if far > 1 else np.ones(1)
    ahead[-1] = 1.0
    found = _along(model, values, target, ahead[:, None] * np.array([l1, l2]))
    model.weights_ = found.weights[-1].copy()
    model.intercepts_ = found.intercepts[-1].copy()
    model.spread_ = values.std(axis=0)
    model.kind_ = target.kind
    number = target.kind == "number"
    model.classes_ = 0 if number else codes_of(target)[1]
    model.seen_ = np.zeros(0, np.int64) if number else np.unique(codes_of(target)[0])


def _predict(model: _Penalised, values: Floats) -> Floats:
    check_fitted(model, "weights_")
    check_cases(model, values, model.weights_.shape[1])
    score = values @ model.weights_.T + model.intercepts_
    return linked(score, model.seen_, model.classes_, model.kind_)


def linked(score: Floats, seen: Ints, classes: int, kind: str) -> Floats:
    """Turn scores of a linear model into what an estimator gives.

    Args:
        score: (cases, outputs): one for a number or two classes, else one for each class seen.
        seen: Numbers of the classes seen in training.
        classes: How many there are.
        kind: What is predicted.

    Returns:
        (cases, outputs), as :meth:`Estimator.predict`.
    """
    from scipy.special import expit, softmax

    if kind == "number":
        return score
    if score.shape[1] == 1:
        chance = np.concatenate([expit(-score), expit(score)], axis=1)
    else:
        chance = softmax(score, axis=1)
    return outputs_of(chance, seen, classes, kind)


def _path(
    model: _Penalised,
    values: Floats,
    target: Target,
    held_out: Floats,
    settings: Sequence[Mapping[str, Any]],
) -> Floats:
    models = [model.fresh(change) for change in settings]
    alike = {tuple(v for k, v in one.settings().items() if k != "weight") for one in models}
    if len(alike) != 1:
        fitted = (one.fit(values, target) for one in models)
        return np.stack([one.predict(held_out) for one in fitted])
    check_training(model, values, target)
    check_cases(model, held_out, values.shape[1])
    order = np.argsort([-one.weight for one in models], kind="stable")
    penalties = np.array([_penalties(models[k]) for k in order])
    scores = _along(models[0], values, target, penalties).scores(held_out)
    number = target.kind == "number"
    seen = np.zeros(0, np.int64) if number else np.unique(codes_of(target)[0])
    classes = 0 if number else codes_of(target)[1]
    found = [linked(score, seen, classes, target.kind) for score in scores]
    return np.stack([found[k] for k in np.argsort(order)])


def _importances(model: _Penalised) -> Floats:
    check_fitted(model, "weights_")
    scaled = model.weights_ * model.spread_
    return np.asarray(scaled[0] if len(scaled) == 1 else np.sqrt((scaled**2).sum(axis=0)))


def _lasso_grid(
    values: Floats, target: Target, class_weight: str, mix: float
) -> tuple[dict[str, Any], ...]:
    truth, _ = truth_of(target)
    top = largest_weight(values, truth, case_weights(target, class_weight)) / max(mix, 1e-3)
    return _falling(values, top, SHORTEST * top, TRIED)


def _falling(values: Floats, high: float, low: float, count: int) -> tuple[dict[str, Any], ...]:
    """Give weights from high to low; the weight as it is where no feature can have an effect."""
    if not np.ptp(values, axis=0).any() or not high > 0:
        return ({},)
    spread = float(values.std(axis=0).max())
    if spread < _LEAST_SPREAD:
        raise ConfigError(
            f"features of a linear model must have a spread near 1, the largest here is "
            f"{spread:.3g}: put Scale before it"
        )
    return tuple({"weight": float(w)} for w in np.geomspace(high, low, count))
